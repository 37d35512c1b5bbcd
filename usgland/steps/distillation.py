"""The step `distill`: one network, taught by the folds of a cross-validation.

A fold teaches nobody whom it has learned from what it made of a patient: the last
network hears of each patient the fold that never saw them. Its threshold and
calibration come from a student of each fold, taught by that fold alone and of its own
training patients, so that neither student nor teacher knows whom the student is asked
about. Students who are taught by all folds would know: their teachers have learned
from the patients that they leave out.
"""

from pathlib import Path

import keras
import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import Config, load_config
from usgland.data.sources import manifest_rows, with_lesion
from usgland.data.splits import TEACHER, fold_roles, make_folds, splits_table
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_predictions
from usgland.steps.joined_folds import load_members
from usgland.steps.offset_fusion import joins_by_offset
from usgland.steps.training import fit
from usgland.training.fit import prepare_run


def distill(source: Path, run: Path, console: Console, *, full: bool = False) -> None:
    """Makes a run of one network that the folds of a finished cross-validation teach.

    It has the settings of theirs and learns from all their patients.

    Args:
        source: The run directory of `usgland cv`.
        run: The run directory to make.
        console: Where progress and the table are shown.
        full: Whether all measures are shown, not the headline alone.

    Raises:
        UserError: If `source` is no finished cross-validation, or its folds do not
            share their preprocessing or their patients any more.
    """
    config = config_of_folds(source)
    if joins_by_offset(config):
        raise UserError(
            "Expected folds whose network a student can be. Received: model.fusion="
            f"offset in {source}, a logistic regression and a weight: nothing to teach"
        )
    load_members(source)  # They must see an image alike.
    keras.backend.clear_session()
    checked = manifest_rows(config, console)
    stored = config.split.model_copy(update={"file": source / runs.SPLITS})
    folds = make_folds(checked, stored)
    taught = _taught(folds.assign(role="train"), source / runs.PREDICTIONS, "test")
    settings = _settings(config, source)
    rounds = [
        _round(folds, fold, source / runs.FOLDS / str(fold), settings)
        for fold in sorted(with_lesion(folds)["fold"].unique())
    ]
    prepare_run(
        run, settings, splits_table(taught), rounds=list(map(splits_table, rounds))
    )
    fit(run, None, console, full=full, checked=checked)


def config_of_folds(source: Path) -> Config:
    """The settings of a finished cross-validation.

    Raises:
        UserError: If it is none, or unfinished.
    """
    if not (runs.find_run(source) / runs.FOLDS).exists():
        raise UserError(
            "Expected a cross-validation, whose folds teach. Received: "
            f"{source}, a run of one network; `usgland cv` makes one of several"
        )
    return load_config(runs.find_run(source, runs.PREDICTIONS) / runs.CONFIG)


def _round(folds: pd.DataFrame, fold: int, part: Path, config: Config) -> pd.DataFrame:
    """The rows of the student of one fold: it learns what the fold learned from."""
    rows = fold_roles(folds, fold, config.split)
    said, lesions = read_predictions(part / runs.PREDICTIONS), with_lesion(rows)
    tested = set(said.loc[said["role"] == "test", "image"])
    if tested != set(lesions.loc[lesions["role"] == "test", "image"]):
        raise UserError(
            f"Expected a fold that was tested on its patients of {config.split.file}. "
            f"Received: {part}, tested on others; train the cross-validation again"
        )
    return _taught(rows, part / runs.PREDICTIONS, "train", "val")


def _taught(rows: pd.DataFrame, predictions: Path, *roles: str) -> pd.DataFrame:
    """The rows with the logits of the predictions of some roles."""
    said = read_predictions(predictions)
    said = said[said["role"].isin(roles)].set_index("image")
    return rows.assign(**{TEACHER: rows["image"].map(said["model_logit"])})


def _settings(config: Config, source: Path) -> Config:
    """Those of the folds, for a run in which everybody trains."""
    split = {
        "file": (source / runs.SPLITS).absolute(),  # whose patients these are
        **{"by": None, "test_fraction": 0.0, "val_fraction": 0.0},
    }
    return config.model_copy(
        update={
            "split": config.split.model_copy(update=split),
            "clinical": config.clinical.model_copy(update={"companions": False}),
            "train": config.train.model_copy(update={"early_stopping_epochs": None}),
        }
    )
