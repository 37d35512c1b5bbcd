"""P(malignant) of every image of a table, by the saved model of a run."""

from typing import Any

import keras
import numpy as np
import pandas as pd
import scipy.special

from usgland.data.kept_pictures import ordered_batches
from usgland.models.classifier import pixels_to_logit
from usgland.training.automatic import predicted_at_once
from usgland.training.device import in_smaller_batches
from usgland.training.parts import Part, read_part

BATCH = 32


def predict_rows(
    model: keras.Model, rows: pd.DataFrame, *, without: str | None = None
) -> pd.DataFrame:
    """Applies a saved classifier to the images and forms of checked rows.

    Args:
        model: As `keras.models.load_model` reads it from a run's model.keras.
        rows: Manifest rows with `image`, `image_path`, `patient_id`, `label` (-1
            where unknown), `role`, `synthetic` and, of cross-validation, `fold`.
        without: `"image"` or `"form"`, the side of both that counts as missing.

    Returns:
        One row an image, in their order: image, patient_id, role, fold, label,
        probability in [0, 1], logit and synthetic (0 or 1).
    """
    part = read_part(model, rows, without=without)
    return predict_part(model, part, rows, without=without)


def predict_part(
    model: keras.Model, part: Part, rows: pd.DataFrame, *, without: str | None = None
) -> pd.DataFrame:
    """As `predict_rows`, of rows whose images and forms `part` holds already."""
    logits = predict_inputs(pixels_to_logit(model), part.inputs(without))
    # In float32 all logits above 17 would tie at 1.
    probabilities = scipy.special.expit(logits.astype("float64"))
    return predictions_table(rows, logits, probabilities)


def predictions_table(
    rows: pd.DataFrame, logits: np.ndarray, probabilities: np.ndarray
) -> pd.DataFrame:
    """What `predict_rows` gives, of any model."""
    table = rows[["image", "patient_id", "role"]].copy()
    table["fold"] = rows.get("fold", "")
    table["label"] = rows["label"].astype(int)
    table["probability"], table["logit"] = probabilities, logits
    table["synthetic"] = rows["synthetic"]
    return table


def predict_inputs(learned: keras.Model, inputs: Any) -> np.ndarray:
    """The logit of each case, float32 `(cases,)`, of what `Part.inputs` gives."""
    return apply_network(learned, inputs)[:, 0]


def apply_network(network: keras.Model, inputs: Any) -> np.ndarray:
    """What a network makes of each case of its input or inputs, batch by batch.

    Where the memory of the device is too small for a batch, by halves of it.
    """
    network.jit_compile = False  # Else Keras lets XLA compile it on a GPU.
    made, _ = in_smaller_batches(
        lambda batch: network.predict(ordered_batches(inputs, batch), verbose=0),
        predicted_at_once(BATCH),
    )
    return made
