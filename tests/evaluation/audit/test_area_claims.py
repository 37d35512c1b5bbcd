import numpy as np
import pytest
from scipy.stats import norm

from usgland.evaluation.audit.area_claims import area_tests
from usgland.evaluation.audit.matrix_fit import Matrix
from usgland.evaluation.audit.published_file import MeasureRow
from usgland.evaluation.planning.sample_size import auc_standard_error
from usgland.evaluation.statistics.auc_tests import delong_test, unpaired_delong_test


def row(auc=None):
    return MeasureRow(cases="x", sensitivity="0.5", specificity="0.5", auc=auc)


def calls_of(matrix):
    return np.repeat([1, 1, 0, 0], matrix), np.repeat([1, 0, 0, 1], matrix)


def test_on_different_cases_it_is_delongs_test_of_the_calls():
    a, b = Matrix(35, 1, 34, 2), Matrix(18, 2, 15, 5)
    expected = 2 * norm.sf(abs(unpaired_delong_test(calls_of(a), calls_of(b)).z))
    tests = area_tests((row(), row()), [(a, b)], "either", paired=False)
    assert list(tests) == ["DeLong of one point each"]
    assert tests["DeLong of one point each"] == pytest.approx((expected, expected))


def test_on_the_same_cases_no_pairing_lies_outside_and_both_ends_are_reached():
    a, b = Matrix(7, 2, 8, 3), Matrix(5, 4, 9, 2)
    labels, calls = calls_of(a)
    _, others = calls_of(b)
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        shuffled = others.copy()
        for label in (0, 1):
            own = np.flatnonzero(labels == label)
            shuffled[own] = rng.permutation(others[own])
        found.append(delong_test(labels, calls, shuffled).p_value)
    (bounds,) = area_tests((row(), row()), [(a, b)], "either", paired=True).values()
    assert bounds == pytest.approx((min(found), max(found)), rel=1e-9)


def test_printed_areas_have_hanley_and_mcneils_errors():
    a, b = Matrix(35, 1, 34, 2), Matrix(18, 2, 15, 5)
    rows = row("0.9583"), row("0.8250")
    tests = area_tests(rows, [(a, b)], "rounded", paired=False)
    errors = auc_standard_error(0.9583, 36, 36), auc_standard_error(0.8250, 20, 20)
    expected = 2 * norm.sf((0.9583 - 0.8250) / np.hypot(*errors))
    low, high = tests["Hanley-McNeil of the printed AUCs"]
    assert low < expected < high
    assert high - low < 0.001
    paired = area_tests(rows, [(a, b)], "rounded", paired=True)
    assert paired["Hanley-McNeil of the printed AUCs, correlation 0 to 1"].low < low
