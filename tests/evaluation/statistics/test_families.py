"""Families of tests against statsmodels and SciPy."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from usgland.evaluation.statistics.families import corrected_resampled_test, holm
from usgland.evaluation.statistics.share_tests import mcnemar_test

REFERENCE = Path(__file__).parents[2] / "reference"
STATSMODELS = json.loads((REFERENCE / "statsmodels.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("one", STATSMODELS["holm"], ids=lambda one: str(len(one)))
def test_holm_is_that_of_statsmodels(one):
    assert holm(one["p_values"]) == pytest.approx(one["holm"], abs=1e-12)


def test_holm_leaves_out_what_could_not_be_tested():
    assert holm([0.02, np.nan, 0.03]) == pytest.approx(
        [0.04, np.nan, 0.04], nan_ok=True
    )
    assert holm([]).size == 0


def test_without_overlap_of_folds_the_corrected_test_is_students():
    differences = [0.02, 0.05, -0.01, 0.03, 0.04]
    expected = ttest_1samp(differences, 0)
    found = corrected_resampled_test(differences, 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    # Five folds, a test part of a quarter of the training part: 1/5 + 1/4 for 1/5.
    raised = corrected_resampled_test(differences, 0.25)
    assert raised.standard_error == pytest.approx(found.standard_error * 1.5)
    assert raised.folds == 5
    assert raised.p_value > found.p_value


def test_folds_that_all_say_the_same_have_no_p_unless_they_say_nothing():
    assert np.isnan(corrected_resampled_test([0.5, 0.5], 0.25).p_value)
    assert corrected_resampled_test([0.0, 0.0], 0.25).p_value == 1


@pytest.mark.parametrize("one", STATSMODELS["mcnemar"], ids=lambda one: str(one))
def test_mcnemars_exact_p_is_that_of_statsmodels(one):
    counts = [one[name] for name in ("both", "only_a", "only_b", "neither")]
    calls_a = np.repeat([1, 1, 0, 0], counts)
    calls_b = np.repeat([1, 0, 1, 0], counts)
    labels = np.ones(sum(counts), int)
    found = mcnemar_test(labels, calls_a, calls_b, measure="sensitivity")
    assert found.p_value == pytest.approx(one["p_value"], rel=1e-9)
    assert (found.only_a, found.only_b) == (one["only_a"], one["only_b"])
