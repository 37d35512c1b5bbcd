import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from tests.evaluation.statistics.oracle import (
    draw_cases,
    draw_scores,
    sklearn_measures,
)
from usgland.evaluation.statistics.bootstrap import (
    bca_interval,
    bootstrap_measures,
    draw_patients,
    percentile_interval,
    resample_patients,
)
from usgland.evaluation.statistics.paired_tests import average_precision_test
from usgland.evaluation.statistics.roc_regions import sensitivity_at
from usgland.evaluation.statistics.scores import MEASURES, score


def test_bootstrap_agrees_with_a_loop_over_the_same_draws(monkeypatch):
    # Chunks of a few resamples: the joints are tested, too.
    monkeypatch.setattr("usgland.evaluation.statistics.bootstrap.CHUNK", 400)
    labels, probabilities, patient_ids = draw_cases(4)
    drawn = draw_patients(patient_ids, resamples=50, seed=7)
    found = bootstrap_measures(labels, probabilities, 0.6, drawn)
    ids = sorted(set(patient_ids))
    draws = np.random.default_rng(7).integers(0, len(ids), (50, len(ids)))
    for i, drawn in enumerate(draws):
        cases = np.concatenate(
            [np.flatnonzero(patient_ids == ids[patient]) for patient in drawn]
        )
        expected = sklearn_measures(labels[cases], probabilities[cases], 0.6)
        redrawn = {name: found[name][i] for name in expected}
        assert redrawn == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_bootstrap_leaves_resamples_undefined_where_a_class_is_missing():
    labels, probabilities = [0, 0, 0, 1], [0.1, 0.7, 0.3, 0.8]
    draws = draw_patients(list("abcd"), resamples=400, seed=0)
    found = bootstrap_measures(labels, probabilities, 0.5, draws)
    without = resample_patients(4, 400, 0)[:, 3] == 0
    assert 0 < without.sum() < 400
    for name in ("sensitivity", "roc_auc"):
        missing = np.isnan(found[name])
        assert missing[without].all()
        interval = percentile_interval(found[name], level=0.95, seed=0)
        assert interval.undefined == missing.sum()
    assert not np.isnan(found["accuracy"]).any()


def test_bootstrap_does_not_depend_on_the_order_of_the_rows():
    labels, probabilities, patient_ids = draw_cases(5)
    order = np.random.default_rng(0).permutation(len(labels))
    one, other = (
        bootstrap_measures(
            labels[rows],
            probabilities[rows],
            0.6,
            draw_patients(patient_ids[rows], resamples=20, seed=1),
        )
        for rows in (np.arange(len(labels)), order)
    )
    for name in MEASURES:
        np.testing.assert_allclose(one[name], other[name], atol=1e-12)


def test_images_of_one_patient_are_resampled_together():
    # Ten copies of each image add rows but no patient: the same spread.
    labels, probabilities, _ = draw_cases(6)
    patient_ids = np.arange(len(labels))
    one, ten = (
        bootstrap_measures(
            np.tile(labels, copies),
            np.tile(probabilities, copies),
            0.6,
            draw_patients(np.tile(patient_ids, copies), resamples=30, seed=2),
        )
        for copies in (1, 10)
    )
    for name in MEASURES:
        np.testing.assert_allclose(one[name], ten[name], atol=1e-12)


def test_percentile_interval_agrees_with_scipy():
    values = np.random.default_rng(0).normal(size=30)
    reference = bootstrap((values,), np.mean, method="percentile", rng=1)
    found = percentile_interval(reference.bootstrap_distribution, level=0.95, seed=1)
    assert found[:2] == pytest.approx(tuple(reference.confidence_interval))
    assert found.method == "percentile bootstrap over patients, 9999 resamples, seed 1"


