import json
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from usgland.evaluation.planning.power import (
    binormal_variance,
    mcnemar_power,
    sample_size_auc_difference,
    sample_size_auc_noninferiority,
    sample_size_mcnemar,
    sample_size_noninferiority,
)

PATH = Path(__file__).parents[2] / "reference" / "sample_size.json"
REFERENCE = json.loads(PATH.read_text())


def naive_power(first, second, cases, alpha):
    """Every pair of counts, each with SciPy's binomial test."""
    power = 0.0
    for a in range(cases + 1):
        for b in range(cases + 1 - a):
            if a + b and binomtest(a, a + b).pvalue <= alpha:
                rest = cases - a - b
                power += (
                    comb(cases, a)
                    * comb(cases - a, b)
                    * first**a
                    * second**b
                    * (1 - first - second) ** rest
                )
    return power


@pytest.mark.parametrize(
    ("first", "second", "cases", "alpha"),
    [(0.3, 0.05, 30, 0.05), (0.4, 0.0, 20, 0.05), (0.2, 0.2, 25, 0.1), (1, 0, 9, 0.05)],
)
def test_the_power_of_mcnemars_test_counts_all_that_can_happen(
    first, second, cases, alpha
):
    power = mcnemar_power(first, second, cases, alpha=alpha)
    assert power == pytest.approx(naive_power(first, second, cases, alpha), abs=1e-8)


def test_five_pairs_can_never_be_significant():
    assert mcnemar_power(1.0, 0.0, 5, alpha=0.05) == 0  # P is at least 2/32
    assert mcnemar_power(1.0, 0.0, 6, alpha=0.05) == 1  # P is 2/64
    assert mcnemar_power(0.0, 0.0, 6, alpha=0.05) == 0


def test_the_cases_of_mcnemars_test_have_the_power_and_the_next_ones_too():
    cases = sample_size_mcnemar(0.25, 0.05, alpha=0.05, power=0.8)
    for more in range(4):
        assert mcnemar_power(0.25, 0.05, cases + more, alpha=0.05) >= 0.8
    assert mcnemar_power(0.25, 0.05, cases - 1, alpha=0.05) < 0.8
    # Connor's approximation, for the test without continuity correction, is below.
    root = norm.ppf(0.975) * 0.3**0.5 + norm.ppf(0.8) * (0.3 - 0.04) ** 0.5
    connor = (root / 0.2) ** 2
    assert connor < cases < 1.3 * connor


def test_mcnemar_by_simulation():
    cases = sample_size_mcnemar(0.2, 0.08, alpha=0.05, power=0.8)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(cases, [0.2, 0.08, 0.72], 4000)
    kinds, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    rejected = [binomtest(int(a), int(a + b)).pvalue <= 0.05 for a, b in kinds]
    assert np.dot(rejected, times) / 4000 == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("curve", REFERENCE["curves"])
def test_the_variance_is_that_of_proc(curve):
    # pROC's cases of one curve against chance, two-sided 0.05, power 0.9.
    root = norm.ppf(0.975) * binormal_variance(0.5, curve["kappa"]) ** 0.5
    root += norm.ppf(0.9) * binormal_variance(curve["auc"], curve["kappa"]) ** 0.5
    cases = (root / (curve["auc"] - 0.5)) ** 2
    assert cases == pytest.approx(curve["ncases"], rel=1e-9)


def test_the_variance_is_near_that_of_hanley_and_mcneil_or_more_careful():
    from usgland.evaluation.planning.sample_size import auc_standard_error

    for auc in (0.6, 0.8, 0.9):
        expected = 2000 * auc_standard_error(auc, 2000, 2000) ** 2
        assert 0.95 < binormal_variance(auc, 1) / expected < 1.4


def test_the_cases_of_a_difference_of_areas_by_hand():
    same, other = binormal_variance(0.9, 1), binormal_variance(0.8, 1)
    null = 2 * same * (1 - 0.5)
    real = same + other - 2 * 0.5 * (same * other) ** 0.5
    expected = ((1.959964 * null**0.5 + 0.841621 * real**0.5) / 0.1) ** 2
    size = sample_size_auc_difference(0.9, 0.8)
    assert size[:2] == (int(np.ceil(expected)),) * 2


def test_an_area_is_found_not_to_be_lower_by_hand():
    variance = 2 * binormal_variance(0.9, 3) * (1 - 0.4)
    expected = (1.959964 + 1.281552) ** 2 * variance / 0.05**2
    size = sample_size_auc_noninferiority(
        0.9, 0.9, 0.05, correlation=0.4, prevalence=0.25, power=0.9
    )
    assert size[:2] == (int(np.ceil(expected)), 3 * int(np.ceil(expected)))


def test_a_sensitivity_is_found_not_to_be_lower_by_hand_and_by_simulation():
    cases = sample_size_noninferiority(0.1, 0.1, 0.1, alpha=0.025, power=0.8)
    assert cases == int(np.ceil((1.959964 + 0.841621) ** 2 * 0.2 / 0.01))
    draws = np.random.default_rng(0).multinomial(cases, [0.1, 0.1, 0.8], 20_000)
    new, standard = draws[:, 0] / cases, draws[:, 1] / cases
    error = np.sqrt((new + standard - (new - standard) ** 2) / cases)
    shown = new - standard - norm.ppf(0.975) * error > -0.1
    assert shown.mean() == pytest.approx(0.8, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(
    auc=st.floats(0.55, 0.95),
    step=st.floats(0.01, 0.04),
    correlation=st.floats(0, 0.9),
    prevalence=st.floats(0.1, 0.9),
)
def test_more_is_needed_for_less(auc, step, correlation, prevalence):
    def cases(second, r, power):
        return sample_size_auc_difference(
            auc, second, correlation=r, prevalence=prevalence, power=power
        )[0]

    base = cases(auc + step, correlation, 0.8)
    assert base <= cases(auc + step, correlation, 0.9)
    assert base <= cases(auc + step, correlation * 0.9, 0.8)


def test_what_is_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"`power` must be in \(alpha, 1\). Received"):
        sample_size_mcnemar(0.2, 0.1, alpha=0.05, power=0.05)
    with pytest.raises(ValueError, match="must differ. Received: 0.2 twice"):
        sample_size_mcnemar(0.2, 0.2, alpha=0.05, power=0.8)
    with pytest.raises(ValueError, match=r"\(0, 1\]. Received: 0.7 and 0.4"):
        sample_size_mcnemar(0.7, 0.4, alpha=0.05, power=0.8)
    with pytest.raises(ValueError, match="must differ. Received: 0.8 twice"):
        sample_size_auc_difference(0.8, 0.8)
    with pytest.raises(ValueError, match=r"`correlation` must be in \[0, 1\). Rec.* 1"):
        sample_size_auc_difference(0.8, 0.9, correlation=1)
    with pytest.raises(ValueError, match=r"margin.*Received: margin=0.05, a loss of 0"):
        sample_size_noninferiority(0.1, 0.2, 0.05, alpha=0.025, power=0.8)
