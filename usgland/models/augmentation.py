"""Random changes of training images; never part of the saved model.

The transforms here are stateless: what happens to a batch depends only on the seed
that comes with it, so they run in parallel and a resumed run repeats them. Flips,
rotation, zoom, stretch and translation are one resampling from the picture to the view,
which costs as much as a training step can afford. RandAugment is keras-cv's.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras_cv
import tensorflow as tf

from usgland.recipe import AugmentationSettings

BLACK, WHITE = 0.0, 255.0
# Blur, noise and cutout each change this share of the images.
HALF = 0.5
# Of views with lesions made equal: the longest side of the lesion, as a share of the
# view's; the limits of the view's side, as shares of the picture's; and how far their
# centres lie apart at most, as a share of the view's side.
EQUAL_SHARES = (0.2, 0.7)
VIEW_SIDES = (0.35, 1.6)
CENTRE_JITTER = 0.15
# The lesion's ellipse is grown by this, as what is around it tells as much; its area is
# measured by this many points along a side of a cell.
GROWN = 1.15
# Grey curves rise by so many parts, drawn from a Dirichlet distribution of this
# concentration. A depth gain is a sum of so many cosines of the row.
CURVE_PARTS, CURVE_CONCENTRATION = 8, 2.0
GAIN_COSINES = 3
# Widths that are drawn for a batch, pixels: of what an unsharp mask takes away, and of
# the grain of speckle.
UNSHARP, GRAIN = (0.8, 2.0), (0.5, 1.5)
POINTS = 4


def make_augment(
    settings: AugmentationSettings, *, size: int | None = None, grid: int | None = None
) -> Callable:
    """Combines the transforms that are switched on.

    Args:
        settings: Which, and how strong.
        size: Side of the views, pixels; None: that of the pictures.
        grid: Side of the maps of the lesion that are to be made; None: none are.

    Returns:
        Maps (pictures `(batch, side, side, 1)` in [0, 255], labels `(batch, 1)`, a seed
        of two integers and, if there are any, lesions, float32 `(batch, 4)`, see
        `usgland.data.lesion_marks`) to views of them, float32 `(batch, size, size, 1)`
        in [0, 255], and labels; those of mixed images lie between 0 and 1. With a grid
        maps follow, see `_see_lesions`.
    """

    @tf.function
    def augment(pixels, labels, seed, lesions=None):
        draw = _Draw(tf.shape(pixels)[0], seed)
        placement = _place(settings, draw, lesions)
        images = _show(tf.cast(pixels, tf.float32), placement, size or pixels.shape[1])
        if settings.grey_curve:
            images = _redraw_curve(images, settings.grey_curve, draw)
        if settings.depth_gain:
            images = _change_gain(images, settings.depth_gain, draw)
        if settings.gamma:
            images = _bend_grey(images, settings.gamma, draw)
        if settings.contrast or settings.brightness:
            images = _scale_grey(images, settings, draw)
        if settings.blur_pixels:
            images = _blur(images, settings.blur_pixels, draw)
        if settings.sharpen:
            images = _sharpen(images, settings.sharpen, draw)
        if settings.speckle:
            images = _add_speckle(images, settings.speckle, draw, grain=GRAIN)
        if settings.noise:
            images = _add_speckle(images, settings.noise, draw)
        if settings.cutout:
            images = _cut_out(images, settings.cutout, draw)
        images = tf.clip_by_value(images, BLACK, WHITE)
        changed = [images, labels]
        if grid is not None:
            changed.append(_see_lesions(lesions, placement, grid))
        return tuple(_mix(changed, settings.mixup, draw) if settings.mixup else changed)

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


class _Placement(NamedTuple):
    """Where the view of each picture lies, `(batch,)` each.

    A point at (u, v) of a view, in shares of its side right of and below its centre,
    shows what is at (x + xu * u + xv * v, y + yu * u + yv * v) of the picture, in
    shares of the picture's side.
    """

    x: tf.Tensor
    y: tf.Tensor
    xu: tf.Tensor
    xv: tf.Tensor
    yu: tf.Tensor
    yv: tf.Tensor


def _place(
    settings: AugmentationSettings, draw: _Draw, lesions: tf.Tensor | None
) -> _Placement:
    """Flips, turns, zooms, stretches and shifts about the centre, in one go.

    Of `equalize_size` of the marked lesions the view is as large as makes the lesion's
    share of it one that is drawn from `EQUAL_SHARES`, whatever it was, and whatever the
    label is.
    """
    radians = math.radians(settings.rotation_degrees)
    angle = draw.uniform(-radians, radians)
    zoom, aspect = math.log1p(settings.zoom), math.log1p(settings.aspect) / 2
    zoom, aspect = draw.uniform(-zoom, zoom), draw.uniform(-aspect, aspect)
    flip_x = 1 - 2 * draw.chance(HALF * settings.horizontal_flip)
    flip_y = 1 - 2 * draw.chance(HALF * settings.vertical_flip)
    shift = settings.translation
    x, y = 0.5 + draw.uniform(-shift, shift), 0.5 + draw.uniform(-shift, shift)
    side = tf.exp(-zoom)
    if lesions is not None and settings.equalize_size:
        centre_y, centre_x, half_height, half_width = tf.unstack(lesions, axis=1)
        longest = 2 * tf.maximum(half_height, half_width)
        # Nothing is larger than NaN, which is the size of a lesion without a mark.
        chosen = (draw.chance(settings.equalize_size) > 0) & (longest > 0)
        equal = tf.clip_by_value(longest / draw.uniform(*EQUAL_SHARES), *VIEW_SIDES)
        side = tf.where(chosen, equal, side)
        jitter_x, jitter_y = (CENTRE_JITTER * draw.uniform(-1.0, 1.0) for _ in "xy")
        x = tf.where(chosen, centre_x + jitter_x * side, x)
        y = tf.where(chosen, centre_y + jitter_y * side, y)
    across, down = flip_x * side * tf.exp(-aspect), flip_y * side * tf.exp(aspect)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    return _Placement(x, y, across * cosine, -across * sine, down * sine, down * cosine)


def _show(images: tf.Tensor, placement: _Placement, size: int) -> tf.Tensor:
    """The views, black beyond the pictures, by one bilinear resampling."""
    side = images.shape[1]
    x, y, *turn = placement
    xu, xv, yu, yv = (side / size * part for part in turn)
    # From a pixel of a view, counted from 0 at its centre, to one of the picture.
    middle = (size - 1) / 2
    x = side * x - 0.5 - (xu + xv) * middle
    y = side * y - 0.5 - (yu + yv) * middle
    zero = tf.zeros_like(x)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([xu, xv, x, yu, yv, y, zero, zero], axis=1),
        output_shape=[size, size],
        fill_value=BLACK,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _see_lesions(lesions: tf.Tensor, placement: _Placement, grid: int) -> tf.Tensor:
    """Which share of each cell of a view lies in the lesion, its ellipse grown.

    Args:
        lesions: Centre y and x, half height and half width in shares of the picture's
            side, `(batch, 4)`; zeros where there is no lesion, NaN where no mark says.
        placement: Of the views.
        grid: Cells along a side.

    Returns:
        Float32 `(batch, grid, grid, 1)` in [0, 1]; NaN where none is marked.
    """
    points = (tf.range(grid * POINTS, dtype=tf.float32) + 0.5) / (grid * POINTS) - 0.5
    u, v = points[None, None, :], points[None, :, None]
    x, y, xu, xv, yu, yv = (part[:, None, None] for part in placement)
    centre_y, centre_x, half_height, half_width = (
        lesions[:, number, None, None] for number in range(4)
    )
    half_height, half_width = GROWN * half_height, GROWN * half_width
    right = (x + xu * u + xv * v - centre_x) * half_height
    below = (y + yu * u + yv * v - centre_y) * half_width
    inside = right**2 + below**2 < (half_height * half_width) ** 2
    cells = tf.reshape(tf.cast(inside, tf.float32), (-1, grid, POINTS, grid, POINTS))
    seen = tf.reduce_mean(cells, axis=(2, 4))[..., None]
    return tf.where(tf.math.is_nan(centre_y[..., None]), math.nan, seen)


def _redraw_curve(images: tf.Tensor, share: float, draw: _Draw) -> tf.Tensor:
    """Blends grey levels with those of a rising curve from black to white.

    The curve is straight between levels whose heights are cumulated parts of a whole;
    the mean of all curves is the straight line.
    """
    shape = [draw.images, CURVE_PARTS]
    parts = tf.random.stateless_gamma(shape, draw.seed(), CURVE_CONCENTRATION)
    parts /= tf.reduce_sum(parts, axis=1, keepdims=True)
    level = CURVE_PARTS / WHITE * images
    curve = tf.zeros_like(images)
    for number in range(CURVE_PARTS):
        step = tf.clip_by_value(level - number, 0.0, 1.0)
        curve += _per_image(parts[:, number]) * step
    return images + share * (WHITE * curve - images)


def _change_gain(images: tf.Tensor, largest: float, draw: _Draw) -> tf.Tensor:
    """Multiplies each row with a gain that changes slowly from top to bottom."""
    rows = (tf.range(images.shape[1], dtype=tf.float32) + 0.5) / images.shape[1]
    change = tf.zeros([draw.images, images.shape[1]])
    for number in range(1, GAIN_COSINES + 1):
        height = draw.uniform(-largest, largest) / GAIN_COSINES
        change += height[:, None] * tf.cos(math.pi * number * rows)[None]
    return images * (1 + change[:, :, None, None])


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
    blurred = _smooth(images, _gaussian(sigma, largest_sigma))
    share = _per_image(draw.chance(HALF) * draw.uniform(0.0, 1.0))
    return images + share * (blurred - images)


def _gaussian(sigma: tf.Tensor, largest_sigma: float) -> tf.Tensor:
    """Weights of a Gaussian, cut at twice the largest width there may be."""
    radius = math.ceil(2 * largest_sigma)
    positions = tf.range(-radius, radius + 1, dtype=tf.float32)
    kernel = tf.exp(-tf.square(positions / sigma) / 2)
    return kernel / tf.reduce_sum(kernel)


def _smooth(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Weighs rows, then columns."""
    radius = kernel.shape[0] // 2
    # Padding with zeros would darken the border.
    around = [[0, 0], [radius, radius], [radius, radius], [0, 0]]
    smooth = tf.pad(images, around, "SYMMETRIC")
    smooth = tf.nn.conv2d(smooth, kernel[:, None, None, None], 1, "VALID")
    return tf.nn.conv2d(smooth, kernel[None, :, None, None], 1, "VALID")


