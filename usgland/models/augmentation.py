"""Random changes of training images; never part of the saved model.

The transforms here are stateless: what happens to a batch depends only on the seed
that comes with it, so they run in parallel and a resumed run repeats them. Flips,
rotation, zoom, stretch and translation are one resampling, which costs as much as a
training step can afford. RandAugment is keras-cv's.
"""

import math
from collections.abc import Callable

import keras
import keras_cv
import tensorflow as tf

from usgland.config import AugmentationSettings

BLACK, WHITE = 0.0, 255.0
# Blur, noise and cutout each change this share of the images.
HALF = 0.5


def make_augment(settings: AugmentationSettings) -> Callable:
    """Combines the transforms that are switched on.

    Returns:
        Maps (pixels `(batch, size, size, 1)` in [0, 255], labels `(batch, 1)`, a seed
        of two integers) to float32 pixels in [0, 255] and labels; those of mixed
        images lie between 0 and 1.
    """

    @tf.function
    def augment(pixels, labels, seed):
        images = tf.cast(pixels, tf.float32)
        draw = _Draw(tf.shape(images)[0], seed)
        images = _move(images, settings, draw)
        if settings.gamma:
            images = _bend_grey(images, settings.gamma, draw)
        if settings.contrast or settings.brightness:
            images = _scale_grey(images, settings, draw)
        if settings.blur_pixels:
            images = _blur(images, settings.blur_pixels, draw)
        if settings.noise:
            images = _add_speckle(images, settings.noise, draw)
        if settings.cutout:
            images = _cut_out(images, settings.cutout, draw)
        images = tf.clip_by_value(images, BLACK, WHITE)
        if settings.mixup:
            images, labels = _mix(images, labels, settings.mixup, draw)
        return images, labels

    return augment


def make_rand_augment(magnitude: float, seed: int) -> Callable:
    """keras-cv's RandAugment of grey images, with the geometric policy left out.

    Its layers keep random state, so the mapping must run in order, one at a time;
    a new one for every epoch, under a seed of its own, repeats exactly.

    Args:
        magnitude: Strength in (0, 1).
        seed: Seed of this epoch.

    Returns:
        Maps float32 `(batch, size, size, 1)` in [0, 255] to the same.
    """
    # keras-cv draws the strengths with TensorFlow's own seed and generator.
    tf.random.set_seed(seed)
    with tf.device("CPU"):  # where tf.data uses them
        tf.random.set_global_generator(tf.random.Generator.from_seed(seed))
        layer = keras_cv.layers.RandAugment(
            value_range=(BLACK, WHITE), magnitude=magnitude, geometric=False, seed=seed
        )

    def change(image):
        coloured = layer(tf.repeat(image, 3, axis=-1), training=True)
        return tf.reduce_mean(coloured, axis=-1, keepdims=True)

    def rand_augment(images):
        # keras-cv's own loop draws for several images at once, in no fixed order.
        return tf.map_fn(change, images, parallel_iterations=1)

    return rand_augment


