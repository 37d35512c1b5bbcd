"""Agreement of grades, as of 1 to 5: weighted kappa, Gwet's coefficient, ICC.

Readings are `(readers, cases)`, NaN where a reader did not read a case: designs need
not be complete.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f as fisher
from scipy.stats import t as student

from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_patients,
)

WEIGHTS = ("quadratic", "linear", "identity")
ICC_FORMS = ("agreement", "consistency")


class GradedAgreement(NamedTuple):
    """How well readers agree in their grades.

    Attributes:
        value: 1 full agreement, 0 that of chance; NaN where undefined.
        standard_error: Of it; NaN for an ICC, whose interval is that of F.
        low: Lower bound.
        high: Upper bound, at most 1.
        cases: That count: those that two readers or more have read; of an ICC, all.
        method: How it was made.
        reason: Why something is NaN; otherwise empty.
    """

    value: float
    standard_error: float
    low: float
    high: float
    cases: int
    method: str
    reason: str

    def __repr__(self) -> str:
        return readable(self)


def weighted_kappa(
    grades_a: ArrayLike,
    grades_b: ArrayLike,
    *,
    weights: str = "quadratic",
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> GradedAgreement:
    """Agreement of two readers in grades beyond chance, nearer ones counting more.

    Args:
        grades_a: `(cases,)`, numbers such as 1 to 5; NaN where not read.
        grades_b: `(cases,)`, of the other, in the same order.
        weights: `"quadratic"`, `"linear"`, or `"identity"` for Cohen's kappa: how
            disagreement grows with the distance of the ranks of two grades.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If the arrays do not fit, or `weights` are unknown.

    Reference:
        [Cohen, 1968](https://doi.org/10.1037/h0026256); the standard error is a
        jackknife over patients.

    Example:
        >>> import usgland.evaluation as ev
        >>> a = [1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 1, 5]
        >>> b = [1, 2, 4, 4, 5, 4, 4, 2, 2, 1, 2, 5]
        >>> result = ev.weighted_kappa(a, b)
        >>> round(result.value, 3), round(result.low, 3), round(result.high, 3)
        (0.923, 0.83, 1.0)
    """
    ratings, ids = _checked(np.stack(_pair(grades_a, grades_b)), patient_ids, level)
    both = ~np.isnan(ratings).any(axis=0)
    ratings, ids = ratings[:, both], ids[both]
    categories, place = np.unique(ratings, return_inverse=True)
    place = place.reshape(ratings.shape)
    table = _weights(weights, len(categories))
    method = f"{weights} weights, jackknife over patients"
    if len(categories) < 2:
        return _none(len(ids), method, "all grades are the same")
    _, patient = np.unique(ids, return_inverse=True)
    patients = int(patient.max()) + 1
    counts = np.zeros((patients, len(categories), len(categories)))
    np.add.at(counts, (patient, place[0], place[1]), 1)
    whole = counts.sum(axis=0)
    value = float(_kappa(whole[None], table)[0])
    without = _kappa(whole - counts, table)
    variance = np.nan
    if patients > 2 and not np.isnan(without).any():
        spread = ((without - without.mean()) ** 2).sum()
        variance = float((patients - 1) / patients * spread)
    return _finished(value, variance, patients, len(ids), method, level)


def gwet_agreement(
    grades: ArrayLike,
    *,
    weights: str = "identity",
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> GradedAgreement:
    """Gwet's AC1 of several readers, or AC2 of grades: stable where a grade is rare.

    Kappa falls towards 0 where nearly all cases get one grade, however well readers
    agree; this does not. Not every reader has to have read every case.

    Args:
        grades: `(readers, cases)`: calls or grades as numbers, NaN where not read.
        weights: `"identity"` for AC1; `"quadratic"` or `"linear"` for AC2.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If the arrays do not fit, or `weights` are unknown.

    Reference:
        [Gwet, 2008](https://doi.org/10.1348/000711006X126600); with missing readings
        Gwet, Handbook of Inter-Rater Reliability, 4th edition, 2014, section 5.

    Example:
        >>> import usgland.evaluation as ev
        >>> calls = [[1, 0, 0, 0, 1, 0], [1, 0, 0, 1, 1, 0], [1, 0, 0, 0, 1, 1]]
        >>> round(ev.gwet_agreement(calls).value, 4)
        0.561
    """
    ratings, ids = _checked(grades, patient_ids, level)
    read = ~np.isnan(ratings)
    seen = read.any(axis=0)
    ratings, read, ids = ratings[:, seen], read[:, seen], ids[seen]
    categories = np.unique(ratings[read])
    name = "AC1" if weights == "identity" else f"AC2, {weights} weights"
    table = _weights(weights, len(categories))
    n, size = ratings.shape[1], len(categories)
    several = read.sum(axis=0) >= 2
    if size < 2 or several.sum() < 2:
        return _none(int(several.sum()), name, "all grades are the same, or too few")
    counts = (ratings[:, :, None] == categories).sum(axis=0).astype("float64")
    readers = counts.sum(axis=1)
    alike = (counts * (counts @ table - 1)).sum(axis=1)[several]
    alike = alike / (readers * (readers - 1))[several]
    shares = counts / readers[:, None]
    mean = shares.mean(axis=0)
    scale = table.sum() / (size * (size - 1))
    chance = float(scale * (mean * (1 - mean)).sum())
    agreement = float(alike.mean())
    value = (agreement - chance) / (1 - chance)
    own = np.zeros(n)
    own[several] = n / several.sum() * (alike - chance) / (1 - chance)
    by_case = scale * (shares * (1 - mean)).sum(axis=1)
    own = own - 2 * (1 - value) * (by_case - chance) / (1 - chance)
    _, patient = np.unique(ids, return_inverse=True)
    patients = int(patient.max()) + 1
    sums = np.bincount(patient, own - value)
    variance = patients / (patients - 1) * float(sums @ sums) / n**2
    return _finished(value, variance, patients, int(several.sum()), name, level)


def intraclass_correlation(
    scores: ArrayLike, *, form: str = "agreement", level: float = 0.95
) -> GradedAgreement:
    """The intraclass correlation of one reader's score with another's.

    Args:
        scores: `(readers, cases)`: NaN where not read; only cases that all have read
            count.
        form: `"agreement"`, ICC(2,1): readers are a sample, and one who always scores
            higher disagrees; `"consistency"`, ICC(3,1): only the order and distance
            of the scores matter.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If there are fewer than two readers, or `form` is unknown.

    Reference:
        [Shrout and Fleiss, 1979](https://doi.org/10.1037/0033-2909.86.2.420);
        intervals: [McGraw and Wong,
        1996](https://doi.org/10.1037/1082-989X.1.1.30), table 7.

    Example:
        The six targets of Shrout and Fleiss, four judges.

        >>> import usgland.evaluation as ev
        >>> judges = [[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4],
        ...           [8, 2, 8, 6, 9, 7]]
        >>> result = ev.intraclass_correlation(judges)
        >>> round(result.value, 2), round(result.low, 2), round(result.high, 2)
        (0.29, 0.02, 0.76)
    """
    if form not in ICC_FORMS:
        raise ValueError(f"`form` must be one of {ICC_FORMS}. Received: {form!r}")
    ratings, _ = _checked(scores, None, level)
    ratings = ratings[:, ~np.isnan(ratings).any(axis=0)]
    k, n = ratings.shape
    method = "ICC(2,1), absolute agreement" if form == "agreement" else "ICC(3,1)"
    if n < 2 or np.ptp(ratings) == 0:
        return _none(n, method, "all scores are the same, or too few")
    mean = ratings.mean()
    between = k * ((ratings.mean(axis=0) - mean) ** 2).sum() / (n - 1)
    readers = n * ((ratings.mean(axis=1) - mean) ** 2).sum() / (k - 1)
    rest = ratings - ratings.mean(axis=0) - ratings.mean(axis=1)[:, None] + mean
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    tail = (1 - level) / 2
    if form == "consistency":
        value = (between - error) / (between + (k - 1) * error)
        ratio = between / error if error > 0 else np.inf
        freedom = n - 1, (n - 1) * (k - 1)
        ends = (
            ratio / fisher.isf(tail, *freedom),
            ratio * fisher.isf(tail, *freedom[::-1]),
        )
        low, high = ((end - 1) / (end + k - 1) if end < np.inf else 1.0 for end in ends)
    else:
        value = (between - error) / (
            between + (k - 1) * error + k * (readers - error) / n
        )
        low, high = _agreement_bounds(value, between, readers, error, n, k, tail)
    return GradedAgreement(float(value), np.nan, float(low), float(high), n, method, "")


def _agreement_bounds(
    value: float,
    between: float,
    readers: float,
    error: float,
    n: int,
    k: int,
    tail: float,
) -> tuple[float, float]:
    """McGraw and Wong's bounds of ICC(2,1), by Satterthwaite's degrees of freedom."""
    if not error > 0 and not readers > 0:
        return 1.0, 1.0
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * readers + b * error) ** 2 / (
        (a * readers) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    upper = fisher.isf(tail, n - 1, freedom)
    lower = fisher.isf(tail, freedom, n - 1)
    rest = k * readers + (k * n - k - n) * error
    low = n * (between - upper * error) / (upper * rest + n * between)
    high = n * (lower * between - error) / (rest + n * lower * between)
    return float(low), float(high)


def _kappa(counts: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Weighted kappas of tables of counts, `(tables, grades, grades)`."""
    total = counts.sum(axis=(1, 2))
    share = counts / np.maximum(total, 1)[:, None, None]
    alike = (share * weights).sum(axis=(1, 2))
    first, second = share.sum(axis=2), share.sum(axis=1)
    chance = np.einsum("ti,ij,tj->t", first, weights, second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (alike - chance) / (1 - chance), np.nan)


def _weights(name: str, size: int) -> NDArray[np.float64]:
    if name not in WEIGHTS:
        raise ValueError(f"`weights` must be one of {WEIGHTS}. Received: {name!r}")
    if name == "identity" or size < 2:
        return np.eye(size)
    ranks = np.arange(size)
    apart = np.abs(ranks[:, None] - ranks) / (size - 1)
    return 1 - apart ** (2 if name == "quadratic" else 1)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray, NDArray]:
    first, second = np.asarray(a, "float64"), np.asarray(b, "float64")
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            "`grades_a` and `grades_b` must be of one length. "
            f"Received: shapes {first.shape} and {second.shape}"
        )
    return first, second


def _checked(
    grades: ArrayLike, patient_ids: ArrayLike | None, level: float
) -> tuple[NDArray[np.float64], NDArray]:
    check_between_0_and_1(level=level)
    ratings = np.asarray(grades, "float64")
    if ratings.ndim != 2 or len(ratings) < 2:
        raise ValueError(
            "Grades must be `(readers, cases)`, of two readers or more. "
            f"Received: shape {ratings.shape}"
        )
    return ratings, checked_patients(patient_ids, ratings.shape[1])


def _none(cases: int, method: str, reason: str) -> GradedAgreement:
    return GradedAgreement(*(np.nan,) * 4, cases, method, reason)


def _finished(
    value: float, variance: float, patients: int, cases: int, method: str, level: float
) -> GradedAgreement:
    """With the interval of Student's t, one degree of freedom less than patients."""
    if not variance > 1e-15:
        return GradedAgreement(
            value, np.nan, np.nan, np.nan, cases, method, "its variance is 0"
        )
    error = variance**0.5
    half = float(student.ppf((1 + level) / 2, patients - 1)) * error
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return GradedAgreement(value, error, low, high, cases, method, "")
