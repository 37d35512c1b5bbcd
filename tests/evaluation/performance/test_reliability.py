import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from usgland.config import EvaluationSettings
from usgland.evaluation.performance.measures import unit_of
from usgland.evaluation.performance.reliability import (
    assess_calibration,
    calibration,
    equal_count_edges,
    expected_calibration_error,
    reliability_curve,
)
from usgland.evaluation.statistics.recalibration import (
    recalibration,
    recalibration_without,
)

SETTINGS = EvaluationSettings(bootstrap_resamples=60, seed=2)


def assess(rows, settings):
    return assess_calibration(unit_of(rows, settings), settings)


def drawn(seed, n=200, slope=0.5, intercept=0.3):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, n)
    labels = (rng.uniform(size=n) < expit(slope * logits + intercept)).astype(int)
    ids = [f"p{i // 2}" for i in range(n)]
    return pd.DataFrame(
        {
            "patient_id": ids,
            "label": labels,
            "logit": logits,
            "probability": expit(logits),
        }
    )


def slope_by_scikit_learn(labels, logits, weights=None):
    regression = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    regression.fit(np.asarray(logits)[:, None], labels, sample_weight=weights)
    return regression.coef_[0, 0]


def in_the_large_by_root(labels, logits):
    def excess(intercept):
        return expit(np.asarray(logits) + intercept).sum() - np.sum(labels)

    return brentq(excess, -50, 50, xtol=1e-12)


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
@pytest.mark.parametrize("seed", range(4))
def test_the_curve_is_that_of_scikit_learn(seed, strategy):
    rows = drawn(seed)
    rows["probability"] = rows["probability"].round(2)  # ties
    edges = np.linspace(0, 1, 11)
    if strategy == "quantile":
        edges = equal_count_edges(rows["probability"])
    curve = reliability_curve(rows["label"], rows["probability"], edges, level=0.95)
    share, mean = calibration_curve(
        rows["label"], rows["probability"], n_bins=10, strategy=strategy
    )
    np.testing.assert_allclose([one["share"] for one in curve], share)
    np.testing.assert_allclose([one["mean_probability"] for one in curve], mean)
    assert sum(one["n"] for one in curve) == 200


def test_a_bin_has_the_wilson_interval_of_its_share():
    # 8 of 10, 95%: Wilson's formula by hand.
    [one] = reliability_curve([1] * 8 + [0] * 2, [0.7] * 10, [0, 1], level=0.95)
    z = 1.959963984540054
    middle = (0.8 + z**2 / 20) / (1 + z**2 / 10)
    half = z / (1 + z**2 / 10) * np.sqrt(0.8 * 0.2 / 10 + z**2 / 400)
    assert (one["n"], one["malignant"], one["share"]) == (10, 8, 0.8)
    assert one["low"] == pytest.approx(middle - half)
    assert one["high"] == pytest.approx(middle + half)


def test_equal_count_bins_hold_ten_cases_or_are_fewer():
    assert len(equal_count_edges(np.linspace(0, 1, 100))) == 11
    assert len(equal_count_edges(np.linspace(0, 1, 37))) == 4
    assert len(equal_count_edges(np.linspace(0, 1, 5))) == 2
    edges = equal_count_edges([0.5] * 30)
    [one] = reliability_curve([0, 1] * 15, [0.5] * 30, edges, level=0.95)
    assert one["n"] == 30


