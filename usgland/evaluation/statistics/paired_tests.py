"""Paired tests of what McNemar cannot compare: predictive values, net benefit, AP."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from usgland.evaluation.statistics.bootstrap import draw_patients, percentile_interval
from usgland.evaluation.statistics.delong import has_clusters
from usgland.evaluation.statistics.intervals import CALLED, normal_bounds
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_cases,
    checked_labels,
    checked_patients,
    checked_scores,
    measures_of_probabilities,
)
from usgland.evaluation.statistics.share_intervals import clustered_variance
from usgland.evaluation.statistics.swap_tests import swap_test

SWAPS = 2000  # of two models' ranks within patients
FINEST = 10_000  # parts of a threshold that is taken as a fraction
AT_A_TIME = 4_000_000  # ranks of swapped models held at a time


class PairedDifference(NamedTuple):
    """A measure of two models on the same cases, and whether it differs.

    Attributes:
        a: Of the first.
        b: Of the second.
        difference: a - b.
        low: Lower bound; NaN where there is none.
        high: Upper bound.
        p_value: Two-sided.
        method: The test, and how the interval was made.
        reason: Why something is NaN; otherwise empty.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    method: str
    reason: str

    def __repr__(self) -> str:
        return readable(self)


def predictive_value_test(
    labels: ArrayLike,
    calls_a: ArrayLike,
    calls_b: ArrayLike,
    *,
    measure: str = "ppv",
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Compares the predictive values of two sets of calls of the same cases.

    The cases that two models call malignant overlap without being the same, which
    neither McNemar's nor an unpaired test takes in.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        calls_a: `(cases,)`, 0 or 1.
        calls_b: `(cases,)`, of the other, in the same order.
        measure: `"ppv"`, of cases called malignant; or `"npv"`, called benign.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        NaN with the reason where one of the two calls no case so.

    Raises:
        ValueError: If the arrays do not fit, or `measure` is unknown.

    Reference:
        [Kosinski, 2013](https://doi.org/10.1002/sim.5587), weighted generalized score
        statistic; of patients with several cases, its scores summed by patient. The
        interval: that of the marginal regression of [Leisenring et al.,
        2000](https://doi.org/10.1111/j.0006-341X.2000.00345.x), by its sandwich.

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [1] * 20 + [0] * 20
        >>> a = [1] * 17 + [0] * 3 + [1] * 4 + [0] * 16
        >>> b = [1] * 12 + [0] * 8 + [0] * 2 + [1] * 7 + [0] * 11
        >>> ev.predictive_value_test(labels, a, b)
        PairedDifference(
            a=0.8095,
            b=0.6316,
            difference=0.1779,
            low=-0.02041,
            high=0.3763,
            p_value=0.07763,
            method='weighted generalized score (Kosinski); interval: sandwich',
        )
    """
    check_between_0_and_1(level=level)
    if measure not in CALLED:
        raise ValueError(
            f"`measure` must be one of {list(CALLED)}. Received: {measure!r}"
        )
    y, calls = (
        checked_labels(labels),
        [checked_labels(own, "calls") for own in (calls_a, calls_b)],
    )
    if y.ndim != 1 or any(own.shape != y.shape for own in calls):
        raise ValueError(
            "`labels`, `calls_a` and `calls_b` must be of one length. Received: "
            f"shapes {[own.shape for own in (y, *calls)]}"
        )
    ids = checked_patients(patient_ids, len(y))
    label = CALLED[measure]
    right = (y == label).astype("float64")
    called = [(own == label).astype("float64") for own in calls]
    totals = [own.sum() for own in called]
    if not all(totals):
        word = "malignant" if label else "benign"
        reason = f"one of the two calls no case {word}"
        return PairedDifference(*(np.nan,) * 6, "", reason)
    values = [own @ right / n for own, n in zip(called, totals, strict=True)]
    difference = float(values[0] - values[1])
    weights = [own / n for own, n in zip(called, totals, strict=True)]
    pooled = float((called[0] + called[1]) @ right / sum(totals))
    gaps = right - pooled
    if has_clusters(ids):
        score = _summed((weights[0] - weights[1]) * gaps, ids)
        null, method = float(score @ score), "generalized score, clustered by patient"
    else:
        shared = float((called[0] * called[1]) @ gaps**2) / sum(totals)
        null = (pooled * (1 - pooled) - 2 * shared) * sum(1 / n for n in totals)
        method = "weighted generalized score (Kosinski)"
    p_value = 1.0 if abs(difference) < 1e-12 else np.nan
    if null > 1e-15:
        p_value = float(2 * norm.sf(abs(difference) / null**0.5))
    own = weights[0] * (right - values[0]) - weights[1] * (right - values[1])
    summed = _summed(own, ids)
    variance = float(summed @ summed)
    bounds = normal_bounds(difference, variance if variance > 1e-15 else 0.0, level)
    reason = "" if bounds[0] == bounds[0] else "the two differ in no case called so"
    made = "; interval: sandwich" if not reason else ""
    a, b = map(float, values)
    return PairedDifference(a, b, difference, *bounds, p_value, method + made, reason)


def net_benefit_test(
    labels: ArrayLike,
    probabilities_a: ArrayLike,
    probabilities_b: ArrayLike,
    threshold: float,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Compares the net benefit of two models at one threshold, on the same cases.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities_a: `(cases,)`, P(malignant) in [0, 1].
        probabilities_b: `(cases,)`, of the other, in the same order.
        threshold: P(malignant) from which somebody would act, in (0, 1).
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        P is exact, of all swaps of the two models within patients, with the threshold
        as the nearest fraction of parts up to 10,000; the interval is that of a mean
        over cases, clustered by patient.

    Raises:
        ValueError: If the arrays do not fit, or the threshold is not in (0, 1).

    Reference:
        [Vickers and Elkin, 2006](https://doi.org/10.1177/0272989X06295361): a case
        adds 1 where malignant, and loses the odds of the threshold where benign.

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [1] * 10 + [0] * 10
        >>> a = [0.9] * 9 + [0.1] + [0.1] * 8 + [0.6] * 2
        >>> b = [0.9] * 4 + [0.1] * 6 + [0.1] * 9 + [0.6]
        >>> result = ev.net_benefit_test(labels, a, b, 0.2)
        >>> round(result.difference, 4), round(result.p_value, 4)
        (0.2375, 0.0625)
    """
    check_between_0_and_1(level=level, threshold=threshold)
    labels, first = checked_cases(labels, probabilities_a)
    _, second = checked_cases(labels, probabilities_b)
    ids = checked_patients(patient_ids, len(labels))
    calls = [(own >= threshold).astype("float64") for own in (first, second)]
    worth = np.where(labels == 1, 1.0, -threshold / (1 - threshold))
    a, b = (float((own * worth).mean()) for own in calls)
    apart = calls[0] - calls[1]
    difference = float((apart * worth).mean())
    # Whole numbers, as the exact test needs them: n times what a case is worth.
    part = Fraction(threshold).limit_denominator(FINEST)
    part = min(max(part, Fraction(1, FINEST)), 1 - Fraction(1, FINEST))
    gain, loss = part.denominator - part.numerator, part.numerator
    whole = apart * np.where(labels == 1, gain, -loss)
    _, patient = np.unique(ids, return_inverse=True)
    swapped = swap_test(np.bincount(patient, whole).round())
    variance = clustered_variance(apart * worth, ids)
    bounds = normal_bounds(difference, variance, level)
    reason = "" if bounds[0] == bounds[0] else "no variance between patients"
    method = f"swaps within patients ({swapped.method})"
    method += "; interval: normal, of patients" if not reason else ""
    return PairedDifference(a, b, difference, *bounds, swapped.p_value, method, reason)


def average_precision_test(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = SWAPS,
    seed: int = 0,
) -> PairedDifference:
    """Compares the average precision of two models on the same cases.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        scores_a: `(cases,)`: higher is more suspicious, on any scale.
        scores_b: `(cases,)`, of the other model, in the same order.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).
        resamples: How many swaps of the two models' ranks within patients are drawn
            for P, and how often patients are for the interval.
        seed: Of both.

    Raises:
        ValueError: If the arrays do not fit, or no case is malignant.

    Reference:
        Swaps of ranks within patients, as [Bandos et al.,
        2005](https://doi.org/10.1002/sim.2149) for areas; P of drawn ones: [Phipson
        and Smyth, 2010](https://doi.org/10.2202/1544-6115.1585).

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> a = [0.1, 0.3, 0.4, 0.6, 0.5, 0.7, 0.8, 0.9]
        >>> b = [0.2, 0.6, 0.1, 0.5, 0.3, 0.4, 0.9, 0.7]
        >>> result = ev.average_precision_test(labels, a, b)
        >>> round(result.difference, 4), round(result.p_value, 1)
        (0.1333, 0.2)
    """
    check_between_0_and_1(level=level)
    labels, first = checked_scores(labels, scores_a)
    _, second = checked_scores(labels, scores_b)
    if not labels.any():
        raise ValueError("`labels` must hold malignant cases. Received: none")
    ids = checked_patients(patient_ids, len(labels))
    ranks = rankdata(first), rankdata(second)
    a, b = (float(_precision(labels, own[None])[0]) for own in ranks)
    difference = a - b
    draws = draw_patients(ids, resamples=resamples, seed=seed)
    drawn = [
        np.subtract(
            *(
                measures_of_probabilities(labels, own, sets[:, draws.group])[
                    "average_precision"
                ]
                for own in (first, second)
            )
        )
        for sets in draws.chunks(6)
    ]
    resampled = np.concatenate(drawn) if drawn else np.empty(0)
    interval = percentile_interval(resampled, level=level, seed=seed, over=draws.unit)
    p_value = _swapped(labels, ranks, ids, difference, resamples, seed)
    method = f"{resamples} swaps within patients drawn, seed {seed}"
    method += f"; interval: {interval.method}" if not interval.reason else ""
    return PairedDifference(
        a,
        b,
        difference,
        interval.low,
        interval.high,
        p_value,
        method,
        interval.reason,
    )


def _swapped(
    labels: NDArray,
    ranks: tuple[NDArray, NDArray],
    ids: NDArray,
    observed: float,
    resamples: int,
    seed: int,
) -> float:
    """P of as large a difference where the ranks of drawn patients are exchanged."""
    _, patient = np.unique(ids, return_inverse=True)
    rng, extreme = np.random.default_rng(seed), 0
    step = max(1, AT_A_TIME // len(labels))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        turned = rng.integers(0, 2, (rows, patient.max() + 1))[:, patient] == 1
        pair = np.where(turned, ranks[1], ranks[0]), np.where(turned, *ranks)
        apart = _precision(labels, pair[0]) - _precision(labels, pair[1])
        extreme += int((np.abs(apart) >= abs(observed) - 1e-12).sum())
    return (extreme + 1) / (resamples + 1)


def _precision(labels: NDArray, scores: NDArray) -> NDArray[np.float64]:
    """Average precision of several rankings of the same cases, `(sets, cases)`."""
    order = np.argsort(-scores, axis=1, kind="stable")
    sorted_scores = np.take_along_axis(scores, order, axis=1)
    malignant = (labels == 1)[order]
    reached = np.cumsum(malignant, axis=1)
    called = np.arange(1, len(labels) + 1)
    # Cases of one score are called together: counts at the last of them hold for all.
    last = np.ones(scores.shape, bool)
    last[:, :-1] = sorted_scores[:, :-1] != sorted_scores[:, 1:]
    places = np.where(last, np.arange(scores.shape[1]), scores.shape[1])
    until = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(reached, until, axis=1) / called[until]
    return np.asarray((malignant * precision).sum(axis=1) / (labels == 1).sum())


def _summed(values: NDArray, ids: NDArray) -> NDArray[np.float64]:
    _, patient = np.unique(ids, return_inverse=True)
    return np.bincount(patient, values).astype("float64")
