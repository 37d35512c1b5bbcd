"""What an exported model offers: plain TensorFlow functions of a run's weights."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from usgland.models.classifier import ENCODING, INPUT, PREPROCESSING
from usgland.models.decoding import AT_ONCE, grey_of_pixels
from usgland.serving.export.answer_network import Case, Decision, Network

PIXELS = "pixels"
DEFAULT = "serving_default"
IMAGE_ONLY = "image_only"
FROM_PIXELS = "from_pixels"
EXPLAIN = "explain"

NEITHER = "Expected an image or a value of the form. Received neither in a case"
Tensors = Mapping[str, tf.Tensor]


def make_module(
    model: keras.Model, decision: Decision, version: str
) -> tuple[tf.Module, dict[str, Any]]:
    """A plain TensorFlow object and its signatures: no Keras is needed to load it.

    Every signature gives, for each case of the batch, `probability`, P(malignant),
    and its `logit`, both calibrated, float32; the `label` at the operating point and
    the `model_version`, strings. With a lesion head also `lesion_box`, x, y, width and
    height in pixels of the image, float32 `(batch, 4)`, zeros where none is found, and
    `lesion_found`, how sure, in [0, 1], from 0.5 on found.

    - `serving_default` takes `image_bytes`, encoded images, and each column of the
      form: strings or float32, "" or NaN where missing, which are also the defaults.
    - `image_only` takes the images alone; the form counts as missing.
    - `from_pixels` takes `pixels`, uint8 `(batch, height, width, 1 or 3)`, in place of
      the files.
    - `explain` takes what `serving_default` does, and adds `heatmap_bytes`, a grey PNG
      of the image's size, evidence for malignant by Grad-CAM, 255 where it is
      strongest; `lesion_map_bytes`, where it sees the lesion; and
      `contribution_COLUMN`, what a value of the form adds to `logit`, its Shapley
      value.
    """
    read = _Reader(model)
    columns = {
        column["name"]: tf.TensorSpec([None], _dtype(column), name=column["name"])
        for column in read.columns
    }
    network = Network(model, decision, version)
    file = tf.TensorSpec([None], tf.string, name=INPUT)
    pixels = tf.TensorSpec([None, None, None, None], tf.uint8, name=PIXELS)
    case = ({INPUT: file} if read.preprocessing else {}) | columns

    def answer(inputs: Tensors) -> dict[str, tf.Tensor]:
        return network.answer(read.files(inputs))

    def explain(inputs: Tensors) -> dict[str, tf.Tensor]:
        return network.explain(read.files(inputs))

    def image_only(inputs: Tensors) -> dict[str, tf.Tensor]:
        # A model of both takes "" as an image that is missing. Here it would answer
        # without having seen anything.
        none_empty = tf.reduce_all(tf.strings.length(inputs[INPUT]) > 0)
        message = "Expected images. Received an empty one"
        with tf.control_dependencies([tf.debugging.Assert(none_empty, [message])]):
            images = {INPUT: tf.identity(inputs[INPUT])}
        return network.answer(read.files(read.empty_form() | images))

    def from_pixels(inputs: Tensors) -> dict[str, tf.Tensor]:
        return network.answer(read.pixels(inputs))

    signatures = {
        DEFAULT: _signature(answer, case, optional=columns and case),
        EXPLAIN: _signature(explain, case, optional=columns and case),
    }
    if read.preprocessing:
        signatures[IMAGE_ONLY] = _signature(image_only, {INPUT: file}, optional={})
        case = {PIXELS: pixels} | columns
        signatures[FROM_PIXELS] = _signature(from_pixels, case, optional=columns)
    module = tf.Module()
    module.weights = [variable.value for variable in network.variables]
    return module, signatures


class _Reader:
    """From the inputs of a signature to what the network is fed."""

    def __init__(self, model: keras.Model):
        layers = {layer.name: layer for layer in model.layers}
        self.preprocessing: Any = layers.get(PREPROCESSING)
        self.encoding = layers.get(ENCODING)
        self.columns = self.encoding.columns if self.encoding else []
        # One function, which all signatures call: to trace it takes seconds.
        self._pictures = tf.function(
            self._decoded, input_signature=[tf.TensorSpec([None], tf.string)]
        )

    def empty_form(self) -> dict[str, tf.Tensor]:
        """A form of which every value is missing."""
        return {column["name"]: _missing(_dtype(column)) for column in self.columns}

    def files(self, inputs: Tensors) -> Case:
        with tf.device("CPU"):  # A GPU would be handed every image twice.
            return self._files(inputs)

    def _files(self, inputs: Tensors) -> Case:
        if self.encoding is not None:
            rows = tf.reduce_max([tf.size(values) for values in inputs.values()])
            inputs = _of_length(rows, inputs)
        pixels, sides, image_given = None, None, None
        if self.preprocessing:
            files = inputs[INPUT]
            pixels, sides = self._pictures(files)
            image_given = tf.cast(tf.strings.length(files) > 0, tf.float32)[:, None]
        features, form_given = self._form(inputs)
        if image_given is not None and form_given is not None:
            # A case of which nothing is known would still get a label.
            known = tf.reduce_min(image_given + form_given) > 0
            with tf.control_dependencies([tf.debugging.Assert(known, [NEITHER])]):
                features = tf.identity(features)
        return Case(pixels, sides, image_given, features, form_given)

    def _decoded(self, files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        size = self.preprocessing.size
        return tf.map_fn(
            self.preprocessing.read_with_sides,
            files,
            fn_output_signature=(
                tf.TensorSpec((size, size, 1), tf.uint8),
                tf.TensorSpec((2,), tf.int32),
            ),
            parallel_iterations=AT_ONCE,
        )

    def pixels(self, inputs: Tensors) -> Case:
        form = dict(inputs)
        pictures = form.pop(PIXELS)
        rows = tf.shape(pictures)[0]
        layer = self.preprocessing
        with tf.device("CPU"):
            pixels = tf.map_fn(
                lambda picture: layer.normalize(grey_of_pixels(picture)),
                pictures,
                fn_output_signature=tf.TensorSpec(
                    (layer.size, layer.size, 1), tf.uint8
                ),
                parallel_iterations=AT_ONCE,
            )
        sides = tf.tile(tf.shape(pictures)[None, 1:3], [rows, 1])
        features = self._form(_of_length(rows, form))
        return Case(pixels, sides, tf.ones([rows, 1]), *features)

    def _form(self, inputs: Tensors) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        if self.encoding is None:
            return None, None
        return self.encoding([inputs[column["name"]] for column in self.columns])


def _of_length(rows: tf.Tensor, inputs: Tensors) -> dict[str, tf.Tensor]:
    """Repeats the default of an input that was left out, and no value of a request.

    A value that was given belongs to one patient, not to all of the batch.
    """
    checks = [
        tf.debugging.Assert(
            tf.equal(tf.size(values), rows) | tf.reduce_all(_is_missing(values)),
            [f"Expected a value of {name} for each case. Received:", tf.size(values)],
        )
        for name, values in inputs.items()
    ]
    with tf.control_dependencies(checks):
        return {name: tf.broadcast_to(v, [rows]) for name, v in inputs.items()}


def _is_missing(values: tf.Tensor) -> tf.Tensor:
    return values == "" if values.dtype == tf.string else tf.math.is_nan(values)


def _dtype(column: Mapping[str, Any]) -> tf.DType:
    return tf.float32 if column["kind"] == "number" else tf.string


def _missing(dtype: tf.DType) -> tf.Tensor:
    return tf.constant([""] if dtype == tf.string else [math.nan])


def _signature(
    function: Callable[[Tensors], dict[str, tf.Tensor]],
    specs: Mapping[str, tf.TensorSpec],
    *,
    optional: Mapping[str, tf.TensorSpec],
) -> Any:
    """A function of named inputs; those that are optional have a default."""

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return function(dict(zip(specs, tensors, strict=True)))

    # Names and defaults are read from here: a form's columns may be many.
    parameter = inspect.Parameter
    parameters = [
        parameter(
            name,
            parameter.POSITIONAL_OR_KEYWORD,
            default=_missing(spec.dtype) if name in optional else parameter.empty,
        )
        for name, spec in specs.items()
    ]
    serve.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return tf.function(serve, input_signature=list(specs.values()))
