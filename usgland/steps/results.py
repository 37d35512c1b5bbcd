"""`predict` and `evaluate`: join the steps that follow a trained run."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import load_config
from usgland.data.sources import manifest_rows, other_rows, run_rows
from usgland.data.splits import UNUSED
from usgland.errors import UserError
from usgland.evaluation.assessment_tables import print_assessments
from usgland.evaluation.calibration import apply_calibration, read_calibration
from usgland.evaluation.evaluate import evaluate_run
from usgland.evaluation.predictions import patient_predictions, read_predictions
from usgland.evaluation.subgroups import parse_subgroups
from usgland.evaluation.tables import print_metrics
from usgland.runs import (
    ALONE,
    CALIBRATION,
    CONFIG,
    FOLDS,
    METRICS,
    MODEL,
    PREDICTIONS,
    THRESHOLD,
    find_run,
    patients_path,
    predictions_path,
    write_whole,
)
from usgland.steps.companions import (
    NETWORKS,
    compare_sides,
    measure_importance,
    write_logistic,
)
from usgland.steps.models import load_model
from usgland.training.parts import describe_forms
from usgland.training.predict import predict_rows

# Columns of checked rows that make no groups worth looking at.
NO_SUBGROUPS = {
    *("image", "image_path", "mask", "mask_path", "patient_id", "group_id"),
    *("label", "sha256", "role", "fold", "csv_row", "synthetic"),
}


def predict(
    run: Path,
    console: Console,
    *,
    manifest: Path | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    labelled: bool = False,
    without: str | None = None,
) -> list[Path]:
    """Writes P(malignant), calibrated, of each image and of each patient.

    Args:
        run: A run directory with a model.
        console: Where progress is shown.
        manifest: Other images; without it, those of the run, with their roles.
        output: CSV to write; see `predictions_path`.
        overwrite: Whether earlier predictions may be replaced.
        labelled: Whether every image of `manifest` must have a label.
        without: `"image"` or `"form"`: the side that a model of both does without.

    Returns:
        The files written: one row an image, one row a patient.

    Raises:
        UserError: If the run or the manifest cannot be used, or a file exists.
    """
    if (run / FOLDS).exists():
        raise UserError(
            "Expected a run with one model. Received the cross-validation "
            f"{run}; its models are in {run / FOLDS}, e.g. {run / FOLDS / '0'}"
        )
    config = load_config(find_run(run, MODEL) / CONFIG)
    if without is not None and config.model.inputs != "both":
        raise UserError(
            f"--without {without}: expected a run with image and form. Received: "
            f"{run}, whose model.inputs is {config.model.inputs}"
        )
    path = output or predictions_path(run, manifest, without)
    # In the run, patients without images are what a killed process left.
    needed = [path] if output is None else [path, patients_path(path)]
    existing = [one for one in needed if one.exists()]
    if existing and not overwrite:
        raise UserError(
            f"Predictions are not overwritten. Received {existing[0]}, which exists. "
            "Add --overwrite to replace it"
        )
    if manifest is None:
        rows = run_rows(run, config, console)
        rows = rows[rows["role"] != UNUSED]
    else:
        rows = other_rows(run, manifest, config, labelled=labelled, without=without)
    model = load_model(run)
    if config.model.inputs != "image" and without != "form":
        for line in describe_forms(model, rows):
            console.print(line, highlight=False, soft_wrap=True)
    said = predict_rows(model, rows, without=without)
    calibration = read_calibration(run / CALIBRATION)
    return write_predictions(apply_calibration(said, calibration), path)


def evaluate(
    run: Path,
    console: Console,
    *,
    manifest: Path | None = None,
    overwrite: bool = False,
    subgroups: Sequence[str] = (),
    prevalences: Sequence[float] = (),
) -> list[Path]:
    """Scores the test part, predicting it first where that was not done.

    Args:
        run: A run directory with a model and an operating point.
        console: Where the table is shown.
        manifest: Labelled images of another source, scored instead.
        overwrite: Whether earlier figures and predictions may be replaced.
        subgroups: `COLUMN` or `COLUMN:cut,cut` of the manifest, see `parse_subgroups`.
        prevalences: Others, in (0, 1), at which predictive values and net benefit
            are given.

    Returns:
        The files written.

    Raises:
        UserError: If the run, the manifest or a column cannot be used.
    """
    find_run(run, THRESHOLD)
    cuts = parse_subgroups(subgroups)
    columns = _manifest_columns(run, manifest, list(cuts))  # before it predicts
    path = predictions_path(run, manifest)
    written = []
    if not path.exists() or (overwrite and not (run / FOLDS).exists()):
        written = predict(
            run, console, manifest=manifest, overwrite=overwrite, labelled=True
        )
    elif manifest is not None:
        _check_predicted(path, manifest, run)
    metrics, files = evaluate_run(
        run,
        predictions=path,
        overwrite=overwrite,
        prevalences=prevalences,
        columns=columns,
        cuts=cuts,
    )
    print_metrics(metrics, console)
    print_assessments(metrics, console)
    if manifest is None and not (run / FOLDS).exists():
        files += _judge_form(run, console, overwrite=overwrite)
    return written + files


def _judge_form(run: Path, console: Console, *, overwrite: bool) -> list[Path]:
    """What the form is worth, on the test part; nothing for a run without one."""
    config = load_config(run / CONFIG)
    if config.model.inputs == "image":
        return []
    rows = run_rows(run, config, console)
    tests = iter([(run, rows[rows["role"] == "test"])])
    written = measure_importance(run, tests, config, console)
    if not (run / ALONE).exists():
        return written
    for beside in (run / ALONE / folder for folder in NETWORKS):
        if not (beside / PREDICTIONS).exists():
            predict(beside, Console(quiet=True))
        if overwrite or not (beside / METRICS).exists():
            evaluate_run(beside, overwrite=overwrite)
    write_logistic(run, [rows], config)
    predictions = read_predictions(run / PREDICTIONS)
    return written + compare_sides(run, predictions, config, console)


def _manifest_columns(
    run: Path, manifest: Path | None, names: list[str]
) -> dict[str, pd.Series]:
    """Columns of the manifest by image; of the run's own where none is given."""
    if not names:
        return {}
    config = load_config(run / CONFIG)
    if manifest is None:
        rows = manifest_rows(config, Console(quiet=True))
    else:
        rows = other_rows(run, manifest, config, labelled=True)
    for name in names:
        if name not in rows:
            there = sorted(set(map(str, rows)) - NO_SUBGROUPS)
            raise UserError(
                f"--subgroup: expected a column of the manifest: {', '.join(there)}. "
                f"Received: {name!r}"
            )
    return {name: rows.set_index("image")[name] for name in names}


def _check_predicted(path: Path, manifest: Path, run: Path) -> None:
    """Another hospital's manifest may have the name of the one predicted earlier."""
    config = load_config(run / CONFIG)
    rows = other_rows(run, manifest, config, labelled=True)
    names = ["image", "patient_id", "label"]
    there = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not there[names].equals(rows[names].astype(str)):
        raise UserError(
            f"Expected predictions of {manifest} in {path}. Received those of other "
            "images or labels. Add --overwrite to predict again"
        )


def write_predictions(table: pd.DataFrame, path: Path) -> list[Path]:
    """Writes one row an image, and beside it one row a patient; gives both paths."""
    patients = patient_predictions(table)
    by_patient = patients_path(path)
    for one, where in ((patients, by_patient), (table, path)):
        with write_whole(where) as temporary:
            one.to_csv(temporary, index=False)
    return [path, by_patient]
