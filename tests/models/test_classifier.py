"""The whole model, from bytes to P(malignant)."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from usgland.config import load_config
from usgland.errors import UserError
from usgland.models.classifier import (
    INPUT,
    LOGIT,
    PREPROCESSING,
    PROBABILITY,
    build_classifier,
    pixels_to_logit,
)
from usgland.models.lesion_head import HEAD

BACKBONES = [
    "squeezenet1_0",
    "squeezenet1_1",
    "mobilenet_v2",
    "vgg16",
    pytest.param("resnet101", marks=pytest.mark.slow),
]


def small_config(*overrides):
    """Settings of a network of 64 pixels that starts from random."""
    return load_config(
        None, ["model.weights=null", "preprocessing.image_size=64", *overrides]
    )


def encode(pixels, file_format="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def build(*overrides):
    """A classifier whose head is not at zero, where training starts."""
    model = build_classifier(small_config(*overrides))
    kernel = model.get_layer(LOGIT).kernel
    draws = np.random.default_rng(5)
    kernel.assign(draws.normal(0, 0.001, kernel.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def images():
    """Encoded images of several sizes and kinds, `(batch,)`."""
    return tf.constant(
        [
            encode(noise(80, 100)),
            encode(noise(90, 70, 3), "JPEG"),
            encode(noise(64, 64, 4)),
            encode(noise(31, 200), "BMP"),
        ]
    )


def test_bytes_go_in_and_one_probability_comes_out(model, images):
    assert [tensor.name for tensor in model.inputs] == [INPUT]
    assert model.inputs[0].dtype == "string"
    assert model.output_names == [PROBABILITY]
    probability = np.asarray(model(images))
    assert probability.shape == (4, 1)
    assert probability.dtype == np.float32
    assert len(np.unique(probability)) == 4


def test_the_head_is_one_logit_and_a_sigmoid(model, images):
    assert model.get_layer(LOGIT).units == 1
    assert model.get_layer(LOGIT).activation is keras.activations.linear
    both = keras.Model(model.input, [model.get_layer(LOGIT).output, model.output])
    logit, probability = (np.asarray(x, "float64") for x in both(images))
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logit)), atol=1e-6)


def test_a_negative_logit_gives_a_probability_below_one_half(images):
    model = build()
    model.get_layer(LOGIT).kernel.assign(-np.ones((1024, 1)))  # of features from 0 up
    pixels = model_pixels(model, images)
    assert (np.asarray(pixels_to_logit(model)(pixels)) < -1).all()
    assert (np.asarray(model(images)) < 0.3).all()


def model_pixels(model, images):
    return model.get_layer(PREPROCESSING)(images)


def test_the_pixels_path_shares_weights_and_agrees_with_the_bytes_path(images):
    model = build()
    learned = pixels_to_logit(model)
    assert learned.get_layer("conv1") is model.get_layer("conv1")
    assert learned.count_params() == model.count_params() == 792_290
    assert build("model.lesion_head=false").count_params() == 722_496 + 512 + 1
    pixels = model_pixels(model, images)
    for bias in (0.0, 1.5):  # set after both were made
        model.get_layer(LOGIT).bias.assign([bias])
        logit = np.asarray(learned(tf.cast(pixels, tf.float32)), "float64")
        expected = 1 / (1 + np.exp(-logit))
        np.testing.assert_allclose(np.asarray(model(images)), expected, atol=1e-6)
        # As tf.data gives them to prediction.
        np.testing.assert_array_equal(learned(pixels), logit)


def test_fractions_of_a_grey_level_reach_the_network(model, images):
    learned = pixels_to_logit(model)
    pixels = np.minimum(np.asarray(model_pixels(model, images), "float32"), 250)
    shifted = [np.asarray(learned(pixels + add)) for add in (0.0, 0.5, 1.0)]
    assert (shifted[0] != shifted[1]).all()
    assert (shifted[1] != shifted[2]).all()


def test_making_the_pixels_path_leaves_the_saved_model_as_it_was(images, tmp_path):
    model = build()
    model.save(tmp_path / "before.keras")
    pixels_to_logit(model)
    model.save(tmp_path / "after.keras")
    before, after = (
        keras.models.load_model(tmp_path / f"{name}.keras")
        for name in ("before", "after")
    )
    assert before.get_config() == after.get_config()
    np.testing.assert_array_equal(before(images), after(images))


@pytest.mark.parametrize("speckle_filter", ["none", "median3"])
def test_a_saved_classifier_gives_identical_probabilities(
    images, tmp_path, speckle_filter
):
    model = build(
        f"preprocessing.speckle_filter={speckle_filter}",
        "preprocessing.grey_percentiles=[2, 97]",
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = np.asarray(model(images))
    assert np.ptp(expected) > 1e-3
    np.testing.assert_array_equal(np.asarray(loaded(images)), expected)
    learned = pixels_to_logit(loaded)
    pixels = model_pixels(loaded, images)
    np.testing.assert_array_equal(pixels, model_pixels(model, images))
    np.testing.assert_array_equal(learned(pixels), pixels_to_logit(model)(pixels))


def test_dropout_acts_in_training_alone(model, images):
    pixels = model_pixels(model, images)
    learned = pixels_to_logit(model)
    expected = np.asarray(learned(pixels, training=False))
    np.testing.assert_array_equal(learned(pixels), expected)
    np.testing.assert_array_equal(learned.predict(pixels, verbose=0), expected)
    dropped = np.asarray(learned(pixels, training=True))
    assert (dropped != expected).all()
    assert model.get_layer("dropout").rate == 0.5


def test_without_dropout_training_sees_what_inference_sees(images):
    model = build("model.dropout=0")
    received = np.asarray(model(images, training=True))
    np.testing.assert_array_equal(received, model(images, training=False))


def test_training_starts_from_one_half(images):
    model = build_classifier(small_config())
    np.testing.assert_array_equal(model(images), np.full((4, 1), 0.5))


def test_one_seed_gives_one_network_and_another_seed_another():
    first, same, other = (
        build_classifier(small_config(f"train.seed={seed}")).get_weights()
        for seed in (3, 3, 4)
    )
    for array, again in zip(first, same, strict=True):
        np.testing.assert_array_equal(array, again)
    kernels = [(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    kernels = kernels[:-1]  # The head starts from zero.
    assert len(kernels) == 25 + 4  # of the backbone and of what draws the lesion
    assert all((a != b).any() for a, b in kernels)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_makes_one_flat_graph(backbone):
    model = build_classifier(
        small_config(f"model.backbone={backbone}", "model.alpha=0.35")
    )
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert any(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
    assert model.output.shape == (None, 1)
    assert model.output.dtype == "float32"


@pytest.mark.parametrize("backbone", ["squeezenet1_1", "mobilenet_v2"])
def test_a_classifier_takes_up_the_backbone_of_a_run(tmp_path, backbone):
    overrides = [f"model.backbone={backbone}", "model.alpha=0.35"]
    source = build(*overrides, "train.seed=1")
    source.save(tmp_path / "model.keras")
    model = build_classifier(
        small_config(*overrides, "train.seed=2", f"model.weights={tmp_path}")
    )
    assert not np.asarray(model.get_layer(LOGIT).kernel).any()  # A head of its own.
    for layer in model.layers:
        if layer.weights and layer.name not in (LOGIT, *HEAD):
            expected = source.get_layer(layer.name).get_weights()
            for array, stored in zip(layer.get_weights(), expected, strict=True):
                np.testing.assert_array_equal(array, stored, err_msg=layer.name)


def test_a_run_of_another_backbone_is_an_error(tmp_path):
    build_classifier(small_config("model.backbone=squeezenet1_0")).save(
        tmp_path / "model.keras"
    )
    with pytest.raises(UserError, match=r"conv1/kernel .*Received: shape \(7, 7, 3"):
        build_classifier(small_config(f"model.weights={tmp_path}"))


def test_mixed_precision_ends_in_float32(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build_classifier(small_config())
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    probability = model(images)
    assert probability.dtype == tf.float32
    assert model.get_layer("conv1").kernel.dtype == "float32"


@pytest.mark.parametrize("backbone", ["squeezenet1_1", "mobilenet_v2"])
def test_grad_cam_of_tf_keras_vis_equals_its_definition(images, backbone):
    from tf_keras_vis.gradcam import Gradcam

    layer = {"squeezenet1_1": "fire9_concat", "mobilenet_v2": "out_relu"}[backbone]
    without = "model.lesion_head=false"  # of which the definition is a plain mean
    model = build(f"model.backbone={backbone}", "model.alpha=0.35", without)
    learned = pixels_to_logit(model)
    copy = keras.models.clone_model(learned)
    copy.set_weights(learned.get_weights())
    pixels = tf.cast(model_pixels(model, images), tf.float32)
    heat = Gradcam(copy, clone=False)(
        lambda logit: logit[:, 0],
        pixels,
        penultimate_layer=layer,
        seek_penultimate_conv_layer=False,
        normalize_cam=False,
        expand_cam=False,
    )
    # The logit is linear in the mean of the last maps, so that their gradient is the
    # head's own weight (Selvaraju et al., 2017).
    features = np.asarray(
        keras.Model(copy.inputs, copy.get_layer(layer).output)(pixels)
    )
    weights = np.asarray(model.get_layer(LOGIT).kernel)[:, 0]
    area = features.shape[1] * features.shape[2]
    expected = np.maximum((features * weights).sum(-1) / area, 0)
    assert expected.max() > 0
    np.testing.assert_allclose(heat, expected, rtol=1e-4, atol=1e-6)
