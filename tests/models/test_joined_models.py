import keras
import numpy as np
import pytest
import tensorflow as tf

from usgland.config import load_config
from usgland.models.answers import Looking
from usgland.models.classifier import (
    LOGIT,
    build_classifier,
    has_head,
    pixels_to_logit,
)
from usgland.models.joined_models import join_models

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "head"])
def members(request, tiny_network):
    """Three classifiers with drawn weights, of their last layers, too."""
    models = []
    for seed in range(3):
        settings = [
            "model.weights=null",
            "preprocessing.image_size=64",
            f"model.lesion_head={str(request.param).lower()}",
            f"train.seed={seed}",
        ]
        model = build_classifier(load_config(None, settings))
        draws = np.random.default_rng(seed)
        shapes = [weights.shape for weights in model.get_weights()]
        model.set_weights([draws.uniform(0.01, 0.1, shape) for shape in shapes])
        if request.param:
            # The head finds a lesion where it is bright, each another.
            kernel, _ = model.get_layer("lesion_map").get_weights()
            model.get_layer("lesion_map").set_weights(
                [0.01 * kernel, np.float32([-seed])]
            )
        models.append(model)
    return models


@pytest.fixture(scope="module")
def joined(members):
    return join_models(members)


@pytest.fixture
def pixels(members):
    side = members[0].get_layer("preprocessing").size
    return np.random.default_rng(0).integers(0, 256, (4, side, side, 1)).astype("uint8")


def test_the_logit_is_the_mean_of_the_members(members, joined, pixels):
    each = [pixels_to_logit(member)(pixels) for member in members]
    received = pixels_to_logit(joined)(pixels)
    assert np.ptp(each, axis=0).min() > 0.01
    np.testing.assert_allclose(received, np.mean(each, axis=0), rtol=1e-4, atol=1e-5)


def test_it_answers_like_any_other_with_the_mean_of_what_they_see(
    members, joined, pixels
):
    pictures = pixels.astype("float32")
    answer = Looking(joined).answer(pictures)
    assert has_head(joined) == has_head(members[0]) == (answer.drawn is not None)
    if not has_head(joined):
        return
    drawn = [np.asarray(Looking(m).answer(pictures).drawn) for m in members]
    logits = [np.log(p / (1 - p)) for p in drawn]
    expected = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
    np.testing.assert_allclose(answer.drawn, expected, atol=1e-4)


def test_it_survives_saving_and_takes_files(members, joined, tiny_manifest, tmp_path):
    joined.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    files = sorted(tiny_manifest.parent.glob("*.png"))[:3]
    images = tf.constant([path.read_bytes() for path in files])

    def logit(model):
        end = model.get_layer(LOGIT).output
        return np.asarray(keras.Model(model.input, end)(images))

    expected = np.mean(list(map(logit, members)), axis=0)
    np.testing.assert_allclose(logit(loaded), expected, rtol=1e-4)
    assert np.asarray(loaded(images)).shape == (3, 1)


def test_its_weights_are_its_own(members, joined):
    ours = {id(weight) for member in members for weight in member.weights}
    assert not ours & {id(weight) for weight in joined.weights}
    of_members = sum(member.count_params() for member in members)
    assert joined.count_params() == of_members - len(members) + 1  # one bias


def test_one_member_is_itself(members, pixels):
    alone = pixels_to_logit(join_models(members[:1]))(pixels)
    np.testing.assert_allclose(alone, pixels_to_logit(members[0])(pixels), rtol=1e-5)
