import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score

from usgland.evaluation.performance.decision_curve import net_benefit
from usgland.evaluation.statistics.paired_tests import (
    average_precision_test,
    net_benefit_test,
    predictive_value_test,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "statsmodels.json"
PAIRED = json.loads(REFERENCE.read_text(encoding="utf-8"))["predictive"]


@pytest.mark.parametrize("case", PAIRED)
@pytest.mark.parametrize("measure", ["ppv", "npv"])
def test_the_interval_is_the_sandwich_of_statsmodels(case, measure):
    result = predictive_value_test(
        case["labels"],
        case["calls_a"],
        case["calls_b"],
        measure=measure,
        patient_ids=case["patient_ids"],
    )
    value, error = case[measure]
    assert result.difference == pytest.approx(value, abs=1e-9)
    assert (result.high - result.low) / 2 / 1.959964 == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("measure", ["ppv", "npv"])
def test_calls_that_never_overlap_are_tested_as_two_samples(measure):
    # Of the cases called so, none is called so by both: two independent shares.
    labels = np.r_[np.ones(14), np.zeros(6), np.ones(9), np.zeros(16)].astype(int)
    calls = np.repeat([1, 0], [20, 25])
    pair = (calls, 1 - calls)
    result = predictive_value_test(labels, *pair, measure=measure)
    first, second = (14, 20), (9, 25)
    if measure == "npv":
        first, second = (16, 25), (6, 20)
    pooled = (first[0] + second[0]) / 45
    error = (pooled * (1 - pooled) * (1 / first[1] + 1 / second[1])) ** 0.5
    z = (first[0] / first[1] - second[0] / second[1]) / error
    assert result.p_value == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)


def test_p_of_predictive_values_is_near_that_of_exchanged_calls():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 150)
    a = np.where(rng.uniform(size=150) < 0.8, labels, 1 - labels)
    b = np.where(rng.uniform(size=150) < 0.7, labels, 1 - labels)
    result = predictive_value_test(labels, a, b)
    drawn = []
    for _ in range(4000):
        turned = rng.integers(0, 2, 150) == 1
        first, second = np.where(turned, b, a), np.where(turned, a, b)
        drawn.append(labels[first == 1].mean() - labels[second == 1].mean())
    p_value = np.mean(np.abs(drawn) >= abs(result.difference) - 1e-12)
    assert result.p_value == pytest.approx(p_value, abs=0.03)


def test_calls_of_one_kind_have_no_predictive_value():
    result = predictive_value_test([0, 1, 1], [0, 0, 0], [1, 1, 0])
    assert np.isnan(result.p_value)
    assert result.reason == "one of the two calls no case malignant"
    alike = predictive_value_test([0, 1, 1], [0, 1, 1], [0, 1, 1])
    assert alike.p_value == 1.0
    assert "differ in no case" in alike.reason


def test_net_benefit_is_that_of_the_curve_and_p_that_of_all_swaps():
    rng = np.random.default_rng(4)
    labels, ids = rng.integers(0, 2, 14), np.repeat(np.arange(7), 2)
    a, b = rng.uniform(size=(2, 14)).round(2)
    result = net_benefit_test(labels, a, b, 0.3, patient_ids=ids)
    values = [net_benefit(labels, own, 0.3)[0] for own in (a, b)]
    assert (result.a, result.b) == pytest.approx(tuple(values))
    extreme = 0
    for turned in product([False, True], repeat=7):
        swap = np.array(turned)[ids]
        pair = np.where(swap, b, a), np.where(swap, a, b)
        apart = np.subtract(*(net_benefit(labels, own, 0.3)[0] for own in pair))
        extreme += abs(apart) >= abs(result.difference) - 1e-12
    assert result.p_value == pytest.approx(extreme / 2**7)


def test_the_interval_of_net_benefit_is_that_of_a_mean():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 90)
    a, b = rng.uniform(size=(2, 90))
    result = net_benefit_test(labels, a, b, 0.2)
    apart = ((a >= 0.2).astype(int) - (b >= 0.2)) * np.where(labels == 1, 1, -0.25)
    error = apart.std(ddof=1) / 90**0.5
    assert result.difference == pytest.approx(apart.mean())
    assert (result.high - result.low) / 2 / 1.959964 == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("threshold", [1e-5, 0.123456789, 0.99999])
def test_net_benefit_is_that_of_the_threshold_itself(threshold):
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, 30)
    a, b = rng.choice([0.0, 1e-4, 0.5, 1.0], (2, 30))
    result = net_benefit_test(labels, a, b, threshold)
    values = [net_benefit(labels, own, threshold)[0] for own in (a, b)]
    assert (result.a, result.b) == pytest.approx(tuple(values), rel=1e-12)
    assert 0 < result.p_value <= 1


def test_average_precision_is_that_of_scikit_learn_and_p_that_of_all_swaps():
    rng = np.random.default_rng(6)
    labels = np.r_[rng.integers(0, 2, 8), 1]
    a, b = rng.uniform(size=(2, 9)).round(1)
    result = average_precision_test(labels, a, b, resamples=4000)
    expected = [average_precision_score(labels, own) for own in (a, b)]
    assert (result.a, result.b) == pytest.approx(tuple(expected))
    ranks = rankdata(a), rankdata(b)
    extreme = 0
    for turned in product([False, True], repeat=9):
        pair = np.where(turned, ranks[1], ranks[0]), np.where(turned, *ranks)
        apart = np.subtract(*(average_precision_score(labels, own) for own in pair))
        extreme += abs(apart) >= abs(result.difference) - 1e-12
    assert result.p_value == pytest.approx(extreme / 2**9, abs=0.03)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="`measure` must be one of"):
        predictive_value_test([0, 1], [0, 1], [0, 1], measure="f1")
    with pytest.raises(ValueError, match="must be of one length.* Received: shapes"):
        predictive_value_test([0, 1], [0, 1], [0])
    with pytest.raises(ValueError, match="must hold malignant cases. Received: none"):
        average_precision_test([0, 0], [0.1, 0.2], [0.1, 0.2])
