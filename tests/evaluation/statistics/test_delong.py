"""DeLong's covariance against the formula written out, pair by pair."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from usgland.evaluation.statistics.delong import delong_covariance
from usgland.evaluation.statistics.intervals import auc_interval


def kernel(malignant, benign):
    return float(malignant > benign) + 0.5 * float(malignant == benign)


def components(labels, scores):
    """V10 of each malignant and V01 of each benign case, as DeLong writes them."""
    malignant = [s for s, y in zip(scores, labels, strict=True) if y == 1]
    benign = [s for s, y in zip(scores, labels, strict=True) if y == 0]
    v10 = [sum(kernel(x, y) for y in benign) / len(benign) for x in malignant]
    v01 = [sum(kernel(x, y) for x in malignant) / len(malignant) for y in benign]
    return np.array(v10), np.array(v01)


def naive_covariance(labels, scores):
    """Equations 5 and 6 of DeLong et al., in O(mn)."""
    parts = [components(labels, one) for one in scores]
    v10, v01 = (np.stack([part[which] for part in parts]) for which in (0, 1))
    s10 = np.atleast_2d(np.cov(v10))
    s01 = np.atleast_2d(np.cov(v01))
    return v10.mean(axis=1), s10 / v10.shape[1] + s01 / v01.shape[1]


def naive_clustered(labels, scores, patient_ids):
    """The variance of Obuchowski, 1997, for one model, patient by patient."""
    labels, patient_ids = np.asarray(labels), np.asarray(patient_ids)
    v10, v01 = components(labels, scores)
    area, m, n = v10.mean(), len(v10), len(v01)
    mine, other = patient_ids[labels == 1], patient_ids[labels == 0]
    s10 = s01 = s11 = 0.0
    patients = set(patient_ids)
    for patient in patients:
        x = v10[mine == patient].sum() - (mine == patient).sum() * area
        y = v01[other == patient].sum() - (other == patient).sum() * area
        s10, s01, s11 = s10 + x * x, s01 + y * y, s11 + x * y
    i10, i01, i = len(set(mine)), len(set(other)), len(patients)
    s10 *= i10 / ((i10 - 1) * m)
    s01 *= i01 / ((i01 - 1) * n)
    s11 *= i / (i - 1)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def drawn(seed, cases=40, models=3, decimals=1):
    rng = np.random.default_rng(seed)
    labels = np.r_[1, 1, 0, 0, rng.integers(0, 2, cases - 4)]
    shared = rng.normal(size=cases) + labels
    scores = np.round(shared + rng.normal(size=(models, cases)), decimals)
    return labels, scores


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_mid_ranks_give_the_areas_and_covariance_of_the_written_out_formula(
    seed, decimals
):
    labels, scores = drawn(seed, decimals=decimals)
    found, covariance = delong_covariance(labels, scores)
    expected_areas, expected = naive_covariance(labels, scores)
    assert found == pytest.approx(expected_areas, abs=1e-12)
    assert covariance == pytest.approx(expected, abs=1e-12)
    assert found == pytest.approx([roc_auc_score(labels, one) for one in scores])


@pytest.mark.parametrize("seed", range(5))
def test_the_clustered_variance_is_that_of_obuchowski_written_out(seed):
    labels, scores = drawn(seed)
    patient_ids = np.random.default_rng(seed).integers(0, 15, len(labels))
    _, covariance = delong_covariance(labels, scores, patient_ids=patient_ids)
    expected = [naive_clustered(labels, one, patient_ids) for one in scores]
    assert np.diag(covariance) == pytest.approx(expected, abs=1e-12)


def test_patients_with_one_case_each_leave_the_covariance_as_it_is():
    labels, scores = drawn(0)
    ids = [f"P{number}" for number in range(len(labels))]
    _, clustered = delong_covariance(labels, scores, patient_ids=ids)
    assert clustered == pytest.approx(delong_covariance(labels, scores)[1], abs=1e-15)


def test_images_that_repeat_a_patient_add_no_evidence():
    # Each image four times: clustered by patient, the variance stays as it was but
    # for the n / (n - 1) of few patients; without patients it falls to a quarter.
    labels, scores = drawn(1, cases=60)
    ids = np.arange(60)
    once = delong_covariance(labels, scores)[1]
    many = np.tile(labels, 4), np.tile(scores, 4), np.tile(ids, 4)
    clustered = delong_covariance(many[0], many[1], patient_ids=many[2])[1]
    naive = delong_covariance(many[0], many[1])[1]
    assert clustered == pytest.approx(once, abs=1e-12)
    assert np.diag(naive) == pytest.approx(np.diag(once) / 4, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-4, 4), st.integers(0, 6)),
        min_size=4,
        max_size=25,
    ),
    st.randoms(use_true_random=False),
)
def test_order_of_rows_scale_of_scores_and_labels_change_nothing(cases, random):
    cases = [(1, 0, 7), (0, 1, 8), (1, 2, 9), (0, 0, 9), *cases]
    shuffled = random.sample(cases, len(cases))

    def run(rows, transform=lambda x: x, flip=False):
        labels, scores, ids = np.array(rows).T
        labels = 1 - labels if flip else labels
        (area,), ((variance,),) = delong_covariance(
            labels, transform(scores), patient_ids=ids
        )
        return area, variance

    area, variance = run(cases)
    assert 0 <= area <= 1
    assert variance >= 0
    assert run(shuffled) == pytest.approx((area, variance), abs=1e-12)
    assert run(cases, lambda x: np.exp(x / 3)) == pytest.approx((area, variance))
    assert run(cases, lambda x: -x) == pytest.approx((1 - area, variance), abs=1e-12)
    assert run(cases, flip=True) == pytest.approx((1 - area, variance), abs=1e-12)


def test_the_interval_stays_below_1_and_says_how_it_was_made():
    # 11 of 12 pairs in order: 0.917 with a standard error of 0.0962 (by hand).
    labels, scores = [1, 1, 1, 0, 0, 0, 0], [0.9, 0.8, 0.4, 0.1, 0.2, 0.3, 0.5]
    interval = auc_interval(labels, scores, level=0.95)
    area = 11 / 12
    deviation = ((1 / 12 * 2) ** 2 + 2 * (1 / 12) ** 2) / 2 / 3  # V10: 1, 1, 3/4
    deviation += ((1 / 4) ** 2 + 3 * (1 / 12) ** 2) / 3 / 4  # V01: 1, 1, 1, 2/3
    # Odds of 11, and 4.302653 the quantile of t with 3 - 1 degrees of freedom.
    half = 4.302653 * deviation**0.5 / (area * (1 - area))
    for bound, odds in zip(
        interval, (11 * np.exp(-half), 11 * np.exp(half)), strict=False
    ):
        assert bound == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert interval.method == "DeLong, logit, t(2)"


def test_all_images_ranked_right_have_the_bound_of_their_patients():
    # Two patients of each label: 0.025 ** (1 / 2), however many images they have.
    labels, ids = [1, 1, 0, 0] * 3, [1, 2, 3, 4] * 3
    interval = auc_interval(labels, labels, patient_ids=ids)
    assert interval.low == pytest.approx(0.025**0.5)
    assert interval.high == 1
    # Five patients with images of both labels make two pairs without a common one.
    both = auc_interval([0, 1] * 5, [0, 1] * 5, patient_ids=np.arange(10) // 2)
    assert both.low == pytest.approx(0.025**0.5)
    assert "2 disjoint pairs" in both.method


@pytest.mark.parametrize(
    ("labels", "scores", "ids", "reason"),
    [
        ([1, 1, 0, 0], [1, 1, 1, 1], None, "DeLong variance is 0"),
        ([1, 1, 0, 0] * 2, [1, 1, 1, 1] * 2, [1, 2, 3, 4] * 2, "DeLong, clustered by"),
        ([1, 0, 0], [1, 2, 0], None, "a label has one case only"),
        ([1, 1, 0, 0], [1, 3, 2, 0], [1, 1, 2, 3], "a label has one patient"),
    ],
)
def test_an_area_without_variance_has_no_interval_and_says_why(
    labels, scores, ids, reason
):
    interval = auc_interval(labels, scores, level=0.95, patient_ids=ids)
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.reason.startswith(reason)


def test_equal_placements_give_a_variance_of_exactly_0():
    # Every malignant case above 2 of 3 benign ones: thirds must not leave a rest.
    labels = [1] * 7 + [0] * 3
    scores = [5] * 7 + [9, 1, 1]
    v10 = delong_covariance(labels, scores)[1][0, 0]
    # Only the benign cases vary: 0, 1, 1 around 2/3, over 3.
    assert v10 == pytest.approx(np.var([0, 1, 1], ddof=1) / 3, abs=1e-15)
    assert delong_covariance([1] * 7 + [0] * 3, [5] * 10)[1][0, 0] == 0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [1, 2, 3], r"Received: shapes \(2,\) and \(1, 3\)"),
        ([[0, 1]], [1, 2], r"Received: shapes \(1, 2\) and \(1, 2\)"),
        ([1, 1], [1, 2], r"both of them. Received: \[1\]"),
        ([0, 2], [1, 2], "`labels` must be 0 or 1. Received: 2"),
        ([0, 1], [1, np.nan], "finite numbers. Received: 1 that are not"),
    ],
)
def test_arguments_that_cannot_be_ranked_are_named(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        delong_covariance(labels, scores)


def test_patient_ids_of_another_length_are_named():
    with pytest.raises(ValueError, match=r"one entry a case, 2. Received: shape \(3,"):
        delong_covariance([0, 1], [1, 2], patient_ids=[1, 2, 3])


def test_an_interval_of_several_models_or_of_no_level_is_refused():
    with pytest.raises(ValueError, match=r"of one length.* \(2,\) and \(2, 2\)"):
        auc_interval([0, 1], [[1, 2], [1, 2]], level=0.95)
    for level, scores in itertools.product((0, 1, 95), ([1, 2], [1, 1])):
        with pytest.raises(ValueError, match=f"`level` must be .* Received: {level}"):
            auc_interval([0, 1], scores, level=level)