class _Draw:
    """Independent random numbers for the images of one batch, from one seed."""

    def __init__(self, images: tf.Tensor, seed: tf.Tensor):
        self.images = images
        self._seed = seed
        self._draws = 0

    def seed(self) -> tf.Tensor:
        self._draws += 1
        return self._seed + tf.constant([0, self._draws])

    def uniform(self, low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform([self.images], self.seed(), low, high)

    def chance(self, share: float) -> tf.Tensor:
        """1.0 with probability `share`, else 0.0."""
        return tf.cast(self.uniform(0.0, 1.0) < share, tf.float32)


def _per_image(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]


def _move(images: tf.Tensor, settings: AugmentationSettings, draw: _Draw) -> tf.Tensor:
    """Flips, turns, zooms, stretches and shifts about the centre, in one go."""
    size = images.shape[1]
    radians = math.radians(settings.rotation_degrees)
    angle = draw.uniform(-radians, radians)
    zoom, aspect = math.log1p(settings.zoom), math.log1p(settings.aspect) / 2
    zoom, aspect = draw.uniform(-zoom, zoom), draw.uniform(-aspect, aspect)
    flip_x = 1 - 2 * draw.chance(HALF * settings.horizontal_flip)
    flip_y = 1 - 2 * draw.chance(HALF * settings.vertical_flip)
    shift = settings.translation * size
    shift_x, shift_y = draw.uniform(-shift, shift), draw.uniform(-shift, shift)
    # The matrix maps an output pixel to the input pixel that it shows.
    scale_x, scale_y = flip_x * tf.exp(-zoom - aspect), flip_y * tf.exp(-zoom + aspect)
    a0, a1 = scale_x * tf.cos(angle), -scale_x * tf.sin(angle)
    b0, b1 = scale_y * tf.sin(angle), scale_y * tf.cos(angle)
    centre = (size - 1) / 2
    a2 = centre - (a0 + a1) * centre + shift_x
    b2 = centre - (b0 + b1) * centre + shift_y
    zero = tf.zeros_like(a0)
    transforms = tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
    return keras.ops.image.affine_transform(
        images, transforms, "bilinear", "constant", BLACK, data_format="channels_last"
    )


def _bend_grey(images: tf.Tensor, gamma: float, draw: _Draw) -> tf.Tensor:
    exponent = tf.exp(draw.uniform(-math.log1p(gamma), math.log1p(gamma)))
    return WHITE * tf.pow(images / WHITE, _per_image(exponent))


def _scale_grey(
    images: tf.Tensor, settings: AugmentationSettings, draw: _Draw
) -> tf.Tensor:
    """Contrast about the image's mean, then brightness."""
    contrast = draw.uniform(1 - settings.contrast, 1 + settings.contrast)
    shift = WHITE * draw.uniform(-settings.brightness, settings.brightness)
    mean = tf.reduce_mean(images, axis=(1, 2, 3))
    images = images * _per_image(contrast)
    return images + _per_image(mean * (1 - contrast) + shift)


def _blur(images: tf.Tensor, largest_sigma: float, draw: _Draw) -> tf.Tensor:
    """Blends half of the images with a Gaussian blur of one width for the batch."""
    sigma = largest_sigma * tf.random.stateless_uniform([], draw.seed(), 0.3, 1.0)
    radius = math.ceil(2 * largest_sigma)
    positions = tf.range(-radius, radius + 1, dtype=tf.float32)
    kernel = tf.exp(-tf.square(positions / sigma) / 2)
    kernel /= tf.reduce_sum(kernel)
    # Padding with zeros would darken the border.
    around = [[0, 0], [radius, radius], [radius, radius], [0, 0]]
    blurred = tf.pad(images, around, "SYMMETRIC")
    blurred = tf.nn.conv2d(blurred, kernel[:, None, None, None], 1, "VALID")
    blurred = tf.nn.conv2d(blurred, kernel[None, :, None, None], 1, "VALID")
    share = _per_image(draw.chance(HALF) * draw.uniform(0.0, 1.0))
    return images + share * (blurred - images)


def _add_speckle(images: tf.Tensor, largest_sigma: float, draw: _Draw) -> tf.Tensor:
    """Multiplies half of the images with noise around 1."""
    sigma = largest_sigma * draw.chance(HALF) * draw.uniform(0.0, 1.0)
    noise = tf.random.stateless_normal(tf.shape(images), draw.seed())
    return images * (1 + _per_image(sigma) * noise)


def _cut_out(images: tf.Tensor, largest_side: float, draw: _Draw) -> tf.Tensor:
    """Covers a rectangle of half of the images with one grey level."""
    size = images.shape[1]
    covered = 1.0
    for axis in (1, 2):
        centre = draw.uniform(0.0, size)
        side = draw.uniform(0.3, 1.0) * largest_side * size
        positions = tf.range(size, dtype=tf.float32)[None, :]
        inside = tf.abs(positions - centre[:, None]) < side[:, None] / 2
        inside = tf.cast(inside, tf.float32)
        covered *= inside[:, :, None, None] if axis == 1 else inside[:, None, :, None]
    covered *= _per_image(draw.chance(HALF))
    level = _per_image(draw.uniform(BLACK, WHITE))
    return images + covered * (level - images)


def _mix(
    images: tf.Tensor, labels: tf.Tensor, alpha: float, draw: _Draw
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixup: a weighted mean of every image, and label, with another of the batch.

    Reference:
        [Zhang et al., 2018](https://arxiv.org/abs/1710.09412)
    """
    first, second = (
        tf.random.stateless_gamma([draw.images], draw.seed(), alpha) for _ in range(2)
    )
    share = tf.math.divide_no_nan(first, first + second)
    share = tf.maximum(share, 1 - share)
    with tf.device("CPU"):  # Nothing else shuffles.
        partner = tf.random.experimental.stateless_shuffle(
            tf.range(draw.images), draw.seed()
        )
    image_share, label_share = _per_image(share), share[:, None]
    return (
        image_share * images + (1 - image_share) * tf.gather(images, partner),
        label_share * labels + (1 - label_share) * tf.gather(labels, partner),
    )
