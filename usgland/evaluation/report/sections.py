"""The step `report`: everything a run has to show, in one HTML file."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from usgland.config import forced_leaks, load_config
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_predictions
from usgland.evaluation.cases.thresholds import apply_threshold, read_thresholds
from usgland.evaluation.report.checklists import AUTHOR, CHECKLISTS, fill
from usgland.evaluation.report.facts import describe_model, run_facts
from usgland.evaluation.report.flow import Excluded, flow_svg
from usgland.evaluation.report.model_card import model_card
from usgland.evaluation.report.page_parts import (
    THUMBNAIL_PIXELS,
    markdown,
    page,
    picture,
    table,
)
from usgland.evaluation.shown.names import NAMES
from usgland.evaluation.shown.text import format_measure
from usgland.files import read_json, write_text
from usgland.runs import (
    CONFIG,
    ENVIRONMENT,
    METRICS,
    PLOTS,
    PREDICTIONS,
    SPLITS,
    TABLES,
    THRESHOLD,
    find_run,
)

REPORT, MODEL_CARD = "report.html", "model_card.md"
LARGEST = 5_000_000  # bytes of a report that a mail still takes
WORST = 8  # images of each kind of error
# Sections of measures and tables, each with the files it shows where they are there.
PARTS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Table 1": [("table1.md", "")],
    "Results": [
        ("metrics.md", ""),
        ("roc.png", "ROC curves per image and per patient"),
        ("confusion.png", "Confusion matrices per image and per patient"),
        ("history.png", "Loss and accuracy while training"),
    ],
    "Calibration and benefit": [
        ("calibration.md", ""),
        ("calibration.png", "Reliability curve"),
        ("decision_curve.md", ""),
        ("decision_curve.png", "Net benefit"),
    ],
    "Subgroups": [("subgroups.md", ""), ("subgroup_*.png", "Figures by subgroup")],
    "Comparisons": [
        ("additions.md", ""),
        ("importance.md", ""),
        ("comparison.md", ""),
    ],
    "Readers": [("readers.md", ""), ("readers*.png", "Readers and model")],
    "Where the model looked": [
        ("saliency.md", ""),
        ("saliency.png", "Where the maps lie"),
    ],
}


def write_report(
    run: Path,
    *,
    others: Sequence[Path] = (),
    images: Mapping[str, str] | None = None,
    excluded: Sequence[Excluded] = (),
    overwrite: bool = False,
) -> list[Path]:
    """Writes report.html and model_card.md into an evaluated run.

    Args:
        run: A run directory with metrics.json.
        others: Further evaluated runs, whose headline measures stand beside.
        images: Image -> path of its file, for the gallery of errors; None: no gallery.
        excluded: Rows of the manifest that the run left out.
        overwrite: Whether an earlier report may be replaced.

    Returns:
        The files written.

    Raises:
        UserError: If a run was not evaluated or the report exists.
    """
    target = run / REPORT
    if target.exists() and not overwrite:
        raise UserError(
            f"A report is not overwritten. Received {target}, which exists. Add "
            "--overwrite to make it again"
        )
    config, environment, metrics = _read(run)
    splits = pd.read_csv(run / SPLITS, dtype=str, keep_default_na=False)
    splits["label"] = splits["label"].astype(int)
    facts = run_facts(run, config, environment, metrics, splits, list(excluded))
    sections = [
        ("Summary", _summary(run, metrics, others, forced_leaks(config))),
        ("Flow of patients", flow_svg(splits, excluded)),
        ("Model", table(describe_model(config, environment))),
        *((name, _part(run, files)) for name, files in PARTS.items()),
        ("Heat maps", _heat_maps(run)),
        ("Worst errors", _gallery(run, metrics, images)),
        ("To repeat it", _repeat(run, environment)),
        *((f"Checklist: {name}", _checklist(name, facts)) for name in CHECKLISTS),
    ]
    title = f"usgland report: {run.name}"
    html = page(title, sections, synthetic=metrics["synthetic"])
    if len(html.encode()) > LARGEST:
        sections = [one for one in sections if one[0] != "Heat maps"]
        html = page(title, sections, synthetic=metrics["synthetic"])
    write_text(target, html)
    write_text(run / MODEL_CARD, model_card(run.name, config, metrics, facts))
    return [target, run / MODEL_CARD]


def _read(run: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    find_run(run, SPLITS, ENVIRONMENT)
    if not (run / METRICS).exists():
        raise UserError(
            f"Expected an evaluated run with {METRICS}. Received: {run}. "
            "`usgland evaluate` comes first"
        )
    return (
        load_config(run / CONFIG),
        read_json(run / ENVIRONMENT),
        read_json(run / METRICS),
    )


def _summary(
    run: Path, metrics: dict[str, Any], others: Sequence[Path], leaks: Sequence[str]
) -> str:
    """The measures that matter first, and what must be known before reading on."""
    names = ("roc_auc", "sensitivity", "specificity", "accuracy")
    rows = []
    for name, one in [(run.name, metrics)] + [
        (other.name, _read(other)[2]) for other in others
    ]:
        for unit in ("patient", "image"):
            measures = one[unit]["figures"]
            cells = [format_measure(measures[measure]) for measure in names]
            rows.append((name, f"per {unit}, n = {one[unit]['n']}", *cells))
    warnings = []
    if leaks:
        warnings.append(
            f"The form has columns that may know the label ({', '.join(leaks)}): these "
            "figures are too good."
        )
    shortcuts = run / TABLES / "shortcuts.md"
    if shortcuts.exists():
        warnings.append(shortcuts.read_text(encoding="utf-8").splitlines()[0])
    small = metrics["patient"]
    if min(small["n_benign"], small["n_malignant"]) < 10:
        warnings.append(
            f"Only {small['n_benign']} benign and {small['n_malignant']} malignant "
            "patients were tested: the intervals say how little that tells."
        )
    text = "".join(f'<p class="warning">{escape(one)}</p>' for one in warnings)
    head = ("Run", "Unit", *(NAMES[name] for name in names))
    level = f"{100 * metrics['confidence_level']:g}%"
    return (
        f"{text}{table(rows, head)}<p>{level} intervals. Role {metrics['role']}, "
        "scored once. For research; not a medical device.</p>"
    )


def _part(run: Path, files: Sequence[tuple[str, str]]) -> str:
    """The tables and pictures of one section that are there."""
    shown = []
    for pattern, caption in files:
        for folder in (run / TABLES, run / PLOTS, run / "readers"):
            for path in sorted(folder.glob(pattern)):
                if path.suffix == ".md":
                    shown.append(markdown(path.read_text(encoding="utf-8")))
                else:
                    shown.append(picture(path, caption))
    return "".join(shown)


def _heat_maps(run: Path) -> str:
    paths = sorted((run / "heatmaps").glob("sheet*.png"))
    return "".join(picture(path, path.stem.replace("_", " ")) for path in paths[:6])


def _gallery(
    run: Path, metrics: dict[str, Any], images: Mapping[str, str] | None
) -> str:
    """The images that the model got wrong with the greatest confidence."""
    if images is None or not (run / PREDICTIONS).exists():
        return ""
    rows = read_predictions(run / PREDICTIONS)
    rows = rows[(rows["role"] == metrics["role"]) & rows["image"].isin(list(images))]
    rows = apply_threshold(rows, read_thresholds(run / THRESHOLD))
    rows = rows[rows["prediction"] != rows["label"]]
    shown = []
    for label, title, ascending in (
        (1, "Malignant, called benign", True),
        (0, "Benign, called malignant", False),
    ):
        worst = rows[rows["label"] == label].sort_values("logit", ascending=ascending)
        pictures = "".join(
            picture(
                Path(images[row["image"]]),
                f"{row['image']}: P(malignant) = {row['probability']:.3f}",
                pixels=THUMBNAIL_PIXELS,
            )
            for _, row in worst.head(WORST).iterrows()
        )
        count = f"{len(worst)} images" + (
            f", the worst {WORST}" if len(worst) > WORST else ""
        )
        shown.append(f'<h3>{title}: {count}</h3><div class="row">{pictures}</div>')
    return "".join(shown)


def _repeat(run: Path, environment: dict[str, Any]) -> str:
    packages = [(name, version) for name, version in environment["packages"].items()]
    rows = [
        ("usgland", environment["usgland"]),
        ("commit", str(environment["git_commit"])),
        ("Python", environment["python"]),
        *packages,
        ("devices", ", ".join(environment["devices"])),
        ("platform", environment["platform"]),
    ]
    settings = (run / CONFIG).read_text(encoding="utf-8")
    return (
        f"<pre>{escape(environment['command'])}</pre>{table(rows)}"
        "<details><summary>All settings</summary>"
        f"<pre>{escape(settings)}</pre></details>"
    )


def _checklist(name: str, facts: Mapping[str, str]) -> str:
    rows = fill(CHECKLISTS[name], facts)
    known = sum(row[2] != AUTHOR for row in rows)
    text = table(rows, ("Item", "Asks for", "Answer")).replace(
        f"<td>{AUTHOR}</td>", f'<td class="todo">{AUTHOR}</td>'
    )
    return f"<p>{known} of {len(rows)} filled from the run.</p>{text}"
