"""Crops, held against TensorFlow's own resampling."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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
def test_a_crop_is_what_tensorflow_resamples(size):
    grey = pictures()
    cropped = np.asarray(crop(tf.constant(grey), tf.constant(BOXES), size))
    assert cropped.shape == (len(BOXES), size, size, 1)
    for picture, (x, y, width, height), received in zip(
        grey, BOXES, cropped, strict=True
    ):
        scale = np.array([size / (40 * height), size / (40 * width)], "float32")
        expected = tf.raw_ops.ScaleAndTranslate(
            images=picture[None],
            size=[size, size],
            scale=scale,
            translation=-np.array([y, x], "float32") * 40 * scale,
            kernel_type="triangle",
            antialias=True,
        )[0]
        np.testing.assert_allclose(received, expected, atol=0.01)


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
