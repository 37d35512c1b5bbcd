"""Views: what a network sees of a picture, its whole or a part, at one size."""

import keras
from keras import ops

WHOLE = (0.0, 0.0, 1.0, 1.0)


def crop(
    pictures: keras.KerasTensor, boxes: keras.KerasTensor, size: int
) -> keras.KerasTensor:
    """Shows a part of each picture at one size.

    Bilinear, antialiased where it shrinks, as `tf.image.resize` does; black beyond the
    picture. Rows, then columns, are weighed by two products of matrices: operations
    that repeat to the bit on a GPU, and that LiteRT and ONNX have. Training's random
    views are not antialiased, which no operation that turns pictures can do; what is
    known of the difference stands in docs/benchmarks.md.

    Args:
        pictures: `(batch, side, side, 1)`.
        boxes: x and y of the upper left corner, width and height, in shares of the
            picture's side, float32 `(batch, 4)`, or `(1, 4)` for all.
        size: Side of the views, pixels.

    Returns:
        Float32 `(batch, size, size, 1)`.
    """
    side = pictures.shape[1]
    # Not `boxes[:, 0, None]`: of boxes that were stacked, TensorFlow's graphs lose the
    # new axis.
    x, y, width, height = ops.split(side * boxes, 4, axis=1)
    rows = _weights(y, height, size, side)
    columns = _weights(x, width, size, side)
    grey = ops.cast(pictures, "float32")[..., 0]
    return ops.matmul(ops.matmul(rows, grey), ops.transpose(columns, (0, 2, 1)))[
        ..., None
    ]


def _weights(
    start: keras.KerasTensor, extent: keras.KerasTensor, size: int, side: int
) -> keras.KerasTensor:
    """How much of each pixel of a picture goes into each of a view.

    Args:
        start: Where the view begins along an axis, pixels of the picture, `(batch, 1)`.
        extent: How far it reaches.
        size: Pixels of the view.
        side: Pixels of the picture.

    Returns:
        Float32 `(batch, size, side)`; the weights of a pixel sum to 1, those of one
        whose centre is beyond the picture are 0.
    """
    step = extent / size
    centres = start + step * (ops.arange(size, dtype="float32")[None] + 0.5)
    pixels = ops.arange(side, dtype="float32") + 0.5
    distances = ops.abs(centres[..., None] - pixels[None, None])
    weights = ops.maximum(1.0 - distances / ops.maximum(step, 1.0)[..., None], 0.0)
    inside = ops.logical_and(centres >= 0, centres <= side)
    weights = weights * ops.cast(inside, "float32")[..., None]
    total = ops.sum(weights, axis=-1, keepdims=True)
    return weights / ops.maximum(total, keras.config.epsilon())


def whole_view(pictures: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """The whole of each picture, float32 `(batch, size, size, 1)`."""
    if pictures.shape[1] == size:
        return ops.cast(pictures, "float32")
    return crop(pictures, ops.convert_to_tensor([WHOLE], "float32"), size)


@keras.saving.register_keras_serializable(package="usgland")
class WholeView(keras.layers.Layer):
    """The first view of a picture: all of it, at the size that the network takes.

    It also holds which other views `usgland.models.answers` takes.

    Args:
        size: Side of the view, pixels.
        second_view: Whether the lesion that is found is looked at again.
        mirror: Whether each view is looked at in a mirror as well.
        name: Name of the layer.
    """

    def __init__(
        self,
        size,
        second_view=False,
        mirror=False,
        name=None,
        trainable=False,
        dtype="float32",
    ):
        # Grey levels between whole ones have no place in half the bits.
        super().__init__(name=name, trainable=trainable, dtype=dtype, autocast=False)
        self.size, self.second_view, self.mirror = size, second_view, mirror

    def call(self, pictures):
        return whole_view(pictures, self.size)

    def compute_output_spec(self, pictures):
        shape = (pictures.shape[0], self.size, self.size, 1)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "second_view": self.second_view,
            "mirror": self.mirror,
        }
