import keras
import numpy as np
import pytest
import tensorflow as tf

from usgland.config import load_config
from usgland.models.classifier import (
    LOGIT,
    build_classifier,
    pixels_to_feature_map,
    pixels_to_logit,
    pooled_to_logit,
)
from usgland.models.joined_models import join_models

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def members(tiny_network):
    """Three classifiers with drawn weights, of their last layers, too."""
    models = []
    for seed in range(3):
        settings = ["model.weights=null", "preprocessing.image_size=64"]
        model = build_classifier(load_config(None, [*settings, f"train.seed={seed}"]))
        draws = np.random.default_rng(seed)
        shapes = [weights.shape for weights in model.get_weights()]
        model.set_weights([draws.uniform(0.02, 0.3, shape) for shape in shapes])
        models.append(model)
    return models


@pytest.fixture(scope="module")
def joined(members):
    return join_models(members)


def test_the_logit_is_the_mean_of_the_members(members, joined):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 1)).astype("uint8")
    each = [pixels_to_logit(member)(pixels) for member in members]
    received = pixels_to_logit(joined)(pixels)
    assert np.ptp(each, axis=0).min() > 0.1
    np.testing.assert_allclose(received, np.mean(each, axis=0), rtol=1e-4, atol=1e-5)
    pooled = np.mean(pixels_to_feature_map(joined)(pixels), axis=(1, 2))
    np.testing.assert_allclose(pooled_to_logit(joined)(pooled), received, rtol=1e-4)


def test_it_survives_saving_and_takes_files(members, joined, tiny_manifest, tmp_path):
    joined.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    files = sorted(tiny_manifest.parent.glob("*.png"))[:3]
    images = tf.constant([path.read_bytes() for path in files])

    def logit(model):
        end = model.get_layer(LOGIT).output
        return np.asarray(keras.Model(model.input, end)(images))

    expected = np.mean(list(map(logit, members)), axis=0)
    np.testing.assert_allclose(logit(loaded), expected, rtol=1e-5)
    assert np.asarray(loaded(images)).shape == (3, 1)


def test_its_weights_are_its_own(members, joined):
    ours = {id(weight) for member in members for weight in member.weights}
    assert not ours & {id(weight) for weight in joined.weights}
    of_members = sum(member.count_params() for member in members)
    assert joined.count_params() == of_members - len(members) + 1  # one bias


def test_one_member_is_itself(members):
    pixels = np.full((1, 64, 64, 1), 90, "uint8")
    alone = pixels_to_logit(join_models(members[:1]))(pixels)
    np.testing.assert_allclose(alone, pixels_to_logit(members[0])(pixels), rtol=1e-5)
