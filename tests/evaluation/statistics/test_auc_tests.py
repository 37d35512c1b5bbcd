"""Differences of areas: against R's pROC, brute force and the properties they have."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata, t
from sklearn.metrics import roc_auc_score

from usgland.evaluation.statistics.auc_tests import (
    delong_test,
    permutation_test,
    unpaired_delong_test,
)
from usgland.evaluation.statistics.delong import delong_covariance
from usgland.evaluation.statistics.families import corrected_resampled_test, holm
from usgland.evaluation.statistics.intervals import auc_interval
from usgland.evaluation.statistics.swap_tests import auc_swap_test, swap_test

# Made by scripts/proc_reference.py.
PROC = json.loads((Path(__file__).parents[2] / "reference" / "proc.json").read_text())
SETS = [pytest.param(one["cases"], one["proc"], id=name) for name, one in PROC.items()]
SMALL = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 4)),
    min_size=6,
    max_size=25,
).filter(lambda rows: 1 < sum(row[0] for row in rows) < len(rows) - 1)


@pytest.mark.parametrize(("cases", "proc"), SETS)
def test_areas_variances_and_covariances_are_those_of_proc(cases, proc):
    scores = np.stack([cases["a"], cases["b"]])
    areas, covariance = delong_covariance(cases["label"], scores)
    expected = (proc["auc_a"], proc["auc_b"])
    np.testing.assert_allclose(areas, expected, rtol=1e-12)
    np.testing.assert_allclose(
        covariance[[0, 1, 0], [0, 1, 1]],
        (proc["variance_a"], proc["variance_b"], proc["covariance"]),
        rtol=1e-9,
    )
    # Ours is symmetric on the logit scale, of the variance that pROC prints.
    interval = auc_interval(cases["label"], cases["a"], level=0.95)
    area, malignant = proc["auc_a"], sum(cases["label"])
    freedom = min(malignant, len(cases["label"]) - malignant) - 1
    half = t.ppf(0.975, freedom) * proc["variance_a"] ** 0.5 / area / (1 - area)
    odds = area / (1 - area) * np.exp([-half, half])
    np.testing.assert_allclose(interval[:2], odds / (1 + odds), rtol=1e-9)


@pytest.mark.parametrize(("cases", "proc"), SETS)
def test_the_paired_test_is_that_of_proc(cases, proc):
    found = delong_test(cases["label"], cases["a"], cases["b"])
    assert found.z == pytest.approx(proc["z"], rel=1e-9)
    assert found.p_value == pytest.approx(proc["p_value"], rel=1e-8)
    assert (found.low, found.high) == pytest.approx((proc["low"], proc["high"]))


@pytest.mark.parametrize(("cases", "proc"), SETS)
def test_the_unpaired_test_is_that_of_proc(cases, proc):
    labels = cases["label"]
    found = unpaired_delong_test((labels, cases["a"]), (labels, cases["b"]))
    assert found.z == pytest.approx(proc["unpaired_d"], rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(proc["unpaired_freedom"])
    assert found.p_value == pytest.approx(proc["unpaired_p_value"], rel=1e-8)
    assert "unpaired" in found.method


@given(SMALL)
def test_turning_models_or_rows_changes_only_the_sign(rows):
    labels, a, b = np.array(rows).T
    one, other = delong_test(labels, a, b), delong_test(labels, b, a)
    assert one.difference == pytest.approx(-other.difference)
    np.testing.assert_allclose(one.p_value, other.p_value)
    order = np.random.default_rng(0).permutation(len(labels))
    mixed = delong_test(labels[order], a[order], b[order])
    np.testing.assert_allclose(mixed.p_value, one.p_value, atol=1e-12)


@given(SMALL)
def test_other_scales_and_turned_labels_change_no_p(rows):
    labels, a, b = np.array(rows).T
    one = delong_test(labels, a, b)
    scaled = delong_test(labels, np.exp(a / 3), 5.0 * b - 2)
    np.testing.assert_allclose(scaled.p_value, one.p_value, atol=1e-12)
    turned = delong_test(1 - labels, a, b)
    assert turned.auc_a == pytest.approx(1 - one.auc_a)
    np.testing.assert_allclose(turned.p_value, one.p_value, atol=1e-12)


def test_models_that_rank_alike_have_a_p_of_1_and_say_why():
    labels = [0, 1, 0, 1, 1]
    found = delong_test(labels, [1, 2, 3, 4, 5], [10, 20, 30, 40, 50])
    assert (found.difference, found.p_value) == (0, 1)
    assert found.reason == "the two models rank all cases alike"
    assert np.isnan(found.low)


def test_a_perfect_against_a_perfectly_wrong_model_has_no_p_but_a_permutation_has():
    labels = np.repeat([0, 1], 5)
    found = delong_test(labels, labels, -labels)
    assert found.difference == 1
    assert np.isnan(found.p_value) and "variance" in found.reason
    swapped = permutation_test(labels, labels, -labels)
    assert swapped.p_value < 0.05


def test_clusters_of_one_case_are_no_clusters_and_copies_widen():
    cases = PROC["correlated"]["cases"]
    labels, a, b = cases["label"], cases["a"], cases["b"]
    plain = delong_test(labels, a, b)
    ids = np.arange(len(labels))
    assert delong_test(labels, a, b, patient_ids=ids) == plain
    twice = [np.repeat(one, 2) for one in (labels, a, b, ids)]
    naive = delong_test(*twice[:3])
    clustered = delong_test(*twice[:3], patient_ids=twice[3])
    assert naive.standard_error < 0.75 * plain.standard_error
    # Every case seen twice knows nothing more (a factor n / (n - 1) apart).
    assert clustered.standard_error == pytest.approx(plain.standard_error, rel=0.02)
    assert "clustered by patient" in clustered.method


def test_non_inferiority_reads_the_lower_bound():
    cases = PROC["large"]["cases"]
    found = delong_test(cases["label"], cases["b"], cases["a"], margin=0.2)
    judged = found.non_inferiority
    assert judged.shown is True and judged.low == found.low > -0.2
    z = (found.difference + 0.2) / found.standard_error
    assert judged.p_value == pytest.approx(norm.sf(z))
    narrow = delong_test(cases["label"], cases["b"], cases["a"], margin=0.05)
    assert narrow.non_inferiority.shown is False


def test_swaps_are_counted_as_brute_force_counts_them():
    rng = np.random.default_rng(3)
    labels = np.array([0, 1, 0, 1, 1, 0, 1, 0, 1, 0])
    a, b = rng.permutation(10) + 3 * labels, rng.permutation(10)
    patients = np.array([0, 0, 1, 2, 3, 3, 4, 5, 6, 6])
    observed = abs(roc_auc_score(labels, a) - roc_auc_score(labels, b))
    ranks = [rankdata(one) for one in (a, b)]
    reached = []
    for swaps in itertools.product([False, True], repeat=7):
        swapped = np.array(swaps)[patients]
        one, other = (np.where(swapped, ranks[1 - i], ranks[i]) for i in (0, 1))
        reached.append(
            abs(roc_auc_score(labels, one) - roc_auc_score(labels, other))
            >= observed - 1e-9
        )
    found = auc_swap_test(labels, a, b, patients)
    assert found.p_value == pytest.approx(np.mean(reached))
    assert "exact" in found.method


def test_drawn_swaps_are_near_the_exact_ones(monkeypatch):
    sums = np.random.default_rng(0).integers(-4, 6, 30)
    exact = swap_test(sums)
    monkeypatch.setattr("usgland.evaluation.statistics.swap_tests.EXACT_STEPS", 0)
    drawn = swap_test(sums, resamples=20_000, seed=1)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.01)
    assert drawn.method == "20000 swaps drawn, seed 1"


def test_swaps_need_whole_sums():
    with pytest.raises(ValueError, match="whole numbers"):
        swap_test([0.5])


def test_holm_is_worked_out_by_hand():
    # 0.01 x 3, 0.03 x 2, then not below the one before.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.04]), [0.5, np.nan, 0.08])
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        holm([1.2])


def test_folds_are_judged_by_the_formula_of_nadeau_and_bengio():
    differences = np.array([0.02, 0.05, -0.01, 0.03, 0.04])
    found = corrected_resampled_test(differences, 0.25)
    error = np.sqrt((1 / 5 + 0.25) * differences.var(ddof=1))
    assert found.standard_error == pytest.approx(error)
    assert found.mean == pytest.approx(0.026)
    # t = 1.68 with 4 degrees of freedom: between the tabled 1.533 (P .2) and 2.132.
    assert 0.1 < found.p_value < 0.2
    assert corrected_resampled_test([0.0, 0.0], 0.5).p_value == 1
    with pytest.raises(ValueError, match="two folds or more. Received: 1"):
        corrected_resampled_test([0.1], 0.25)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (([0, 1], [1, 2], [1]), "of one length"),
        (([0, 0, 0], [1, 2, 3], [1, 2, 3]), "0 and 1|label"),
        (([0, 1, 1], [1, np.nan, 3], [1, 2, 3]), "finite"),
    ],
)
def test_misuse_is_named(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        delong_test(*arguments)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"margin": 0}, r"`margin` must be in \(0, 1\)"), ({"level": 1}, "`level`")],
)
def test_options_out_of_range_are_named(options, expected):
    with pytest.raises(ValueError, match=expected):
        delong_test([0, 1, 0, 1], [1, 2, 3, 4], [4, 3, 2, 1], **options)
