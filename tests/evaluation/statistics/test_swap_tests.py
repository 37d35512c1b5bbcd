"""Swaps within patients against all swaps, one by one."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, rankdata
from sklearn.metrics import roc_auc_score

from usgland.evaluation.statistics import swap_tests
from usgland.evaluation.statistics.swap_tests import auc_swap_test, swap_test


def every_swap(labels, a, b, patient_ids):
    """P by making every data set with some patients swapped, and its two areas."""
    a, b = rankdata(a), rankdata(b)
    patients = np.unique(patient_ids)
    observed = abs(roc_auc_score(labels, a) - roc_auc_score(labels, b))
    extreme = 0
    for signs in itertools.product([False, True], repeat=len(patients)):
        swapped = np.isin(patient_ids, patients[list(signs)])
        one, other = np.where(swapped, b, a), np.where(swapped, a, b)
        apart = abs(roc_auc_score(labels, one) - roc_auc_score(labels, other))
        extreme += apart >= observed - 1e-12
    return extreme / 2 ** len(patients)


@pytest.mark.parametrize("seed", range(6))
def test_the_exact_p_is_that_of_all_data_sets_with_swapped_patients(seed):
    random = np.random.default_rng(seed)
    labels = np.r_[1, 0, random.integers(0, 2, 10)]
    a = np.round(random.normal(size=12) + labels, seed % 2)
    b = np.round(random.normal(size=12), seed % 2)
    ids = np.arange(12) // (1 + seed % 3)
    if seed % 3 == 0:  # every case by itself: 2^12 sets take too long
        labels, a, b, ids = labels[:8], a[:8], b[:8], ids[:8]
    found = auc_swap_test(labels, a, b, ids)
    assert found.p_value == pytest.approx(every_swap(labels, a, b, ids), abs=1e-12)
    assert found.method.startswith("exact, ")


@pytest.mark.parametrize(("only_a", "only_b"), [(5, 2), (0, 6), (1, 0), (59, 121)])
def test_of_patients_with_one_case_each_it_is_the_exact_test_of_mcnemar(only_a, only_b):
    sums = [1] * only_a + [-1] * only_b + [0] * 7
    expected = binomtest(only_a, only_a + only_b).pvalue
    assert swap_test(sums).p_value == pytest.approx(expected, rel=1e-9)


def test_patients_in_whom_nothing_differs_give_a_p_of_1():
    found = swap_test([0, 0, 0])
    assert found.p_value == 1
    assert found.method == "exact, no patient in whom the two differ"
    assert swap_test([]).p_value == 1


def test_drawn_swaps_come_near_the_exact_p_repeat_and_are_never_0(monkeypatch):
    random = np.random.default_rng(3)
    sums = random.integers(-9, 14, 40)
    exact = swap_test(sums)
    monkeypatch.setattr(swap_tests, "EXACT_STEPS", 0)
    monkeypatch.setattr(swap_tests, "CHUNK", 1000)
    one, two = swap_test(sums, seed=1), swap_test(sums, seed=2)
    assert one == swap_test(sums, seed=1)
    assert one.method == "20000 swaps drawn, seed 1"
    # Four standard errors of a share of 20,000 draws.
    error = 4 * (exact.p_value * (1 - exact.p_value) / 20_000) ** 0.5
    assert one.p_value == pytest.approx(exact.p_value, abs=error)
    assert two.p_value == pytest.approx(exact.p_value, abs=error)
    assert swap_test([5] * 60, resamples=999).p_value == 1 / 1000
