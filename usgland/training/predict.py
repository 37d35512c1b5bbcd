"""P(malignant) of every image of a table, by the saved model of a run."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd
import scipy.special
import tensorflow as tf

from usgland.data.columns import SIZE
from usgland.data.kept_pictures import ordered_batches
from usgland.models.answers import FOUND, Answer, Looking, box_in_image
from usgland.models.classifier import PREPROCESSING, layer_names, pixels_to_logit
from usgland.training.automatic import predicted_at_once
from usgland.training.device import in_smaller_batches
from usgland.training.parts import Part, read_part

BATCH = 32
# Of the lesion that is found, pixels of the image as stored; empty where none is.
LESION_BOX = tuple(f"lesion_box_{part}" for part in ("x", "y", "width", "height"))
LESION_FOUND = "lesion_found"  # how sure, in [0, 1]; 0.5 and more is found


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
        probability in [0, 1], logit and synthetic (0 or 1); of a model with a lesion
        head also `LESION_BOX` and `LESION_FOUND`.
    """
    part = read_part(model, rows, without=without)
    return predict_part(model, part, rows, without=without)


def predict_part(
    model: keras.Model, part: Part, rows: pd.DataFrame, *, without: str | None = None
) -> pd.DataFrame:
    """As `predict_rows`, of rows whose images and forms `part` holds already."""
    answer = answer_inputs(model, part.inputs(without))
    logits = answer.logit[:, 0]
    # In float32 all logits above 17 would tie at 1.
    probabilities = scipy.special.expit(logits.astype("float64"))
    table = predictions_table(rows, logits, probabilities)
    if answer.box is None:
        return table
    return table.assign(**_lesion_columns(rows, answer))


def answer_inputs(model: keras.Model, inputs: Any) -> Answer:
    """All that a classifier says of what `Part.inputs` gives, in arrays."""
    if PREPROCESSING not in layer_names(model):
        return Answer(apply_network(pixels_to_logit(model), inputs))
    answer = answer_batch(model)

    def answer_all(size: int) -> list[np.ndarray]:
        batches = [answer(batch) for (batch,) in ordered_batches(inputs, size)]
        return [np.concatenate(part) for part in zip(*batches, strict=True)]

    answered, _ = in_smaller_batches(answer_all, predicted_at_once(BATCH))
    return Answer(*answered)


def answer_batch(model: keras.Model) -> Callable[[Any], tuple[tf.Tensor, ...]]:
    """A graph of all that a classifier with an image branch says of a batch.

    Returns:
        Maps what `Part.inputs` gives to the parts of `Answer`, without what is None.
    """
    looking = Looking(model)

    @tf.function(reduce_retracing=True)
    @tf.autograph.experimental.do_not_convert
    def answer(batch):
        pictures, *others = batch if isinstance(batch, tuple) else (batch,)
        answered = looking.answer(pictures, others)
        return tuple(part for part in answered if part is not None)

    return answer


def _lesion_columns(rows: pd.DataFrame, answer: Answer) -> dict[str, np.ndarray]:
    """Where the lesion was found in each image, pixels, and how sure that is.

    NaN where none was found, or where the size of the image is not known.
    """
    unknown = np.full(len(rows), np.nan)
    sides = [
        rows[name].to_numpy("float64") if name in rows else unknown for name in SIZE
    ]
    boxes = np.array(box_in_image(np.asarray(answer.box, "float64"), *sides))
    boxes[np.asarray(answer.found) < FOUND] = np.nan
    columns = dict(zip(LESION_BOX, boxes.T, strict=True))
    return columns | {LESION_FOUND: np.asarray(answer.found)}


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
