"""Crops, held against the resampling of training's views."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from usgland.config import AugmentationSettings
from usgland.models.augmentation import make_augment
from usgland.models.views import WHOLE, WholeView, crop, whole_view

BOXES = (
    WHOLE,
    (0.25, 0.1, 0.5, 0.5),
    (-0.2, 0.3, 0.7, 0.7),
    (0.6, -0.5, 0.35, 0.9),
    (-0.3, -0.3, 1.6, 1.6),
)


def pictures(side=40):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (len(BOXES), side, side, 1), dtype=np.uint8)


@pytest.mark.parametrize("size", [16, 40, 57])
def test_a_crop_is_resampled_as_training_does(size):
    grey = pictures()
    cropped = np.asarray(crop(tf.constant(grey), tf.constant(BOXES), size))
    assert cropped.shape == (len(BOXES), size, size, 1)
    for picture, (x, y, width, height), received in zip(
        grey, BOXES, cropped, strict=True
    ):
        down, across = 40 * height / size, 40 * width / size
        left, top = 40 * x + across / 2 - 0.5, 40 * y + down / 2 - 0.5
        expected = tf.raw_ops.ImageProjectiveTransformV3(
            images=picture[None].astype("float32"),
            transforms=[[across, 0, left, 0, down, top, 0, 0]],
            output_shape=[size, size],
            fill_value=0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )[0]
        np.testing.assert_allclose(received, expected, atol=0.01)


def test_the_whole_is_what_training_shows_where_nothing_is_changed():
    nothing = dict.fromkeys(AugmentationSettings.model_fields, 0)
    augment = make_augment(AugmentationSettings(**nothing), size=28)
    grey, seed = tf.constant(pictures()), tf.constant([0, 0])
    shown, _ = augment(grey, tf.zeros((len(BOXES), 1)), seed)
    np.testing.assert_allclose(whole_view(grey, 28), shown, atol=0.01)


def test_beyond_the_picture_is_black():
    view = crop(
        tf.fill([1, 40, 40, 1], 255.0), tf.constant([(-0.5, 0.0, 2.0, 1.0)]), 32
    )
    grey = np.asarray(view)[0, :, :, 0]
    np.testing.assert_allclose(grey[:, 8:24], 255, atol=1e-3)
    assert not grey[:, :8].any()
    assert not grey[:, 24:].any()


def test_the_whole_of_a_picture_of_the_size_of_a_view_is_the_picture():
    grey = pictures()
    np.testing.assert_array_equal(whole_view(tf.constant(grey), 40), grey)


def test_a_view_survives_saving(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")  # which has no place for its greys
    inputs = keras.Input((40, 40, 1), dtype="uint8")
    model = keras.Model(inputs, WholeView(30, name="view")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    view = loaded.predict(pictures(), verbose=0)
    assert view.dtype == np.float32
    boxes = tf.constant([WHOLE])
    np.testing.assert_allclose(
        view, crop(tf.constant(pictures()), boxes, 30), rtol=1e-6
    )