def _sharpen(images: tf.Tensor, largest: float, draw: _Draw) -> tf.Tensor:
    """Adds to half of the images what a blur takes from them."""
    sigma = tf.random.stateless_uniform([], draw.seed(), *UNSHARP)
    lost = images - _smooth(images, _gaussian(sigma, UNSHARP[1]))
    return images + _per_image(draw.chance(HALF) * draw.uniform(0.0, largest)) * lost


def _add_speckle(
    images: tf.Tensor,
    largest_sigma: float,
    draw: _Draw,
    *,
    grain: tuple[float, float] | None = None,
) -> tf.Tensor:
    """Multiplies half of the images with noise around 1.

    It is smoothed to a grain as wide as is drawn from a range, pixels, if asked for.
    """
    sigma = largest_sigma * draw.chance(HALF) * draw.uniform(0.0, 1.0)
    noise = tf.random.stateless_normal(tf.shape(images), draw.seed())
    if grain is not None:
        width = tf.random.stateless_uniform([], draw.seed(), *grain)
        kernel = _gaussian(width, grain[1])
        # As strong as before: along an axis the variance falls by the squares' sum.
        noise = _smooth(noise, kernel) / tf.reduce_sum(tf.square(kernel))
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


def _mix(parts: Sequence[tf.Tensor], alpha: float, draw: _Draw) -> list[tf.Tensor]:
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
    mixed = []
    for part in parts:
        own = tf.reshape(share, [-1] + [1] * (part.shape.rank - 1))
        mixed.append(own * part + (1 - own) * tf.gather(part, partner))
    return mixed
