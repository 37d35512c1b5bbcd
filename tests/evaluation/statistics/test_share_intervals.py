"""Intervals of differences of shares: statsmodels, SciPy and the sums written out."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from usgland.evaluation.statistics.intervals import normal_bounds
from usgland.evaluation.statistics.share_intervals import (
    clustered_variance,
    newcombe_unpaired,
    p_of_margin,
)
from usgland.evaluation.statistics.share_tests import mcnemar_test, unpaired_shares

REFERENCE = Path(__file__).parents[2] / "reference" / "statsmodels.json"
STATSMODELS = json.loads(REFERENCE.read_text(encoding="utf-8"))


def right(count, cases):
    return np.arange(cases) < count


@pytest.mark.parametrize("one", STATSMODELS["newcombe_unpaired"], ids=str)
def test_newcombes_interval_of_independent_shares_is_that_of_statsmodels(one):
    a, b = right(one["right_a"], one["n_a"]), right(one["right_b"], one["n_b"])
    assert newcombe_unpaired(a, b, 0.95) == pytest.approx((one["low"], one["high"]))


def test_the_clustered_variance_is_its_sum_over_patients():
    random = np.random.default_rng(0)
    values, ids = random.integers(0, 2, 50), random.integers(0, 12, 50)
    mean, total = values.mean(), 0.0
    for patient in set(ids):
        mine = values[ids == patient]
        total += (mine.sum() - len(mine) * mean) ** 2
    patients = len(set(ids))
    expected = patients / (patients - 1) * total / 50**2
    assert clustered_variance(values, ids) == pytest.approx(expected)
    # One case each: the variance of a mean.
    plain = values.var(ddof=1) / 50
    assert clustered_variance(values, np.arange(50)) == pytest.approx(plain)
    # Each case three times is no more evidence.
    copied = clustered_variance(np.tile(values, 3), np.tile(np.arange(50), 3))
    assert copied == pytest.approx(plain)


def test_without_a_variance_between_patients_there_are_no_bounds():
    assert np.isnan(clustered_variance([0, 1, 1], [1, 1, 1]))
    for variance in (0.0, np.nan):
        assert np.isnan(normal_bounds(0.1, variance, 0.95)).all()
    assert normal_bounds(0.9, 0.04, 0.95) == pytest.approx((0.508, 1.0), abs=1e-3)


@pytest.mark.parametrize("difference", [-0.3, -0.1, 0.0, 0.2])
def test_p_of_a_margin_is_that_of_z_where_bounds_are_normal(difference):
    bounds = partial(normal_bounds, difference, 0.01)
    expected = norm.sf((difference + 0.1) / 0.1)
    found = p_of_margin(bounds, difference, 0.1)
    assert found == pytest.approx(expected, abs=1e-8)


def test_p_of_a_margin_is_0025_where_the_bound_touches_it():
    counts = (59, 6, 16, 80)
    calls = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
    labels = np.ones(161, int)
    low = mcnemar_test(labels, *calls, measure="sensitivity").low
    judged = mcnemar_test(
        labels, *calls, margin=-low, measure="sensitivity"
    ).non_inferiority
    assert judged.p_value == pytest.approx(0.025, abs=1e-9)
    wider = mcnemar_test(
        labels, *calls, margin=0.15, measure="sensitivity"
    ).non_inferiority
    narrow = mcnemar_test(
        labels, *calls, margin=0.05, measure="sensitivity"
    ).non_inferiority
    assert (wider.shown, narrow.shown) == (True, False)
    assert wider.p_value < 0.025 < narrow.p_value
    assert wider.method == "interval: Newcombe, paired"


def test_images_of_a_patient_are_not_counted_as_patients():
    labels, ids = np.ones(30, int), np.arange(30)
    a, b = right(24, 30).astype(int), right(15, 30).astype(int)
    many = [np.tile(one, 4) for one in (labels, a, b, ids)]
    naive = unpaired_shares(
        (many[0], many[1]), (many[0], many[2]), measure="sensitivity"
    )
    clustered = unpaired_shares(
        (many[0], many[1]),
        (many[0], many[2]),
        patient_ids=(many[3], many[3]),
        measure="sensitivity",
    )
    variance = a.var(ddof=1) / 30 + b.var(ddof=1) / 30
    assert clustered.p_value == pytest.approx(2 * norm.sf(0.3 / variance**0.5))
    assert naive.p_value < 0.001 < clustered.p_value
    assert clustered.method.startswith("z, clustered by patient, unpaired")
    paired = mcnemar_test(*many[:3], patient_ids=many[3], measure="sensitivity")
    once = mcnemar_test(labels, a, b, measure="sensitivity")
    assert paired.p_value == pytest.approx(once.p_value)
    assert paired.low == pytest.approx(
        0.3 - 1.959964 * ((a - b).var(ddof=1) / 30) ** 0.5
    )


def test_calls_that_differ_in_no_patient_have_no_clustered_interval_and_say_so():
    labels, ids = np.ones(6, int), [1, 1, 2, 2, 3, 3]
    calls = [1, 1, 1, 0, 0, 0]
    found = mcnemar_test(
        labels, calls, calls, patient_ids=ids, margin=0.1, measure="sensitivity"
    )
    assert found.p_value == 1
    assert np.isnan([found.low, found.high, found.non_inferiority.p_value]).all()
    assert found.non_inferiority.shown is None
    assert found.method.endswith("no patient in whom the two differ)")
    assert found.reason == "no variance between patients, so no interval"
    all_right = (labels, labels)
    unpaired = unpaired_shares(
        all_right, all_right, patient_ids=(ids, ids), measure="accuracy"
    )
    assert np.isnan(unpaired.p_value)
    assert unpaired.method == "z, clustered by patient, unpaired"
    assert unpaired.reason == found.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 2}, "`margin` must be .* Received: 2"),
        ({"level": 95}, "`level` must be .* Received: 95"),
    ],
)
def test_margins_and_levels_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        mcnemar_test([0, 1], [0, 1], [0, 1], **options, measure="accuracy")
    with pytest.raises(ValueError, match=message):
        unpaired_shares(
            ([0, 1], [0, 1]), ([0, 1], [0, 1]), **options, measure="accuracy"
        )
