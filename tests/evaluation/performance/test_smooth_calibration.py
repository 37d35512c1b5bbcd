import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from usgland.evaluation.performance.smooth_calibration import (
    KNOTS,
    brier_parts,
    smooth_calibration,
)


def draw(seed=0, cases=250, slope=0.5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, cases)
    labels = (rng.uniform(size=cases) < expit(slope * logits + 0.3)).astype(int)
    return labels, expit(logits)


def natural_basis(x, knots):
    """Natural splines by interpolation: each is 1 at a knot and 0 at the others."""
    spline = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
    inside = np.clip(x, knots[0], knots[-1])
    # Beyond the outer knots they go on straight.
    return spline(inside) + spline(inside, 1) * (x - inside)[:, None]


def test_the_curve_is_a_logistic_regression_on_natural_splines():
    labels, probabilities = draw()
    smooth = smooth_calibration(labels, probabilities)
    x = logit(probabilities)
    knots = np.quantile(x, KNOTS)
    model = LogisticRegression(
        C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000
    )
    model.fit(natural_basis(x, knots), labels)
    grid = smooth.curve["probability"].to_numpy()
    shares = model.predict_proba(natural_basis(logit(grid), knots))[:, 1]
    assert smooth.curve["share"].to_numpy() == pytest.approx(shares, abs=1e-5)
    apart = np.abs(model.predict_proba(natural_basis(x, knots))[:, 1] - probabilities)
    assert smooth.ici == pytest.approx(apart.mean(), abs=1e-5)
    assert (smooth.e50, smooth.e90) == pytest.approx(
        tuple(np.quantile(apart, [0.5, 0.9])), abs=1e-5
    )


def test_the_band_holds_the_truth_about_as_often_as_it_says():
    held = []
    for seed in range(30):
        labels, probabilities = draw(seed, 200, slope=1.0)
        curve = smooth_calibration(labels, probabilities, seed=seed).curve
        row = curve.iloc[(curve["probability"] - 0.5).abs().argmin()]
        held.append(row["low"] <= expit(logit(row["probability"]) + 0.3) <= row["high"])
    assert 0.83 <= np.mean(held) <= 1.0


def test_a_calibrated_model_has_about_the_ici_of_chance():
    rng = np.random.default_rng(1)
    values = []
    for seed in range(12):
        probabilities = rng.uniform(0.02, 0.98, 150)
        labels = (rng.uniform(size=150) < probabilities).astype(int)
        smooth = smooth_calibration(labels, probabilities, seed=seed)
        values.append((smooth.ici, smooth.ici_if_calibrated))
    found, expected = np.mean(values, axis=0)
    assert found == pytest.approx(expected, rel=0.3)


def test_patients_with_several_cases_widen_the_band():
    labels, probabilities = draw(2, 80)
    plain = smooth_calibration(labels, probabilities).curve
    three = [np.repeat(x, 3) for x in (labels, probabilities, np.arange(80))]
    copies = smooth_calibration(*three[:2], patient_ids=three[2]).curve
    naive = smooth_calibration(*three[:2]).curve
    width = [(c["high"] - c["low"]).mean() for c in (plain, copies, naive)]
    assert width[1] == pytest.approx(width[0], rel=0.15)
    assert width[2] < 0.7 * width[1]


def test_what_cannot_be_fitted_says_why():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    smooth = smooth_calibration(labels, [0.1, 0.2, 0.3, 0.35, 0.6, 0.7, 0.8, 0.9])
    assert np.isnan([smooth.ici, smooth.e50, smooth.e90]).all()
    assert smooth.reason == "the labels are separated"
    few = smooth_calibration([0, 1, 0, 1, 1, 0], [0.3, 0.3, 0.3, 0.6, 0.6, 0.6])
    assert "too few of them differ" in few.method
    assert few.ici > 0
    with pytest.raises(
        ValueError, match=r"in \(0, 1\), as the curve is of their logits"
    ):
        smooth_calibration([0, 1], [0.0, 0.5])


@pytest.mark.parametrize("seed", range(4))
def test_brier_parts_are_those_of_isotonic_regression(seed):
    labels, probabilities = draw(seed, 120)
    probabilities = probabilities.round(1)
    parts = brier_parts(labels, probabilities)
    best = IsotonicRegression(y_min=0, y_max=1).fit_transform(probabilities, labels)
    brier = brier_score_loss(labels, probabilities)
    recalibrated = brier_score_loss(labels, best)
    uncertainty = labels.mean() * (1 - labels.mean())
    assert parts.brier == pytest.approx(brier)
    assert parts.miscalibration == pytest.approx(brier - recalibrated)
    assert parts.discrimination == pytest.approx(uncertainty - recalibrated)
    assert parts.scaled == pytest.approx(1 - brier / uncertainty)
    whole = parts.miscalibration - parts.discrimination + parts.uncertainty
    assert whole == pytest.approx(parts.brier)


def test_one_label_has_no_scaled_score():
    assert np.isnan(brier_parts([1, 1], [0.4, 0.6]).scaled)
