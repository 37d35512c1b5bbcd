"""The trained model of a run."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import keras

from usgland.errors import UserError
from usgland.models.classifier import LOGIT
from usgland.runs import MODEL


def load_model(run: Path) -> keras.Model:
    """Reads a run's model.keras.

    Raises:
        UserError: If it cannot be read or is no classifier of ours.
    """
    try:
        model = keras.models.load_model(run / MODEL, compile=False)
        model.get_layer(LOGIT)  # Or it is a model of another program.
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, zlib.error) as error:
        raise UserError(
            f"Expected a model in {run / MODEL}. Received a file that cannot be read: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return model
