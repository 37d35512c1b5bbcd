"""The network behind the preprocessing, as LiteRT and ONNX take it over.

Neither can decode an image file, so the graph begins with `pixels`, and
`preprocess.py`, which goes with it, makes these of a file.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from usgland.models import classifier
from usgland.models.answers import Answer, Looking
from usgland.models.classifier import ENCODING, LOGIT, PREPROCESSING, PROBABILITY
from usgland.models.clinical import form_values
from usgland.serving.portable.portable_form import encode_form, form_specs

PIXELS = "pixels"
LESION_BOX, LESION_FOUND = "lesion_box", "lesion_found"
# The inputs of one case, `(1, ...)` each, by their names.
Case = Mapping[str, NDArray]
# Maps a case to its logit and probability, as a file gives them.
Runner = Callable[[Case], tuple[float, float]]


def portable_module(
    model: keras.Model,
    calibration: Mapping[str, Any],
    *,
    batch: int | None,
    coded: bool = False,
) -> tf.Module:
    """Cuts the network off its preprocessing.

    Args:
        model: A saved classifier.
        calibration: Gives `slope` and `intercept`, by which the logit is the model's.
        batch: Cases at a time; None: any number.
        coded: Whether the words of the form are codes, see `portable_form`.

    Returns:
        A module whose function `serve` maps `pixels`, uint8 `(batch, size, size, 1)`
        (unless the model takes the form alone), and each column of the form,
        `(batch,)`, to `probability`, P(malignant), and its `logit`, both calibrated,
        float32 `(batch,)`. They are NaN where a value of the form cannot be used. A
        black picture beside a form counts as missing. It fails for pixels of another
        size, and whole bytes keep a picture out that somebody scaled to [0, 1]. With a
        lesion head also `lesion_box`, x, y, width and height in `pixels`, `(batch, 4)`,
        zeros where none is found, and `lesion_found`, how sure, `(batch,)`.
    """
    names = classifier.layer_names(model)
    looking = Looking(model) if PREPROCESSING in names else None
    of_form_alone = classifier.pixels_to_logit(model)
    specs = []
    if PREPROCESSING in names:
        size = model.get_layer(PREPROCESSING).size
        specs.append(tf.TensorSpec([batch, size, size, 1], tf.uint8, name=PIXELS))
    columns = model.get_layer(ENCODING).columns if ENCODING in names else []
    specs += form_specs(columns, batch=batch, coded=coded)

    def serve(*tensors):
        inputs, refused = [], None
        if PREPROCESSING in names:
            inputs.append(_as_floats(tensors[0], specs[0].shape))
        if columns:
            form = encode_form(model.get_layer(ENCODING), tensors[-len(columns) :])
            inputs.append(form.features)
            refused = form.refused
        if classifier.HAS_IMAGE in names:
            brightest = tf.reduce_max(inputs[0], axis=[1, 2])
            inputs += [tf.cast(brightest > 0, tf.float32), form.is_given]
        answered = (
            Answer(of_form_alone(inputs[0], training=False))
            if looking is None
            else looking.answer(inputs[0], inputs[1:])
        )
        logit = answered.logit
        # The axis goes last, so that LiteRT makes this a part of the last layer; where
        # there are two views it cannot, and its int8 rounds sums, but no differences.
        logit = (calibration["slope"] * logit - -calibration["intercept"])[:, 0]
        if refused is not None:
            logit = tf.where(refused, math.nan, logit)
        outputs = {PROBABILITY: tf.sigmoid(logit), LOGIT: logit}
        if answered.box is not None:
            box = answered.box * tf.cast(specs[0].shape[1], tf.float32)
            outputs |= {LESION_BOX: box, LESION_FOUND: answered.found}
        return outputs

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(serve, input_signature=specs)
    return module


def _as_floats(pixels: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    if shape[0] is None:
        return tf.cast(pixels, tf.float32)
    # LiteRT resizes inputs to what it gets, and convolutions take any size. A look at
    # all bytes in a row does not.
    in_a_row = tf.reshape(pixels, [shape.num_elements()])
    return tf.reshape(tf.cast(in_a_row, tf.float32), shape)


def tensorflow_runner(model: keras.Model, calibration: Mapping[str, Any]) -> Runner:
    """The same network in TensorFlow, as a SavedModel would run it."""
    serve = portable_module(model, calibration, batch=1).serve

    def run(case: Case) -> tuple[float, float]:
        answer = serve(*map(tf.constant, case.values()))
        return float(answer[LOGIT][0]), float(answer[PROBABILITY][0])

    return run


def make_cases(
    model: keras.Model, rows: pd.DataFrame, pixels: NDArray[np.uint8] | None
) -> list[Case]:
    """The inputs of each checked row, in the order in which `serve` takes them.

    The preprocessed images, if any, are uint8 `(rows, size, size, 1)`.
    """
    inputs: dict[str, NDArray] = {} if pixels is None else {PIXELS: pixels}
    if ENCODING in classifier.layer_names(model):
        inputs |= form_values(rows, model.get_layer(ENCODING).columns)
    return [
        {name: values[[number]] for name, values in inputs.items()}
        for number in range(len(rows))
    ]
