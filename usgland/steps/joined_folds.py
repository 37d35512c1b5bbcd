"""All folds of a cross-validation as one model, for images that none has learned from.

It is a run directory in the run, made when it is first asked for: its calibration and
its operating point are those of the out-of-fold predictions.
"""

from pathlib import Path
from typing import Any

import keras
import pandas as pd
from rich.console import Console
from scipy.special import expit

from usgland import runs
from usgland.config import Config, load_config
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import (
    apply_calibration,
    fit_calibration,
    write_calibration,
)
from usgland.evaluation.cases.out_of_fold import Said, gather_out_of_fold
from usgland.evaluation.cases.predictions import read_predictions
from usgland.evaluation.cases.thresholds import choose_points, write_thresholds
from usgland.files import read_json, write_json, write_whole
from usgland.models.classifier import PREPROCESSING, VIEW, has_head, layer_names
from usgland.models.joined_models import join_models
from usgland.steps.models import load_model
from usgland.table_files import read_table
from usgland.training.fit import prepare_run

OF_EVERY = ("dtype", "name", "trainable")  # settings of every layer


def one_model(run: Path, console: Console) -> Path:
    """The run itself or, of a cross-validation, the run of all its folds together."""
    return join_folds(run, console) if (run / runs.FOLDS).exists() else run


def join_folds(run: Path, console: Console) -> Path:
    """Makes the run of all folds together, where it is not there, and gives its path.

    Raises:
        UserError: If the cross-validation is unfinished, takes a form, or its folds do
            not share their preprocessing.
    """
    target = run / runs.TOGETHER
    if (target / runs.MODEL).exists():
        return target
    config = load_config(runs.find_run(run, runs.PREDICTIONS, runs.FOLDS) / runs.CONFIG)
    if config.model.inputs != "image":
        raise UserError(
            f"Expected a cross-validation of images alone, whose folds can be used "
            f"together. Received: {run}, whose folds each encode the form by their own "
            f"patients; use one of them, e.g. {run / runs.FOLDS / '0'}"
        )
    models = load_members(run)
    config = _of_all(config)
    splits = read_table(run / runs.SPLITS).drop(columns="csv_row")
    splits["role"] = "train"  # Nobody is left to choose by, or to test on.
    if not target.exists():
        prepare_run(target, config, splits)
    said = _out_of_fold(run)
    calibration = fit_calibration(said, config.evaluation.calibration)
    write_calibration(target / runs.CALIBRATION, calibration)
    said = apply_calibration(said, calibration)
    thresholds = choose_points(said, config.evaluation)
    write_thresholds(target / runs.THRESHOLD, thresholds)
    joined = join_models(models)
    environment = read_json(run / runs.ENVIRONMENT)
    with write_whole(target / runs.MODEL) as temporary:
        joined.save(temporary)
        environment |= {
            "parameters": joined.count_params(),
            "model_bytes": temporary.stat().st_size,
            # What each member took was measured; together they were not.
            "seconds_per_image": len(models) * environment["seconds_per_image"],
        }
        write_json(target / runs.ENVIRONMENT, environment)
    console.print(
        f"The {len(models)} folds together, the mean of their logits: {target}; "
        f"calibrated, and its threshold placed, on {len(said)} out-of-fold predictions "
        "of one network each, whose mean is less spread: check both on local patients",
        highlight=False,
        soft_wrap=True,
    )
    return target


def load_members(run: Path) -> list[keras.Model]:
    """The model of each fold; all must see an image alike, and look again alike."""
    folds = _folds_of(run)
    models = list(map(load_model, folds))
    first = _preprocessing(models[0])
    for path, model in zip(folds, models, strict=True):
        own = _preprocessing(model)
        differing = [name for name in first if own.get(name) != first[name]]
        if differing:
            name = differing[0]
            raise UserError(
                "Expected folds that share their preprocessing, to use them together. "
                f"Received: {name}={own.get(name)} in {path} and {first[name]} in "
                f"{folds[0]}; train the cross-validation again"
            )
    return models


def _folds_of(run: Path) -> list[Path]:
    return sorted((run / runs.FOLDS).iterdir(), key=lambda path: int(path.name))


def _preprocessing(model: keras.Model) -> dict[str, Any]:
    """The settings of what comes before the network, and whether it has a head."""
    settings: dict[str, Any] = {"lesion_head": has_head(model)}
    for name in (PREPROCESSING, VIEW):
        if name in layer_names(model):
            config = model.get_layer(name).get_config()
            settings |= {key: config[key] for key in config if key not in OF_EVERY}
    return settings


def _of_all(config: Config) -> Config:
    split = {"test_fraction": 0.0, "val_fraction": 0.0}
    return config.model_copy(
        update={
            "split": config.split.model_copy(update=split),
            "train": config.train.model_copy(update={"early_stopping_epochs": None}),
        }
    )


def _out_of_fold(run: Path) -> pd.DataFrame:
    """What each fold's network said of whom it never saw."""
    networks = {}
    for part in _folds_of(run):
        said = read_predictions(part / runs.PREDICTIONS)
        logits = said["model_logit"].astype("float64")
        said = said.drop(columns="model_logit")
        said = said.assign(logit=logits, probability=expit(logits))
        networks[part.name] = Said(said, read_table(part / runs.SPLITS))
    nobody = pd.DataFrame({"image": []})
    return gather_out_of_fold(networks, nobody).assign(fold="")
