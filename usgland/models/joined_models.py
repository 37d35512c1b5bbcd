"""Several classifiers of images as one: the mean of their logits."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from usgland.models.classifier import (
    INPUT,
    LOGIT,
    POOLED,
    PREPROCESSING,
    PROBABILITY,
    VIEW,
    has_head,
)
from usgland.models.lesion_head import MAP, LesionPooling


@keras.saving.register_keras_serializable(package="usgland")
class JoinedPooling(LesionPooling):
    """The pooling of each of several members, side by side.

    Call arguments:
        inputs: The feature maps of all members side by side, `(batch, height, width,
            members * channels)`; the mean of their lesion's logits, which nothing here
            needs; and those of each member, `(batch, height', width', 1)`. The result
            is `(batch, members * 2 * channels)`.
    """

    def call(self, inputs):
        features, _, *lesions = inputs
        maps = ops.split(features, len(lesions), axis=-1)
        pairs = zip(maps, lesions, strict=True)
        return ops.concatenate([super(JoinedPooling, self).call(p) for p in pairs], -1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], 2 * input_shape[0][-1])


def join_models(models: Sequence[keras.Model]) -> keras.Model:
    """Joins classifiers of images alone that share preprocessing, views and backbone.

    Their feature maps stand side by side as channels of one, and the weights of their
    last layers, divided by how many there are, as those of one layer. So the logit is
    the mean of theirs, and the result is a classifier like any other: what looks for
    its parts finds them. The lesion that it draws has the mean logits of theirs.

    Returns:
        As `build_classifier`; layers of a member are called `member0_conv1`.
    """
    taken = keras.Input((), dtype="string", name=INPUT)
    shared = {PREPROCESSING: _copied(models[0], PREPROCESSING, taken)}
    if any(layer.name == VIEW for layer in models[0].layers):
        shared[VIEW] = _copied(models[0], VIEW, shared[PREPROCESSING])
    parts = [keras.Model(m.input, m.get_layer(POOLED).input) for m in models]
    seen = [
        keras.tree.flatten(_renamed(part, f"member{number}_", taken, shared))
        for number, part in enumerate(parts)
    ]
    maps = [of_member[0] for of_member in seen]
    joined = keras.layers.Concatenate(name="members")(maps) if maps[1:] else maps[0]
    if has_head(models[0]):
        lesions = [of_member[1] for of_member in seen]
        mean = MeanOfLogits(name=MAP, dtype="float32")(lesions)
        pooled = JoinedPooling(name=POOLED)([joined, mean, *lesions])
    else:
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


@keras.saving.register_keras_serializable(package="usgland")
class MeanOfLogits(keras.layers.Layer):
    """The mean of a list of tensors of one shape, also of one alone."""

    def call(self, inputs):
        return sum(inputs[1:], inputs[0]) / len(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def _copied(model: keras.Model, name: str, x: keras.KerasTensor) -> keras.KerasTensor:
    layer = model.get_layer(name)
    return type(layer).from_config(layer.get_config())(x)


def _renamed(
    part: keras.Model,
    prefix: str,
    taken: keras.KerasTensor,
    shared: Mapping[str, keras.KerasTensor],
) -> Any:
    """What new layers of other names, like those of a part, make of what is shared."""

    def copy(layer: keras.Layer) -> keras.Layer:
        config = {**layer.get_config(), "name": prefix + layer.name}
        return type(layer).from_config(config)

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        known = shared.get(layer.name.removeprefix(prefix))
        return layer(*args, **kwargs) if known is None else known

    return keras.models.clone_model(
        part, input_tensors=taken, clone_function=copy, call_function=call
    ).output
