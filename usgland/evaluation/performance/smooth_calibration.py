"""Calibration without bins: a smooth curve, its distance from right, Brier's parts."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit
from scipy.stats import norm

from usgland.evaluation.statistics.logistic_model import fit_logistic
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_cases,
    checked_patients,
)

KNOTS = (0.1, 0.5, 0.9)  # quantiles of the logits: one bend, as for small data
POINTS = 101  # of the curve
SIMULATIONS = 100
SIMULATED_CASES = 400_000  # in all of them: some seconds
METHOD = "logistic regression on a restricted cubic spline of the logit, 3 knots"


class SmoothCalibration(NamedTuple):
    """A calibration curve without bins.

    Attributes:
        curve: probability, and the share of malignant cases there: share, low, high.
        ici: Mean distance of probability and curve over the cases (integrated
            calibration index); 0 is best.
        e50: Their median distance.
        e90: The distance that 90% of the cases stay below.
        ici_if_calibrated: The mean ICI of a perfectly calibrated model on as many
            cases; it is never 0.
        method: How the curve was made.
        reason: Why something is NaN; otherwise empty.
    """

    curve: pd.DataFrame
    ici: float
    e50: float
    e90: float
    ici_if_calibrated: float
    method: str
    reason: str

    def __repr__(self) -> str:
        return readable(self._replace(curve=self.curve.iloc[::20]))


class BrierParts(NamedTuple):
    """What a Brier score is made of.

    It is miscalibration - discrimination + uncertainty.

    Attributes:
        brier: Mean squared error of the probabilities; 0 is best.
        scaled: 1 - brier / uncertainty: 1 is best, 0 that of saying the prevalence of
            everyone; below it where that would have been better. NaN with one label.
        miscalibration: What the best rising recalibration would gain.
        discrimination: What the recalibrated probabilities gain over the prevalence.
        uncertainty: Brier score of the prevalence, said of everyone.
    """

    brier: float
    scaled: float
    miscalibration: float
    discrimination: float
    uncertainty: float

    def __repr__(self) -> str:
        return readable(self)


def smooth_calibration(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> SmoothCalibration:
    """The calibration curve as a spline with its band, and its distance from right.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in (0, 1).
        patient_ids: `(cases,)`: who each case belongs to, for the band; None where
            every case is independent.
        level: Confidence level of the band at each probability, in (0, 1).
        seed: Of the labels drawn for `ici_if_calibrated`.

    Returns:
        The curve at 101 probabilities from the lowest to the highest of the cases. NaN
        with the reason where the probabilities separate the labels. Where too few
        differ for a spline, the curve is a straight line of the logit.

    Raises:
        ValueError: If the arrays do not fit, or a probability is 0 or 1.

    Reference:
        Curve: [Austin and Steyerberg, 2014](https://doi.org/10.1002/sim.5941), with
        Harrell's splines, linear beyond the outer knots (quantiles .1, .5 and .9 of
        the logits); ICI, E50 and E90: [Austin and Steyerberg,
        2019](https://doi.org/10.1002/sim.8281).

    Example:
        >>> import numpy as np
        >>> import usgland.evaluation as ev
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal(0, 2, 300)
        >>> labels = rng.uniform(size=300) < 1 / (1 + np.exp(-logits / 2))
        >>> smooth = ev.smooth_calibration(labels, 1 / (1 + np.exp(-logits)))
        >>> round(smooth.ici, 3), round(smooth.ici_if_calibrated, 3)
        (0.082, 0.027)
    """
    check_between_0_and_1(level=level)
    labels, probabilities = checked_cases(labels, probabilities)
    ids = checked_patients(patient_ids, len(labels))
    if not ((probabilities > 0) & (probabilities < 1)).all():
        raise ValueError(
            "`probabilities` must be in (0, 1), as the curve is of their logits. "
            f"Received: {probabilities.min():g} to {probabilities.max():g}"
        )
    logits = logit(probabilities)
    knots, method = _knots(logits)
    design = _design(logits, knots)
    grid = np.linspace(probabilities.min(), probabilities.max(), POINTS)
    model = fit_logistic(design, labels, patient_ids=ids)
    at = _design(logit(grid), knots)
    middle = at @ model.coefficients
    spread = np.sqrt(np.maximum(0, np.einsum("ij,jk,ik->i", at, model.covariance, at)))
    half = norm.ppf((1 + level) / 2) * spread
    curve = pd.DataFrame(
        {
            "probability": grid,
            "share": expit(middle),
            "low": expit(middle - half),
            "high": expit(middle + half),
        }
    )
    apart = np.abs(expit(design @ model.coefficients) - probabilities)
    ideal = _if_calibrated(design, probabilities, seed)
    e50, e90 = np.quantile(apart, [0.5, 0.9]) if not model.reason else (np.nan, np.nan)
    return SmoothCalibration(
        curve, float(apart.mean()), float(e50), float(e90), ideal, method, model.reason
    )


def brier_parts(labels: ArrayLike, probabilities: ArrayLike) -> BrierParts:
    """The Brier score, scaled, and parted without bins.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in [0, 1].

    Raises:
        ValueError: As `score`.

    Reference:
        [Dimitriadis et al., 2021](https://doi.org/10.1073/pnas.2016191118): the best
        rising recalibration is that of isotonic regression. Scaled: [Steyerberg et
        al., 2010](https://doi.org/10.1097/EDE.0b013e3181c30fb2).

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.brier_parts([0, 0, 1, 0, 1, 1], [0.1, 0.3, 0.3, 0.6, 0.7, 0.9])
        BrierParts(
            brier=0.175,
            scaled=0.3,
            miscalibration=0.06389,
            discrimination=0.1389,
            uncertainty=0.25,
        )
    """
    labels, probabilities = checked_cases(labels, probabilities)
    _, where, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    shares = np.bincount(where, labels) / counts
    best = isotonic_regression(shares, weights=counts).x[where]
    prevalence = labels.mean()
    brier, recalibrated, uncertainty = (
        float(np.mean((said - labels) ** 2))
        for said in (probabilities, best, np.full(len(labels), prevalence))
    )
    scaled = 1 - brier / uncertainty if uncertainty > 0 else np.nan
    return BrierParts(
        brier, scaled, brier - recalibrated, uncertainty - recalibrated, uncertainty
    )


def _knots(logits: NDArray) -> tuple[NDArray | None, str]:
    knots = np.quantile(logits, KNOTS)
    # A bend needs three that differ, and a knot on each side of the middle.
    if len(np.unique(knots)) < len(KNOTS) or len(np.unique(logits)) < len(KNOTS):
        return None, "logistic regression on the logit: too few of them differ"
    return knots, METHOD


def _design(logits: NDArray, knots: NDArray | None) -> NDArray[np.float64]:
    """Ones, the logit and the spline's bend, which is straight beyond the knots."""
    columns = [np.ones(len(logits)), logits]
    if knots is not None:
        first, middle, last = knots
        cubes = [np.maximum(logits - knot, 0) ** 3 for knot in (first, middle, last)]
        bend = cubes[0] - cubes[1] * (last - first) / (last - middle)
        bend = bend + cubes[2] * (middle - first) / (last - middle)
        columns.append(bend / (last - first) ** 2)
    return np.column_stack(columns)


def _if_calibrated(design: NDArray, probabilities: NDArray, seed: int) -> float:
    """The mean ICI where labels are drawn from the probabilities."""
    rng = np.random.default_rng(seed)
    n = len(probabilities)
    times = int(np.clip(SIMULATED_CASES // n, 10, SIMULATIONS))
    # The labels are drawn from the logit as it is, near which their curve lies.
    straight = np.eye(design.shape[1])[1]
    values = []
    for _ in range(times):
        drawn = (rng.uniform(size=n) < probabilities).astype("int64")
        model = fit_logistic(design, drawn, start=straight)
        if not model.reason:
            apart = np.abs(expit(design @ model.coefficients) - probabilities)
            values.append(float(apart.mean()))
    return float(np.mean(values)) if values else np.nan
