"""Requests that a server replays before a new version takes traffic.

The picture in them is drawn here, and the values of the form are ordinary ones: no
patient's case leaves with a model.

Reference:
    [SavedModel Warmup](https://www.tensorflow.org/tfx/serving/saved_model_warmup)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from usgland.models.classifier import ENCODING, INPUT, PREPROCESSING, layer_names
from usgland.serving.export.signatures import PIXELS
from usgland.serving.interface.inputs import Arrays
from usgland.serving.interface.versions import WARMUP_REQUESTS

HEIGHT, WIDTH = 120, 160  # pixels of the picture: little to store, any size will do


def example_case(model: keras.Model) -> Arrays:
    """One made-up case by the names of all inputs, of one row each.

    A number is the mean of training, a word the commonest there.
    """
    names = layer_names(model)
    case: Arrays = {}
    if PREPROCESSING in names:
        picture = speckle()
        case[PIXELS] = picture[None]
        case[INPUT] = np.array([tf.io.encode_png(picture).numpy()], object)
    if ENCODING in names:
        for column in model.get_layer(ENCODING).columns:
            case[column["name"]] = _ordinary(column)
    return case


def speckle() -> np.ndarray:
    """A dark oval in speckle, uint8 `(HEIGHT, WIDTH, 1)`; nobody's image."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    inside = ((y - 65) / 28) ** 2 + ((x - 80) / 42) ** 2 < 1
    grey = np.where(inside, 35.0, 95.0) * rng.rayleigh(0.8, (HEIGHT, WIDTH))
    return np.clip(grey, 0, 255).astype("uint8")[..., None]


def write_warmup(
    version: Path, name: str, signatures: Mapping[str, Any], case: Arrays
) -> None:
    """Writes one request for every signature into the folder of a version."""
    path = version / WARMUP_REQUESTS
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, function in signatures.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, values in inputs_of(function, case).items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString(deterministic=True))


def inputs_of(function: Any, case: Arrays) -> Arrays:
    """Those inputs of a case that a signature takes."""
    return {spec.name: case[spec.name] for spec in function.input_signature}


def _ordinary(column: Mapping[str, Any]) -> np.ndarray:
    if column["kind"] == "number":
        value = np.clip(column["mean"], column["low"], column["high"])
        return np.array([round(float(value), 1)], "float32")
    word = column["words"][int(np.argmax(column["shares"]))]
    return np.array([word.encode()], object)
