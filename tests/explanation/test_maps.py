"""Saliency maps: against tf-keras-vis, by hand, and with and without a form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.saliency import Saliency

from tests.explanation.networks import SIZE, classifier, gradcam_of_tf_keras_vis
from usgland.config import load_config
from usgland.errors import UserError
from usgland.explanation import maps as maps_module
from usgland.explanation.choices import METHODS
from usgland.explanation.explained import make_explained
from usgland.explanation.maps import make_maps
from usgland.models.answers import Looking
from usgland.models.classifier import build_classifier, pixels_to_logit

pytestmark = pytest.mark.usefixtures("tiny_network")


def inputs_of(model, cases=3):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (cases, SIZE, SIZE, 1)).astype("uint8")
    if len(pixels_to_logit(model).inputs) == 1:
        return pixels
    features = rng.normal(size=(cases, 2)).astype("float32")
    is_given = np.ones((cases, 1), "float32")
    return pixels, features, is_given, is_given


def test_gradcam_equals_that_of_tf_keras_vis():
    model = classifier()
    explained, pixels = make_explained(model), inputs_of(model)
    for label, sign in (("malignant", 1), ("benign", -1)):
        theirs = gradcam_of_tf_keras_vis(explained, pixels, sign)
        ours = maps_module._gradcam(explained, (pixels,), label)
        assert theirs.max() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fusion", ["concat", "gated", "film", "late", "offset"])
def test_the_form_that_is_held_gives_the_logit_of_the_whole_model(fusion):
    model = classifier("both", fusion)
    explained, inputs = make_explained(model), inputs_of(model)
    whole = pixels_to_logit(model)
    expected = whole(tuple(array.astype("float32") for array in inputs))
    for case in range(3):
        pixels, *form = (array[case : case + 1] for array in inputs)
        explained.hold(tuple(form))
        received = explained.alone([pixels.astype("float32")])
        np.testing.assert_allclose(received, expected[case : case + 1], rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("inputs", ["image", "both"])
def test_every_method_works_with_and_without_a_form(inputs, method):
    model = classifier(inputs)
    explained, arrays = make_explained(model), inputs_of(model, cases=2)
    maps = make_maps(explained, arrays, method=method, label="malignant")
    assert maps.shape == (2, SIZE, SIZE)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.max(axis=(1, 2)), 1, rtol=1e-6)
    again = make_maps(explained, arrays, method=method, label="malignant")
    np.testing.assert_array_equal(maps, again)


def test_a_form_that_is_held_gives_the_gradcam_of_the_whole_model():
    model = classifier("both")
    explained, inputs = make_explained(model), inputs_of(model, cases=1)
    explained.hold(inputs[1:])
    theirs = gradcam_of_tf_keras_vis(explained, inputs[0])
    ours = maps_module._gradcam(explained, inputs, "malignant")
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_scorecam_tells_the_labels_apart():
    # With one logit tf-keras-vis would give every channel the weight 1.
    explained = make_explained(classifier())
    pixels = inputs_of(classifier())
    malignant, benign = (
        make_maps(explained, pixels, method="scorecam", label=label)
        for label in ("malignant", "benign")
    )
    assert np.abs(malignant - benign).max() > 1e-3


def test_smoothgrad_without_noise_is_the_plain_gradient(monkeypatch):
    monkeypatch.setattr(maps_module, "SMOOTH_NOISE", 0.0)
    explained, pixels = make_explained(classifier()), inputs_of(classifier())
    ours = make_maps(explained, pixels, method="smoothgrad", label="malignant")
    plain = Saliency(explained.alone)(
        lambda output: output[:, 0], pixels.astype("float32"), normalize_map=False
    )
    plain = plain / plain.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(ours, plain, atol=1e-4)


def test_mixed_precision_is_explained_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    explained = make_explained(classifier())
    keras.config.set_dtype_policy("float32")
    kinds = {layer.compute_dtype for layer in explained.alone.layers[1:]}
    assert kinds == {"float32"}
    for method in ("gradcam", "gradcam++"):
        make_maps(explained, inputs_of(classifier()), method=method, label="benign")


def test_a_model_of_the_form_alone_has_nothing_to_look_at():
    with pytest.raises(UserError, match=r"looks at images. Received .* no convolution"):
        make_explained(classifier("clinical"))


def test_an_unknown_method_is_misuse():
    with pytest.raises(ValueError, match="`method` must be one of"):
        make_maps(None, None, method="lime", label="benign")


def test_gradcam_plus_plus_is_that_of_tf_keras_vis_at_any_logit():
    model, pixels = classifier(), inputs_of(classifier(), cases=1)
    theirs = gradcam_of_tf_keras_vis(
        make_explained(model), pixels, visualizer=GradcamPlusPlus
    )
    resized = tf.image.resize(theirs[..., None], (SIZE, SIZE))[..., 0].numpy()
    for shift in (0, 500, -500):  # exp(500) is beyond float32
        model.get_layer("logit").bias.assign([shift])
        ours = make_maps(
            make_explained(model), pixels, method="gradcam++", label="malignant"
        )
        np.testing.assert_allclose(ours, resized / resized.max(), atol=1e-4)


def test_the_map_of_the_lesion_is_what_the_head_draws():
    model = classifier()
    explained, pixels = make_explained(model), inputs_of(model)
    maps = make_maps(explained, pixels, method="lesion", label="benign")
    drawn = Looking(model).answer(pixels).drawn.numpy()
    expected = tf.image.resize(drawn, (SIZE, SIZE)).numpy()[..., 0]
    expected /= expected.max((1, 2), keepdims=True)
    np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_a_model_without_a_head_draws_no_lesion():
    config = load_config(None, ["model.weights=null", "model.lesion_head=false"])
    explained = make_explained(build_classifier(config))
    pixels = np.zeros((1, 320, 320, 1), "uint8")
    with pytest.raises(UserError, match="expected a run whose model draws the lesion"):
        make_maps(explained, pixels, method="lesion", label="malignant")
