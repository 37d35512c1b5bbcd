"""Which interval a measure gets, and what it covers."""

import runpy
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import beta
from scipy.stats import t as student

from tests.evaluation.statistics.oracle import draw_scores
from usgland.config import EvaluationSettings
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.measures import unit_metrics, unit_of
from usgland.evaluation.statistics.bootstrap import draw_patients
from usgland.evaluation.statistics.intervals import (
    auc_interval,
    clustered_proportion,
    proportion_interval,
)
from usgland.evaluation.statistics.measured_cases import (
    bootstrap_interval,
    measures,
)
from usgland.evaluation.statistics.roc_curves import roc_band
from usgland.evaluation.statistics.scores import MEASURES, score

SCRIPTS = Path(__file__).parents[3] / "scripts"


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
    assert found["f1"].method == "jackknife over patients, logit, t(29)"
    wider = measures(
        labels, probabilities, 0.5, proportions="clopper_pearson", resamples=200
    ).T
    assert wider["sensitivity"].low < found["sensitivity"].low


def test_images_of_one_patient_are_drawn_together_for_every_figure():
    labels, probabilities, ids = draw_scores(images=3)
    found = measures(labels, probabilities, 0.5, patient_ids=ids, resamples=200).T
    for _, measure in found.items():
        assert "patient" in measure.method
    drawn = {"resamples": 200, "bootstrap": "percentile", "patient_ids": ids}
    by_draws = measures(labels, probabilities, 0.5, **drawn).T
    assert by_draws["f1"].method.startswith("percentile bootstrap over patients, 200")
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
    assert found["f1"].reason == "the same value without each patient"


def test_one_measure_has_the_bootstrap_interval_that_all_measures_have():
    labels, probabilities, ids = draw_scores(images=3)
    cases = labels, probabilities, 0.5
    options = {"resamples": 200, "seed": 4, "level": 0.9, "patient_ids": ids}
    for kind in ("percentile", "bca", "jackknife"):
        expected = measures(*cases, bootstrap=kind, **options).T
        for name in ("brier", "f1"):
            found = bootstrap_interval(*cases, measure=name, method=kind, **options)
            assert found == tuple(expected[name])[1:]
        brier = bootstrap_interval(*cases[:2], measure="brier", method=kind, **options)
        assert brier == tuple(expected["brier"])[1:]


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
        assert pair["npv"]["reason"].startswith("the same value ")


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


def test_all_images_called_right_have_the_bound_of_so_many_patients():
    labels = np.repeat([1, 0], 60)
    ids = np.repeat(np.arange(40), 3)
    found = measures(labels, labels * 0.8 + 0.1, 0.5, patient_ids=ids).T
    # Wilson of 20 of 20 patients: 20 / (20 + z^2).
    assert found["sensitivity"].low == pytest.approx(20 / (20 + 1.959964**2))
    assert found["sensitivity"].high == 1


def test_a_clustered_share_has_the_interval_of_its_effective_cases_by_hand():
    # Four patients of two images: 2, 2, 1 and 1 of them right.
    right, ids = [1, 1, 1, 1, 1, 0, 1, 0], [1, 1, 2, 2, 3, 3, 4, 4]
    # Deviations by patient are +1/2, +1/2, -1/2, -1/2: 4 / 3 * 1 / 64.
    variance, share = 4 / 3 / 64, 0.75
    effective = share * (1 - share) / variance
    # Quantiles of t with 7 and 3 degrees of freedom, from a printed table.
    effective *= (2.364624 / 3.182446) ** 2
    exact = clustered_proportion(right, ids, method="clopper_pearson")
    for bound, tail, (a, b) in (
        (exact.low, 0.975, (share * effective, (1 - share) * effective + 1)),
        (exact.high, 0.025, (share * effective + 1, (1 - share) * effective)),
    ):
        assert beta.sf(bound, a, b) == pytest.approx(tail, abs=1e-5)
    score_test = clustered_proportion(right, ids)
    for bound in score_test[:2]:
        # Wilson's bounds are where the score test just rejects.
        z = (share - bound) / (bound * (1 - bound) / effective) ** 0.5
        assert abs(z) == pytest.approx(1.959964, abs=1e-5)


def test_an_unclustered_share_is_not_worth_more_cases_than_there_are():
    # Images of a patient that differ more than chance: the plain interval.
    right, ids = [1, 0] * 10, np.arange(20) // 2
    found = clustered_proportion(right, ids)
    assert found[:2] == pytest.approx(proportion_interval(10, 20)[:2])
    assert "one patient only" in clustered_proportion([1, 0], [1, 1]).reason


def test_a_ratio_of_cases_that_are_all_called_malignant_is_not_certain():
    labels = [1] * 20 + [0] * 21
    found = measures(labels, [0.9] * 41, 0.5).loc["positive_likelihood_ratio"]
    assert found.value == 1
    # Simel's with 1/2 more in each cell: 20.5 / 21 over 21.5 / 22.
    ratio = 20.5 / 21 / (21.5 / 22)
    error = (1 / 20.5 - 1 / 21 + 1 / 21.5 - 1 / 22) ** 0.5
    bounds = ratio * np.exp(np.array([-1, 1]) * 1.959964 * error)
    assert (found.low, found.high) == pytest.approx(tuple(bounds), rel=1e-6)
    assert found.low < 0.95 and found.high > 1.05


