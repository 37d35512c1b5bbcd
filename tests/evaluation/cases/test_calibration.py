import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from usgland.errors import UserError
from usgland.evaluation.cases.calibration import (
    UNCALIBRATED,
    apply_calibration,
    describe_calibration,
    fit_calibration,
    log_loss,
    read_calibration,
    write_calibration,
)


def val_rows(labels, logits):
    return pd.DataFrame(
        {
            "patient_id": [f"p{i // 2}" for i in range(len(labels))],
            "role": "val",
            "label": labels,
            "logit": logits,
        }
    )


def drawn(seed, n=60, slope=0.6, intercept=0.4):
    """Labels that follow the logits with that slope and intercept."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, n)
    labels = (rng.uniform(size=n) < expit(slope * logits + intercept)).astype(int)
    return labels, logits


def by_scikit_learn(labels, logits, *, intercept):
    """Unpenalized regression on Platt's targets, each case as both labels, weighted."""
    n1, n0 = (labels == 1).sum(), (labels == 0).sum()
    targets = np.where(labels == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    regression = LogisticRegression(
        C=np.inf, fit_intercept=intercept, tol=1e-10, max_iter=10_000
    )
    twice = np.r_[logits, logits][:, None]
    both = np.repeat([1, 0], len(logits))
    regression.fit(twice, both, sample_weight=np.r_[targets, 1 - targets])
    fitted = np.ravel(regression.intercept_)[0] if intercept else 0.0
    return regression.coef_[0, 0], fitted


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_slope_and_intercept_agree_with_scikit_learns_regression(seed, method):
    labels, logits = drawn(seed)
    found = fit_calibration(val_rows(labels, logits), method)
    slope, intercept = by_scikit_learn(labels, logits, intercept=method == "platt")
    assert found["slope"] == pytest.approx(slope, rel=1e-4)
    assert found["intercept"] == pytest.approx(intercept, rel=1e-4, abs=1e-5)
    assert found["limit"] is None


class Said(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision is its input."""

    def fit(self, values, labels):
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, values):
        return values[:, 0]

    def predict(self, values):
        return (values[:, 0] > 0).astype(int)


def test_platt_scaling_is_that_of_scikit_learns_calibrated_classifier():
    labels, logits = drawn(7)
    values = logits[:, None]
    said = FrozenEstimator(Said().fit(values, labels))
    theirs = CalibratedClassifierCV(said, method="sigmoid", ensemble=False)
    expected = theirs.fit(values, labels).predict_proba(values)[:, 1]
    found = apply_calibration(
        val_rows(labels, logits), fit_calibration(val_rows(labels, logits), "platt")
    )
    np.testing.assert_allclose(found["probability"], expected, atol=1e-5)


def test_many_cases_give_back_the_slope_and_intercept_they_were_drawn_with():
    found = fit_calibration(val_rows(*drawn(1, 40_000)), "platt")
    assert found["slope"] == pytest.approx(0.6, abs=0.02)
    assert found["intercept"] == pytest.approx(0.4, abs=0.04)
    found = fit_calibration(val_rows(*drawn(2, 40_000, intercept=0)), "temperature")
    assert 1 / found["slope"] == pytest.approx(1 / 0.6, abs=0.06)


def test_calibration_says_what_it_was_fitted_on():
    labels, logits = drawn(3)
    found = fit_calibration(val_rows(labels, logits), "temperature")
    names = ("method", "unit", "role", "n_images", "n_patients", "intercept")
    assert [found[name] for name in names] == ["temperature", "image", "val", 60, 30, 0]
    assert found["log_loss_before"] == pytest.approx(
        sklearn_log_loss(labels, expit(logits))
    )
    assert found["log_loss_after"] == pytest.approx(
        sklearn_log_loss(labels, expit(found["slope"] * logits))
    )
    assert found["log_loss_after"] < found["log_loss_before"]
    line = describe_calibration(found)
    assert line.startswith(f"Calibrated by temperature {1 / found['slope']:.3f}, on 60")


def test_none_leaves_the_logits_as_they_are():
    rows = val_rows([1, 1], [0.5, 2.0])  # one class is enough for it
    found = fit_calibration(rows, "none")
    assert (found["slope"], found["intercept"]) == (1, 0)
    assert found["log_loss_before"] == found["log_loss_after"]
    assert describe_calibration(found).startswith("Not calibrated: evaluation.calib")


def test_a_separated_validation_part_promises_no_more_than_its_number_of_cases():
    # All malignant logits are 2 and all benign ones -2, so the best slope turns
    # them into Platt's targets: 21/22, log odds log(21).
    rows = val_rows(np.repeat([0, 1], 20), np.repeat([-2.0, 2.0], 20))
    for method in ("temperature", "platt"):
        found = fit_calibration(rows, method)
        assert found["slope"] == pytest.approx(np.log(21) / 2, rel=1e-5)
        assert found["intercept"] == pytest.approx(0, abs=1e-6)
        assert found["limit"] is None
        assert found["log_loss_after"] < found["log_loss_before"]
    # Surer than 21/22 already: it is made less so, and the log loss rises.
    sure = fit_calibration(rows.assign(logit=2 * rows["logit"]), "temperature")
    assert sure["slope"] == pytest.approx(np.log(21) / 4, rel=1e-5)
    assert "higher on purpose, as so few images" in describe_calibration(sure)


@pytest.mark.parametrize("method", ["temperature", "platt"])
@pytest.mark.parametrize(
    ("logits", "slope", "why"),
    [
        ([3.0, 2.0, -2.0, -3.0], 0.05, "the wrong way round"),
        ([-1e-3, -1e-3, 1e-3, 1e-3], 20, "differ too little"),
    ],
)
def test_a_slope_without_a_limit_is_held_at_one_and_said(method, logits, slope, why):
    found = fit_calibration(val_rows([0, 0, 1, 1], logits), method)
    assert found["slope"] == slope
    assert why in found["limit"]
    assert describe_calibration(found).endswith(found["limit"])


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_equal_logits_are_no_reason_to_change_the_slope(method):
    found = fit_calibration(val_rows([0, 1, 1, 1], [0.0] * 4), method)
    assert found["slope"] == 1
    # Platt's targets: 4/5 three times and 1/3 once; their mean is 41/60.
    expected = np.log(41 / 19) if method == "platt" else 0
    assert found["intercept"] == pytest.approx(expected, abs=1e-6)


logits_of_both = st.lists(st.floats(-40, 40), min_size=2, max_size=30)


@settings(max_examples=50, deadline=None)
@given(logits=logits_of_both, seed=st.integers(0, 99))
def test_ranking_and_auc_stay_whatever_the_logits(logits, seed):
    labels = np.random.default_rng(seed).permutation(np.arange(len(logits)) % 2)
    rows = val_rows(labels, np.round(logits, 6))
    for method in ("temperature", "platt"):
        found = apply_calibration(rows, fit_calibration(rows, method))
        assert np.isfinite(found["logit"]).all()
        assert found["probability"].between(0, 1).all()
        order = np.argsort(rows["logit"], kind="stable")
        assert (np.diff(found["logit"].to_numpy()[order]) >= 0).all()
        assert roc_auc_score(labels, found["logit"]) == roc_auc_score(
            labels, rows["logit"]
        )


@settings(max_examples=50, deadline=None)
@given(logits=logits_of_both, seed=st.integers(0, 99))
def test_no_other_slope_and_intercept_is_better_on_the_smoothed_targets(logits, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(len(logits)) % 2)
    n1, n0 = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    found = fit_calibration(val_rows(labels, logits), "platt")
    logits = np.array(logits)
    best = log_loss(targets, found["slope"] * logits + found["intercept"])
    for _ in range(10):
        slope = np.clip(found["slope"] * np.exp(rng.normal(0, 0.3)), 0.05, 20)
        other = log_loss(targets, slope * logits + found["intercept"] + rng.normal())
        assert best <= other + 1e-9


def test_log_loss_stays_finite_where_a_probability_would_be_0():
    assert log_loss([0, 1], [800.0, -800.0]) == 800


def test_applying_keeps_what_the_network_said():
    rows = val_rows([0, 1], np.float32([-1.0, 3.0])).assign(probability=[0.3, 0.9])
    rows["synthetic"] = "1"
    calibration = {"method": "platt", "slope": 0.5, "intercept": 0.25}
    found = apply_calibration(rows, calibration)
    assert found["logit"].tolist() == [-0.25, 1.75]
    assert found["probability"].tolist() == [expit(-0.25), expit(1.75)]
    assert found["model_logit"].tolist() == [-1, 3]
    columns = list(found)
    assert columns[columns.index("logit") + 1] == "model_logit"
    assert rows["logit"].tolist() == [-1, 3]
    with pytest.raises(ValueError, match="must be uncalibrated. Received: rows with"):
        apply_calibration(found, calibration)


def test_calibration_is_never_fitted_on_the_test_part():
    rows = val_rows([0, 1], [0.0, 1.0]).assign(role=["val", "test"])
    with pytest.raises(
        ValueError, match=r"role val or out_of_fold. Received: \['test', 'val'\]"
    ):
        fit_calibration(rows, "none")


def test_what_cannot_be_fitted_is_named():
    rows = val_rows([0, 1], [0.0, 1.0])
    with pytest.raises(ValueError, match="one of .*'platt'.*Received: 'isotonic'"):
        fit_calibration(rows, "isotonic")
    with pytest.raises(UserError, match="images to calibrate. Received: none. Raise"):
        fit_calibration(rows[:0], "temperature")
    with pytest.raises(UserError, match="Received: 1 benign and 0 malignant. Change"):
        fit_calibration(rows[:1], "temperature")
    with pytest.raises(ValueError, match="must be finite. Received: NaN or inf"):
        fit_calibration(rows.assign(logit=[0, np.nan]), "temperature")


def test_calibration_survives_the_file(tmp_path):
    path = tmp_path / "calibration.json"
    one = fit_calibration(val_rows(*drawn(4)), "platt")
    write_calibration(path, one)
    assert read_calibration(path) == one
    write_calibration(path, {"folds": {"0": one, "1": one}})
    assert read_calibration(path)["folds"]["1"] == one


def test_a_run_without_the_file_is_uncalibrated(tmp_path):
    assert read_calibration(tmp_path / "calibration.json") == UNCALIBRATED


GOOD = {"method": "platt", "slope": 0.5, "intercept": 0.1}


@pytest.mark.parametrize(
    "content",
    [
        {**GOOD, "slope": 0.0},
        {**GOOD, "slope": -1.0},
        {**GOOD, "slope": None},
        {**GOOD, "intercept": "0"},
        {**GOOD, "method": "isotonic"},
        {"slope": 1.0},
        [],
        None,
        {"folds": {}},
        {"folds": {"0": {**GOOD, "slope": 0.0}}},
    ],
)
def test_a_file_that_holds_no_calibration_is_named(tmp_path, content):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"calibration.json: expected a `method` of "):
        read_calibration(path)
    with pytest.raises(UserError, match="Received: "):
        write_calibration(path, content)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(UserError, match=r"Expected JSON in .*calibration.json"):
        read_calibration(tmp_path / "calibration.json")


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_optimum_to_ten_digits(seed):
    labels, logits = drawn(seed)
    malignant = int(labels.sum())
    high, low = (malignant + 1) / (malignant + 2), 1 / (len(labels) - malignant + 2)
    targets = np.where(labels == 1, high, low)

    def slope_error(slope, shift=0.0):
        return logits @ (expit(slope * logits + shift) - targets)

    found = fit_calibration(val_rows(labels, logits), "temperature")
    expected = brentq(slope_error, 0.05, 20, xtol=1e-14, rtol=1e-14)
    assert found["slope"] == pytest.approx(expected, rel=1e-10)
    fit = fit_calibration(val_rows(labels, logits), "platt")

    def shift_of(slope):
        return brentq(
            lambda shift: np.sum(expit(slope * logits + shift) - targets),
            *(-50, 50),
            xtol=1e-14,
        )

    expected = brentq(lambda s: slope_error(s, shift_of(s)), 0.05, 20, xtol=1e-13)
    assert fit["slope"] == pytest.approx(expected, rel=1e-10)
    assert fit["intercept"] == pytest.approx(shift_of(expected), rel=1e-9, abs=1e-10)
