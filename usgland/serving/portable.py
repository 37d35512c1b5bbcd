"""The network behind the preprocessing, as LiteRT and ONNX take it over.

Neither can decode an image file, so the graph begins with `pixels`, and
`image_pixels.py`, which goes with it, makes these of a file.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from usgland.errors import UserError
from usgland.models.classifier import (
    ENCODING,
    LOGIT,
    PREPROCESSING,
    PROBABILITY,
    layer_names,
    pixels_to_logit,
)

PIXELS = "pixels"
# Maps uint8 pixels `(1, size, size, 1)` to the calibrated logit.
Runner = Callable[[NDArray[np.uint8]], float]


def check_portable(model: keras.Model, kind: str) -> None:
    """Refuses a model with a clinical form.

    Raises:
        UserError: If it has one.
    """
    if ENCODING in layer_names(model):
        raise UserError(
            f"--format {kind}: expected a model of images alone. Received: one with a "
            "clinical form, whose words neither LiteRT nor ONNX Runtime can check: "
            "every program would code them itself, and a wrong code would go unseen. "
            "Use --format savedmodel"
        )


def portable_module(
    model: keras.Model, calibration: Mapping[str, Any], *, batch: int | None
) -> tf.Module:
    """Cuts the network off its preprocessing.

    Args:
        model: A saved classifier of images.
        calibration: Gives `slope` and `intercept`, by which the logit is the model's.
        batch: Images at a time; None: any number.

    Returns:
        A module whose function `serve` maps `pixels`, uint8 `(batch, size, size, 1)`,
        to `probability`, P(malignant), and its `logit`, both calibrated, float32
        `(batch,)`. It fails for pixels of another size; whole bytes keep a picture
        that somebody scaled to [0, 1] out.
    """
    network = pixels_to_logit(model)
    size = model.get_layer(PREPROCESSING).size
    shape = [batch, size, size, 1]

    def serve(pixels):
        if batch is not None:
            # LiteRT resizes inputs to what it gets, and convolutions take any size.
            # A look at all bytes in a row does not.
            pixels = tf.reshape(pixels, [batch * size * size])
        pixels = tf.cast(pixels, tf.float32)
        if batch is not None:
            pixels = tf.reshape(pixels, shape)
        logit = network(pixels, training=False)[:, 0]
        logit = calibration["slope"] * logit + calibration["intercept"]
        return {PROBABILITY: tf.sigmoid(logit), LOGIT: logit}

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(
        serve, input_signature=[tf.TensorSpec(shape, tf.uint8, name=PIXELS)]
    )
    return module


def tensorflow_runner(model: keras.Model, calibration: Mapping[str, Any]) -> Runner:
    """The same network in TensorFlow, as a SavedModel would run it."""
    serve = portable_module(model, calibration, batch=1).serve

    def run(pixels: NDArray[np.uint8]) -> float:
        return float(serve(tf.constant(pixels))[LOGIT][0])

    return run
