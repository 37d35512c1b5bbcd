"""The head that draws the lesion, held against NumPy and TensorFlow."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from usgland.config import load_config
from usgland.models.classifier import (
    POOLED,
    build_classifier,
    has_head,
    pixels_to_logit,
    view_network,
)
from usgland.models.lesion_head import (
    HEAD,
    MAP,
    Enlarged,
    LesionPooling,
    _areas,
    map_losses,
)


def draws(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def classifier(*overrides):
    settings = ["model.weights=null", "preprocessing.image_size=64", *overrides]
    return build_classifier(load_config(None, settings))


def test_a_coarse_map_is_enlarged_as_tensorflow_does():
    coarse = draws(2, 13, 13, 5)
    expected = tf.image.resize(coarse, (27, 27), "bilinear")
    np.testing.assert_allclose(Enlarged(27)(coarse), expected, atol=1e-5)


def test_areas_are_shares_of_cells():
    fine = np.repeat(draws(27), 13)  # both 27 and 13 cells are whole here
    np.testing.assert_allclose(
        _areas(13, 27) @ draws(27), fine.reshape(13, 27).mean(1), atol=1e-5
    )


def test_pooling_is_the_mean_beside_one_that_looks_at_the_lesion():
    features, logits = draws(2, 4, 4, 3), 3 * draws(2, 8, 8, 1)
    pooled = LesionPooling()([features, logits]).numpy()
    lesion = expit(logits).reshape(2, 4, 2, 4, 2).mean((2, 4))
    weights = 0.5 / 16 + 0.5 * lesion / lesion.sum((1, 2), keepdims=True)
    seen = (weights[..., None] * features).sum((1, 2))
    expected = np.concatenate([features.mean((1, 2)), seen], axis=1)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_no_gradient_of_what_is_pooled_reaches_the_map():
    features, logits = tf.constant(draws(2, 4, 4, 3)), tf.constant(draws(2, 8, 8, 1))
    with tf.GradientTape() as tape:
        tape.watch([features, logits])
        pooled = LesionPooling()([features, logits])
    of_features, of_logits = tape.gradient(pooled, [features, logits])
    assert np.abs(of_features).min() > 0
    assert of_logits is None


def test_the_loss_of_a_map_is_entropy_and_dice():
    logits = 2 * draws(3, 6, 6, 1)
    targets = np.random.default_rng(0).uniform(size=(3, 6, 6, 1)).astype("float32")
    targets[1] = 0
    drawn = expit(logits.astype("float64"))
    entropy = -(targets * np.log(drawn) + (1 - targets) * np.log(1 - drawn))
    both = 2 * (drawn * targets).sum((1, 2, 3)) + 1
    dice = 1 - both / (drawn.sum((1, 2, 3)) + targets.sum((1, 2, 3)) + 1)
    expected = entropy.mean((1, 2, 3)) + dice
    np.testing.assert_allclose(map_losses(targets, logits), expected, rtol=1e-5)


def test_an_image_that_does_not_say_has_no_loss_and_no_gradient():
    targets = np.full((2, 6, 6, 1), np.nan, "float32")
    targets[0] = 0.5
    logits = tf.constant(draws(2, 6, 6, 1))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = map_losses(targets, logits)
    gradient = tape.gradient(losses, logits).numpy()
    assert losses[1] == 0
    assert not gradient[1].any()
    assert np.isfinite(gradient).all()
    assert gradient[0].any()


@pytest.mark.parametrize(
    ("backbone", "side"),
    [("squeezenet1_1", 27), ("squeezenet1_0", 27), ("efficientnet_lite0", 14)],
)
def test_the_head_stands_on_any_backbone(backbone, side):
    settings = (f"model.backbone={backbone}", "preprocessing.image_size=224")
    model = classifier(*settings)
    logit, drawn = view_network(model).outputs
    assert logit.shape == (None, 1)
    assert drawn.shape == (None, side, side, 1)
    if backbone == "squeezenet1_1":
        layers = [model.get_layer(name) for name in HEAD]
        # 512 x 64, 256 x 32, 3 x 3 x 96 x 32 and 32 weights, and a bias each.
        assert sum(layer.count_params() for layer in layers) == 68_769
        assert (
            model.count_params()
            - classifier(*settings, "model.lesion_head=false").count_params()
            == 68_769 + 512
        )  # channels seen twice


def test_a_classifier_with_a_head_survives_saving(tmp_path):
    model = classifier()
    kernel = model.get_layer("logit").kernel  # which starts from zeros
    kernel.assign(draws(*kernel.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert has_head(loaded)
    pictures = 100 + 50 * draws(2, 91, 91, 1)
    np.testing.assert_array_equal(
        pixels_to_logit(model)(pictures), pixels_to_logit(loaded)(pictures)
    )


def test_without_a_head_the_mean_is_pooled():
    model = classifier("model.lesion_head=false")
    assert not has_head(model)
    assert isinstance(model.get_layer(POOLED), keras.layers.GlobalAveragePooling2D)
    assert MAP not in [layer.name for layer in model.layers]


def test_the_form_alone_has_no_head():
    config = load_config(None, ["model.inputs=clinical"])
    assert config.model.lesion_head
    assert not config.has_lesion_head
