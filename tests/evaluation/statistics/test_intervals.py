"""Which interval a measure gets, against SciPy, hand arithmetic and simulation."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import beta, binom, bootstrap, norm

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.measures import unit_metrics, unit_of
from usgland.evaluation.statistics.bootstrap import (
    bca_interval,
    bootstrap_measures,
    draw_patients,
    jackknife_measures,
    percentile_interval,
)
from usgland.evaluation.statistics.delong import delong_interval
from usgland.evaluation.statistics.intervals import (
    auc_interval,
    predictive_interval,
    proportion_interval,
    ratio_interval,
)
from usgland.evaluation.statistics.measured_cases import (
    MeasuredCases,
    bootstrap_interval,
    measures,
)
from usgland.evaluation.statistics.scores import MEASURES, score

REFERENCE = Path(__file__).parents[2] / "reference" / "statsmodels.json"
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
STATSMODELS = json.loads(REFERENCE.read_text(encoding="utf-8"))


def settings_of(**changes):
    return EvaluationSettings(bootstrap_resamples=200, **changes)


def metrics_at(rows, threshold, settings):
    return unit_metrics(unit_of(rows, settings), Thresholds.at(threshold), settings)


def draw(seed=0, patients=60, images=1):
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(patients), images)
    labels = ids % 2
    own = np.repeat(rng.normal(size=patients), images)
    scores = labels * 1.5 + own + rng.normal(size=len(ids))
    return labels, norm.cdf(scores - 0.75), ids.astype(str)


def test_wilson_is_his_formula():
    # Of 35 of 36, by hand, z = 1.959964.
    z, n, p = 1.959964, 36, 35 / 36
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = proportion_interval(35, 36, level=0.95)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))
    assert found.method == "Wilson"


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (35, 36)])
def test_clopper_pearson_is_from_the_beta_distribution(k, n):
    found = proportion_interval(k, n, level=0.9, method="clopper_pearson")
    low = beta.ppf(0.05, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.95, k + 1, n - k) if k < n else 1.0
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((11, 10, "wilson"), "Received: 11 of 10"),
        ((0, 0, "wilson"), "Received: 0 of 0"),
        ((1, 2, "wald"), "Received: 'wald'"),
    ],
)
def test_shares_that_are_none_are_refused(arguments, expected):
    successes, cases, method = arguments
    with pytest.raises(ValueError, match=expected):
        proportion_interval(successes, cases, level=0.95, method=method)


def test_independent_cases_get_intervals_of_proportions_and_delong():
    labels, probabilities, ids = draw()
    found = measures(labels, probabilities, 0.5, patient_ids=ids, resamples=200).T
    assert tuple(found) == MEASURES
    calls = probabilities >= 0.5
    right = int(((labels == 1) & calls).sum())
    expected = proportion_interval(right, int(labels.sum()), level=0.95)
    assert found["sensitivity"].low == expected.low
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        assert found[name].method == "Wilson"
    area = delong_interval(labels, probabilities, level=0.95)
    assert (found["roc_auc"].low, found["roc_auc"].high) == area[:2]
    assert "bootstrap" in found["f1"].method
    wider = measures(
        labels, probabilities, 0.5, proportions="clopper_pearson", resamples=200
    ).T
    assert wider["sensitivity"].low < found["sensitivity"].low


def test_images_of_one_patient_are_drawn_together_for_every_figure():
    labels, probabilities, ids = draw(images=3)
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
    labels, probabilities, ids = draw(images=3)
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


def test_bca_is_that_of_scipy_on_independent_cases():
    labels, probabilities, ids = draw(patients=80)
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
    found = bca_interval(
        values, auc(data), jackknife_measures(*cases)["brier"], level=0.95, seed=1
    )
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
    labels, probabilities, ids = draw(patients=7, images=2)
    found = jackknife_measures(labels, probabilities, 0.5, draw_patients(ids))
    for number, patient in enumerate(sorted(set(ids))):
        kept = ids != patient
        expected = score(labels[kept], probabilities[kept], 0.5)
        one = {name: values[number] for name, values in found.items()}
        assert one == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", ["roc_auc", "f1", "brier", "sensitivity"])
def test_bca_moves_the_same_resamples_as_scipy_does(name):
    # SciPy's own draws go through ours: the bounds agree to the last digits.
    labels, probabilities, ids = draw(seed=3, patients=40)

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
    left_out = jackknife_measures(labels, probabilities, 0.5, draws, (name,))[name]
    value = score(labels, probabilities, 0.5)[name]
    values = reference.bootstrap_distribution
    found = bca_interval(values, value, left_out, level=0.95, seed=0)
    assert found[:2] == pytest.approx(tuple(reference.confidence_interval), rel=1e-9)


@pytest.mark.parametrize("one", STATSMODELS["proportions"], ids=str)
def test_intervals_of_a_proportion_are_those_of_statsmodels(one):
    level = one["level"]
    for method in ("wilson", "clopper_pearson"):
        found = proportion_interval(
            one["successes"], one["cases"], level=level, method=method
        )
        assert (found.low, found.high) == pytest.approx(tuple(one[method]), abs=1e-9)


@pytest.mark.parametrize("one", STATSMODELS["ratios"], ids=str)
def test_intervals_of_likelihood_ratios_are_those_of_statsmodels(one):
    counts = np.array([[one["tn"], one["fp"]], [one["fn"], one["tp"]]])
    for name in ("positive", "negative"):
        found = ratio_interval(f"{name}_likelihood_ratio", counts, level=0.95)
        assert (found.low, found.high) == pytest.approx(tuple(one[name]))


def test_a_likelihood_ratio_of_0_has_no_interval_and_says_why():
    counts = np.array([[8, 2], [0, 10]])
    found = ratio_interval("negative_likelihood_ratio", counts, level=0.95)
    assert np.isnan(found.low)
    assert found.method == ""
    assert found.reason == "no malignant case is called benign"


def test_predictive_values_at_a_prevalence_have_intervals_and_reasons():
    labels, probabilities, ids = draw(images=2)
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


@pytest.mark.parametrize("prevalence", [0.03, 0.5])
def test_predictive_values_of_independent_cases_have_the_logit_interval(prevalence):
    # By the variances of Mercaldo et al., equations of sensitivity and specificity.
    tn, fp, fn, tp = 80, 12, 9, 51
    sensitivity, specificity = tp / 60, tn / 92
    odds = prevalence / (1 - prevalence)
    spread = {
        "ppv": (1 - sensitivity) / sensitivity / 60
        + specificity / (1 - specificity) / 92,
        "npv": sensitivity / (1 - sensitivity) / 60
        + (1 - specificity) / specificity / 92,
    }
    middle = {
        "ppv": np.log(odds * sensitivity / (1 - specificity)),
        "npv": np.log(specificity / (1 - sensitivity) / odds),
    }
    for name in ("ppv", "npv"):
        found = predictive_interval(
            name, np.array([[tn, fp], [fn, tp]]), prevalence, level=0.9
        )
        half = 1.6448536269514722 * spread[name] ** 0.5
        expected = [expit(middle[name] - half), expit(middle[name] + half)]
        assert found[:2] == pytest.approx(expected)
        assert found.method == "logit (Mercaldo)"


@pytest.mark.parametrize(
    ("sensitivity", "specificity"), [(0.97, 0.97), (0.97, 0.9), (0.9, 0.97)]
)
def test_predictive_intervals_cover_what_they_say_over_all_tables(
    sensitivity, specificity
):
    # Every table of 21 malignant and 20 benign patients, by its probability.
    right, wrong = 0.1 * sensitivity, 0.9 * (1 - specificity)
    truth = {
        "ppv": right / (right + wrong),
        "npv": 0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity)),
    }
    inside, there = dict.fromkeys(truth, 0.0), dict.fromkeys(truth, 0.0)
    for tp, tn in itertools.product(range(10, 22), range(10, 21)):
        chance = binom.pmf(tp, 21, sensitivity) * binom.pmf(tn, 20, specificity)
        counts = np.array([[tn, 20 - tn], [21 - tp, tp]])
        for name, value in truth.items():
            found = predictive_interval(name, counts, 0.1, level=0.95)
            there[name] += chance
            inside[name] += chance * (found.low <= value <= found.high)
    for name in truth:
        assert there[name] == pytest.approx(1, abs=1e-3)
        assert 0.94 < inside[name] < 0.99


def test_a_predictive_value_of_1_has_a_bound_where_cases_are_independent():
    counts = np.array([[18, 2], [0, 21]])
    found = predictive_interval("npv", counts, 0.1, level=0.95)
    assert (found.high, found.method) == (1, "adjusted logit (Mercaldo)")
    # By hand: 1.96^2 / 2 = 1.9207 more in each cell.
    missed, right = 1.9207 / 24.8415, 19.9207 / 23.8415
    variance = 1 / 1.9207 - 1 / 24.8415 + 1 / 19.9207 - 1 / 23.8415
    odds = 9 * right / missed / np.exp(1.959964 * variance**0.5)
    assert found.low == pytest.approx(odds / (1 + odds), abs=1e-4)
    with pytest.raises(ValueError, match="`name` must be one of .*Received: 'f1'"):
        predictive_interval("f1", counts, 0.1, level=0.95)


def test_independent_patients_get_the_logit_interval_in_the_metrics():
    labels, probabilities, ids = draw()
    rows = pd.DataFrame(
        {"label": labels, "probability": probabilities, "patient_id": ids}
    )
    settings = settings_of(prevalences=(0.1,))
    pair = metrics_at(rows, 0.5, settings)["prevalences"]["0.1"]
    for one in pair.values():
        assert one["method"] == "logit (Mercaldo)"
        assert one["low"] < one["value"] < one["high"]


CASES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=30
)


@given(CASES)
def test_turned_labels_swap_sensitivity_and_specificity(rows):
    labels, grades = np.array(rows).T
    probabilities = grades / 10
    one = score(labels, probabilities, 0.55)
    other = score(1 - labels, 1 - probabilities, 0.45)
    for a, b in (("sensitivity", "specificity"), ("ppv", "npv")):
        assert one[a] == pytest.approx(other[b], nan_ok=True)
    for same in ("roc_auc", "mcc", "cohen_kappa", "accuracy", "brier", "f1_macro"):
        assert one[same] == pytest.approx(other[same], nan_ok=True)
    for value in one.values():
        assert np.isnan(value) or value >= -1


@given(CASES, st.integers(0, 2**31))
def test_the_order_of_rows_changes_nothing(rows, seed):
    labels, grades = np.array(rows).T
    order = np.random.default_rng(seed).permutation(len(labels))
    one = score(labels, grades / 10, 0.5)
    other = score(labels[order], grades[order] / 10, 0.5)
    assert one == pytest.approx(other, nan_ok=True)


@given(CASES)
def test_a_monotone_change_of_scores_keeps_what_ranks_alone_decide(rows):
    labels, grades = np.array(rows).T
    one = score(labels, grades / 10, 0.55)
    other = score(labels, (grades / 10) ** 3, 0.55**3)
    for name in set(MEASURES) - {"brier"}:
        assert one[name] == pytest.approx(other[name], nan_ok=True)


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
