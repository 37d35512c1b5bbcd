"""How what the image says and what the form says become one logit.

Each side may be absent, and what an absent side would have said is multiplied by
zero, so that its placeholder (a black picture, an empty form) cannot matter.
"""

import keras
from keras import ops

OFFSET = "offset"
FUSIONS = ("concat", "gated", "film", "late", OFFSET)
# The layers that give either side's own logit, where there are such.
IMAGE_LOGIT, FORM_LOGIT = "image_logit", "clinical_logit"
# These layers see hundreds of channels of the image: at the form's rate they would
# learn the few training images by heart.
IMAGE_SIDE = ("image_summary", IMAGE_LOGIT)


def fuse(
    image: keras.KerasTensor,
    form: keras.KerasTensor,
    image_given: keras.KerasTensor,
    form_given: keras.KerasTensor,
    *,
    fusion: str,
    units: int,
    name: str,
) -> keras.KerasTensor:
    """Joins both sides to the logit of P(malignant).

    Args:
        image: What the image branch says, `(batch, channels)`.
        form: What the clinical branch says, `(batch, units)`.
        image_given: 1 where there is an image, else 0, `(batch, 1)`.
        form_given: 1 where the form has a value, else 0, `(batch, 1)`.
        fusion: `"concat"`: one linear layer over both sides and what is given.
            `"gated"`: a weighted mean of both sides, the weights learned from both.
            `"film"`: the form scales and shifts what the image says. `"late"`: a
            weighted mean of one logit a side, the weight learned, one for all cases.
            `"offset"`: see `OffsetSum`; nothing of it is learned by gradients.
        units: Width to which the image side is narrowed first.
        name: Name of the layer that gives the logit.

    Returns:
        `(batch, 1)` float32.

    Reference:
        Gated: [Arevalo et al., 2017](https://arxiv.org/abs/1702.01992). FiLM:
        [Perez et al., 2018](https://arxiv.org/abs/1709.07871).
    """
    if fusion not in FUSIONS:
        raise ValueError(f"`fusion` must be one of {FUSIONS}. Received: {fusion!r}")
    is_given = [image_given, form_given]
    if fusion in ("late", OFFSET):
        logits = [_logit(IMAGE_LOGIT)(image), _logit(FORM_LOGIT)(form)]
        joined = WeightedMean if fusion == "late" else OffsetSum
        return joined(name=name, dtype="float32")([*logits, *is_given])
    image = keras.layers.Dense(units, name="image_summary")(image)
    multiply = keras.layers.Multiply
    if fusion == "concat":
        sides = [
            multiply(name="image_or_nothing")([image, image_given]),
            multiply(name="form_or_nothing")([form, form_given]),
            *is_given,
        ]
        return _logit(name)(keras.layers.Concatenate(name="both_sides")(sides))
    if fusion == "gated":
        return _logit(name)(_gated(image, form, is_given, units))
    scale = keras.layers.Dense(units, kernel_initializer="zeros", name="film_scale")
    shift = keras.layers.Dense(units, name="film_shift")
    seen = multiply(name="image_or_nothing")([image, image_given])
    scaled = multiply(name="film_scaled")(
        [seen, multiply(name="film_scale_or_nothing")([scale(form), form_given])]
    )
    shifted = multiply(name="film_shift_or_nothing")([shift(form), form_given])
    total = keras.layers.Add(name="film")([seen, scaled, shifted])
    sides = keras.layers.Concatenate(name="both_sides")([total, *is_given])
    return _logit(name)(sides)


def _gated(
    image: keras.KerasTensor,
    form: keras.KerasTensor,
    is_given: list[keras.KerasTensor],
    units: int,
) -> keras.KerasTensor:
    image = keras.layers.Activation("tanh", name="image_squashed")(image)
    form = keras.layers.Dense(units, activation="tanh", name="form_squashed")(form)
    joined = keras.layers.Concatenate(name="gate_inputs")([image, form, *is_given])
    gate = keras.layers.Dense(1, name="gate_logit")(joined)
    return Gate(name="gate")([image, form, gate, *is_given])


def _logit(name: str) -> keras.layers.Dense:
    # From zero every case starts at one half, as in the image model.
    return keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32", name=name)


@keras.saving.register_keras_serializable(package="usgland")
class Gate(keras.layers.Layer):
    """`g * image + (1 - g) * form`; `g` is 1 or 0 where only one side is given.

    Without either the result is 0.

    Call arguments:
        inputs: Image and form `(batch, units)`, the gate's logit, and whether the
            image and the form are given, `(batch, 1)` each.
    """

    def call(self, inputs):
        image, form, logit, image_given, form_given = inputs
        open_share = ops.sigmoid(logit)
        image_share = image_given * (form_given * open_share + (1 - form_given))
        form_share = form_given * (image_given * (1 - open_share) + (1 - image_given))
        return image_share * image + form_share * form


@keras.saving.register_keras_serializable(package="usgland")
class WeightedMean(keras.layers.Layer):
    """A weighted mean of the logits that are given; 0 without any.

    Call arguments:
        inputs: The logit of the image and of the form, and whether each is given,
            `(batch, 1)` each.
    """

    def build(self, input_shape):
        # The sigmoid of this is the weight of the image: one half at the start.
        self.balance = self.add_weight(
            shape=(), initializer="zeros", dtype="float32", name="balance"
        )

    def call(self, inputs):
        image, form, image_given, form_given = (
            ops.cast(tensor, "float32") for tensor in inputs
        )
        share = ops.sigmoid(self.balance)
        image_weight, form_weight = share * image_given, (1 - share) * form_given
        total = image_weight * image + form_weight * form
        return total / ops.maximum(image_weight + form_weight, 1e-6)


@keras.saving.register_keras_serializable(package="usgland")
class OffsetSum(keras.layers.Layer):
    """The form's logit, to which the image adds its standardized own, weighed.

    Without an image it is the form's logit as it is; without a form the image's, as it
    is, with neither weight nor standardization; 0 without any.

    Call arguments:
        inputs: As of `WeightedMean`.
    """

    def build(self, input_shape):
        def constant(name, value):
            return self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(value),
                trainable=False,
                dtype="float32",
                name=name,
            )

        self.weight = constant("weight", 0.0)
        self.mean = constant("mean", 0.0)
        self.deviation = constant("deviation", 1.0)

    def call(self, inputs):
        image, form, image_given, form_given = (
            ops.cast(tensor, "float32") for tensor in inputs
        )
        added = self.weight * (image - self.mean) / self.deviation
        together = form + image_given * added
        return form_given * together + (1 - form_given) * image_given * image
