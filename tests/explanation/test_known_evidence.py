"""A label that only one place of the picture decides: the pointing game finds it."""

import cv2
import keras
import numpy as np
import pytest

from usgland.config import load_config
from usgland.explanation.choices import METHODS
from usgland.explanation.explained import make_explained
from usgland.explanation.maps import make_maps
from usgland.explanation.regions import points_at
from usgland.models.backbones import BACKBONES
from usgland.models.classifier import build_classifier, pixels_to_logit

SIZE, RIM, CORE = 64, 2, 9  # pixels


def draw(rng, place, label):
    """A dark oval in speckle, in malignant cases with a bright rim or core.

    Returns the grey levels, where the evidence is, and where the other place would be.
    """
    centre = tuple(rng.integers(24, 41, 2).tolist())
    axes = tuple(rng.integers(17, 21, 2).tolist())
    oval = np.zeros((SIZE, SIZE), "uint8")
    cv2.ellipse(oval, centre, axes, 0, 0, 360, 1, -1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM + 1,) * 2)
    rim = cv2.dilate(oval, disc) - cv2.erode(oval, disc) > 0
    core = np.zeros((SIZE, SIZE), "uint8")
    cv2.circle(core, centre, CORE, 1, -1)
    evidence, other = (rim, core > 0) if place == "border" else (core > 0, rim)
    grey = np.where(oval > 0, 45.0, 90.0)
    if label:
        grey[evidence] = 190
    grey *= rng.normal(1, 0.2, grey.shape)  # speckle
    return np.clip(grey, 0, 255).astype("uint8"), evidence, other


def small_network(pixels, alpha):
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", padding="same")(pixels)
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu", padding="same")(x)
    return keras.layers.Conv2D(16, 3, activation="relu", padding="same")(x)


@pytest.fixture(scope="module", params=["border", "interior"])
def trained(request):
    """A classifier that has learned, and drawn malignant cases that it has not seen."""
    small = BACKBONES["squeezenet1_1"]._replace(build=small_network, offset=(-1.6,) * 3)
    settings = ["model.weights=null", "model.lesion_head=false"]
    settings.append(f"preprocessing={{image_size: {SIZE}, picture_size: {SIZE}}}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "squeezenet1_1", small._replace(scale=1 / 50))
        model = build_classifier(load_config(None, settings))
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 2
    drawn = [draw(rng, request.param, label) for label in labels]
    pixels = np.stack([grey for grey, _, _ in drawn])[..., None]
    learned = pixels_to_logit(model)
    learned.compile(
        keras.optimizers.Adam(3e-3), keras.losses.BinaryCrossentropy(from_logits=True)
    )
    learned.fit(
        pixels[:200].astype("float32"), labels[:200, None], 16, epochs=25, verbose=0
    )
    logits = learned.predict(pixels[200:].astype("float32"), verbose=0)[:, 0]
    assert ((logits > 0) == labels[200:]).mean() > 0.9
    return model, [drawn[number] for number in range(200, 240) if labels[number]]


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "lesion"])
def test_the_pointing_game_finds_the_place_that_decides(trained, method):
    model, cases = trained
    pixels = np.stack([grey for grey, _, _ in cases])[..., None]
    maps = make_maps(make_explained(model), pixels, method=method, label="malignant")
    hits, misses = (
        np.mean([points_at(a, case[k]) for a, case in zip(maps, cases, strict=True)])
        for k in (1, 2)
    )
    assert hits >= 0.9
    assert misses <= 0.1
