"""Every network that can be trained can be explained, with and without a form."""

import numpy as np
import pytest

from tests.explanation.networks import SIZE, classifier, gradcam_of_tf_keras_vis
from usgland.explanation import maps as maps_module
from usgland.explanation.choices import METHODS
from usgland.explanation.explained import make_explained
from usgland.explanation.maps import make_maps
from usgland.models.backbones import BACKBONES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "inputs"),
    [*((name, "image") for name in BACKBONES), ("mobilenet_v2", "both")],
)
def test_every_network_is_explained(backbone, inputs):
    explained = make_explained(classifier(inputs, backbone=backbone, scale=1.0))
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 1), np.uint8)
    arrays = (pixels,)
    if inputs == "both":
        is_given = np.ones((2, 1), "float32")
        arrays = (pixels, np.ones((2, 2), "float32"), is_given, is_given)
        explained.hold(tuple(array[:1] for array in arrays[1:]))
    theirs = gradcam_of_tf_keras_vis(explained, pixels[:1])
    ours = maps_module._gradcam(explained, arrays, "malignant")
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours[:1], theirs, rtol=1e-3, atol=1e-4 * scale)
    # What the other methods ask of a network, one of them shows as well as six; the one
    # that asks once a channel has up to 2048 to ask for.
    every = METHODS if backbone == "squeezenet1_1" else ("gradcam", "scorecam_fast")
    for method in every:
        both = [
            make_maps(explained, arrays, method=method, label=label)
            for label in ("malignant", "benign")
        ]
        for maps in both:
            assert maps.shape == (2, SIZE, SIZE)
            assert np.isfinite(maps).all()
            assert maps.min() >= 0
        # Where nothing speaks for one label, something speaks for the other, even
        # though the logits of these weights are in the thousands.
        largest = np.max(both, axis=(0, 2, 3))
        np.testing.assert_allclose(largest, 1, rtol=1e-6)
