"""How well probabilities are kept: reliability curve, calibration error and slope.

Not to be confused with `calibration`, which changes them; this only looks.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import binomtest

from usgland.config import EvaluationSettings
from usgland.evaluation.bootstrap import (
    CHUNK,
    Interval,
    percentile_interval,
    resample_patients,
)
from usgland.evaluation.scores import checked_cases

BINS = 10  # at most
CASES_A_BIN = 10  # at least, of equal-count bins; of fewer, a share says little
SIMULATIONS = 1000
STEPS = 100  # of Newton's method, at most; it takes about 8
LARGEST_STEP = 3.0  # in the logit's standard deviations
CONVERGED = 1e-9
SEPARATED = "none: the logits separate the labels, so the slope has no bound"


def assess_calibration(
    rows: pd.DataFrame, settings: EvaluationSettings
) -> dict[str, Any]:
    """Everything that this module knows of one set of predictions.

    Args:
        rows: One row a case: patient_id, label, probability, logit.
        settings: Resamples, level and seed.

    Returns:
        n, malignant_share, mean_probability, curve (see `reliability_curve`),
        ece_equal_count and ece_equal_width (value, bins, if_calibrated), slope and
        intercept_in_the_large (value, low, high, method, undefined_resamples).
    """
    labels = rows["label"].to_numpy()
    probabilities = rows["probability"].to_numpy("float64")
    edges = equal_count_edges(probabilities)
    widths = np.linspace(0, 1, BINS + 1)
    return {
        "n": len(rows),
        "malignant_share": float(labels.mean()),
        "mean_probability": float(probabilities.mean()),
        "curve": reliability_curve(
            labels, probabilities, edges, level=settings.confidence_level
        ),
        "ece_equal_count": _error(labels, probabilities, edges, settings.seed),
        "ece_equal_width": _error(labels, probabilities, widths, settings.seed),
        **_recalibration(rows, settings),
    }


def equal_count_edges(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Edges of bins of as equal a number of cases as ties allow, `(bins + 1,)`.

    Ten bins, or fewer so that ten cases fall in each; equal probabilities share one.
    """
    probabilities = np.asarray(probabilities, "float64")
    bins = int(np.clip(len(probabilities) // CASES_A_BIN, 1, BINS))
    return np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)))


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, edges: ArrayLike, *, level: float
) -> list[dict[str, Any]]:
    """The share of malignant cases beside the mean probability, bin by bin.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        edges: `(bins + 1,)`, ascending; a bin holds its upper edge, the first one
            also its lower.
        level: Of the Wilson intervals, which take cases for independent.

    Returns:
        One dict a bin that holds cases: n, malignant, mean_probability, share, low,
        high.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    bins = _bins(probabilities, edges)
    curve = []
    for number in np.unique(bins):
        inside = bins == number
        malignant, n = int(labels[inside].sum()), int(inside.sum())
        bounds = binomtest(malignant, n).proportion_ci(level, "wilson")
        curve.append(
            {
                "n": n,
                "malignant": malignant,
                "mean_probability": float(probabilities[inside].mean()),
                "share": malignant / n,
                "low": float(bounds.low),
                "high": float(bounds.high),
            }
        )
    return curve


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, edges: ArrayLike
) -> float:
    """Mean distance of share and mean probability over bins, weighted by their cases.

    0 is best. It is never below 0, so chance alone raises it: see `if_calibrated` in
    `assess_calibration`.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        edges: As in `reliability_curve`.

    Reference:
        [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602), section 3,
        with P(malignant) in place of the confidence of the winning class.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    return float(_errors(labels[None], probabilities, edges)[0])


