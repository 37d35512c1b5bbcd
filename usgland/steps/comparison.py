"""The step `compare`: from runs and prediction files to tables of their differences."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_role
from usgland.evaluation.cases.thresholds import Thresholds, read_thresholds
from usgland.evaluation.comparison.pair_tables import comparison_document
from usgland.evaluation.comparison.pairs import Choices, compare_tables
from usgland.evaluation.shown.terminal import show
from usgland.files import check_unwritten, write_json
from usgland.runs import PREDICTIONS, THRESHOLD

STEM = "comparison"


def compare_files(
    models: Sequence[Path],
    choices: Choices,
    console: Console,
    *,
    output: Path | None = None,
    overwrite: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Compares the test rows of runs or CSV files.

    Args:
        models: Run directories with predictions.csv, or CSV files like it; a
            threshold.json beside either gives its calls.
        choices: How.
        console: Where the tables are shown.
        output: Folder for comparison.json, .md and .csv; None: nothing is written.
        overwrite: Whether they may be replaced.
        docx: Whether comparison.docx is written, too.

    Returns:
        The files written.

    Raises:
        UserError: If a file is missing or cannot be used, the cases differ, or the
            output exists.
    """
    if len(models) < 2:
        raise UserError(
            f"Expected two runs or CSV files, or more. Received: {len(models)}"
        )
    target = None if output is None else output / f"{STEM}.json"
    if target is not None:
        check_unwritten("comparison", [target], overwrite=overwrite)
    tables, thresholds = {}, {}
    for name, model in zip(_names(models), models, strict=True):
        tables[name], thresholds[name] = _read(model)
    comparison = compare_tables(tables, thresholds, choices)
    document = comparison_document(comparison)
    show(document, console)
    if target is None:
        return []
    written = document.write(target.with_suffix(""), docx=docx)
    write_json(target, comparison)
    return [*written, target]


def _read(model: Path) -> tuple[pd.DataFrame, Thresholds | None]:
    path = model / PREDICTIONS if model.is_dir() else model
    if model.is_dir() and not path.exists():
        raise UserError(
            f"Expected a run that was evaluated, with {PREDICTIONS}. Received: "
            f"{model}. `usgland evaluate` comes first"
        )
    threshold = path.with_name(THRESHOLD)
    return (
        read_role(path, "test"),
        read_thresholds(threshold) if threshold.exists() else None,
    )


def _names(models: Sequence[Path]) -> list[str]:
    """What tells the models apart: as much of their paths as is needed."""
    # Files alone lose their suffix: the run "squeeze-1.1" keeps its name.
    parts = [
        (path.with_suffix("") if path.is_file() else path).absolute().parts
        for path in models
    ]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"Expected different models. Received: {models[0]} more than once")
