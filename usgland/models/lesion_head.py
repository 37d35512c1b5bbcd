"""A small head that draws where the lesion is, and pooling that looks there.

Only training knows where lesions are; at prediction the head says it.
"""

import keras
import numpy as np
from keras import ops

MAP = "lesion_map"
# The layers of the head that have weights: they learn at the rate of the image.
HEAD = ("lesion_summary", "lesion_detail", "lesion_around", MAP)
SUMMARY, DETAIL, AROUND = 64, 32, 32  # channels
UNIFORM = 0.5  # share of the plain mean in what is pooled by the map


def lesion_map(
    last: keras.KerasTensor, earlier: keras.KerasTensor
) -> keras.KerasTensor:
    """Where the lesion is, from a backbone's last and an earlier, finer feature map.

    Args:
        last: `(batch, height, width, channels)`.
        earlier: The same, larger.

    Returns:
        Logits of P(lesion) of each cell of the earlier map, float32 `(batch, height',
        width', 1)`. 68,769 parameters on SqueezeNet 1.1.
    """
    relu = {"activation": "relu", "kernel_initializer": "he_uniform"}
    summary = keras.layers.Conv2D(SUMMARY, 1, name="lesion_summary", **relu)(last)
    enlarged = Enlarged(earlier.shape[1], name="lesion_enlarged")(summary)
    detail = keras.layers.Conv2D(DETAIL, 1, name="lesion_detail", **relu)(earlier)
    x = keras.layers.Concatenate(name="lesion_joined")([enlarged, detail])
    x = keras.layers.Conv2D(AROUND, 3, padding="same", name="lesion_around", **relu)(x)
    return keras.layers.Conv2D(1, 1, dtype="float32", name=MAP)(x)


@keras.saving.register_keras_serializable(package="usgland")
class Enlarged(keras.layers.Layer):
    """A square feature map at a finer grid, bilinear.

    By products of matrices, of which the gradient, too, repeats to the bit on a GPU.

    Args:
        size: Cells along a side.
        name: Name of the layer.
        dtype: Policy of the layer.
    """

    def __init__(self, size, name=None, trainable=False, dtype=None):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.size = size

    def call(self, feature_map):
        return _resampled(feature_map, _bilinear(self.size, feature_map.shape[1]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.size, self.size, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="usgland")
class LesionPooling(keras.layers.Layer):
    """The mean of a feature map beside its mean weighted by where the lesion is.

    The weights are half those of the plain mean, and half P(lesion). No gradient goes
    through them: the map is learned from marks alone.

    Call arguments:
        inputs: The feature map `(batch, height, width, channels)` and the logits of the
            lesion `(batch, height', width', 1)`; both square. The result is `(batch,
            2 * channels)`.
    """

    def __init__(self, name=None, trainable=False, dtype=None):
        super().__init__(name=name, trainable=trainable, dtype=dtype)

    def call(self, inputs):
        features, logits = inputs
        side, channels = features.shape[1], features.shape[3]
        lesion = ops.sigmoid(ops.cast(ops.stop_gradient(logits), "float32"))
        weights = _resampled(lesion, _areas(side, logits.shape[1]))
        weights = ops.reshape(weights, (-1, 1, side * side))
        total = ops.sum(weights, axis=-1, keepdims=True)
        weights = weights / ops.maximum(total, keras.config.epsilon())
        plain = ops.full_like(weights, 1 / side**2)
        both = [plain, UNIFORM * plain + (1 - UNIFORM) * weights]
        cells = ops.cast(ops.reshape(features, (-1, side * side, channels)), "float32")
        pooled = ops.matmul(ops.concatenate(both, axis=1), cells)
        return ops.cast(ops.reshape(pooled, (-1, 2 * channels)), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], 2 * input_shape[0][-1])


def map_losses(
    targets: keras.KerasTensor, logits: keras.KerasTensor
) -> keras.KerasTensor:
    """How far the drawn lesion of each image is from the marked one.

    Binary cross-entropy, the mean over the cells, and the Dice loss, of which both sums
    have 1 added so that an image without a lesion has one.

    Args:
        targets: Share of each cell in the lesion, `(batch, side, side, 1)`; NaN in
            images that do not say.
        logits: As the head gives them.

    Returns:
        Float32 `(batch,)`; 0 for images that do not say.

    Reference:
        Dice: [Milletari et al., 2016](https://arxiv.org/abs/1606.04797), section 3.
    """
    unknown = ops.isnan(targets)
    targets = ops.where(unknown, ops.zeros_like(targets), targets)
    cells = (1, 2, 3)
    entropy = ops.mean(
        ops.binary_crossentropy(targets, logits, from_logits=True), axis=cells
    )
    drawn = ops.sigmoid(logits)
    overlap = 2 * ops.sum(drawn * targets, axis=cells) + 1
    dice = 1 - overlap / (ops.sum(drawn + targets, axis=cells) + 1)
    return ops.where(unknown[:, 0, 0, 0], ops.zeros_like(dice), entropy + dice)


def _resampled(feature_map: keras.KerasTensor, matrix: np.ndarray) -> keras.KerasTensor:
    """Weighs rows, then columns, of `(batch, side, side, channels)`."""
    size, side = matrix.shape
    channels = feature_map.shape[3]
    weights = ops.cast(matrix, feature_map.dtype)
    x = ops.matmul(weights, ops.reshape(feature_map, (-1, side, side * channels)))
    x = ops.matmul(weights, ops.reshape(x, (-1, side, channels)))
    return ops.reshape(x, (-1, size, size, channels))


def _bilinear(size: int, side: int) -> np.ndarray:
    """Weights of `side` cells in each of `size`, as `tf.image.resize` has them."""
    centres = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    distances = np.abs(centres[:, None] - np.arange(side)[None])
    return np.maximum(1 - distances, 0).astype("float32")


def _areas(size: int, side: int) -> np.ndarray:
    """Share of each of `side` cells in each of `size` larger ones."""
    large = np.arange(size + 1)[:, None] * side / size
    small = np.arange(side + 1)[None]
    overlap = np.minimum(large[1:], small[:, 1:]) - np.maximum(
        large[:-1], small[:, :-1]
    )
    return (np.maximum(overlap, 0) * size / side).astype("float32")
