"""The line through reliability: slope and intercept of labels on logits."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

STEPS = 100  # of Newton's method, at most; it takes about 8
LARGEST_STEP = 3.0  # in the logit's standard deviations
CONVERGED = 1e-9
FIRST_LOOK = 64  # cases at an end of the logits


def recalibration(
    labels: NDArray, logits: NDArray, weights: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibration slope and calibration-in-the-large, for many weightings at once.

    The slope is that of a logistic regression of the label on the logit: 1 is right,
    less says that probabilities are too extreme. Calibration-in-the-large is the
    intercept with the slope fixed at 1: 0 is right, above it says that they are too
    low.

    Args:
        labels: `(cases,)`.
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
    in_the_large[both] = _shift(labels, logits, weights[both])
    lowest, highest = _ends(labels, logits, weights)
    differ = both & (lowest.min(axis=0) < highest.max(axis=0))
    right = differ & (highest[0] <= lowest[1])
    wrong = differ & (highest[1] <= lowest[0])
    slope[right], slope[wrong] = np.inf, -np.inf
    rest = differ & ~right & ~wrong
    if rest.any():
        scale = float(np.std(logits))
        lines = _line(labels, logits / scale, weights[rest], None)
        slope[rest] = lines[:, 1] / scale
    return slope, in_the_large


def recalibration_without(
    labels: NDArray, logits: NDArray, group: NDArray
) -> NDArray[np.float64]:
    """Both measures of `recalibration` without each group of cases, `(2, groups)`.

    Of very many cases, by one of Newton's steps from the fit of all: what it leaves is
    of the order of the squared share of a group.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    scale, once = float(np.std(logits)), np.ones((1, len(labels)))
    scaled = logits / scale
    (line,) = _line(labels, scaled, once, None)
    (shift,) = _shift(labels, logits, once)

    def kept(values: NDArray) -> NDArray[np.float64]:
        return values.sum() - np.bincount(group, values)

    chance = expit(line[0] + line[1] * scaled)
    error, curvature = labels - chance, chance * (1 - chance)
    g0, g1 = kept(error), kept(error * scaled)
    h00, h01, h11 = (kept(curvature * scaled**power) for power in (0, 1, 2))
    slopes = line[1] + (h00 * g1 - h01 * g0) / (h00 * h11 - h01**2)
    chance = expit(shift + logits)
    shifts = shift + kept(labels - chance) / kept(chance * (1 - chance))
    return np.stack([slopes / scale, shifts])


def _ends(
    labels: NDArray, logits: NDArray, weights: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest logit of each label in each set, `(2, sets)` each.

    Infinite where a set lacks the label.
    """
    lowest, highest = np.full((2, 2, len(weights)), np.inf)
    highest = -highest
    for label in (0, 1):
        cases = np.flatnonzero(labels == label)
        cases = cases[np.argsort(logits[cases], kind="stable")]
        for ends, order in ((lowest, cases), (highest, cases[::-1])):
            ends[label] = _first_present(ends[label], order, logits, weights)
    return lowest, highest


def _first_present(
    none: NDArray, order: NDArray, logits: NDArray, weights: NDArray
) -> NDArray[np.float64]:
    """The logit of the first case in an order that each set has, else `none`."""
    for looked in (FIRST_LOOK, len(order)):  # few sets lack so many
        present = weights[:, order[:looked]] > 0
        if present.any(axis=1).all():
            break
    if not len(order):
        return none
    return np.where(present.any(axis=1), logits[order[present.argmax(axis=1)]], none)


def _shift(labels: NDArray, logits: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Intercepts with the slope held at 1: there is one for any logits.

    Newton's steps, kept between bounds: of logits far from 0 the curvature may be 0.
    """
    total = weights.sum(axis=1)
    share = weights @ labels / total
    even = np.log(share / (1 - share))
    low, high = even - logits.max(), even - logits.min()
    shift = np.clip(0.0, low, high)
    for _ in range(STEPS):
        chance = expit(shift[:, None] + logits)
        excess = (weights * (chance - labels)).sum(axis=1)
        curvature = (weights * chance * (1 - chance)).sum(axis=1)
        low, high = np.where(excess < 0, shift, low), np.where(excess < 0, high, shift)
        step = excess / np.maximum(curvature, 1e-100)
        middle = (low + high) / 2
        inside = (shift - step > low) & (shift - step < high)
        target = np.where(inside, shift - step, middle)
        open_sets = np.abs(excess) > 1e-13 * total
        shift = np.where(open_sets, target, shift)
        if not open_sets.any():
            break
    return np.asarray(shift)


def _line(
    labels: NDArray, logits: NDArray, weights: NDArray, start: NDArray | None
) -> NDArray[np.float64]:
    """Intercept and slope of weighted logistic regressions, `(sets, 2)`.

    NaN where Newton's steps do not end. They begin at `start`, or where the mean of
    the sets ends.
    """
    share = weights @ labels / weights.sum(axis=1)
    intercept, slope = np.log(share / (1 - share)), np.zeros(len(weights))
    if start is None and len(weights) > 1:
        start = _line(labels, logits, weights.mean(axis=0)[None], None)[0]
    if start is not None and np.isfinite(start).all():
        intercept, slope = (np.full(len(weights), value) for value in start)
    size = np.full(len(weights), np.inf)
    powers = np.stack([np.ones(len(logits)), logits, logits**2], axis=1)
    for _ in range(STEPS):
        chance = expit(intercept[:, None] + slope[:, None] * logits)
        g0, g1 = ((weights * (labels - chance)) @ powers[:, :2]).T
        chance *= 1 - chance
        chance *= weights
        h00, h01, h11 = (chance @ powers).T
        determinant = h00 * h11 - h01**2
        step0 = (h11 * g0 - h01 * g1) / determinant
        step1 = (h00 * g1 - h01 * g0) / determinant
        size = np.maximum(np.abs(step0), np.abs(step1))
        shorter = np.minimum(1.0, LARGEST_STEP / np.maximum(size, 1e-300))
        intercept, slope = intercept + shorter * step0, slope + shorter * step1
        if not (size > CONVERGED * (1 + np.abs(intercept) + np.abs(slope))).any():
            break
    reached = size <= 1e-6 * (1 + np.abs(intercept) + np.abs(slope))
    return np.where(reached, np.stack([intercept, slope]), np.nan).T
