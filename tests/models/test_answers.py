"""Two looks at a picture, held against SciPy's labels and against single looks."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from usgland.config import load_config
from usgland.models.answers import (
    Looking,
    box_in_image,
    find_lesion,
    second_box,
    second_share,
)
from usgland.models.classifier import MAP, build_classifier, pixels_to_logit
from usgland.models.views import crop

SIDE, PICTURE = 12, 91


def drawn_maps(batch=40):
    """Blobs of noise, one or several an image, and one image without any."""
    noise = np.random.default_rng(0).normal(size=(batch, SIDE, SIDE))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 1.2, 1.2))
    maps = 1 / (1 + np.exp(-12 * (smooth - 0.1)))
    maps[0] = 0.4
    return maps[..., None].astype("float32")


def test_the_lesion_is_what_is_connected_with_the_highest_cell():
    maps = drawn_maps()
    boxes, found = (part.numpy() for part in find_lesion(tf.constant(maps)))
    several = 0
    for drawn, box, surest in zip(maps[..., 0], boxes, found, strict=True):
        assert surest == drawn.max()
        _, count = scipy.ndimage.label(drawn >= 0.5, np.ones((3, 3)))
        several += count > 1
        if not count:
            assert not box.any()
            continue
        lesion = np.arange(drawn.size).reshape(drawn.shape) == drawn.argmax()
        lesion = scipy.ndimage.binary_dilation(
            lesion, np.ones((3, 3)), SIDE, mask=drawn >= 0.5
        )
        weights = np.where(lesion, drawn.astype("float64") - 0.5, 0)
        for start, extent, axis in ((0, 2, 1), (1, 3, 0)):
            places = np.indices(drawn.shape)[axis] + 0.5
            centre = np.average(places, weights=weights)
            spread = np.average((places - centre) ** 2, weights=weights) + 1 / 12
            length = 4 * np.sqrt(spread) / 1.15
            assert box[extent] * SIDE == pytest.approx(length, rel=1e-4)
            middle = (box[start] + box[extent] / 2) * SIDE
            assert middle == pytest.approx(centre, rel=1e-5)
    assert several > 10


def test_the_box_is_that_of_the_ellipse_that_was_marked():
    side, centre, halves = 27, (0.6, 0.45), (0.2, 0.12)  # x, y of a grown ellipse
    points = (np.arange(8 * side) + 0.5) / (8 * side)
    right = ((points[None, :] - centre[0]) / halves[0]) ** 2
    below = ((points[:, None] - centre[1]) / halves[1]) ** 2
    cells = (right + below < 1).reshape(side, 8, side, 8).mean((1, 3))
    [box], _ = find_lesion(tf.constant(cells[None, ..., None].astype("float32")))
    expected = [
        *(middle - half / 1.15 for middle, half in zip(centre, halves, strict=True)),
        *(2 * half / 1.15 for half in halves),
    ]
    np.testing.assert_allclose(box, expected, atol=0.5 / side)


def test_an_answer_does_not_hang_on_the_last_digit_of_a_cell():
    drawn = drawn_maps()[1:]
    boxes, _ = find_lesion(tf.constant(drawn))
    at_edge = np.abs(drawn - 0.5).reshape(len(drawn), -1).argmin(axis=1)
    for value in (0.499999, 0.500001):
        moved = drawn.reshape(len(drawn), -1).copy()
        moved[np.arange(len(drawn)), at_edge] = value
        others, _ = find_lesion(tf.constant(moved.reshape(drawn.shape)))
        moves = np.abs(others.numpy() - boxes.numpy()).max(axis=1)
        assert np.mean(moves < 0.02) > 0.95  # else it joins two lesions
    np.testing.assert_allclose(
        second_share(tf.constant([0.4999, 0.5001])), 0, atol=2e-3
    )
    np.testing.assert_allclose(second_share(tf.constant([0.55, 1.0])), 0.5, atol=1e-6)


def test_of_several_highest_cells_the_first_is_the_lesion():
    drawn = np.zeros((1, SIDE, SIDE, 1), "float32")
    drawn[0, 2:4, 2:4] = 1
    drawn[0, 8:11, 8:11] = 1
    [box] = find_lesion(tf.constant(drawn))[0].numpy()
    assert box[0] + box[2] / 2 == pytest.approx(3 / SIDE)


def test_the_second_view_is_a_square_of_twice_the_lesion_within_limits():
    boxes = [
        (0.4, 0.5, 0.2, 0.3),
        (0.1, 0.1, 0.02, 0.05),
        (0.0, 0.2, 0.9, 0.4),
        (0.0, 0.0, 0.0, 0.0),
    ]
    squares = second_box(tf.constant(boxes)).numpy()
    np.testing.assert_allclose(
        squares,
        [
            (0.2, 0.35, 0.6, 0.6),
            (0.11 - 0.175, 0.125 - 0.175, 0.35, 0.35),
            (0.45 - 0.5, 0.4 - 0.5, 1, 1),
            (0, 0, 1, 1),
        ],
        atol=1e-6,
    )


def test_a_box_is_given_in_pixels_of_the_image():
    box = np.array([(0.25, 0.5, 0.5, 0.25), (-0.1, 0.1, 0.3, 0.2)])
    # 200 x 100 lies 50 pixels below the upper edge of its square.
    pixels = box_in_image(box, np.array([200.0, 100.0]), np.array([100.0, 200.0]))
    np.testing.assert_allclose(pixels, [(50, 50, 100, 50), (0, 20, 0, 40)], atol=1e-9)


def classifier(*overrides):
    settings = ["model.weights=null", "preprocessing.image_size=64", *overrides]
    model = build_classifier(load_config(None, settings), [])
    draws = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(draws.normal(0, 0.1, layer.kernel.shape))
    if MAP in [layer.name for layer in model.layers]:
        layer = model.get_layer(MAP)
        layer.kernel.assign(draws.normal(0, 0.002, layer.kernel.shape))
    return model


def pictures(batch=6):
    draws = np.random.default_rng(1)
    smooth = scipy.ndimage.gaussian_filter(
        draws.normal(size=(batch, PICTURE, PICTURE)), (0, 9, 9)
    )
    spread = smooth.std((1, 2), keepdims=True)
    return np.clip(128 + 60 * smooth / spread, 0, 255).astype("uint8")[..., None]


def sure_of_some(model, grey):
    """Shifts what the head draws so that a lesion is found in half of the pictures."""
    found = np.sort(Looking(model).answer(grey).found.numpy())
    middle = found[len(found) // 2 - 1 : len(found) // 2 + 1].astype("float64")
    shift = np.log(middle / (1 - middle)).mean()
    layer = model.get_layer(MAP)
    layer.bias.assign(layer.bias.numpy() - shift)


def test_the_answer_is_the_mean_of_both_views_where_a_lesion_is_found():
    model, grey = classifier(), pictures()
    sure_of_some(model, grey)
    answer = Looking(model).answer(grey)
    share = second_share(answer.found).numpy()[:, None]
    assert 0 < (share > 0).sum() < len(share)
    first = pixels_to_logit(model)(grey).numpy()
    # The same network, of what the second view shows, as a picture of its own.
    again = crop(tf.constant(grey), second_box(answer.box), 64)
    looking = Looking(model)
    second = looking.say(looking._seen(again)).numpy()
    expected = first + share * (second - first)
    np.testing.assert_allclose(answer.logit, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(second - first)[share > 0].min() > 1e-3


def test_the_mirror_makes_left_and_right_alike():
    model, grey = classifier("model.mirror=true"), pictures()
    answer, mirrored = (
        Looking(model).answer(part) for part in (grey, grey[:, :, ::-1])
    )
    np.testing.assert_allclose(answer.logit, mirrored.logit, rtol=1e-3, atol=1e-4)
    x, y, width, height = answer.box.numpy().T
    other = mirrored.box.numpy().T
    is_found = width > 0
    np.testing.assert_allclose((1 - x - width)[is_found], other[0][is_found], atol=1e-5)
    np.testing.assert_allclose((y, width, height), other[1:], atol=1e-5)
    plain = classifier()
    difference = np.asarray(Looking(plain).answer(grey).logit) - answer.logit
    assert np.abs(difference).max() > 1e-4


def test_one_view_is_the_saved_model_itself():
    model, grey = classifier("model.second_view=false"), pictures()
    answer = Looking(model).answer(grey)
    np.testing.assert_allclose(
        answer.logit, pixels_to_logit(model)(grey), rtol=1e-5, atol=1e-6
    )
    plain = classifier("model.lesion_head=false")
    answer = Looking(plain).answer(grey)
    assert answer.box is None
    assert answer.found is None
    np.testing.assert_allclose(
        answer.logit, pixels_to_logit(plain)(grey), rtol=1e-5, atol=1e-6
    )
