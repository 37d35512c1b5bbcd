"""The step `predict`: what a trained run says of images and of patients."""

from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.data.sources import other_rows, run_rows
from usgland.data.splits import UNUSED
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import apply_calibration, read_calibration
from usgland.evaluation.cases.predictions import patient_predictions
from usgland.files import check_unwritten, write_whole
from usgland.steps.joined_folds import one_model
from usgland.steps.models import config_of_model, load_model
from usgland.training.parts import describe_forms
from usgland.training.predict import predict_rows


def predict(
    run: Path,
    console: Console,
    *,
    manifest: Path | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    without: str | None = None,
    checked: pd.DataFrame | None = None,
) -> list[Path]:
    """Writes P(malignant), calibrated, of each image and of each patient.

    Args:
        run: A run directory with a model.
        console: Where progress is shown.
        manifest: Other images; without it, those of the run, with their roles.
        output: CSV to write; see `predictions_path`.
        overwrite: Whether earlier predictions may be replaced.
        without: `"image"` or `"form"`: the side that a model of both does without.
        checked: What `manifest_rows`, or `other_rows` of a `manifest`, gave this
            command earlier; None: they are asked.
    """
    if manifest is not None:
        run = one_model(run, console)
    config = config_of_model(run)
    if without is not None and config.model.inputs != "both":
        raise UserError(
            f"--without {without}: expected a run with image and form. Received: "
            f"{run}, whose model.inputs is {config.model.inputs}"
        )
    if output is not None and output.suffix.lower().startswith(".xl"):
        raise UserError(
            f"--output: expected the name of a CSV file. Received: {output}; a "
            "spreadsheet opens a CSV, too"
        )
    path = output or runs.predictions_path(run, manifest, without)
    # In the run, patients without images are what a killed process left.
    needed = [path] if output is None else [path, runs.patients_path(path)]
    check_unwritten("predictions", needed, overwrite=overwrite)
    if manifest is None:
        rows = run_rows(run, config, console, checked)
        rows = rows[rows["role"] != UNUSED]
    elif checked is None:
        rows = other_rows(run, manifest, config, labelled=False, without=without)
    else:
        rows = checked
    model = load_model(run)
    if config.model.inputs != "image" and without != "form":
        for line in describe_forms(model, rows):
            console.print(line, highlight=False, soft_wrap=True)
    predictions = predict_rows(model, rows, without=without)
    calibration = read_calibration(run / runs.CALIBRATION)
    return write_predictions(apply_calibration(predictions, calibration), path)


def write_predictions(table: pd.DataFrame, path: Path) -> list[Path]:
    """Writes one row an image, and beside it one row a patient; gives both paths."""
    patients = patient_predictions(table)
    by_patient = runs.patients_path(path)
    for rows, target in ((patients, by_patient), (table, path)):
        with write_whole(target) as temporary:
            rows.to_csv(temporary, index=False)
    return [path, by_patient]