@pytest.mark.parametrize("name", ["f1", "mcc", "brier", "positive_likelihood_ratio"])
def test_the_jackknife_is_that_of_a_loop_over_patients(name):
    labels, probabilities, ids = draw_scores(patients=30, images=2)
    cases = labels, probabilities, 0.5
    found = measures(*cases, patient_ids=ids, names=(name,)).loc[name]
    values = []
    for one in np.unique(ids):
        kept = ids != one
        values.append(score(labels[kept], probabilities[kept], 0.5)[name])
    error = (29 / 30 * np.sum((np.array(values) - np.mean(values)) ** 2)) ** 0.5
    value = score(*cases)[name]
    to, back, slope = {
        "mcc": (np.arctanh, np.tanh, 1 / (1 - value**2)),
        "positive_likelihood_ratio": (np.log, np.exp, 1 / value),
    }.get(name, (logit, expit, 1 / (value * (1 - value))))
    half = student.ppf(0.975, 14) * error * slope  # 15 patients of the rarer label
    expected = back(to(value) - half), back(to(value) + half)
    assert (found.low, found.high) == pytest.approx(expected)


def test_without_a_patient_who_makes_a_measure_the_bootstrap_makes_its_interval():
    # One false positive of 80: without it LR+ is not defined.
    labels = np.repeat([0, 1], 40)
    calls = labels.copy()
    calls[0], calls[-3:] = 1, 0
    ids = np.arange(80) // 2
    found = measures(labels, calls, 0.5, patient_ids=ids, resamples=400).T
    ratio = found["negative_likelihood_ratio"]
    assert ratio.method.startswith("jackknife over patients, log")
    assert "undefined in " in found["positive_likelihood_ratio"].reason


@pytest.mark.parametrize("bootstrap", ["jackknife", "bca", "percentile"])
def test_images_of_one_patient_have_no_intervals_and_warn_of_nothing(bootstrap):
    found = measures(
        [0, 0, 1, 1],
        [0.1, 0.6, 0.4, 0.9],
        0.5,
        patient_ids=["a"] * 4,
        bootstrap=bootstrap,
        resamples=20,
    )
    assert found.loc["brier", "value"] == pytest.approx(0.185)
    assert found.loc[["brier", "f1", "cohen_kappa"], "low"].isna().all()
    assert (found.loc[["brier", "f1"], "reason"] != "").all()


def test_many_patients_are_left_out_in_groups_with_nearly_the_same_interval():
    labels, probabilities, ids = draw_scores(patients=2400)
    draws = draw_patients(ids, resamples=20)
    assert (draws.groups, draws.unit) == (2000, "2000 groups of patients")
    assert draws.counts.shape == (20, 2000)
    assert np.bincount(draws.group).max() == 2
    found = measures(labels, probabilities, 0.5, names=("brier",)).loc["brier"]
    error = ((probabilities - labels) ** 2).std(ddof=1) / 2400**0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert "over 2000 groups of patients" in found.method
    many = draw_patients(np.arange(200_000))
    assert many.groups == 100  # groups times cases stay bounded


@pytest.mark.slow
def test_intervals_cover_what_the_page_of_decisions_says():
    """Three cells of its tables, the hardest AUC among them; some 20 s.

    The standard error of a coverage of 2,000 studies is 0.5 points.
    """
    coverage = runpy.run_path(str(SCRIPTS / "coverage_table.py"))
    hardest, plain = coverage["cover_area"](120, 0.1, 5, 0.98, 2000)
    assert hardest > 0.90
    assert plain < 0.82
    ours, plain = coverage["cover_area"](41, 0.5, 1, 0.90, 2000)
    assert 0.93 <= ours <= 0.98
    assert plain < 0.92
    assert 0.91 <= coverage["cover_share"](20, 5, 0.9, 2000) <= 0.98
    rest = coverage["cover_rest"](41, 0.5, 5, 0.90, 200)["jackknife"]
    assert {name for name, (share, _) in rest.items() if share < 0.91} == set()
    assert min(coverage["cover_region"](41, 0.5, 1, 0.95, 2000)) > 0.93


def test_memory_does_not_grow_with_patients_times_resamples():
    # 20,000 patients and 2,000 resamples were 320 MB of weights, several times over.
    labels, probabilities, ids = draw_scores(patients=20_000)
    tracemalloc.start()
    found = measures(labels, probabilities, 0.5, patient_ids=ids, names=("brier", "f1"))
    roc_band(labels, probabilities, ids, resamples=2000, level=0.95, seed=0)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert peak < 150
    assert found.loc["f1", "method"].startswith("jackknife over 500 groups of patients")
