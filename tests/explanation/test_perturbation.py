"""Deletion, insertion and the shuffled network."""

import keras
import numpy as np
import pytest
import scipy.stats

from tests.explanation.networks import classifier
from usgland.explanation.explained import make_explained
from usgland.explanation.letterbox import letterbox_of
from usgland.explanation.perturbation import blurred, curve_scores
from usgland.explanation.randomization import rank_correlations, shuffled_network

SIZE = 64
BOX = letterbox_of(48, 64, SIZE)


def counting_network():
    """Its logit rises with the brightness of one corner of the image."""
    pixels = keras.Input((SIZE, SIZE, 1))
    corner = pixels[:, 8:24, :16]
    mean = keras.layers.GlobalAveragePooling2D()(corner)
    logit = keras.layers.Dense(1, kernel_initializer="ones")(mean)
    network = keras.Model(pixels, logit)
    network.layers[-1].set_weights([np.full((1, 1), 0.1), np.full(1, -8.0)])
    return network


def test_a_map_of_what_matters_beats_its_opposite():
    rng = np.random.default_rng(0)
    pixels = np.zeros((1, SIZE, SIZE, 1), "uint8")
    pixels[:, 8:56] = rng.integers(0, 60, (1, 48, SIZE, 1))
    pixels[:, 8:24, :16] += 150
    right = np.zeros((1, SIZE, SIZE))
    right[:, 8:24, :16] = 1
    network = counting_network()
    good, bad = (
        curve_scores(network, pixels, maps, [BOX], label="malignant")
        for maps in (right, 1 - right)
    )
    assert good[0] < bad[0]  # deletion
    assert good[1] > bad[1]  # insertion
    # The evidence is a twelfth of the image: gone after 2 of 20 steps.
    assert good[0] < 0.1
    assert good[1] > 0.9
    other = curve_scores(network, pixels, right, [BOX], label="benign")
    np.testing.assert_allclose(other[0], 1 - good[0], atol=1e-6)


def test_the_blurred_copy_keeps_the_padding_and_the_mean():
    rng = np.random.default_rng(0)
    pixels = np.full((SIZE, SIZE, 1), 7.0, "float32")
    pixels[BOX.inside()] = rng.integers(0, 256, (48, 64, 1))
    copy = blurred(pixels, BOX)
    assert (copy[:8] == 7).all()
    inside = copy[BOX.inside()]
    assert inside.std() < 0.1 * pixels[BOX.inside()].std()
    np.testing.assert_allclose(inside.mean(), pixels[BOX.inside()].mean(), atol=5)


def test_rank_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    maps, others = rng.random((2, 3, SIZE, SIZE)).round(1)
    others[2] = 0.3
    correlations = rank_correlations(maps, others, [BOX] * 3)
    for case in range(2):
        expected = scipy.stats.spearmanr(
            maps[case, 8:56].ravel(), others[case, 8:56].ravel()
        )
        np.testing.assert_allclose(correlations[case], expected.statistic, atol=1e-12)
    assert np.isnan(correlations[2])


@pytest.mark.usefixtures("tiny_network")
def test_a_shuffled_network_has_the_same_values_in_another_order():
    model = classifier("both")
    whole, shuffled = make_explained(model), shuffled_network(model)
    moved = 0
    for layer in filter(lambda layer: layer.weights, whole.whole.layers):
        for before, after, alone in zip(
            layer.get_weights(),
            shuffled.whole.get_layer(layer.name).get_weights(),
            shuffled.alone.get_layer(layer.name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(np.sort(before, None), np.sort(after, None))
            np.testing.assert_array_equal(after, alone)
            moved += (before != after).sum()
    assert moved > 100
