"""The way into the square and back, against the layers that make it."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from usgland.errors import UserError
from usgland.explanation.letterbox import (
    letterbox_of,
    read_mask,
    to_original,
    to_square,
)
from usgland.models.preprocessing import pad_to_square, shrink_to_fit

SHAPES = [(600, 800), (471, 562), (64, 64), (33, 500), (501, 76), (225, 224), (10, 999)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_image_stands_where_preprocessing_puts_it(shape):
    white = tf.fill((*shape, 1), 255.0)
    square = pad_to_square(shrink_to_fit(white, 224), 224).numpy()[..., 0]
    expected = np.zeros((224, 224))
    expected[letterbox_of(*shape, 224).inside()] = 255
    np.testing.assert_array_equal(square, expected)


@pytest.mark.parametrize("shape", [(471, 562), (600, 800), (500, 120), (100, 150)])
@pytest.mark.parametrize("place", [(0.02, 0.03), (0.5, 0.5), (0.97, 0.4), (0.3, 0.98)])
def test_a_marked_place_comes_back_to_where_it_was(shape, place):
    row, column = (int(side * part) for side, part in zip(shape, place, strict=True))
    image = np.zeros((*shape, 1), "float32")
    image[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 255
    square = pad_to_square(shrink_to_fit(tf.constant(image), 224), 224)
    back = to_original(
        square.numpy()[..., 0].astype("float32"), letterbox_of(*shape, 224)
    )
    assert back.shape == shape
    y, x = np.mgrid[: shape[0], : shape[1]]
    centre = (y * back).sum() / back.sum(), (x * back).sum() / back.sum()
    # It is right to half a pixel of the square; at the rim the mark itself is cut.
    tolerance = max(0.5 * max(shape) / 224, 0.5) + 0.5
    np.testing.assert_allclose(centre, (row, column), atol=tolerance)


def test_a_mask_goes_into_the_square_as_its_image_does():
    mask = np.zeros((300, 400), bool)
    mask[60:120, 100:300] = True
    box = letterbox_of(300, 400, 200)
    expected = np.zeros((200, 200), bool)
    expected[25 + 30 : 25 + 60, 50:150] = True
    np.testing.assert_array_equal(to_square(mask, box), expected)


def test_a_mask_of_another_size_than_its_image_is_one_line(tmp_path):
    path = str(tmp_path / "mask.png")
    cv2.imwrite(path, np.full((30, 40), 255, "uint8"))
    assert read_mask(path, (30, 40)).all()
    with pytest.raises(UserError, match=r"size of its image, 41x30 .* Received: 40x30"):
        read_mask(path, (30, 41))


def test_a_mask_of_zeros_and_ones_is_a_mask(tmp_path):
    path = str(tmp_path / "mask.png")
    cv2.imwrite(path, np.eye(20, dtype="uint8"))
    np.testing.assert_array_equal(read_mask(path, (20, 20)), np.eye(20) > 0)


def test_a_mask_that_is_no_image_is_one_line(tmp_path):
    path = tmp_path / "mask.png"
    path.write_text("not an image")
    with pytest.raises(UserError, match="cannot be read as one"):
        read_mask(str(path), (20, 20))
    assert read_mask("", (20, 20)) is None
