"""Intervals in closed form, against SciPy, statsmodels and hand arithmetic."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta, binom

from usgland.evaluation.statistics.intervals import (
    predictive_interval,
    proportion_interval,
    ratio_interval,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "statsmodels.json"


STATSMODELS = json.loads(REFERENCE.read_text(encoding="utf-8"))


def test_wilson_is_his_formula():
    # Of 35 of 36, by hand, z = 1.959964.
    z, n, p = 1.959964, 36, 35 / 36
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = proportion_interval(35, 36, level=0.95)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))
    assert found.method == "Wilson"


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (35, 36)])
def test_clopper_pearson_is_from_the_beta_distribution(k, n):
    found = proportion_interval(k, n, level=0.9, method="clopper_pearson")
    low = beta.ppf(0.05, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.95, k + 1, n - k) if k < n else 1.0
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((11, 10, "wilson"), "Received: 11 of 10"),
        ((0, 0, "wilson"), "Received: 0 of 0"),
        ((1, 2, "wald"), "Received: 'wald'"),
    ],
)
def test_shares_that_are_none_are_refused(arguments, expected):
    successes, cases, method = arguments
    with pytest.raises(ValueError, match=expected):
        proportion_interval(successes, cases, level=0.95, method=method)
    with pytest.raises(ValueError, match="`level` must be in .* Received: 1"):
        proportion_interval(1, 2, level=1)


@pytest.mark.parametrize("one", STATSMODELS["proportions"], ids=str)
def test_intervals_of_a_proportion_are_those_of_statsmodels(one):
    level = one["level"]
    for method in ("wilson", "clopper_pearson"):
        found = proportion_interval(
            one["successes"], one["cases"], level=level, method=method
        )
        assert (found.low, found.high) == pytest.approx(tuple(one[method]), abs=1e-9)


@pytest.mark.parametrize("one", STATSMODELS["ratios"], ids=str)
def test_intervals_of_likelihood_ratios_are_those_of_statsmodels(one):
    counts = np.array([[one["tn"], one["fp"]], [one["fn"], one["tp"]]])
    for name in ("positive", "negative"):
        found = ratio_interval(f"{name}_likelihood_ratio", counts, level=0.95)
        assert (found.low, found.high) == pytest.approx(tuple(one[name]))


def test_a_likelihood_ratio_of_0_has_no_interval_and_says_why():
    counts = np.array([[8, 2], [0, 10]])
    found = ratio_interval("negative_likelihood_ratio", counts, level=0.95)
    assert np.isnan(found.low)
    assert found.method == ""
    assert found.reason == "no malignant case is called benign"


@pytest.mark.parametrize("prevalence", [0.03, 0.5])
def test_predictive_values_of_independent_cases_have_the_logit_interval(prevalence):
    # By the variances of Mercaldo et al., equations of sensitivity and specificity.
    tn, fp, fn, tp = 80, 12, 9, 51
    sensitivity, specificity = tp / 60, tn / 92
    odds = prevalence / (1 - prevalence)
    spread = {
        "ppv": (1 - sensitivity) / sensitivity / 60
        + specificity / (1 - specificity) / 92,
        "npv": sensitivity / (1 - sensitivity) / 60
        + (1 - specificity) / specificity / 92,
    }
    middle = {
        "ppv": np.log(odds * sensitivity / (1 - specificity)),
        "npv": np.log(specificity / (1 - sensitivity) / odds),
    }
    for name in ("ppv", "npv"):
        found = predictive_interval(
            name, np.array([[tn, fp], [fn, tp]]), prevalence, level=0.9
        )
        half = 1.6448536269514722 * spread[name] ** 0.5
        expected = [expit(middle[name] - half), expit(middle[name] + half)]
        assert found[:2] == pytest.approx(expected)
        assert found.method == "logit (Mercaldo)"


@pytest.mark.parametrize(
    ("sensitivity", "specificity"), [(0.97, 0.97), (0.97, 0.9), (0.9, 0.97)]
)
def test_predictive_intervals_cover_what_they_say_over_all_tables(
    sensitivity, specificity
):
    # Every table of 21 malignant and 20 benign patients, by its probability.
    right, wrong = 0.1 * sensitivity, 0.9 * (1 - specificity)
    truth = {
        "ppv": right / (right + wrong),
        "npv": 0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity)),
    }
    inside, there = dict.fromkeys(truth, 0.0), dict.fromkeys(truth, 0.0)
    for tp, tn in itertools.product(range(10, 22), range(10, 21)):
        chance = binom.pmf(tp, 21, sensitivity) * binom.pmf(tn, 20, specificity)
        counts = np.array([[tn, 20 - tn], [21 - tp, tp]])
        for name, value in truth.items():
            found = predictive_interval(name, counts, 0.1, level=0.95)
            there[name] += chance
            inside[name] += chance * (found.low <= value <= found.high)
    for name in truth:
        assert there[name] == pytest.approx(1, abs=1e-3)
        assert 0.94 < inside[name] < 0.99


def test_a_predictive_value_of_1_has_a_bound_where_cases_are_independent():
    counts = np.array([[18, 2], [0, 21]])
    found = predictive_interval("npv", counts, 0.1, level=0.95)
    assert (found.high, found.method) == (1, "adjusted logit (Mercaldo)")
    # By hand: 1.96^2 / 2 = 1.9207 more in each cell.
    missed, right = 1.9207 / 24.8415, 19.9207 / 23.8415
    variance = 1 / 1.9207 - 1 / 24.8415 + 1 / 19.9207 - 1 / 23.8415
    odds = 9 * right / missed / np.exp(1.959964 * variance**0.5)
    assert found.low == pytest.approx(odds / (1 + odds), abs=1e-4)
    with pytest.raises(ValueError, match="`name` must be one of .*Received: 'f1'"):
        predictive_interval("f1", counts, 0.1, level=0.95)
