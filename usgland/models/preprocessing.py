"""From the bytes of an image file to the grey picture that a network sees.

Everything here is TensorFlow graph code that travels with the saved model. The
result is 8-bit by definition: it can be cached, looked at and compared exactly,
and no rounding difference between eager, tf.data and a served graph survives it.
"""

import hashlib
from pathlib import Path

import keras
import tensorflow as tf

from usgland.models.decoding import use_grey
from usgland.models.speckle import median_filter

# Parts of one percent that a percentile is rounded to, so that ranks are integers.
PERCENT_PARTS = 1000
# The files of code that decide what a picture is.
CODE = ("decoding.py", "file_guards.py", "preprocessing.py", "speckle.py")
SPECKLE_FILTERS = {"none": 0, "median3": 3, "median5": 5}


@keras.saving.register_keras_serializable(package="usgland")
class Preprocessing(keras.layers.Layer):
    """Decodes image files and normalizes them to one size and grey range.

    In this order: decode PNG, JPEG or BMP (8 or 16 bits, palette, transparency
    flattened on black); grey by BT.601; shrink or enlarge so that the longer side
    is `size`, keeping the aspect ratio, because "taller than wide" is a sign of
    malignancy; median filter; stretch the grey levels between two percentiles of
    the image's own pixels; pad with black to a square. The padding comes last and
    has no part in the percentiles.

    EXIF rotation is ignored: the pixels are taken as they are stored.

    Args:
        size: Side of the square, pixels.
        grey_percentiles: Percentiles in [0, 100] that become 0 and 255, or None to
            keep the grey levels.
        speckle_filter: `"none"`, `"median3"` or `"median5"`: side of the median.
        allow_empty: Whether an empty string, the image that is missing, becomes a
            black picture; else it is an error like any other file that is no image.
        name: Name of the layer.

    Raises:
        tf.errors.InvalidArgumentError: If one of the inputs is not such an image.
    """

    def __init__(
        self,
        size=224,
        grey_percentiles=(1.0, 99.0),
        speckle_filter="none",
        allow_empty=False,
        name="preprocessing",
        trainable=False,
        dtype=None,
    ):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        if speckle_filter not in SPECKLE_FILTERS:
            raise ValueError(
                f"`speckle_filter` must be one of {list(SPECKLE_FILTERS)}. "
                f"Received: speckle_filter={speckle_filter!r}"
            )
        self.size = size
        self.grey_percentiles = grey_percentiles and tuple(grey_percentiles)
        self.speckle_filter = speckle_filter
        self.allow_empty = allow_empty

    def call(self, image_bytes):
        with tf.device("CPU"):
            return tf.map_fn(
                self.read,
                image_bytes,
                fn_output_signature=tf.TensorSpec((self.size, self.size, 1), tf.uint8),
            )

    def compute_output_spec(self, image_bytes):
        shape = (*image_bytes.shape, self.size, self.size, 1)
        return keras.KerasTensor(shape, dtype="uint8")

    def read(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Maps one encoded image, a scalar string, to uint8 `(size, size, 1)`."""
        return self.read_with_sides(image_bytes)[0]

    def read_with_sides(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The same, and height and width of the original, int32 `(2,)`."""

        def shrink(grey: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return shrink_to_fit(grey, self.size), tf.shape(grey)[:2]

        def read() -> tuple[tf.Tensor, tf.Tensor]:
            image, sides = use_grey(image_bytes, shrink)
            return self._finish(image), sides

        def no_image() -> tuple[tf.Tensor, tf.Tensor]:
            black = tf.zeros((self.size, self.size, 1), tf.uint8)
            return black, tf.zeros(2, tf.int32)

        with tf.device("CPU"):  # See `normalize`.
            if not self.allow_empty:
                return read()
            return tf.cond(tf.strings.length(image_bytes) > 0, read, no_image)

    def normalize(self, grey: tf.Tensor) -> tf.Tensor:
        """Maps grey levels `(height, width, 1)` in [0, 255] to `(size, size, 1)`.

        On the processor, where it gives the same pixels on every machine: files can
        only be decoded there, and a GPU counts grey levels in no fixed order.
        """
        with tf.device("CPU"):
            return self._finish(shrink_to_fit(grey, self.size))

    def _finish(self, image: tf.Tensor) -> tf.Tensor:
        side = SPECKLE_FILTERS[self.speckle_filter]
        if side:
            image = median_filter(image, side)
        if self.grey_percentiles is not None:
            image = stretch_grey(image, *self.grey_percentiles)
        return pad_to_square(image, self.size)

    def fingerprint(self) -> tuple[str, str]:
        """What a picture depends on beside its file, to know it again in a cache.

        Returns:
            SHA-256 of the code, TensorFlow's version with it; and of the settings.
        """
        code = hashlib.sha256(tf.__version__.encode())
        for module in CODE:
            code.update((Path(__file__).parent / module).read_bytes())
        settings = (self.size, self.grey_percentiles, self.speckle_filter)
        return code.hexdigest(), hashlib.sha256(repr(settings).encode()).hexdigest()

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "grey_percentiles": self.grey_percentiles,
            "speckle_filter": self.speckle_filter,
            "allow_empty": self.allow_empty,
        }


def shrink_to_fit(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes so that the longer side is `size`; the shorter has at least 1 pixel.

    The target is computed in integers: `tf.image.resize_with_pad` rounds
    differently in eager and in graph mode.

    Maps grey levels `(height, width, 1)` in [0, 255], uint8 or float32, to uint8 of
    the same axes; bilinear, antialiased where it shrinks, as `tf.image.resize` does.
    """
    shape = tf.shape(image)[:2]
    longer = tf.reduce_max(shape)
    target = tf.maximum((shape * size + longer // 2) // longer, 1)
    # TensorFlow's kernel, too, resizes rows, then columns, but these one by one.
    image = _resize_rows(image[..., 0], target[0])
    image = tf.transpose(_resize_rows(tf.transpose(image), target[1]))[..., None]
    return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def _resize_rows(image: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Resizes the first axis: `(height, width)` to float32 `(length, width)`.

    The second stands for channels, of which the kernel takes many at a time.
    """
    scale = tf.cast(length, tf.float32) / tf.cast(tf.shape(image)[0], tf.float32)
    return tf.raw_ops.ScaleAndTranslate(
        images=image[None, :, None, :],
        size=[length, 1],
        scale=tf.stack([scale, 1.0]),
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=True,
    )[0, :, 0, :]


def stretch_grey(image: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Maps the grey levels at two percentiles to 0 and 255, linearly, and clips.

    A percentile is the smallest grey level that at least that share of the pixels
    does not exceed (`numpy.percentile(..., method="inverted_cdf")`). Where both
    fall on one level, the darkest and brightest pixel take their place; an image
    of one grey level becomes black. The image is uint8 `(height, width, 1)`.
    """
    levels = tf.cast(image, tf.int32)
    # `tf.math.bincount` would look for the largest level first.
    counts = tf.raw_ops.DenseBincount(
        input=tf.reshape(levels, [-1]), size=256, weights=tf.constant([], tf.int64)
    )
    parts = [round(percentile * PERCENT_PARTS) for percentile in (low, high, 0, 100)]
    whole = 100 * PERCENT_PARTS
    pixels = tf.size(image, tf.int64)
    ranks = tf.maximum((pixels * tf.constant(parts, tf.int64) + whole - 1) // whole, 1)
    below = tf.cumsum(counts)[None, :] < ranks[:, None]
    ends = tf.reduce_sum(tf.cast(below, tf.int32), axis=1)
    flat = tf.equal(ends[0], ends[1])
    black, white = tf.unstack(tf.where(flat, ends[2:], ends[:2]))
    # A table of 256 entries in integers rounds half up, the same everywhere.
    span = tf.maximum(white - black, 1)
    table = ((tf.range(256) - black) * 510 + span) // (2 * span)
    table = tf.cast(tf.clip_by_value(table, 0, 255), tf.uint8)
    return tf.gather(table, levels)


def pad_to_square(image: tf.Tensor, size: int) -> tf.Tensor:
    """Centres `(height, width, 1)` on a black square `(size, size, 1)`."""
    gap = size - tf.shape(image)[:2]
    before = gap // 2
    after = gap - before
    paddings = [[before[0], after[0]], [before[1], after[1]], [0, 0]]
    return tf.ensure_shape(tf.pad(image, paddings), (size, size, 1))