@pytest.mark.parametrize(
    ("values", "reason", "left_out"),
    [
        ([], "0 bootstrap resamples", 0),
        ([np.nan, np.nan], "undefined in every resample", 2),
        ([1.0] * 40 + [np.nan], "the same value in every resample", 1),
        ([0.5, 1.0] * 9 + [np.nan] * 2, "undefined in 2 of 20 resamples", 2),
    ],
)
def test_resamples_without_spread_give_no_interval_and_say_why(
    values, reason, left_out
):
    found = percentile_interval(np.array(values), level=0.95, seed=0)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.method == ""
    assert found.reason.startswith(reason)
    assert found.how() == f"none: {found.reason}"
    assert found.undefined == left_out


def test_bca_is_that_of_scipy_on_independent_cases():
    labels, probabilities, ids = draw_scores(patients=80)
    data = np.arange(80)

    def auc(index):
        return score(labels[index], probabilities[index], 0.5)["brier"]

    expected = bootstrap(
        (data,),
        lambda index: auc(index.astype(int)),
        method="BCa",
        n_resamples=2000,
        vectorized=False,
        rng=np.random.default_rng(0),
    ).confidence_interval
    cases = (labels, probabilities, 0.5, draw_patients(ids, resamples=4000, seed=1))
    values = bootstrap_measures(*cases)["brier"]
    left_out = bootstrap_measures(*cases, sets=cases[3].all_but_one())["brier"]
    found = bca_interval(values, auc(data), left_out, level=0.95, seed=1)
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.06 * width)
    assert found.high == pytest.approx(expected.high, abs=0.06 * width)
    assert found.method.startswith("BCa bootstrap over patients")


def test_bca_of_a_symmetric_statistic_is_the_percentile_interval():
    values = np.random.default_rng(0).normal(size=20_000)
    found = bca_interval(values, 0.0, np.array([-1.0, 1.0]), level=0.9, seed=0)
    plain = percentile_interval(values, level=0.9, seed=0)
    assert found.low == pytest.approx(plain.low, abs=0.03)
    assert found.high == pytest.approx(plain.high, abs=0.03)


def test_the_jackknife_leaves_each_patient_out():
    labels, probabilities, ids = draw_scores(patients=7, images=2)
    draws = draw_patients(ids)
    sets = draws.all_but_one()
    found = bootstrap_measures(labels, probabilities, 0.5, draws, sets=sets)
    for number, patient in enumerate(sorted(set(ids))):
        kept = ids != patient
        expected = score(labels[kept], probabilities[kept], 0.5)
        one = {name: values[number] for name, values in found.items()}
        assert one == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", ["roc_auc", "f1", "brier", "sensitivity"])
def test_bca_moves_the_same_resamples_as_scipy_does(name):
    # SciPy's own draws go through ours: the bounds agree to the last digits.
    labels, probabilities, ids = draw_scores(seed=3, patients=40)

    def measure(index, axis=-1):
        sets = np.atleast_2d(index.astype(int))
        found = [score(labels[one], probabilities[one], 0.5)[name] for one in sets]
        return np.array(found).reshape(index.shape[:-1])

    reference = bootstrap(
        (np.arange(40),),
        measure,
        method="BCa",
        n_resamples=300,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    draws = draw_patients(ids.astype(int))
    sets = draws.all_but_one()
    left_out = bootstrap_measures(labels, probabilities, 0.5, draws, sets=sets)[name]
    value = score(labels, probabilities, 0.5)[name]
    values = reference.bootstrap_distribution
    found = bca_interval(values, value, left_out, level=0.95, seed=0)
    assert found[:2] == pytest.approx(tuple(reference.confidence_interval), rel=1e-9)


def test_very_many_patients_are_drawn_in_groups_by_all_that_draws():
    labels, probabilities, ids = draw_scores(patients=2100)
    options = {"patient_ids": ids, "resamples": 20}
    at = sensitivity_at(labels, probabilities, specificity=0.9, **options)
    assert at.low < at.value < at.high
    assert "over 2000 groups of patients" in at.method
    other = probabilities + 0.1 * np.sin(np.arange(2100))
    found = average_precision_test(labels, probabilities, other, **options)
    assert found.low < found.difference < found.high
    assert "over 2000 groups of patients" in found.method
