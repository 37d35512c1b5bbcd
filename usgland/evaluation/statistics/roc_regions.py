"""Parts of a ROC curve: sensitivity at a fixed specificity, partial area."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from usgland.evaluation.statistics.bootstrap import (
    LOGIT,
    Interval,
    draw_patients,
    jackknife_interval,
    no_interval,
    percentile_interval,
)
from usgland.evaluation.statistics.measured_cases import Measure
from usgland.evaluation.statistics.scores import (
    LACKING,
    check_between_0_and_1,
    checked_patients,
    checked_scores,
)

ARRAYS = 6  # of the size of the weights, held at a time


def sensitivity_at(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    specificity: float,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Measure:
    """The sensitivity that a specificity leaves, with its interval.

    The highest of all thresholds that reach the specificity; no line is drawn between
    two of them. The threshold is chosen again in every resample, so that the interval
    knows that it was. Its ends are percentiles, taken as far out as Student's t lies
    beyond the normal distribution: plain ones hold the truth too rarely.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        scores: `(cases,)`, higher is more suspicious: probabilities, logits or grades.
        specificity: To be reached, in (0, 1). For the specificity at a sensitivity,
            exchange the labels and turn the sign of the scores.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).
        resamples: How often patients are drawn.
        seed: Of the draw.

    Raises:
        ValueError: If the arrays do not fit, or an option is out of range.

    Reference:
        [Platt et al., 2000](https://doi.org/10.1002/(SICI)1097-0258(20000215)19:3%3C313::AID-SIM370%3E3.0.CO;2-K),
        here by expanded percentiles: [Hesterberg,
        2015](https://doi.org/10.1080/00031305.2015.1089789), section 3.4.

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0] * 8 + [1] * 6
        >>> scores = [1, 1, 2, 2, 2, 3, 4, 7, 2, 5, 6, 6, 8, 9]
        >>> round(ev.sensitivity_at(labels, scores, specificity=0.85).value, 4)
        0.8333
    """
    check_between_0_and_1(specificity=specificity)
    highest = 1 - specificity
    interval = partial(_resampled, resamples=resamples, seed=seed, level=level)
    measure = partial(_sensitivity, highest=highest)
    return _measured(labels, scores, measure, interval, patient_ids, level)


def partial_auc(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    specificity: float,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> Measure:
    """The area under the ROC curve where the specificity is high, with its interval.

    Standardized: 1 is the best there can be, 0.5 that of chance. The interval is that
    of the jackknife over patients, on the logit scale with Student's t.

    Args:
        labels: As in `sensitivity_at`.
        scores: As in `sensitivity_at`.
        specificity: The lowest that counts, in (0, 1).
        patient_ids: As in `sensitivity_at`.
        level: As in `sensitivity_at`.

    Raises:
        ValueError: As `sensitivity_at`.

    Reference:
        [McClish, 1989](https://doi.org/10.1177/0272989X8900900307), equation 7, as in
        scikit-learn.

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0] * 8 + [1] * 6
        >>> scores = [1, 1, 2, 2, 2, 3, 4, 7, 2, 5, 6, 6, 8, 9]
        >>> round(ev.partial_auc(labels, scores, specificity=0.8).value, 4)
        0.7338
    """
    check_between_0_and_1(specificity=specificity)
    measure = partial(_partial_area, highest=1 - specificity)
    interval = partial(_left_out, level=level)
    return _measured(labels, scores, measure, interval, patient_ids, level)


def _measured(
    labels: ArrayLike,
    scores: ArrayLike,
    measure: Callable[[NDArray, NDArray], NDArray],
    interval: Callable[..., Interval],
    patient_ids: ArrayLike | None,
    level: float,
) -> Measure:
    check_between_0_and_1(level=level)
    labels, scores = checked_scores(labels, scores)
    ids = checked_patients(patient_ids, len(labels))
    lacking = [why for why, label in LACKING.items() if label not in labels]
    if lacking:
        return Measure.of(np.nan, no_interval(lacking[0]))
    _, place = np.unique(-scores, return_inverse=True)  # the most suspicious first
    sums = partial(_by_score, labels, place)
    (value,) = measure(*sums(np.ones((1, len(labels)))))

    def of(sets: Iterator[NDArray], group: NDArray) -> NDArray:
        return np.concatenate([measure(*sums(drawn[:, group])) for drawn in sets])

    return Measure.of(float(value), interval(float(value), of, labels, ids))


def _resampled(
    value: float,
    of: Callable[[Iterator[NDArray], NDArray], NDArray],
    labels: NDArray,
    ids: NDArray,
    *,
    resamples: int,
    seed: int,
    level: float,
) -> Interval:
    """Expanded percentiles; `value` is that of all cases, which they do not need."""
    draws = draw_patients(ids, resamples=resamples, seed=seed)
    freedom = draws.freedom(labels)
    if freedom < 1:
        return no_interval("a label has one patient only")
    farther = student.isf((1 - level) / 2, freedom) * ((freedom + 1) / freedom) ** 0.5
    made = percentile_interval(
        of(draws.chunks(ARRAYS), draws.group) if resamples else np.empty(0),
        level=float(1 - 2 * norm.sf(farther)),
        seed=seed,
        over=draws.unit,
    )
    return made._replace(method=made.method and f"expanded {made.method}, t({freedom})")


def _left_out(
    value: float,
    of: Callable[[Iterator[NDArray], NDArray], NDArray],
    labels: NDArray,
    ids: NDArray,
    *,
    level: float,
) -> Interval:
    """The jackknife: of two patients or more a label, so that no set lacks one."""
    draws = draw_patients(ids)
    freedom = draws.freedom(labels)
    if freedom < 1:
        return no_interval("a label has one patient only")
    values = of(draws.all_but_one(ARRAYS), draws.group)
    return jackknife_interval(
        value, values, LOGIT, freedom=freedom, level=level, over=draws.unit
    )


def _by_score(
    labels: NDArray, place: NDArray, weights: NDArray
) -> tuple[NDArray, NDArray]:
    """The false and the true positive rates of each set at every threshold, from 0.

    NaN where a set lacks a label.
    """
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(place[order]) > 0])
    ordered, malignant = weights[:, order], labels[order] == 1
    rates = []
    for own in (~malignant, malignant):
        sums = np.cumsum(np.add.reduceat(ordered * own, starts, axis=1), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates.append(sums / sums[:, -1:])
    zero = np.zeros((len(weights), 1))
    false, true = (np.hstack([zero, rate]) for rate in rates)
    return false, true


def _sensitivity(false: NDArray, true: NDArray, *, highest: float) -> NDArray:
    lacks = np.isnan(false[:, -1]) | np.isnan(true[:, -1])
    reached = np.where(false <= highest + 1e-12, true, 0.0).max(axis=1)
    return np.where(lacks, np.nan, reached)


def _partial_area(false: NDArray, true: NDArray, *, highest: float) -> NDArray:
    """The standardized area up to a false positive rate, by trapezoids."""
    ends = np.minimum(false, highest)
    width = np.diff(false, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        steep = np.where(width > 0, np.diff(true, axis=1) / width, 0.0)
    # Height where the last trapezoid is cut.
    heights = true[:, :-1] + steep * (ends[:, 1:] - false[:, :-1]).clip(min=0)
    area = (np.diff(ends, axis=1) * (true[:, :-1] + heights) / 2).sum(axis=1)
    least = highest**2 / 2
    return np.asarray((1 + (area - least) / (highest - least)) / 2)
