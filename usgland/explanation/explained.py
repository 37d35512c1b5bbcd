"""A classifier as the saliency methods take it: float32, flat, of pixels alone.

The form of a case is held fixed: what it says is a constant of the graph, so that a
method cannot put noise on it, and needs to know nothing of a second input.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from usgland.errors import UserError
from usgland.models import classifier


class Explained(NamedTuple):
    """A float32 copy of the learned part of a classifier.

    Attributes:
        whole: Takes what `Part.inputs` gives, as a tuple if there are several.
        alone: The same graph of pixels alone, in a list: `(batch, size, size, 1)` in
            [0, 255].
        held: The layers of `alone` that stand for the other inputs, in their order.
        layer: Name of the layer that gives the last feature map.
    """

    whole: keras.Model
    alone: keras.Model
    held: list["Held"]
    layer: str

    def hold(self, values: tuple[np.ndarray, ...]) -> None:
        """Fixes the other inputs of one case, `(1, width)` each."""
        for layer, value in zip(self.held, values, strict=True):
            layer.value.assign(value)


@keras.saving.register_keras_serializable(package="usgland")
class Held(keras.layers.Layer):
    """Gives the same values for every picture of a batch, `(batch, width)`."""

    def __init__(self, width, name=None, dtype=None):
        super().__init__(name=name, trainable=False, dtype=dtype)
        self.width = width

    def build(self, input_shape):
        self.value = self.add_weight(
            shape=(1, self.width), initializer="zeros", trainable=False, name="value"
        )

    def call(self, pixels):
        return ops.repeat(self.value, ops.shape(pixels)[0], axis=0)

    def compute_output_spec(self, pixels):
        return keras.KerasTensor((pixels.shape[0], self.width), dtype="float32")

    def get_config(self):
        config = super().get_config()
        return {"name": config["name"], "dtype": config["dtype"], "width": self.width}


def make_explained(model: keras.Model) -> Explained:
    """Copies a classifier for the saliency methods.

    Raises:
        UserError: If it has no image branch, and so nothing to look at.
    """
    if classifier.PREPROCESSING not in classifier.layer_names(model):
        raise UserError(
            "Expected a run whose model looks at images. Received one of the form "
            "alone (model.inputs=clinical), which has no convolution; `usgland "
            "evaluate` shows the importance of its columns"
        )
    learned = classifier.pixels_to_logit(model)
    whole = keras.models.clone_model(learned, clone_function=_float32)
    whole.set_weights(learned.get_weights())
    # With a lesion head its map follows.
    pooled = keras.tree.flatten(whole.get_layer(classifier.POOLED).input)[0]
    layer = pooled._keras_history.operation.name
    alone, held = _with_form_held(whole)
    return Explained(whole, alone, held, layer)


def _float32(layer: keras.Layer) -> keras.Layer:
    """A copy without mixed precision, under which tf-keras-vis fails."""
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def _with_form_held(whole: keras.Model) -> tuple[keras.Model, list[Held]]:
    inputs = tuple(
        keras.Input(tensor.shape[1:], dtype="float32", name=tensor.name)
        for tensor in whole.inputs
    )
    held, replacements = [], {}
    for tensor in inputs[1:]:
        layer = Held(tensor.shape[-1], name=f"held_{tensor.name}", dtype="float32")
        held.append(layer)
        replacements[id(tensor)] = layer(inputs[0])

    def call(layer, *args, **kwargs):
        # `clone_model` itself cannot put a tensor in the place of an input.
        args = keras.tree.map_structure(
            lambda tensor: replacements.get(id(tensor), tensor), args
        )
        return layer(*args, **kwargs)

    cloned = keras.models.clone_model(
        whole,
        input_tensors=inputs if len(inputs) > 1 else inputs[0],
        clone_function=_float32,
        call_function=call,
    )
    # tf-keras-vis hands its one input over in a list.
    alone = keras.Model([inputs[0]], cloned.output, name="pixels_alone")
    for layer in whole.layers:
        if layer.weights:
            alone.get_layer(layer.name).set_weights(layer.get_weights())
    return alone, held
