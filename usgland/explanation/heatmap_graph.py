"""Grad-CAM and its picture as graph code, which an exported model carries."""

import tensorflow as tf

from usgland.models.decoding import AT_ONCE


def gradcam_of(feature_map: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Channels of a feature map, weighted by the mean gradient of the score by them.

    Both are `(batch, height, width, channels)`; the result is float32 `(batch, height,
    width)`, not negative.

    Reference:
        [Selvaraju et al., 2017](https://arxiv.org/abs/1610.02391), equations 1 and 2.
    """
    weights = tf.reduce_mean(tf.cast(gradient, tf.float32), (1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * tf.cast(feature_map, tf.float32), -1))


def heatmap_png(
    maps: tf.Tensor, sides: tf.Tensor, size: int, *, scaled: bool = True
) -> tf.Tensor:
    """Maps as grey pictures of the original images' size.

    The same steps as `make_maps` and `to_original`: the map of the square is scaled to
    its strongest pixel, its padding is cut off, the rest takes the image's size.

    Args:
        maps: Float32 `(batch, height, width)`, not negative.
        sides: Height and width of the originals, int32 `(batch, 2)`; 0, 0 where there
            is none.
        size: Side of the square that the network sees, pixels.
        scaled: Whether the strongest pixel of a map becomes 255; else 1 does.

    Returns:
        Strings `(batch,)`: PNG, 8 bits; "" where there is no image.
    """

    def draw(case: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        values, original = case
        square = tf.image.resize(values[..., None], (size, size))
        if scaled:
            square = tf.math.divide_no_nan(square, tf.reduce_max(square))
        longer = tf.reduce_max(original)
        rows, columns = tf.unstack(
            tf.maximum((original * size + longer // 2) // longer, 1)
        )
        before = [(size - rows) // 2, (size - columns) // 2, 0]
        inside = tf.slice(square, before, [rows, columns, 1])
        whole = tf.image.resize(inside, original)
        grey = tf.round(255 * tf.clip_by_value(whole, 0.0, 1.0))
        return tf.io.encode_png(tf.cast(grey, tf.uint8))

    with tf.device("CPU"):  # PNG files are only written there.
        return tf.map_fn(
            lambda case: tf.cond(
                tf.reduce_min(case[1]) > 0, lambda: draw(case), lambda: tf.constant("")
            ),
            (maps, sides),
            fn_output_signature=tf.TensorSpec([], tf.string),
            parallel_iterations=AT_ONCE,
        )
