"""`report`: joins evaluated runs, their manifest and the writer of reports."""

from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import Config, load_config
from usgland.data.manifest import excluded_rows
from usgland.data.phantom import cached_phantoms
from usgland.data.sources import manifest_rows
from usgland.errors import UserError
from usgland.evaluation.comparison.pairs import Choices
from usgland.evaluation.report.flow import Excluded
from usgland.evaluation.report.sections import write_report
from usgland.evaluation.table_one.characteristics import table_one
from usgland.runs import CONFIG, METRICS, TABLES, find_run
from usgland.steps.comparison import compare_files
from usgland.steps.table_one import patients_of, show_table_one


def report(
    runs: list[Path], console: Console, *, images: bool = True, overwrite: bool = False
) -> list[Path]:
    """Writes the report of the first run; the others stand beside it.

    Args:
        runs: Evaluated runs.
        console: Told what could not be shown.
        images: Whether the gallery of errors shows images, which are patients'.
        overwrite: Whether an earlier report may be replaced.

    Returns:
        The files written.
    """
    run = runs[0]
    config = load_config(find_run(run) / CONFIG)
    find_run(run, METRICS)
    paths, excluded = _manifest(config, console)
    if paths is not None or config.model.inputs == "clinical":
        _write_table_one(run, config)
    if len(runs) > 1:
        _compare(runs, console)
    return write_report(
        run,
        others=runs[1:],
        images=paths if images else None,
        excluded=excluded,
        overwrite=overwrite,
    )


def _compare(runs: list[Path], console: Console) -> None:
    """The paired tests of the runs, where they were tested on the same cases."""
    quiet, tables = Console(quiet=True), runs[0] / TABLES
    try:
        compare_files(runs, Choices(), quiet, output=tables, overwrite=True)
    except UserError as error:
        console.print(f"Not compared: {error}", highlight=False, soft_wrap=True)


def _write_table_one(run: Path, config: Config) -> None:
    """Table 1 of the patients whom the run used, by label."""
    manifest = config.data.manifest or cached_phantoms()
    patients, shown, left_out, synthetic = patients_of(
        manifest, config.data, "label", []
    )
    show_table_one(
        table_one(patients, "label", shown, left_out=left_out),
        Console(quiet=True),
        synthetic=synthetic,
        output=run / TABLES,
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
        for reason, part in _by_reason(left_out)
    ]
    return ({k: v for k, v in paths.items() if v} or None), excluded


def _by_reason(left_out: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(k), part) for k, part in left_out.groupby("reason", sort=False)]