def recalibration(
    labels: NDArray, logits: NDArray, weights: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibration slope and calibration-in-the-large, for many weightings at once.

    The slope is that of a logistic regression of the label on the logit: 1 is right,
    less says that probabilities are too extreme. Calibration-in-the-large is the
    intercept with the slope fixed at 1: 0 is right, above it says that they are too
    low.

    Args:
        labels: `(cases,)`, 0 or 1.
        logits: `(cases,)`.
        weights: `(sets, cases)`: how often each case stands in each set.

    Returns:
        Both `(sets,)`. The slope is infinite where the logits separate the labels,
        negative so the wrong way round. NaN where a set has one label, the slope
        also where all logits are equal.

    Reference:
        [Cox, 1958](https://doi.org/10.1093/biomet/45.3-4.562); [Van Calster et al.,
        2019](https://doi.org/10.1186/s12916-019-1466-7).
    """
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    weights = np.asarray(weights, "float64")
    malignant, total = weights @ labels, weights.sum(axis=1)
    both = (malignant > 0) & (malignant < total)
    slope, in_the_large = np.full((2, len(weights)), np.nan)
    if not both.any():
        return slope, in_the_large
    in_the_large[both] = _newton(labels, logits, weights[both], offset=True)[0]
    lowest, highest = _ranges(labels, logits, weights)
    differ = both & (lowest.min(axis=0) < highest.max(axis=0))
    right = differ & (highest[0] <= lowest[1])
    wrong = differ & (highest[1] <= lowest[0])
    slope[right], slope[wrong] = np.inf, -np.inf
    rest = differ & ~right & ~wrong
    if rest.any():
        scale = float(np.std(logits))
        slope[rest] = _newton(labels, logits / scale, weights[rest])[1] / scale
    return slope, in_the_large


def _recalibration(
    rows: pd.DataFrame, settings: EvaluationSettings
) -> dict[str, dict[str, Any]]:
    labels, logits = rows["label"].to_numpy(), rows["logit"].to_numpy("float64")
    ids, patient = np.unique(rows["patient_id"].astype(str), return_inverse=True)
    values = recalibration(labels, logits, np.ones((1, len(labels))))
    drawn = resample_patients(len(ids), settings.bootstrap_resamples, settings.seed)
    step = max(1, CHUNK // (4 * len(labels)))
    chunks = [
        recalibration(labels, logits, drawn[start : start + step][:, patient])
        for start in range(0, len(drawn), step)
    ]
    resampled = np.concatenate(chunks, axis=1) if chunks else np.empty((2, 0))
    found = {}
    names = ("slope", "intercept_in_the_large")
    for name, value, draws in zip(names, values, resampled, strict=True):
        interval = _interval(draws, settings)
        known = bool(np.isfinite(value[0]))
        reason = "none: undefined" if np.isnan(value[0]) else SEPARATED
        found[name] = {
            "value": float(value[0]) if known else np.nan,
            "low": interval.low if known else np.nan,
            "high": interval.high if known else np.nan,
            "method": interval.method if known else reason,
            "undefined_resamples": interval.undefined,
        }
    return found


def _interval(values: NDArray, settings: EvaluationSettings) -> Interval:
    """A percentile interval, if it is not of resamples that are separated."""
    level = settings.confidence_level
    infinite, finite = np.isinf(values), values[np.isfinite(values)]
    if infinite.any():
        undefined = int(np.isnan(values).sum())
        most = max((values == np.inf).sum(), (values == -np.inf).sum())
        # Half of what a bound leaves outside: then the bound itself is finite.
        if most > (1 - level) / 4 * len(values) or not len(finite):
            count = f"{infinite.sum()} of {len(values)} resamples"
            reason = f"none: the labels are separated in {count}"
            return Interval(np.nan, np.nan, reason, undefined)
        # So few lie outside both bounds, wherever they are.
        values = np.clip(values, finite.min(), finite.max())
    return percentile_interval(values, level=level, seed=settings.seed)


def _ranges(
    labels: NDArray, logits: NDArray, weights: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest logit of each label in each set, each `(2, sets)`."""
    order = np.argsort(logits, kind="stable")
    ordered, there = logits[order], weights[:, order] > 0
    lowest, highest = np.empty((2, 2, len(weights)))
    for label in (0, 1):
        own = there & (labels[order] == label)
        lowest[label] = ordered[own.argmax(axis=1)]
        highest[label] = ordered[::-1][own[:, ::-1].argmax(axis=1)]
    return lowest, highest


def _newton(
    labels: NDArray, logits: NDArray, weights: NDArray, *, offset: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intercept and slope of weighted logistic regressions, NaN where not reached.

    With `offset` the slope stays 1 and the intercept alone is fitted.
    """
    share = weights @ labels / weights.sum(axis=1)
    intercept = np.zeros(len(weights)) if offset else np.log(share / (1 - share))
    slope = np.full(len(weights), 1.0 if offset else 0.0)
    size = np.full(len(weights), np.inf)
    for _ in range(STEPS):
        chance = expit(intercept[:, None] + slope[:, None] * logits)
        error = weights * (labels - chance)
        curvature = weights * chance * (1 - chance)
        g0, h00 = error.sum(axis=1), curvature.sum(axis=1)
        if offset:
            step0, step1 = g0 / h00, np.zeros(len(weights))
        else:
            g1, h01, h11 = error @ logits, curvature @ logits, curvature @ logits**2
            determinant = h00 * h11 - h01**2
            step0 = (h11 * g0 - h01 * g1) / determinant
            step1 = (h00 * g1 - h01 * g0) / determinant
        size = np.maximum(np.abs(step0), np.abs(step1))
        shorter = np.minimum(1.0, LARGEST_STEP / np.maximum(size, 1e-300))
        intercept, slope = intercept + shorter * step0, slope + shorter * step1
        if not (size > CONVERGED * (1 + np.abs(intercept) + np.abs(slope))).any():
            break
    reached = size <= 1e-6 * (1 + np.abs(intercept) + np.abs(slope))
    return np.where(reached, intercept, np.nan), np.where(reached, slope, np.nan)


def _bins(probabilities: NDArray, edges: ArrayLike) -> NDArray[np.int64]:
    return np.searchsorted(np.asarray(edges)[1:-1], probabilities)


def _errors(labels: NDArray, probabilities: NDArray, edges: ArrayLike) -> NDArray:
    """The calibration error of several labellings, `(sets, cases)` -> `(sets,)`."""
    bins = _bins(probabilities, edges)
    gaps = (labels - probabilities) @ np.eye(bins.max() + 1)[bins]
    return np.abs(gaps).sum(axis=1) / len(probabilities)


def _error(
    labels: NDArray, probabilities: NDArray, edges: NDArray, seed: int
) -> dict[str, Any]:
    """The error, and its mean where labels are drawn from the probabilities.

    No interval: the error of a resample is on average above that of the sample, so
    the percentile interval may not even hold the value.
    """
    uniform = np.random.default_rng(seed).uniform(size=(SIMULATIONS, len(labels)))
    ideal = _errors(uniform < probabilities, probabilities, edges)
    return {
        "value": expected_calibration_error(labels, probabilities, edges),
        "bins": len(reliability_curve(labels, probabilities, edges, level=0.95)),
        "if_calibrated": float(ideal.mean()),
    }
