"""Shapley values: against all orders by hand, and the sums they must have."""

import itertools

import numpy as np
import pytest

from tests.explanation.networks import ENCODING, classifier
from usgland.explanation import contributions
from usgland.explanation.contributions import coalition_weights, make_contributions
from usgland.models.classifier import pixels_to_logit
from usgland.training.parts import Form, Part

pytestmark = pytest.mark.usefixtures("tiny_network")


def game(members):
    """Not additive: two players are worth more together."""
    a, b, c, d = members.T.astype(float)
    return 1.0 + 2 * a - b + 3 * a * b + 0.5 * b * c * d


def by_all_orders(players):
    """The definition: the mean gain of a player over every order of arrival."""
    gains = np.zeros(players)
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        present = np.zeros((1, players), bool)
        for player in order:
            before = game(present)[0]
            present[0, player] = True
            gains[player] += game(present)[0] - before
    return gains / len(orders)


def test_exact_values_are_means_over_all_orders():
    members, weights = coalition_weights(4)
    np.testing.assert_allclose(weights @ game(members), by_all_orders(4), atol=1e-12)


def test_sampled_values_come_near_and_add_up(monkeypatch):
    monkeypatch.setattr(contributions, "EXACT_COLUMNS", 3)
    members, weights = coalition_weights(4)
    values = weights @ game(members)
    np.testing.assert_allclose(values, by_all_orders(4), atol=0.15)
    whole, none = game(np.array([[True] * 4, [False] * 4]))
    np.testing.assert_allclose(values.sum(), whole - none, atol=1e-9)


def part_of(features):
    cases = len(features)
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (cases, 64, 64, 1)).astype("uint8")
    form = Form(
        features=np.array(features, "float32"),
        presence=np.ones((cases, 1), "float32"),
        missing=np.array([0, 1, 0, 1], "float32"),
        columns=["age_years", "age_years", "bmi_kg_m2", "bmi_kg_m2"],
    )
    return Part(pixels, np.zeros(cases, int), form)


def test_contributions_add_up_to_what_the_form_changes():
    encoding = [ENCODING[0], {**ENCODING[0], "name": "bmi_kg_m2"}]
    model = classifier("both", "concat", encoding)
    part = part_of([[1.5, 0, -0.5, 0], [0, 1, 2.0, 0]])
    columns, values, method = make_contributions(model, part)
    learned = pixels_to_logit(model)
    whole, without = (
        np.asarray(learned(tuple(np.float32(array) for array in part.inputs(side))))
        for side in (None, "form")
    )
    np.testing.assert_allclose(
        values.sum(axis=1), (whole - without)[:, 0], rtol=1e-4, atol=1e-5
    )
    assert columns == ["age_years", "bmi_kg_m2"]
    # A value that is missing adds nothing.
    np.testing.assert_allclose(values[1, 0], 0, atol=1e-6)
    assert method == "exact Shapley values, 4 coalitions of 2 columns"


def test_a_model_of_the_form_alone_has_contributions():
    encoding = [ENCODING[0], {**ENCODING[0], "name": "bmi_kg_m2"}]
    model = classifier("clinical", encoding=encoding)
    part = part_of([[1.5, 0, -0.5, 0]])._replace(pixels=None)
    values = make_contributions(model, part).values
    learned = pixels_to_logit(model)
    whole, none = (
        np.asarray(learned(features))[0, 0]
        for features in (part.form.features, part.form.missing[None])
    )
    np.testing.assert_allclose(values.sum(), whole - none, rtol=1e-4, atol=1e-5)


def test_a_model_without_a_form_is_misuse():
    part = Part(np.zeros((1, 64, 64, 1), "uint8"), np.zeros(1))
    with pytest.raises(ValueError, match="`part` must have a form"):
        make_contributions(classifier(), part)
