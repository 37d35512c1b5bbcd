"""Every network that can be trained can be explained, with and without a form."""

import keras
import numpy as np
import pytest
from tf_keras_vis.gradcam import Gradcam

from tests.explanation.networks import ENCODING
from usgland.config import load_config
from usgland.explanation import maps as maps_module
from usgland.explanation.explained import make_explained
from usgland.explanation.maps import METHODS, make_maps
from usgland.models.backbones import BACKBONES
from usgland.models.classifier import build_classifier

SIZE = 64


def classifier(backbone, inputs):
    settings = [
        f"model.backbone={backbone}",
        f"model.inputs={inputs}",
        "model.weights=null",
        f"preprocessing.image_size={SIZE}",
    ]
    model = build_classifier(load_config(None, settings), ENCODING)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "inputs"),
    [*((name, "image") for name in BACKBONES), ("mobilenet_v2", "both")],
)
def test_every_network_is_explained_by_every_method(backbone, inputs):
    explained = make_explained(classifier(backbone, inputs))
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 1), np.uint8)
    arrays = pixels
    if inputs == "both":
        given = np.ones((2, 1), "float32")
        arrays = (pixels, np.ones((2, 2), "float32"), given, given)
        explained.hold(tuple(one[:1] for one in arrays[1:]))
    theirs = Gradcam(explained.alone)(
        lambda output: output[:, 0],
        pixels[:1].astype("float32"),
        penultimate_layer=explained.layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )
    ours = maps_module._gradcam(
        explained, arrays if inputs == "both" else (arrays,), "malignant"
    )
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours[:1], theirs, rtol=1e-3, atol=1e-4 * scale)
    for method in METHODS:
        if method == "scorecam" and backbone != "squeezenet1_1":
            continue  # a forward pass a channel: up to 2048
        both = [
            make_maps(explained, arrays, method=method, label=label)
            for label in ("malignant", "benign")
        ]
        for found in both:
            assert found.shape == (2, SIZE, SIZE)
            assert np.isfinite(found).all()
            assert found.min() >= 0
        # Where nothing speaks for one label, something speaks for the other, even
        # though the logits of these weights are in the thousands.
        largest = np.max(both, axis=(0, 2, 3))
        np.testing.assert_allclose(largest, 1, rtol=1e-6)
