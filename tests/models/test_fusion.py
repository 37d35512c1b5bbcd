"""Image and form in one model: each fusion, and what happens where a side is absent."""

import io
import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from usgland.config import load_config
from usgland.models.classifier import (
    LOGIT,
    build_classifier,
    image_layers,
    pixels_to_logit,
    pixels_to_pooled,
    pooled_to_logit,
)
from usgland.models.clinical import learn_encoding
from usgland.models.fusion import FUSIONS, fuse

pytestmark = pytest.mark.usefixtures("tiny_network")
COLUMNS = (
    "clinical.columns={age: {kind: number, role: demographic, low: 1, high: 110}, "
    "shape: {kind: category, role: image_read, words: [round, flat]}}"
)
ROWS = pd.DataFrame(
    {
        "patient_id": ["a", "b", "c", "d"],
        "age": [30.0, 50.0, 60.0, 70.0],
        "shape": ["round", "flat", "round", "flat"],
    }
)


def png(seed):
    grey = np.random.default_rng(seed).integers(0, 255, (70, 80), dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def build(fusion="concat", inputs="both", **kwargs):
    config = load_config(
        None,
        [
            f"model.inputs={inputs}",
            f"model.fusion={fusion}",
            "model.weights=null",
            "preprocessing.image_size=64",
            COLUMNS,
        ],
    )
    model = build_classifier(config, learn_encoding(ROWS, config.clinical))
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:  # none of them at its zero start
        variable.assign(rng.normal(0, 0.3, variable.shape))
    if fusion == "offset" and inputs == "both":
        model.get_layer(LOGIT).set_weights(list(map(np.array, OFFSET)))
    return config, model


def ask(model, images, ages, shapes):
    """Logits, which do not saturate as probabilities do."""
    logit = keras.Model(model.input, model.get_layer(LOGIT).output)
    inputs = {
        "image_bytes": tf.constant(images),
        "age": tf.constant(ages, tf.float32),
        "shape": tf.constant(shapes),
    }
    return np.asarray(logit(inputs, training=False))[:, 0]


OFFSET = (0.7, -0.2, 1.6)  # weight, mean and deviation
IMAGES = [png(0), png(1), png(2)]
AGES, SHAPES = [20.0, 65.0, 90.0], ["round", "flat", "round"]
NO_IMAGES, NO_AGES, NO_SHAPES = [""] * 3, [math.nan] * 3, [""] * 3


@pytest.mark.parametrize("fusion", FUSIONS)
def test_each_side_alone_answers_whatever_the_other_was(fusion):
    _, model = build(fusion)
    both = ask(model, IMAGES, AGES, SHAPES)
    image = ask(model, IMAGES, NO_AGES, NO_SHAPES)
    form = ask(model, NO_IMAGES, AGES, SHAPES)
    assert len(set(np.round(both, 6))) == 3
    # Both matter; with the other side absent the answer follows this side alone.
    assert np.abs(both - image).max() > 1e-4 and np.abs(both - form).max() > 1e-4
    same_image = ask(model, [IMAGES[0]] * 3, NO_AGES, NO_SHAPES)
    assert np.ptp(same_image) == 0
    assert np.ptp(image) > 1e-6
    assert np.ptp(ask(model, NO_IMAGES, [50.0] * 3, ["flat"] * 3)) == 0
    assert np.ptp(form) > 1e-6
    nothing = ask(model, NO_IMAGES, NO_AGES, NO_SHAPES)
    assert np.isfinite(nothing).all() and np.ptp(nothing) == 0


def test_late_fusion_is_the_mean_of_two_logits_and_either_alone_is_its_own():
    _, model = build("late")
    balance = float(tf.sigmoid(model.get_layer(LOGIT).balance))
    both = ask(model, IMAGES, AGES, SHAPES)
    image = ask(model, IMAGES, NO_AGES, NO_SHAPES)
    form = ask(model, NO_IMAGES, AGES, SHAPES)
    np.testing.assert_allclose(both, balance * image + (1 - balance) * form, atol=1e-5)


def test_the_image_is_weighed_beside_the_form_and_either_alone_is_its_own():
    _, model = build("offset")
    both = ask(model, IMAGES, AGES, SHAPES)
    image = ask(model, IMAGES, NO_AGES, NO_SHAPES)
    form = ask(model, NO_IMAGES, AGES, SHAPES)
    weight, mean, deviation = OFFSET
    expected = form + weight * (image - mean) / deviation
    np.testing.assert_allclose(both, expected, atol=1e-5)
    features, _ = model.get_layer("clinical_encoding")(
        [tf.constant(AGES), tf.constant(SHAPES)]
    )
    kernel, bias = model.get_layer("clinical_logit").get_weights()
    expected = np.asarray(features) @ kernel[:, 0] + bias
    np.testing.assert_allclose(form, expected, atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_save_and_the_parts_give_the_same_logits(fusion, tmp_path):
    _, model = build(fusion)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    expected = ask(model, IMAGES, AGES, SHAPES)
    np.testing.assert_array_equal(ask(loaded, IMAGES, AGES, SHAPES), expected)
    pixels = tf.cast(model.get_layer("preprocessing")(tf.constant(IMAGES)), tf.float32)
    features, form_given = model.get_layer("clinical_encoding")(
        [tf.constant(AGES), tf.constant(SHAPES)]
    )
    ones = tf.ones((3, 1))
    logit = pixels_to_logit(model)((pixels, features, ones, form_given))
    np.testing.assert_allclose(logit[:, 0], expected, atol=1e-5)
    pooled = pixels_to_pooled(model)(pixels)
    again = pooled_to_logit(model)((pooled, features, ones, form_given))
    np.testing.assert_allclose(again, logit, atol=1e-5)


def test_the_form_alone_takes_no_image():
    config, model = build(inputs="clinical")
    assert set(model.input) == {"age", "shape"}
    answers = model({"age": tf.constant(AGES), "shape": tf.constant(SHAPES)})
    assert np.ptp(answers) > 1e-4
    assert image_layers(model, config) == []
    assert pixels_to_logit(model).input.shape == (None, 5)


def test_an_empty_image_stays_an_error_where_there_is_no_form():
    _, model = build(inputs="image")
    with pytest.raises(tf.errors.InvalidArgumentError):
        model(tf.constant([""]))


def test_the_branches_are_told_apart():
    config, model = build()
    assert set(image_layers(model, config)) == {"conv1", "norm1"}


def test_a_form_without_its_encoding_is_refused():
    config = load_config(None, ["model.inputs=both", "model.weights=null"])
    with pytest.raises(ValueError, match="`encoding` must be given"):
        build_classifier(config)


def test_an_unknown_fusion_is_refused():
    side = keras.Input((1,))
    with pytest.raises(ValueError, match="Received: 'sum'"):
        fuse(side, side, side, side, fusion="sum", units=2, name="x")