def test_the_calibration_error_by_hand():
    # Two bins: 4 cases of mean 0.2 and share 1/4, 6 of mean 0.7 and share 1/2.
    labels = [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    probabilities = [0.1, 0.1, 0.3, 0.3] + [0.6, 0.8] * 3
    found = expected_calibration_error(labels, probabilities, [0, 0.5, 1])
    assert found == pytest.approx(0.4 * 0.05 + 0.6 * 0.2)


def test_a_calibrated_model_has_the_error_that_chance_alone_gives():
    rng = np.random.default_rng(0)
    errors, expected = [], []
    for _ in range(40):
        probabilities = rng.uniform(size=100)
        labels = (rng.uniform(size=100) < probabilities).astype(int)
        logit = np.log(probabilities / (1 - probabilities))
        rows = pd.DataFrame(
            {"label": labels, "probability": probabilities, "logit": logit}
        ).assign(patient_id=np.arange(100))
        settings = EvaluationSettings(bootstrap_resamples=0)
        found = assess(rows, settings)["ece_equal_count"]
        errors.append(found["value"])
        expected.append(found["if_calibrated"])
    assert np.mean(errors) == pytest.approx(np.mean(expected), abs=0.02)
    assert found["bins"] == 10


@pytest.mark.parametrize("seed", range(6))
def test_slope_and_calibration_in_the_large_agree_with_others(seed):
    rows = drawn(seed, n=50)
    labels, logits = rows["label"].to_numpy(), rows["logit"].to_numpy()
    slope, in_the_large = recalibration(labels, logits, np.ones((1, 50)))
    assert slope[0] == pytest.approx(slope_by_scikit_learn(labels, logits), rel=1e-5)
    assert in_the_large[0] == pytest.approx(in_the_large_by_root(labels, logits))


@pytest.mark.parametrize("scale", [1e-3, 1, 50])
def test_weightings_are_fitted_at_once_as_one_by_one_at_any_scale(scale):
    rows = drawn(3, n=60)
    labels, logits = rows["label"].to_numpy(), rows["logit"].to_numpy() * scale
    weights = np.random.default_rng(1).integers(0, 3, (20, 60))
    slopes, _ = recalibration(labels, logits, weights)
    for slope, weight in zip(slopes, weights, strict=True):
        # To scikit-learn in units in which it converges.
        expected = slope_by_scikit_learn(labels, logits / scale, weight) / scale
        assert slope == pytest.approx(expected, rel=1e-4)


def test_separated_logits_have_no_finite_slope():
    one = np.ones((1, 4))
    labels = np.array([0, 0, 1, 1])
    assert recalibration(labels, [-2, -1, 1, 2], one)[0] == np.inf
    assert recalibration(labels, [-2, 1, 1, 2], one)[0] == np.inf  # touching
    assert recalibration(labels, [2, 1, -1, -2], one)[0] == -np.inf
    assert np.isnan(recalibration(labels, [1, 1, 1, 1], one)[0])
    assert np.isnan(recalibration(np.ones(4, int), [1, 2, 3, 4], one)).all()


def test_nearly_separated_logits_converge():
    rng = np.random.default_rng(0)
    logits = np.r_[rng.normal(-8, 1, 30), rng.normal(8, 1, 30), -7.0]
    labels = np.r_[np.zeros(30, int), np.ones(31, int)]
    slope, _ = recalibration(labels, logits, np.ones((1, 61)))
    assert slope[0] == pytest.approx(slope_by_scikit_learn(labels, logits), rel=1e-3)


@pytest.mark.parametrize("scale", [10, 100, 500])
def test_logits_whose_probabilities_are_0_and_1_have_their_shift(scale):
    # The curvature is 0 almost everywhere.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    logits = scale * rng.normal(labels + 1.0, 1, 40)
    weights = rng.integers(0, 3, (30, 40))
    _, shifts = recalibration(labels, logits, weights)
    for shift, weight in zip(shifts, weights, strict=True):
        mean = np.average(expit(logits + shift), weights=weight)
        assert mean == pytest.approx(np.average(labels, weights=weight), abs=1e-12)


def test_the_interval_of_the_slope_leaves_out_patients_with_all_images():
    rows = drawn(5)
    found = assess(rows, SETTINGS)
    ids = sorted(set(rows["patient_id"]))
    slopes, intercepts = [], []
    for one in ids:
        kept = rows[rows["patient_id"] != one]
        slopes.append(slope_by_scikit_learn(kept["label"], kept["logit"]))
        intercepts.append(in_the_large_by_root(kept["label"], kept["logit"]))
    owners = [rows.loc[rows["label"] == x, "patient_id"].nunique() for x in (0, 1)]
    freedom = min(owners) - 1
    left_out = {"slope": slopes, "intercept_in_the_large": intercepts}
    for name, values in left_out.items():
        # Efron and Tibshirani, 1993, equation 11.5: (n - 1) times the variance.
        error = ((len(ids) - 1) * np.var(values)) ** 0.5
        half = student.ppf(0.975, freedom) * error
        bounds = found[name]["value"] - half, found[name]["value"] + half
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(
            bounds, rel=1e-3
        )
        assert found[name]["method"] == f"jackknife over patients, t({freedom})"


def test_a_model_that_is_too_sure_has_a_slope_below_1():
    found = assess(drawn(1, n=4000, slope=0.5, intercept=0), SETTINGS)
    assert found["slope"]["high"] < 0.7
    assert found["slope"]["low"] < 0.5 < found["slope"]["high"]
    low, high = (found["intercept_in_the_large"][key] for key in ("low", "high"))
    assert low < 0 < high


def test_a_slope_without_bound_is_said():
    labels = np.repeat([0, 1], 10)
    rows = pd.DataFrame({"label": labels, "logit": labels * 4.0 - 2})
    rows["logit"] += np.arange(20) / 100
    rows = rows.assign(probability=expit(rows["logit"]), patient_id=np.arange(20))
    found = assess(rows, SETTINGS)["slope"]
    assert np.isnan([found["value"], found["low"], found["high"]]).all()
    assert found["method"] == (
        "none: the logits separate the labels, so the slope has no bound"
    )
    # Without the one case on the wrong side the rest are separated.
    rows.loc[0, "logit"] = 2.5
    found = assess(rows, SETTINGS)["slope"]
    assert found["value"] > 0
    assert np.isnan(found["high"])
    assert found["method"].startswith("none: without one of the patients the logits ")


def test_one_label_has_no_slope():
    rows = drawn(1)
    rows = rows[rows["label"] == 1]
    found = assess(rows, SETTINGS)
    assert np.isnan(found["slope"]["value"])
    assert found["slope"]["method"] == "none: undefined"
    assert found["malignant_share"] == 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 500), n=st.integers(2, 40))
