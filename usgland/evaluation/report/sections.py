"""The report of a run: everything that it has to show, as one HTML page."""

from collections.abc import Mapping, Sequence
from fnmatch import filter as matching
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from usgland.config import forced_leaks
from usgland.evaluation.report.checklists import AUTHOR, CHECKLISTS, NUMBERS, fill
from usgland.evaluation.report.facts import RunContents, describe_model, run_facts
from usgland.evaluation.report.flow import flow_svg
from usgland.evaluation.report.model_card import model_card
from usgland.evaluation.report.page_parts import (
    THUMBNAIL_PIXELS,
    markdown,
    page,
    picture,
    table,
)
from usgland.evaluation.shown.names import HEADLINE, NAMES
from usgland.evaluation.shown.text import format_measure, format_percent

LARGEST = 5_000_000  # bytes of a report that a mail still takes
WORST = 8  # images of each kind of error
FEW_PATIENTS = 10  # of a label, below which the report warns
# Sections of tables and pictures, each with the files of the run that it shows where
# they exist, and the captions of the pictures; "": the name of the file.
PARTS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Table 1": [("tables/table1.md", "")],
    "Results": [
        ("tables/metrics.md", ""),
        ("figures/roc.png", "ROC curves per image and per patient"),
        ("figures/confusion.png", "Confusion matrices per image and per patient"),
        ("figures/history.png", "Loss and accuracy while training"),
    ],
    "Calibration and benefit": [
        ("tables/calibration.md", ""),
        ("figures/calibration.png", "Reliability curve"),
        ("tables/decision_curve.md", ""),
        ("figures/decision_curve.png", "Net benefit"),
    ],
    "Subgroups": [
        ("tables/subgroups.md", ""),
        ("figures/subgroup_*.png", "Measures by subgroup"),
    ],
    "Comparisons": [
        ("tables/additions.md", ""),
        ("tables/importance.md", ""),
        ("tables/comparison.md", ""),
    ],
    "Readers": [
        ("readers/readers.md", ""),
        ("readers/readers*.png", "Readers and model"),
    ],
    "Where the model looked": [
        ("tables/saliency.md", ""),
        ("figures/saliency.png", "Where the maps lie"),
    ],
    "Heat maps": [("heatmaps/sheet*.png", "")],
}
SHORTCUTS = "tables/shortcuts.md"  # its first line is a warning


def make_report(
    run: RunContents, others: Sequence[tuple[str, dict[str, Any]]] = ()
) -> tuple[str, str]:
    """Gives the page, and the model card, which rests on the same facts.

    Others are the names and metrics.json of further runs, whose headline measures stand
    beside. The page is HTML that needs no other file, without the heat maps where it
    would have more than `LARGEST` bytes; the card is Markdown.
    """
    sections = {
        "Summary": _summary(run, others),
        "Flow of patients": flow_svg(run.splits, run.excluded),
        "Model": table(describe_model(run.config, run.environment)),
        **{name: _part(run, files) for name, files in PARTS.items()},
        "Worst errors": _gallery(run.scored),
        "To repeat it": _repeat(run),
    }
    html, facts = _fill_page(run, sections)
    if len(html.encode()) > LARGEST:
        html, facts = _fill_page(run, sections | {"Heat maps": ""})
    return html, model_card(run.name, run.config, run.metrics, facts)


def _fill_page(
    run: RunContents, sections: dict[str, str]
) -> tuple[str, dict[str, str]]:
    """The page, and the facts in its checklists, which name none but its sections."""
    shown = [name for name, content in sections.items() if content]
    facts = run_facts(run, shown)
    checklists = {f"Checklist: {name}": _checklist(name, facts) for name in CHECKLISTS}
    title, parts = f"usgland report: {run.name}", (sections | checklists).items()
    return page(title, list(parts), synthetic=run.metrics["synthetic"]), facts


