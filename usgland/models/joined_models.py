"""Several classifiers of images as one: the mean of their logits."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from usgland.models.classifier import (
    INPUT,
    LOGIT,
    POOLED,
    PREPROCESSING,
    PROBABILITY,
)


def join_models(models: Sequence[keras.Model]) -> keras.Model:
    """Joins classifiers of images alone that share their preprocessing.

    Their feature maps stand side by side as channels of one, and the weights of their
    last layers, divided by how many there are, as those of one layer. So the logit is
    the mean of theirs, and the result is a classifier like any other: what looks for
    its parts finds them.

    Returns:
        As `build_classifier`; layers of a member are called `member0_conv1`.
    """
    taken = keras.Input((), dtype="string", name=INPUT)
    own = models[0].get_layer(PREPROCESSING)
    pixels = type(own).from_config(own.get_config())(taken)
    parts = [keras.Model(m.input, m.get_layer(POOLED).input) for m in models]
    maps = [
        _renamed(part, f"member{number}_", taken, pixels)
        for number, part in enumerate(parts)
    ]
    joined = keras.layers.Concatenate(name="members")(maps) if maps[1:] else maps[0]
    pooled = keras.layers.GlobalAveragePooling2D(name=POOLED)(joined)
    logit = keras.layers.Dense(1, dtype="float32", name=LOGIT)(pooled)
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITY)
    model = keras.Model(taken, sigmoid(logit), name="usgland")
    for number, part in enumerate(parts):
        for layer in part.layers:
            if layer.weights:
                copy = model.get_layer(f"member{number}_{layer.name}")
                copy.set_weights(layer.get_weights())
    kernels, biases = zip(
        *(member.get_layer(LOGIT).get_weights() for member in models), strict=True
    )
    kernel = np.concatenate(kernels) / len(models)
    model.get_layer(LOGIT).set_weights([kernel, np.mean(biases, axis=0)])
    return model


def _renamed(
    part: keras.Model, prefix: str, taken: keras.KerasTensor, pixels: keras.KerasTensor
) -> keras.KerasTensor:
    """What new layers of other names, like those of a part, make of pixels."""

    def copy(layer: keras.Layer) -> keras.Layer:
        config = {**layer.get_config(), "name": prefix + layer.name}
        return type(layer).from_config(config)

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        return (
            pixels if layer.name == prefix + PREPROCESSING else layer(*args, **kwargs)
        )

    return keras.models.clone_model(
        part, input_tensors=taken, clone_function=copy, call_function=call
    ).output
