"""The step `compare`: from runs and prediction files to tables of their differences."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import EvaluationSettings, load_config
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import only_calls, read_role
from usgland.evaluation.cases.thresholds import Thresholds, read_thresholds
from usgland.evaluation.comparison.pair_tables import comparison_document
from usgland.evaluation.comparison.pairs import Choices, compare_tables
from usgland.evaluation.shown.names import UNITS
from usgland.evaluation.shown.terminal import show
from usgland.files import check_unwritten, write_json
from usgland.runs import CONFIG, PREDICTIONS, THRESHOLD

STEM = "comparison"


def compare_files(
    models: Sequence[Path],
    choices: Choices,
    console: Console,
    *,
    threshold: float | None = None,
    level: float | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Compares the test rows of runs or CSV files.

    Args:
        models: Run directories with predictions.csv, or tables as `read_scored` reads
            them; a threshold.json beside either gives its calls.
        choices: How; but for the level.
        console: Where the tables are shown.
        threshold: On P(malignant), of tables without threshold.json.
        level: Of intervals; None: that of the runs' settings.
        output: Folder for comparison.json, .md and .csv; None: nothing is written.
        overwrite: Whether they may be replaced.
        docx: Whether comparison.docx is written, too.
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
        tables[name], thresholds[name] = _read(model, threshold)
    level = _common_level(models) if level is None else level
    # Where every row is a patient, the two tables would be one.
    alone = all(table["patient_id"].equals(table["image"]) for table in tables.values())
    if alone and len(choices.units) > 1:
        choices = choices._replace(units=UNITS[1:])
    comparison = compare_tables(tables, thresholds, choices._replace(level=level))
    document = comparison_document(comparison)
    show(document, console)
    for note in _notes(tables, thresholds, choices, alone=alone):
        console.print(note, highlight=False, markup=False)
    if target is None:
        return []
    written = document.write(target.with_suffix(""), docx=docx)
    write_json(target, comparison)
    return [*written, target]


def _notes(
    tables: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, Thresholds | None],
    choices: Choices,
    *,
    alone: bool,
) -> Iterator[str]:
    """What was assumed of the tables, and what they lack."""
    calls = [name for name, table in tables.items() if only_calls(table)]
    if calls and len(calls) < len(tables):
        yield (
            f"{', '.join(calls)}: calls, no probabilities. The AUC of one operating "
            "point lies below that of the same model's whole curve."
        )
    if None in thresholds.values():
        yield (
            "Only AUCs are compared: sensitivity, specificity and accuracy need "
            "--threshold."
        )
    numbered = [
        str(number) for number in range(1, len(next(iter(tables.values()))) + 1)
    ]
    if choices.paired and all(
        table["image"].tolist() == numbered for table in tables.values()
    ):
        yield (
            "There is no column image: the first row of each table is taken for the "
            "same case, and so on."
        )
    if alone:
        yield (
            "Every row counts as a patient. Where patients have several, name them in "
            "a column patient_id: intervals would be too narrow without it."
        )


def _common_level(models: Sequence[Path]) -> float:
    """The level that the runs' settings agree on; files alone have none."""
    levels = {
        str(model): load_config(model / CONFIG).evaluation.confidence_level
        for model in models
        if (model / CONFIG).exists()
    }
    if len(set(levels.values())) > 1:
        received = ", ".join(f"{level:g} in {run}" for run, level in levels.items())
        raise UserError(
            f"Expected runs of one evaluation.confidence_level. Received: {received}. "
            "Choose the level of the comparison with --level"
        )
    return next(iter(levels.values()), EvaluationSettings().confidence_level)


def _read(model: Path, given: float | None) -> tuple[pd.DataFrame, Thresholds | None]:
    path = model / PREDICTIONS if model.is_dir() else model
    if model.is_dir() and not path.exists():
        raise UserError(
            f"Expected a run that was evaluated, with {PREDICTIONS}. Received: "
            f"{model}. `usgland evaluate` comes first"
        )
    beside = path.with_name(THRESHOLD)
    rows = read_role(path, "test", any_table=not model.is_dir())
    if beside.exists():
        return rows, read_thresholds(beside)
    if given is None and only_calls(rows):
        given = 0.5  # parts calls of 0 from those of 1
    return rows, None if given is None else Thresholds.at(given)


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
