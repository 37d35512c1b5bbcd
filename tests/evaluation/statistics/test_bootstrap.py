import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from usgland.evaluation.statistics.bootstrap import (
    bootstrap_measures,
    draw_patients,
    percentile_interval,
    resample_patients,
)
from usgland.evaluation.statistics.scores import MEASURES


def draw(seed, cases=60, patients=25):
    """Labels, probabilities with ties, and whose the cases are; unequal clusters."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, cases)
    noisy = np.clip(labels * 0.3 + rng.uniform(0, 0.8, cases), 0, 1)
    return labels, noisy.round(1), rng.integers(0, patients, cases).astype(str)


def sklearn_figures(labels, probabilities, threshold):
    predictions = (probabilities >= threshold).astype(int)
    return {
        "sensitivity": sklearn_metrics.recall_score(labels, predictions),
        "specificity": sklearn_metrics.recall_score(labels, predictions, pos_label=0),
        "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(
            labels, predictions
        ),
        "f1": sklearn_metrics.f1_score(labels, predictions),
        "cohen_kappa": sklearn_metrics.cohen_kappa_score(labels, predictions),
        "jaccard": sklearn_metrics.jaccard_score(labels, predictions),
        "roc_auc": sklearn_metrics.roc_auc_score(labels, probabilities),
    }


def test_bootstrap_agrees_with_a_loop_over_the_same_draws(monkeypatch):
    # Chunks of a few resamples: the joints are tested, too.
    monkeypatch.setattr("usgland.evaluation.statistics.bootstrap.CHUNK", 400)
    labels, probabilities, patient_ids = draw(4)
    drawn = draw_patients(patient_ids, resamples=50, seed=7)
    found = bootstrap_measures(labels, probabilities, 0.6, drawn)
    ids = sorted(set(patient_ids))
    draws = np.random.default_rng(7).integers(0, len(ids), (50, len(ids)))
    for i, drawn in enumerate(draws):
        cases = np.concatenate(
            [np.flatnonzero(patient_ids == ids[patient]) for patient in drawn]
        )
        expected = sklearn_figures(labels[cases], probabilities[cases], 0.6)
        one = {name: found[name][i] for name in expected}
        assert one == pytest.approx(expected, abs=1e-12, nan_ok=True)


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
    labels, probabilities, patient_ids = draw(5)
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
    labels, probabilities, _ = draw(6)
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
    from scipy.stats import bootstrap

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
