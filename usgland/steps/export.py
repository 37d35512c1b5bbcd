"""`export`: joins a run, its images and the writer of SavedModels."""

from pathlib import Path
from typing import Any, NamedTuple

import keras
import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import load_config
from usgland.data.sources import run_rows
from usgland.evaluation.cases.calibration import read_calibration
from usgland.evaluation.cases.thresholds import read_thresholds
from usgland.files import read_json
from usgland.models.classifier import ENCODING, INPUT, PREPROCESSING, layer_names
from usgland.models.clinical import form_values
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.model_sheet import make_sheet
from usgland.serving.export.saved_model import export_model
from usgland.serving.interface.signing import read_private_key
from usgland.steps.joined_folds import one_model
from usgland.steps.models import load_model

PARITY_IMAGES = 20  # that an export must agree on before it is published


class Source(NamedTuple):
    """What every kind of export reads of a run."""

    model: keras.Model
    rows: pd.DataFrame  # its images, checked
    calibration: dict[str, Any]  # as `read_calibration` gives it
    threshold: float  # P(malignant) from which the label is malignant
    sheet: dict[str, Any]  # as `make_sheet` gives it


def read_source(run: Path) -> Source:
    """Reads what every kind of export needs of a run."""
    run = one_model(run, Console(quiet=True))
    config = load_config(runs.find_run(run, runs.MODEL, runs.THRESHOLD) / runs.CONFIG)
    model = load_model(run)
    rows = run_rows(run, config, Console(quiet=True))
    point = read_thresholds(run / runs.THRESHOLD).point
    metrics = read_json(run / runs.METRICS) if (run / runs.METRICS).exists() else None
    return Source(
        model,
        rows,
        read_calibration(run / runs.CALIBRATION),
        point["threshold"],
        make_sheet(config, rows, point, metrics),
    )


def compared_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Images on which a file is compared with the run's model, to tell them apart.

    Those of validation or, where nobody is held back, of training: it is no test.
    """
    chosen = rows[rows["role"] == "val"]
    return chosen if len(chosen) else rows[rows["role"] == "train"]


def export(run: Path, models_dir: Path, name: str, sign: Path | None = None) -> Path:
    """Writes the run's model under `models_dir/name` and returns the new version.

    `sign` is the file of a private key with which its checksums are signed.
    """
    key = None if sign is None else read_private_key(sign)
    model, rows, calibration, threshold, sheet = read_source(run)
    decision = Decision(calibration["slope"], calibration["intercept"], threshold)
    rows = compared_rows(rows).head(PARITY_IMAGES)
    names = layer_names(model)
    cases: dict[str, Any] = {}
    if PREPROCESSING in names:
        cases[INPUT] = [Path(path).read_bytes() for path in rows["image_path"]]
    if ENCODING in names:
        cases |= form_values(rows, model.get_layer(ENCODING).columns)
    return export_model(model, models_dir / name, cases, decision, sheet, key)