def test_the_error_and_the_slope_have_no_order_and_the_error_its_bounds(seed, n):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    logits = rng.normal(size=n).round(1)
    probabilities = expit(logits)
    edges = equal_count_edges(probabilities)
    found = expected_calibration_error(labels, probabilities, edges)
    assert 0 <= found <= 1
    order = rng.permutation(n)
    again = expected_calibration_error(labels[order], probabilities[order], edges)
    assert again == pytest.approx(found)
    slope, in_the_large = recalibration(labels, logits, np.ones((1, n)))
    swapped, other = recalibration(1 - labels, -logits, np.ones((1, n)))
    np.testing.assert_allclose(swapped, slope, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(other, -in_the_large, rtol=1e-6, atol=1e-8)


def test_a_notebook_gets_the_same_calibration():
    random = np.random.default_rng(3)
    probabilities = random.uniform(0.05, 0.95, 80)
    labels = random.uniform(size=80) < probabilities
    ids = np.arange(80) // 2
    found = calibration(labels, probabilities, patient_ids=ids)
    rows = pd.DataFrame({"patient_id": ids, "label": labels.astype(int)})
    rows = rows.assign(probability=probabilities, logit=logit(probabilities))
    expected = assess_calibration(unit_of(rows, SETTINGS), SETTINGS)
    for name, row in found.measures.iterrows():
        assert row.to_list()[:3] == [
            expected[name][k] for k in ("value", "low", "high")
        ]
    assert found.curve.to_dict("records") == expected["curve"]
    assert (
        expected_calibration_error(labels, probabilities)
        == (expected["ece_equal_count"]["value"])
    )
    with pytest.raises(ValueError, match="finite logits"):
        calibration([0, 1], [0.0, 0.5])


def test_tied_probabilities_share_a_bin_with_no_other():
    # 12 of 60 malignant at 0.2, 10 of 40 at 0.9: 0.6 * 0 + 0.4 * 0.65, by hand. In one
    # bin the distances of opposite signs were summed first.
    labels = [1] * 12 + [0] * 48 + [1] * 10 + [0] * 30
    probabilities = [0.2] * 60 + [0.9] * 40
    edges = equal_count_edges(probabilities)
    assert edges[:2].tolist() == [0.2, 0.2] and edges[-2:].tolist() == [0.9, 0.9]
    found = expected_calibration_error(labels, probabilities)
    assert found == pytest.approx(0.4 * 0.65)
    curve = reliability_curve(labels, probabilities, edges, level=0.95)
    assert [one["n"] for one in curve] == [60, 40]
    opposed = [1] * 24 + [0] * 36 + [1] * 30 + [0] * 10
    assert expected_calibration_error(opposed, probabilities) == pytest.approx(
        0.6 * 0.2 + 0.4 * 0.15
    )


def test_fits_without_a_group_are_a_step_from_that_of_all():
    rows = drawn(2, n=3000)
    labels, logits = rows["label"].to_numpy(), rows["logit"].to_numpy()
    group = np.arange(3000) % 100
    kept = (np.arange(100)[:, None] != group).astype("float64")
    exact = np.stack(recalibration(labels, logits, kept))
    nearly = recalibration_without(labels, logits, group)
    spread = exact.std(axis=1, keepdims=True)
    np.testing.assert_allclose(nearly / spread, exact / spread, atol=0.02)
