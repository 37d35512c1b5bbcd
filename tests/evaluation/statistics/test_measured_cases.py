"""Which interval a measure gets, and what it covers."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from tests.evaluation.statistics.oracle import draw_scores
from usgland.config import EvaluationSettings
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.measures import unit_metrics, unit_of
from usgland.evaluation.statistics.bootstrap import draw_patients
from usgland.evaluation.statistics.intervals import auc_interval, proportion_interval
from usgland.evaluation.statistics.measured_cases import (
    MeasuredCases,
    bootstrap_interval,
    measures,
)
from usgland.evaluation.statistics.scores import MEASURES, score

COVERED = (
    "sensitivity",
    "specificity",
    "ppv",
    "f1",
    "mcc",
    "positive_likelihood_ratio",
    "roc_auc",
    "average_precision",
    "brier",
)


def settings_of(**changes):
    return EvaluationSettings(bootstrap_resamples=200, **changes)


def metrics_at(rows, threshold, settings):
    return unit_metrics(unit_of(rows, settings), Thresholds.at(threshold), settings)


def test_independent_cases_get_intervals_of_proportions_and_delong():
    labels, probabilities, ids = draw_scores()
    found = measures(labels, probabilities, 0.5, patient_ids=ids, resamples=200).T
    assert tuple(found) == MEASURES
    calls = probabilities >= 0.5
    right = int(((labels == 1) & calls).sum())
    expected = proportion_interval(right, int(labels.sum()), level=0.95)
    assert found["sensitivity"].low == expected.low
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        assert found[name].method == "Wilson"
    area = auc_interval(labels, probabilities, level=0.95)
    assert (found["roc_auc"].low, found["roc_auc"].high) == area[:2]
    assert "bootstrap" in found["f1"].method
    wider = measures(
        labels, probabilities, 0.5, proportions="clopper_pearson", resamples=200
    ).T
    assert wider["sensitivity"].low < found["sensitivity"].low


def test_images_of_one_patient_are_drawn_together_for_every_figure():
    labels, probabilities, ids = draw_scores(images=3)
    found = measures(labels, probabilities, 0.5, patient_ids=ids, resamples=200).T
    for _, measure in found.items():
        assert "bootstrap over patients" in measure.method
    alone = measures(labels, probabilities, 0.5, resamples=200).T
    width = {n: f.high - f.low for n, f in found.items()}
    naive = {n: f.high - f.low for n, f in alone.items()}
    assert width["roc_auc"] > 1.2 * naive["roc_auc"]


def test_perfect_shares_have_a_bound_where_cases_are_independent():
    labels = np.arange(20) % 2
    found = measures(labels, labels * 0.8 + 0.1, 0.5, resamples=200).T
    # Wilson of 10 of 10: 10 / (10 + z^2).
    assert found["sensitivity"].low == pytest.approx(10 / (10 + 1.959964**2))
    # 0.025 ** (1 / 10), of ten disjoint pairs.
    assert found["roc_auc"].low == pytest.approx(0.025**0.1)
    assert found["roc_auc"].high == 1
    assert "10 disjoint pairs" in found["roc_auc"].method
    turned = auc_interval(labels, 1 - labels, level=0.95)
    assert (turned.low, turned.high) == pytest.approx((0, 1 - 0.025**0.1))
    assert found["f1"].reason.startswith("the same value in every")


def test_one_measure_has_the_bootstrap_interval_that_all_measures_have():
    labels, probabilities, ids = draw_scores(images=3)
    cases = labels, probabilities, 0.5
    options = {"resamples": 200, "seed": 4, "level": 0.9, "patient_ids": ids}
    for kind in ("percentile", "bca"):
        expected = measures(*cases, bootstrap=kind, **options).T
        for name in ("roc_auc", "f1"):
            found = bootstrap_interval(*cases, measure=name, method=kind, **options)
            assert found == tuple(expected[name])[1:]
        area = bootstrap_interval(*cases[:2], method=kind, **options)
        assert area == tuple(expected["roc_auc"])[1:]


def test_names_and_options_that_there_are_none_of_are_refused():
    cases = [0, 1], [0.2, 0.8], 0.5
    with pytest.raises(ValueError, match=r"names of .*'f1'.* Received: \['f2'\]"):
        measures(*cases, names=("f1", "f2"))
    with pytest.raises(ValueError, match="`bootstrap` must be .* Received: 'basic'"):
        bootstrap_interval(*cases, method="basic")
    with pytest.raises(ValueError, match=r"`level` must be in \(0, 1\). Received: 95"):
        measures(*cases, level=95)
    with pytest.raises(
        ValueError, match="`threshold` must be .* for 'f1'. Received: N"
    ):
        bootstrap_interval(*cases[:2], measure="f1")
    with pytest.raises(
        ValueError, match=r"one entry a case, 2. Received: shape \(3,\)"
    ):
        measures(*cases, patient_ids=list("abc"))


def test_what_is_not_defined_has_a_reason_instead():
    cases = [1, 1, 1], [0.2, 0.9, 0.6], 0.5
    found = measures(*cases, patient_ids=list("abc"), resamples=200).T
    assert found["specificity"].reason == "no benign case"
    assert found["roc_auc"].method == ""
    assert found["sensitivity"].reason == ""


def test_predictive_values_at_a_prevalence_have_intervals_and_reasons():
    labels, probabilities, ids = draw_scores(images=2)
    for kind in ("percentile", "bca"):
        settings = settings_of(prevalences=(0.1,), bootstrap=kind)
        rows = pd.DataFrame(
            {"label": labels, "probability": probabilities, "patient_id": ids}
        )
        found = metrics_at(rows, 0.5, settings)
        measures, pair = found["figures"], found["prevalences"]["0.1"]
        sensitivity, specificity = (
            measures[name]["value"] for name in ("sensitivity", "specificity")
        )
        called = 0.1 * sensitivity + 0.9 * (1 - specificity)
        assert pair["ppv"]["value"] == pytest.approx(0.1 * sensitivity / called)
        for one in pair.values():
            assert one["low"] < one["value"] < one["high"]
            assert kind in one["method"].lower()
        assert metrics_at(rows[labels == 1], 0.5, settings)["prevalences"]["0.1"][
            "npv"
        ]["reason"] == ("no benign case")
        nobody = rows.assign(probability=0.1)
        pair = metrics_at(nobody, 0.5, settings)["prevalences"]["0.1"]
        assert pair["ppv"]["reason"] == "no case is called malignant"
        assert pair["npv"]["value"] == pytest.approx(0.9)
        assert pair["npv"]["reason"].startswith("the same value in every")


def test_independent_patients_get_the_logit_interval_in_the_metrics():
    labels, probabilities, ids = draw_scores()
    rows = pd.DataFrame(
        {"label": labels, "probability": probabilities, "patient_id": ids}
    )
    settings = settings_of(prevalences=(0.1,))
    pair = metrics_at(rows, 0.5, settings)["prevalences"]["0.1"]
    for one in pair.values():
        assert one["method"] == "logit (Mercaldo)"
        assert one["low"] < one["value"] < one["high"]


@pytest.mark.slow
def test_bootstrap_intervals_cover_what_they_say_on_clustered_data():
    """95% intervals of 120 patients with 1 to 5 images, of whom 4 in 10 are malignant.

    Of 2,000 drawn studies, labels drawn as well: the bootstrap draws patients, and
    with them how many are malignant. An image shares half of the variance of its
    logit with the others of its patient. The truth is that of 200,000 patients drawn
    alike. The standard error of a coverage is 0.5 points.
    """
    patients, studies = 120, 2000
    sizes = np.random.default_rng(9).integers(1, 6, patients)

    def study(rng, patients, sizes):
        ids = np.repeat(np.arange(patients), sizes)
        labels = np.repeat((rng.uniform(size=patients) < 0.4).astype(int), sizes)
        own = np.repeat(rng.normal(size=patients), sizes)
        scores = labels * 1.2 + own + rng.normal(size=len(ids))
        return labels, norm.cdf(scores - 0.6), 0.5, ids.astype(str)

    rng = np.random.default_rng(1)
    truth = score(*study(rng, 200_000, np.resize(sizes, 200_000))[:3])
    inside = {(name, kind): 0 for name in COVERED for kind in ("percentile", "bca")}
    for seed in range(studies):
        *cases, ids = study(rng, patients, sizes)
        draws = draw_patients(ids, resamples=1000, seed=seed)
        for kind in ("percentile", "bca"):
            made = MeasuredCases(*cases, draws, COVERED, bootstrap=kind)
            for name, found in made.measures().items():
                inside[name, kind] += found.low <= truth[name] <= found.high
    outside = {
        one: count / studies
        for one, count in inside.items()
        if not 0.93 <= count / studies <= 0.97
    }
    assert outside == {}
