"""The step `report`: from evaluated runs and their manifest to one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import Config, load_config
from usgland.data.columns import excluded_rows
from usgland.data.phantom import cached_phantoms
from usgland.data.sources import manifest_rows, with_lesion
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_role
from usgland.evaluation.cases.thresholds import apply_threshold, read_thresholds
from usgland.evaluation.comparison.pairs import Choices
from usgland.evaluation.report.facts import RunContents
from usgland.evaluation.report.flow import Excluded
from usgland.evaluation.report.sections import make_report
from usgland.files import check_unwritten, read_json, write_text
from usgland.steps.comparison import compare_files
from usgland.steps.table_one import describe_patients, show_table_one
from usgland.table_files import read_table

REPORT, MODEL_CARD = "report.html", "model_card.md"
SHEETS = 6  # of heat maps, each of many images


def report(
    run: Path,
    others: Sequence[Path],
    console: Console,
    *,
    images: bool = True,
    overwrite: bool = False,
) -> list[Path]:
    """Gathers what a run has to show and writes it; the others stand beside.

    The gallery of errors shows `images`, which are patients', unless it shall not. The
    console is told what could not be shown.
    """
    check_unwritten("report", [run / REPORT], overwrite=overwrite)
    config = load_config(runs.find_run(run, runs.METRICS) / runs.CONFIG)
    paths, excluded = _manifest(config, console)
    if paths is not None or config.model.inputs == "clinical":
        _write_table_one(run, config)
    if others:
        _compare([run, *others], config, console)
    return write_report(
        run, others=others, images=paths if images else None, excluded=excluded
    )


def write_report(
    run: Path,
    *,
    others: Sequence[Path] = (),
    images: Mapping[str, str] | None = None,
    excluded: Sequence[Excluded] = (),
) -> list[Path]:
    """Writes report.html and model_card.md into an evaluated run.

    The headline measures of `others` stand beside. `images` is image -> path of its
    file, for the gallery of errors; None: no gallery.
    """
    contents = _read_contents(run, images, excluded)
    beside = [(other.name, _read_metrics(other)) for other in others]
    texts = make_report(contents, beside)
    paths = [run / REPORT, run / MODEL_CARD]
    for path, text in zip(paths, texts, strict=True):
        write_text(path, text)
    return paths


def _read_metrics(run: Path) -> dict[str, Any]:
    if not (runs.find_run(run, runs.SPLITS, runs.ENVIRONMENT) / runs.METRICS).exists():
        raise UserError(
            f"Expected an evaluated run with {runs.METRICS}. Received: {run}. "
            "`usgland evaluate` comes first"
        )
    return read_json(run / runs.METRICS)


def _read_contents(
    run: Path, images: Mapping[str, str] | None, excluded: Sequence[Excluded]
) -> RunContents:
    metrics = _read_metrics(run)
    splits = read_table(run / runs.SPLITS)
    folders = [run / name for name in (runs.TABLES, runs.PLOTS, runs.READERS)]
    texts = [path for folder in folders for path in folder.glob("*.md")]
    pictures = [path for folder in folders for path in folder.glob("*.png")]
    pictures += sorted((run / runs.HEATMAPS).glob("sheet*.png"))[:SHEETS]
    return RunContents(
        name=run.name,
        config=load_config(run / runs.CONFIG),
        settings=(run / runs.CONFIG).read_text(encoding="utf-8"),
        environment=read_json(run / runs.ENVIRONMENT),
        metrics=metrics,
        splits=with_lesion(splits.assign(label=splits["label"].astype(int))),
        texts={_name(path, run): path.read_text(encoding="utf-8") for path in texts},
        pictures={_name(path, run): path for path in pictures},
        scored=_read_scored(run, metrics["role"], images),
        excluded=excluded,
        elsewhere=sorted(path.name for path in run.glob("metrics-*.json")),
    )


def _name(path: Path, run: Path) -> str:
    return path.relative_to(run).as_posix()


def _read_scored(
    run: Path, role: str, images: Mapping[str, str] | None
) -> pd.DataFrame | None:
    """The scored images that may be shown, with what the model called them."""
    if images is None or not (run / runs.PREDICTIONS).exists():
        return None
    rows = read_role(run / runs.PREDICTIONS, role)
    rows = rows[rows["image"].isin(list(images))]
    rows = apply_threshold(rows, read_thresholds(run / runs.THRESHOLD))
    return rows.assign(image_path=rows["image"].map(images))


def _compare(models: list[Path], config: Config, console: Console) -> None:
    """The paired tests of the runs, where they were tested on the same cases."""
    quiet, tables = Console(quiet=True), models[0] / runs.TABLES
    level = config.evaluation.confidence_level
    try:
        compare_files(
            models, Choices(), quiet, level=level, output=tables, overwrite=True
        )
    except UserError as error:
        console.print(f"Not compared: {error}", highlight=False, soft_wrap=True)


def _write_table_one(run: Path, config: Config) -> None:
    """Table 1 of the patients whom the run used, by label."""
    manifest = config.data.manifest or cached_phantoms()
    table, synthetic = describe_patients(manifest, config.data)
    show_table_one(
        table,
        Console(quiet=True),
        synthetic=synthetic,
        names=config.clinical.shown_names(),
        output=run / runs.TABLES,
        overwrite=True,
    )


def _manifest(
    config: Config, console: Console
) -> tuple[dict[str, str] | None, list[Excluded]]:
    """Paths of images and what was left out, where the manifest is still there."""
    try:
        rows = manifest_rows(config, Console(quiet=True))
        left_out = pd.DataFrame(columns=["patient_id", "reason"])
        if config.data.manifest is not None:
            left_out = excluded_rows(config.data.manifest, config.data)
    except UserError as error:
        reason = str(error).splitlines()[0]
        console.print(
            f"The manifest cannot be read any more, so the report has no images and no "
            f"rows left out: {reason}",
            highlight=False,
            soft_wrap=True,
        )
        return None, []
    paths = dict(zip(rows["image"], rows["image_path"], strict=True))
    excluded = [
        Excluded(str(reason), len(part), part["patient_id"].nunique())
        for reason, part in left_out.groupby("reason", sort=False)
    ]
    return ({k: v for k, v in paths.items() if v} or None), excluded
