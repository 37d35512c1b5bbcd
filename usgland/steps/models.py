"""The trained model of a run, and the settings it was trained with."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import keras

from usgland.config import Config, load_config
from usgland.errors import UserError
from usgland.models.classifier import LOGIT
from usgland.runs import CONFIG, FOLDS, MODEL, find_run


def config_of_model(run: Path) -> Config:
    """Reads the settings of a run that has one model, not one a fold."""
    if (run / FOLDS).exists():
        raise UserError(
            "Expected a run with one model. Received the cross-validation "
            f"{run}; its models are in {run / FOLDS}, e.g. {run / FOLDS / '0'}"
        )
    return load_config(find_run(run, MODEL) / CONFIG)


def load_model(run: Path) -> keras.Model:
    """Reads a run's model.keras."""
    try:
        model = keras.models.load_model(run / MODEL, compile=False)
        model.get_layer(LOGIT)  # Or it is a model of another program.
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, zlib.error) as error:
        raise UserError(
            f"Expected a model in {run / MODEL}. Received a file that cannot be read: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return model