def _summary(run: RunContents, others: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The measures that matter first, and what must be known before reading on."""
    runs = [(run.name, run.metrics), *others]
    levels = [format_percent(metrics["confidence_level"]) for _, metrics in runs]
    rows = []
    for (name, metrics), level in zip(runs, levels, strict=True):
        for unit in ("patient", "image"):
            measures = metrics[unit]["figures"]
            cells = [format_measure(measures[measure]) for measure in HEADLINE]
            about = f"per {unit}, n = {metrics[unit]['n']}"
            about += f", intervals {level}" if len(set(levels)) > 1 else ""
            rows.append((name, about, *cells))
    text = "".join(f'<p class="warning">{escape(line)}</p>' for line in _warnings(run))
    head = ("Run", "Unit", *(NAMES[name] for name in HEADLINE))
    stated = f"{levels[0]} intervals. " if len(set(levels)) == 1 else ""
    return (
        f"{text}{table(rows, head)}<p>{stated}Role {run.metrics['role']}, "
        "scored once. For research; not a medical device.</p>"
    )


def _warnings(run: RunContents) -> list[str]:
    warnings = []
    leaks = ", ".join(forced_leaks(run.config))
    if leaks:
        warnings.append(
            f"The form has columns that may know the label ({leaks}): these measures "
            "are too good."
        )
    if run.texts.get(SHORTCUTS):
        warnings.append(run.texts[SHORTCUTS].splitlines()[0])
    tested = run.metrics["patient"]
    if min(tested["n_benign"], tested["n_malignant"]) < FEW_PATIENTS:
        warnings.append(
            f"Only {tested['n_benign']} benign and {tested['n_malignant']} malignant "
            "patients were tested: the intervals say how little that tells."
        )
    return warnings


def _part(run: RunContents, files: Sequence[tuple[str, str]]) -> str:
    """The tables and pictures of one section, those that the run has."""
    shown = []
    for pattern, caption in files:
        shown += [markdown(run.texts[name]) for name in matching(run.texts, pattern)]
        for name in sorted(matching(run.pictures, pattern)):
            path = run.pictures[name]
            shown.append(picture(path, caption or path.stem.replace("_", " ")))
    return "".join(shown)


def _gallery(scored: pd.DataFrame | None) -> str:
    """The images that the model got wrong with the greatest confidence."""
    if scored is None:
        return ""
    wrong = scored[scored["prediction"] != scored["label"]]
    shown = []
    for label, title in (
        (1, "Malignant, called benign"),
        (0, "Benign, called malignant"),
    ):
        worst = wrong[wrong["label"] == label].sort_values(
            "logit", ascending=label == 1
        )
        pictures = "".join(
            picture(
                Path(row["image_path"]),
                f"{row['image']}: P(malignant) = {row['probability']:.3f}",
                pixels=THUMBNAIL_PIXELS,
            )
            for _, row in worst.head(WORST).iterrows()
        )
        count = f"{len(worst)} images"
        count += f", the worst {WORST}" if len(worst) > WORST else ""
        shown.append(f'<h3>{title}: {count}</h3><div class="row">{pictures}</div>')
    return "".join(shown)


def _repeat(run: RunContents) -> str:
    environment = run.environment
    rows = [
        ("usgland", environment["usgland"]),
        ("commit", str(environment["git_commit"])),
        ("Python", environment["python"]),
        *environment["packages"].items(),
        ("devices", ", ".join(environment["devices"])),
        ("precision", environment.get("precision", "float32")),
        ("platform", environment["platform"]),
    ]
    return (
        f"<pre>{escape(environment['command'])}</pre>{table(rows)}"
        "<details><summary>All settings</summary>"
        f"<pre>{escape(run.settings)}</pre></details>"
    )


def _checklist(name: str, facts: Mapping[str, str]) -> str:
    rows = fill(CHECKLISTS[name], facts)
    known = sum(row[2] != AUTHOR for row in rows)
    text = table(rows, ("Item", "Asks for", "Answer")).replace(
        f"<td>{AUTHOR}</td>", f'<td class="todo">{AUTHOR}</td>'
    )
    return (
        f"<p>{known} of {len(rows)} filled from the run. {escape(NUMBERS[name])}</p>"
        f"{text}"
    )
