"""Augmentation, held against SciPy and against what each setting is named after."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import tensorflow as tf

from usgland.models.augmentation import make_augment, make_rand_augment
from usgland.recipe import AugmentationSettings

SIZE, BATCH = 48, 64
OFF = {
    name: 0.0 if isinstance(value, float) else False
    for name, value in AugmentationSettings().model_dump().items()
}
STRONG = {
    "horizontal_flip": True,
    "vertical_flip": True,
    "rotation_degrees": 180.0,
    "zoom": 1.0,
    "aspect": 0.5,
    "translation": 0.5,
    "brightness": 0.9,
    "contrast": 0.9,
    "gamma": 2.0,
    "blur_pixels": 3.0,
    "noise": 0.9,
    "cutout": 0.9,
    "grey_curve": 1.0,
    "depth_gain": 0.9,
    "sharpen": 3.0,
    "speckle": 0.9,
}
GEOMETRY = {
    "horizontal_flip": True,
    "vertical_flip": True,
    "rotation_degrees": 30.0,
    "zoom": 0.5,
    "aspect": 0.3,
    "translation": 0.1,
}


def change(images, labels=None, seed=(1, 2), **settings):
    """The images, and labels, under these settings, all others being off."""
    augment = make_augment(AugmentationSettings(**{**OFF, **settings}))
    if labels is None:
        labels = np.zeros((len(images), 1))
    images, labels = augment(
        tf.constant(images), tf.constant(labels, tf.float32), tf.constant(seed)
    )
    return images.numpy(), labels.numpy()


def noise(batch=BATCH, low=0, high=256):
    draws = np.random.default_rng(0)
    return draws.integers(low, high, (batch, SIZE, SIZE, 1), dtype=np.uint8)


def repeat(image):
    """One image `(SIZE, SIZE)` as a batch."""
    return np.repeat(np.asarray(image, "float32")[None, ..., None], BATCH, axis=0)


def matrices(**settings):
    """The map from output to input pixels of each image, `(batch, 2, 3)`.

    Ramps show at every pixel from where in the input it came. Beside the maps stand
    the pixels, `(batch, SIZE, SIZE)`, that are surely inside the input.
    """
    y, x = np.mgrid[:SIZE, :SIZE]
    rows, columns, inside = (
        change(repeat(ramp), **settings)[0][..., 0]
        for ramp in (y, x, np.full((SIZE, SIZE), 255))
    )
    inside = scipy.ndimage.binary_erosion(
        inside > 254.99, np.ones((1, 3, 3)), border_value=1
    )
    transforms = []
    for i in range(BATCH):
        ones = np.ones(inside[i].sum())
        output = np.stack([y[inside[i]], x[inside[i]], ones], axis=1)
        origin = np.stack([rows[i][inside[i]], columns[i][inside[i]]], axis=1)
        solution, residual, _, _ = np.linalg.lstsq(output, origin, rcond=None)
        assert residual.max() < 1e-2  # The map is affine.
        transforms.append(solution.T)
    return np.array(transforms), inside


def test_with_everything_off_nothing_changes():
    images, labels = noise(), np.random.default_rng(1).integers(0, 2, (BATCH, 1))
    changed, changed_labels = change(images, labels)
    assert changed.dtype == np.float32
    np.testing.assert_array_equal(changed, images)
    np.testing.assert_array_equal(changed_labels, labels)


@pytest.mark.parametrize("settings", [{**STRONG, "mixup": 0.4}, GEOMETRY])
def test_a_seed_decides_everything(settings):
    labels = np.arange(BATCH)[:, None] % 2
    first, same, other, another = (
        change(noise(), labels, seed, **settings)
        for seed in ((5, 6), (5, 6), (6, 6), (5, 7))
    )
    for array, again in zip(first, same, strict=True):
        np.testing.assert_array_equal(array, again)
    for images, _ in (other, another):
        assert (images != first[0]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("seed", [(0, 0), (2**31 - 1, 2**31 - 1)])
def test_grey_levels_stay_in_range_whatever_happens(seed):
    for images in (noise(), repeat(np.zeros((SIZE, SIZE))), repeat(np.eye(SIZE) * 255)):
        changed, _ = change(images, seed=seed, **STRONG, mixup=0.4)
        assert np.isfinite(changed).all()
        assert changed.min() >= 0
        assert changed.max() <= 255


def test_only_mixup_changes_labels():
    labels = np.arange(BATCH)[:, None] % 2
    np.testing.assert_array_equal(change(noise(), labels, **STRONG)[1], labels)


def test_the_images_of_a_batch_change_independently():
    changed, _ = change(repeat(noise(1)[0, ..., 0]), **GEOMETRY)
    assert len(np.unique(changed.reshape(BATCH, -1), axis=0)) == BATCH


# Geometry


@pytest.mark.parametrize(
    ("setting", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)]
)
def test_a_flip_mirrors_half_of_the_images_exactly(setting, axis):
    images = noise()
    changed, _ = change(images, **{setting: True})
    mirrored = (changed == np.flip(images, axis)).all(axis=(1, 2, 3))
    kept = (changed == images).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 16 < mirrored.sum() < 48


def test_one_resampling_equals_scipy_in_the_interior():
    transforms, inside = matrices(**GEOMETRY)
    smooth = scipy.ndimage.gaussian_filter(noise(1)[0, ..., 0].astype("float64"), 1)
    changed, _ = change(repeat(smooth), **GEOMETRY)
    for matrix, known, received in zip(
        transforms, inside, changed[..., 0], strict=True
    ):
        expected = scipy.ndimage.affine_transform(
            smooth, matrix[:, :2], matrix[:, 2], order=1
        )
        np.testing.assert_allclose(received[known], expected[known], atol=0.05)
    assert inside.mean() > 0.5


def test_rotation_turns_about_the_centre_by_as_much_as_is_set():
    transforms, _ = matrices(rotation_degrees=30.0)
    turns = transforms[:, :, :2]
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.tile(np.eye(2), (BATCH, 1, 1)), atol=1e-3
    )
    assert (np.linalg.det(turns) > 0).all()
    degrees = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    assert np.abs(degrees).max() < 30.1
    assert degrees.min() < -20
    assert degrees.max() > 20
    assert_fixes_the_centre(transforms)


def assert_fixes_the_centre(transforms):
    centre = np.full(2, (SIZE - 1) / 2)
    moved = transforms[:, :, :2] @ centre + transforms[:, :, 2]
    np.testing.assert_allclose(moved, np.tile(centre, (BATCH, 1)), atol=0.02)


def test_zoom_is_symmetric_between_larger_and_smaller():
    transforms, _ = matrices(zoom=0.5)
    np.testing.assert_allclose(transforms[:, 0, 1], 0, atol=1e-3)
    np.testing.assert_allclose(transforms[:, 0, 0], transforms[:, 1, 1], atol=1e-3)
    magnification = 1 / transforms[:, 0, 0]
    assert 1 / 1.501 < magnification.min() < 0.75
    assert 1.35 < magnification.max() < 1.501
    assert abs(np.log(magnification).mean()) < 0.1
    assert_fixes_the_centre(transforms)


def test_where_a_disc_becomes_larger_the_zoom_magnifies():
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    disc = 255.0 * (np.hypot(y, x) < 10)
    area = change(repeat(disc), zoom=0.5)[0].sum(axis=(1, 2, 3)) / disc.sum()
    transforms, _ = matrices(zoom=0.5)
    np.testing.assert_allclose(area, transforms[:, 0, 0] ** -2, rtol=0.05)


def test_aspect_stretches_one_side_against_the_other_at_equal_area():
    transforms, _ = matrices(aspect=0.5)
    np.testing.assert_allclose(np.linalg.det(transforms[:, :, :2]), 1, atol=5e-3)
    aspect = transforms[:, 1, 1] / transforms[:, 0, 0]
    assert 1 / 1.51 < aspect.min() < 0.75
    assert 1.35 < aspect.max() < 1.51
    assert_fixes_the_centre(transforms)


def test_translation_shifts_by_a_share_of_the_side():
    transforms, _ = matrices(translation=0.25)
    np.testing.assert_allclose(
        transforms[:, :, :2], np.tile(np.eye(2), (BATCH, 1, 1)), atol=1e-3
    )
    for shift in transforms[:, :, 2].T:
        assert np.abs(shift).max() < 0.25 * SIZE + 0.05
        assert shift.min() < -0.15 * SIZE
        assert shift.max() > 0.15 * SIZE
    assert abs(np.corrcoef(transforms[:, :, 2].T)[0, 1]) < 0.5


def test_what_comes_in_from_outside_is_black():
    changed, _ = change(repeat(np.full((SIZE, SIZE), 200)), translation=0.5)
    assert (changed.min(axis=(1, 2, 3)) == 0).mean() > 0.9
    assert (changed.max(axis=(1, 2, 3)) == 200).all()


# Grey levels


def test_brightness_shifts_all_pixels_of_an_image_alike():
    images = noise(low=60, high=190)
    shift = change(images, brightness=0.2)[0] - images
    per_image = shift.mean(axis=(1, 2, 3))
    assert np.ptp(shift, axis=(1, 2, 3)).max() < 1e-3
    assert -51.01 < per_image.min() < -35
    assert 35 < per_image.max() < 51.01


def test_contrast_scales_about_the_mean_of_the_image():
    images = noise(low=100, high=150)
    changed, _ = change(images, contrast=0.4)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(changed.mean(axis=(1, 2, 3), keepdims=True), mean, 1e-4)
    scale = changed.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    expected = mean + (images - mean) * scale[:, None, None, None]
    np.testing.assert_allclose(changed, expected, atol=1e-2)
    assert 0.599 < scale.min() < 0.7
    assert 1.3 < scale.max() < 1.401


def test_gamma_is_a_power_of_the_grey_level():
    levels = np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE)
    changed = change(repeat(levels), gamma=1.0)[0][..., 0]
    middle = SIZE // 2
    exponent = np.log(changed[:, middle, 0] / 255) / np.log(levels[middle, 0] / 255)
    expected = 255 * (levels / 255) ** exponent[:, None, None]
    np.testing.assert_allclose(changed, expected, atol=0.02)
    assert 0.499 < exponent.min() < 0.6
    assert 1.7 < exponent.max() < 2.001


def test_blur_spreads_a_point_in_half_of_the_images_and_loses_no_light():
    point = np.zeros((SIZE, SIZE))
    point[20, 30] = 255
    changed = change(repeat(point), blur_pixels=1.5)[0][..., 0]
    blurred = changed[:, 20, 30] < 255
    assert 16 < blurred.sum() < 48
    np.testing.assert_array_equal(changed[~blurred], repeat(point)[~blurred, ..., 0])
    np.testing.assert_allclose(changed.sum(axis=(1, 2)), 255, rtol=1e-4)
    patch = changed[:, 14:27, 24:37]
    for turned in (patch[:, ::-1], patch[:, :, ::-1], patch.transpose(0, 2, 1)):
        np.testing.assert_allclose(patch, turned, atol=1e-3)
    offsets = np.arange(-6, 7)
    variance = (patch.sum(1) * offsets**2).sum(1) / 255
    assert variance[blurred].min() > 0
    assert variance.max() <= 1.5**2


def test_blur_does_not_darken_the_border():
    changed, _ = change(repeat(np.full((SIZE, SIZE), 100)), blur_pixels=3.0)
    np.testing.assert_allclose(changed, 100, rtol=1e-4)


def test_noise_multiplies_half_of_the_images():
    images = repeat(np.where(np.arange(SIZE) < 24, 0, 80)[:, None] * np.ones(SIZE))
    ratio = change(images, noise=0.3)[0][:, 24:] / 80
    changed, _ = change(images, noise=0.3)
    assert not changed[:, :24].any()
    noisy = (ratio != 1).any(axis=(1, 2, 3))
    assert 16 < noisy.sum() < 48
    deviation = ratio[noisy].std(axis=(1, 2, 3))
    assert deviation.max() < 0.32
    assert deviation.max() > 0.2
    np.testing.assert_allclose(ratio.mean(axis=(1, 2, 3)), 1, atol=0.05)


def test_a_grey_curve_rises_from_black_to_white_and_is_straight_on_average():
    levels = np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE)
    curves = np.concatenate(
        [change(repeat(levels), seed=(1, n), grey_curve=1.0)[0] for n in range(8)]
    ).reshape(8 * BATCH, -1)
    np.testing.assert_allclose(curves[:, 0], 0, atol=1e-3)
    np.testing.assert_allclose(curves[:, -1], 255, atol=1e-2)
    assert np.diff(curves).min() > -1e-3
    np.testing.assert_allclose(curves.mean(axis=0), levels.ravel(), atol=6)
    # Straight between levels an eighth apart, and there as high as the beta
    # distribution that cumulated parts of a Dirichlet distribution have.
    knots = np.searchsorted(levels.ravel(), 255 * np.arange(1, 8) / 8)
    expected = np.interp(levels.ravel(), 255 * np.arange(9) / 8, [0, *range(1, 9)])
    assert expected[knots[0]] == pytest.approx(1, abs=0.01)
    for number, knot in enumerate(knots, start=1):
        beta = scipy.stats.beta(2.0 * number, 2.0 * (8 - number))
        heights = curves[:, knot] / 255
        assert scipy.stats.kstest(heights, beta.cdf).pvalue > 1e-3
    half = change(repeat(levels), seed=(1, 0), grey_curve=0.5)[0].reshape(BATCH, -1)
    middle = (levels.ravel() + curves[:BATCH]) / 2
    np.testing.assert_allclose(half, middle, atol=1e-2)


def test_a_depth_gain_is_three_cosines_of_the_row_within_its_bound():
    images = repeat(np.full((SIZE, SIZE), 100.0))
    gain = change(images, depth_gain=0.4)[0][..., 0] / 100
    assert np.ptp(gain, axis=2).max() < 1e-5
    rows = gain[:, :, 0] - 1
    assert np.abs(rows).max() <= 0.4
    assert np.abs(rows).max() > 0.2
    places = (np.arange(SIZE) + 0.5) / SIZE
    cosines = np.cos(np.pi * np.outer(places, [1, 2, 3]))
    heights, left, *_ = np.linalg.lstsq(cosines, rows.T, rcond=None)
    assert left.max() < 1e-6
    assert 0.11 < np.abs(heights).max() <= 0.4 / 3 + 1e-5
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=0.05)


def test_an_unsharp_mask_adds_what_a_blur_takes_and_keeps_the_mean():
    edge = np.where(np.arange(SIZE) < 24, 90.0, 160.0)[:, None] * np.ones(SIZE)
    changed = change(repeat(edge), sharpen=1.0)[0][..., 0]
    sharp = (np.abs(changed - edge) > 1e-3).any(axis=(1, 2))
    assert 16 < sharp.sum() < 48
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), edge.mean(), rtol=1e-4)
    # The dark side falls and the bright one rises, next to the edge alone.
    assert (changed[sharp, 23, 5] < 90).all() and (changed[sharp, 24, 5] > 160).all()
    np.testing.assert_allclose(changed[:, :12], 90, atol=1e-2)
    widths = np.linspace(0.8, 2.0, 60)
    blurred = [scipy.ndimage.gaussian_filter1d(edge[:, 0], w, radius=4) for w in widths]
    loss = np.array([edge[:, 0] - line for line in blurred])
    added = changed[sharp, :, 5] - edge[:, 0]
    (width,) = {
        int(np.argmin(((line / line[24] - loss / loss[:, [24]]) ** 2).sum(axis=1)))
        for line in added
    }
    strength = added[:, 24] / loss[width][24]
    assert strength.min() > 0 and strength.max() < 1.02
    np.testing.assert_allclose(added, strength[:, None] * loss[width], atol=0.6)


def test_smoothed_speckle_has_a_grain_and_is_as_strong_as_set():
    images = repeat(np.full((SIZE, SIZE), 80.0))
    speckled, dust = (change(images, **{k: 0.3})[0] / 80 for k in ("speckle", "noise"))
    touched = (speckled != 1).any(axis=(1, 2, 3))
    assert 16 < touched.sum() < 48
    deviation = speckled[touched].std(axis=(1, 2, 3))
    assert 0.2 < deviation.max() < 0.33
    np.testing.assert_allclose(speckled.mean(), 1, atol=0.01)

    def beside(values):
        """Correlation of neighbours, of those that vary most."""
        lines = values[np.argmax(values.std(axis=(1, 2, 3))), ..., 0] - 1
        return np.corrcoef(lines[:, :-1].ravel(), lines[:, 1:].ravel())[0, 1]

    assert abs(beside(dust)) < 0.1 < 0.25 < beside(speckled)


def test_cutout_covers_one_rectangle_of_one_level_in_half_of_the_images():
    images = noise(low=0, high=256)
    changed, _ = change(images, cutout=0.5)
    covered = [np.argwhere(c != i) for c, i in zip(changed, images, strict=True)]
    touched = [i for i, where in enumerate(covered) if len(where)]
    assert 16 < len(touched) < 48
    levels, sides = [], []
    for i in touched:
        top, left, _ = covered[i].min(axis=0)
        bottom, right, _ = covered[i].max(axis=0) + 1
        levels.append(changed[i, top, left, 0])
        rectangle = changed[i, top:bottom, left:right]
        np.testing.assert_allclose(rectangle, levels[-1], atol=1e-3)
        sides += [bottom - top, right - left]
    assert max(sides) <= 0.5 * SIZE + 1
    assert max(sides) > 0.35 * SIZE
    assert np.ptp(levels) > 100


def test_mixup_mixes_images_and_labels_by_one_share():
    # An image of one level whose label is that level tells the same of both.
    levels = np.linspace(0, 255, BATCH).astype("float32")
    images = np.ones((BATCH, SIZE, SIZE, 1), "float32") * levels[:, None, None, None]
    changed, labels = change(images, levels[:, None] / 255, mixup=1.0)
    assert labels.shape == (BATCH, 1)
    np.testing.assert_allclose(changed.min(axis=(1, 2, 3)) / 255, labels[:, 0], 1e-4)
    np.testing.assert_allclose(changed.max(axis=(1, 2, 3)) / 255, labels[:, 0], 1e-4)
    assert (np.abs(labels[:, 0] - levels / 255) > 0.01).mean() > 0.5


def test_mixup_leaves_most_of_a_label_to_its_own_image():
    own = np.eye(BATCH, dtype="float32")
    labels = [change(noise(), own[:, [i]], mixup=0.4)[1] for i in range(8)]
    shares = np.hstack(labels)
    assert (shares[np.arange(8), np.arange(8)] >= 0.5).all()
    others = shares[own[:, :8] == 0]
    assert others.min() >= 0
    assert others.max() <= 0.5


# RandAugment


def test_rand_augment_draws_on_the_processor_whatever_else_computes(monkeypatch):
    devices = []

    def note(*_, **__):
        devices.append(tf.constant(0).device)

    monkeypatch.setattr("tensorflow.random.Generator.from_seed", note)
    monkeypatch.setattr("tensorflow.random.set_global_generator", note)
    monkeypatch.setattr("usgland.models.augmentation.keras_cv.layers.RandAugment", note)
    with tf.Graph().as_default():  # Its operations name the device they were given.
        make_rand_augment(0.5, 1)
    assert devices == ["/device:CPU:*"] * 3


@pytest.mark.parametrize("deterministic", [False, True])
def test_rand_augment_repeats_under_one_seed_and_not_under_another(deterministic):
    if deterministic:  # As `fit` does; it cannot be taken back in this process.
        tf.config.experimental.enable_op_determinism()
    images = tf.constant(noise(8), tf.float32)
    dataset = tf.data.Dataset.from_tensors(images).repeat(3)
    first, same, other = (
        np.stack(list(dataset.map(make_rand_augment(0.5, seed)).as_numpy_iterator()))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    assert (first[0] != first[1]).any()
    assert first.shape == (3, *images.shape)
    assert first.min() >= 0
    assert first.max() <= 255
    assert (first != images.numpy()).any(axis=(0, 2, 3, 4)).sum() >= 6


PICTURE, GRID = 64, 9
ALL = {**GEOMETRY, "equalize_size": 1.0}


def views(lesions, seed=(1, 2), **settings):
    """The map from views to pictures of each lesion, and the lesion's map.

    In shares of the picture's side, `(batch, 2, 3)`: y and x of the picture by y, x
    (in shares of the view's side) and 1. The lesions' maps are `(batch, GRID, GRID)`.
    """
    settings = AugmentationSettings(**{**OFF, **settings})
    augment = make_augment(settings, size=SIZE, grid=GRID)
    lesions = np.asarray(lesions, "float32")
    # Ramps that go on for ever would show every map; these end at the picture's edge.
    y, x = np.mgrid[:PICTURE, :PICTURE] * 255.0 / (PICTURE - 1)
    seen = []
    for ramp in (y, x, np.full((PICTURE, PICTURE), 255.0)):
        pictures = np.repeat(ramp[None, ..., None], len(lesions), axis=0)
        changed, _, maps = augment(
            tf.constant(pictures), tf.zeros((len(lesions), 1)), seed, lesions
        )
        seen.append(changed.numpy()[..., 0])
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    transforms = []
    for rows, columns, white in zip(*seen, strict=True):
        inside = scipy.ndimage.binary_erosion(white > 254.99, np.ones((3, 3)))
        share = np.stack([rows[inside], columns[inside]], axis=1) / 255
        origin = (share * (PICTURE - 1) + 0.5) / PICTURE
        shown = np.stack([y[inside], x[inside], np.ones(inside.sum())], axis=1)
        solution, *_ = np.linalg.lstsq(shown, origin, rcond=None)
        transforms.append(solution.T)
    return np.array(transforms), maps.numpy()[..., 0]


def lesions(batch=BATCH, low=0.25, high=0.32):
    """Ellipses of which no view of equalized size reaches a limit."""
    draws = np.random.default_rng(3)
    centres = draws.uniform(0.35, 0.65, (batch, 2))
    longest = draws.uniform(low, high, batch)
    halves = np.stack([longest * draws.uniform(0.5, 1, batch), longest], axis=1) / 2
    return np.concatenate([centres, halves], axis=1).astype("float32")


def sides(transforms):
    """Of the views, in shares of the picture's side."""
    return np.sqrt(np.abs(np.linalg.det(transforms[:, :, :2])))


def test_a_view_is_one_bilinear_look_at_the_picture():
    draws = np.random.default_rng(0)
    pictures = draws.integers(0, 256, (BATCH, PICTURE, PICTURE, 1), dtype=np.uint8)
    settings = AugmentationSettings(**{**OFF, **ALL})
    augment = make_augment(settings, size=SIZE)
    seen, _ = augment(pictures, np.zeros((BATCH, 1), "float32"), (1, 2), lesions())
    transforms, _ = views(lesions(), **ALL)
    for number in range(8):
        turn, shift = transforms[number, :, :2], transforms[number, :, 2]
        # From the number of a pixel to that of the other.
        matrix = turn * PICTURE / SIZE
        offset = (shift + turn @ [0.5 / SIZE, 0.5 / SIZE]) * PICTURE - 0.5
        expected = scipy.ndimage.affine_transform(
            pictures[number, ..., 0].astype("float64"),
            matrix,
            offset,
            (SIZE, SIZE),
            order=1,
            mode="grid-constant",
        )
        assert np.abs(expected - seen[number, ..., 0]).max() < 2


def test_lesions_are_seen_where_the_view_shows_them():
    ellipses = lesions()
    transforms, maps = views(ellipses, **ALL)
    fine = 20 * GRID
    y, x = (np.mgrid[:fine, :fine] + 0.5) / fine
    for number in range(16):
        centre_y, centre_x, half_height, half_width = ellipses[number]
        rows, columns = np.einsum(
            "ij,jyx->iyx", transforms[number], np.stack([y, x, np.ones_like(y)])
        )
        below = (rows - centre_y) / (1.15 * half_height)
        right = (columns - centre_x) / (1.15 * half_width)
        inside = below**2 + right**2 < 1
        area = inside.reshape(GRID, 20, GRID, 20).mean(axis=(1, 3))
        assert np.abs(area - maps[number]).max() < 0.13  # of 16 points a cell
        assert abs(area.mean() - maps[number].mean()) < 0.01


def test_equalized_views_tell_nothing_of_the_size():
    ellipses = lesions(256)
    transforms, _ = views(ellipses, **{"equalize_size": 1.0})
    before = 2 * ellipses[:, 2:].max(axis=1)
    after = before / sides(transforms)
    assert after.min() > 0.2 - 1e-3
    assert after.max() < 0.7 + 1e-3
    assert np.mean(after) == pytest.approx(0.45, abs=0.02)  # of a uniform share
    assert np.std(after) == pytest.approx(0.5 / 12**0.5, abs=0.02)
    assert abs(scipy.stats.spearmanr(before, after).statistic) < 0.12
    centres = transforms @ [0.5, 0.5, 1.0]
    off = np.abs(centres - ellipses[:, :2]) / sides(transforms)[:, None]
    assert off.max() < 0.15 + 1e-3


def test_a_view_of_a_lesion_has_its_limits():
    tiny, huge = lesions(BATCH, 0.02, 0.03), lesions(BATCH, 1.3, 1.4)
    narrow, wide = (
        sides(views(ellipses, equalize_size=1.0)[0]) for ellipses in (tiny, huge)
    )
    np.testing.assert_allclose(narrow, 0.35, atol=0.01)
    assert wide.max() == pytest.approx(1.6, abs=0.01)


def test_a_share_of_the_marked_images_is_equalized_and_no_other():
    ellipses = lesions(256)
    ellipses[::2] = np.nan
    ellipses[1::4] = 0  # no lesion
    without, _ = views(ellipses, **GEOMETRY)
    transforms, maps = views(ellipses, **GEOMETRY, equalize_size=0.5)
    moved = np.abs(transforms - without).max(axis=(1, 2)) > 1e-3
    assert not moved[::2].any()
    assert not moved[1::4].any()
    assert 0.3 < moved[3::4].mean() < 0.7
    assert np.isnan(maps[::2]).all()
    assert not maps[1::4].any()
    assert maps[3::4].max(axis=(1, 2)).min() > 0.5
