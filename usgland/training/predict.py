"""P(malignant) of every image of a table, by the saved model of a run."""

import keras
import numpy as np
import pandas as pd
import scipy.special
import tensorflow as tf

from usgland.data.pipeline import read_pixels
from usgland.models.classifier import PREPROCESSING, pixels_to_logit

BATCH = 32


def predict_rows(model: keras.Model, rows: pd.DataFrame) -> pd.DataFrame:
    """Applies a saved classifier to the images of checked rows.

    Args:
        model: As `keras.models.load_model` reads it from a run's model.keras.
        rows: Manifest rows with `image`, `image_path`, `patient_id`, `label` (-1
            where unknown), `role`, `synthetic` and, of cross-validation, `fold`.

    Returns:
        One row an image, in their order: image, patient_id, role, fold, label,
        probability in [0, 1], logit and synthetic (0 or 1).
    """
    pixels = read_pixels(rows, model.get_layer(PREPROCESSING).read)
    logits = predict_pixels(pixels_to_logit(model), pixels)
    table = rows[["image", "patient_id", "role"]].copy()
    table["fold"] = rows.get("fold", "")
    table["label"] = rows["label"].astype(int)
    # In float64: in float32 all logits above 17 would tie at 1.
    table["probability"] = scipy.special.expit(logits.astype("float64"))
    table["logit"] = logits
    table["synthetic"] = rows["synthetic"]
    return table


def predict_pixels(learned: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """The logit of each image.

    Args:
        learned: Maps pixels to a logit, as `pixels_to_logit` gives it.
        pixels: Uint8 `(images, size, size, 1)`.

    Returns:
        Float32 `(images,)`.
    """
    dataset = tf.data.Dataset.from_tensor_slices(pixels).batch(BATCH)
    return learned.predict(dataset, verbose=0)[:, 0]
