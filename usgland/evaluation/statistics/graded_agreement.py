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
MOST_GRADES = 100  # different ones; scores of more have an ICC
ROUNDING = 1e-12  # of all variance: a mean square below is that of no difference


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
            disagreement grows with the distance of two grades.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If the arrays do not fit, `weights` are unknown, or there are more
            than 100 different grades.

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
    first, second = place.reshape(ratings.shape)
    table = _weights(weights, categories)
    method = f"{weights} weights, jackknife over patients"
    if len(categories) < 2:
        why = "all grades are the same" if len(ids) else "no case that both have read"
        return _none(len(ids), method, why)
    _, patient = np.unique(ids, return_inverse=True)
    patients = int(patient.max()) + 1
    # Of each patient: cases, their summed weights, and how often each grade was given.
    cases = np.bincount(patient)
    alike = np.bincount(patient, table[first, second])
    margins = np.zeros((2, patients, len(categories)))
    for side, own in enumerate((first, second)):
        np.add.at(margins[side], (patient, own), 1)
    totals = margins.sum(axis=1)
    value = float(_kappa(alike.sum(), totals[0] @ table @ totals[1], len(ids)))
    kept = totals[:, None] - margins
    chance = ((kept[0] @ table) * kept[1]).sum(axis=1)
    without = _kappa(alike.sum() - alike, chance, len(ids) - cases)
    spread = ((without - without.mean()) ** 2).sum()
    variance = float((patients - 1) / patients * spread)
    return _finished(value, variance, patients, len(ids), method, level, fewest=3)


def gwet_agreement(
    grades: ArrayLike,
    *,
    weights: str = "identity",
    grades_possible: ArrayLike | None = None,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> GradedAgreement:
    """Gwet's AC1 of several readers, or AC2 of grades: stable where a grade is rare.

    Kappa falls towards 0 where nearly all cases get one grade, however well readers
    agree; this does not. Not every reader has to have read every case.

    Args:
        grades: `(readers, cases)`: calls or grades as numbers, NaN where not read.
        weights: `"identity"` for AC1; `"quadratic"` or `"linear"` for AC2.
        grades_possible: All that could be given, such as `(0, 1)` of calls, on which
            the agreement of chance depends; None for those that were.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If the arrays do not fit, `weights` are unknown, a grade is not
            among those possible, or there are more than 100.

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
    if grades_possible is not None:
        possible = np.unique(np.asarray(grades_possible, "float64"))
        if strange := sorted(set(categories.tolist()) - set(possible.tolist())):
            raise ValueError(
                f"`grades_possible` must hold every grade, not only "
                f"{possible.tolist()}. Received: {strange}"
            )
        categories = possible
    name = "AC1" if weights == "identity" else f"AC2, {weights} weights"
    table = _weights(weights, categories)
    n, size = ratings.shape[1], len(categories)
    several = read.sum(axis=0) >= 2
    if several.sum() < 2:
        return _none(int(several.sum()), name, "fewer than two cases of two readers")
    if size < 2:
        return _none(int(several.sum()), name, "all grades are the same")
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
    variance = patients / max(1, patients - 1) * float(sums @ sums) / n**2
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
    if n < 2:
        return _none(n, method, "fewer than two cases that all have read")
    mean = ratings.mean()
    between = k * ((ratings.mean(axis=0) - mean) ** 2).sum() / (n - 1)
    readers = n * ((ratings.mean(axis=1) - mean) ** 2).sum() / (k - 1)
    rest = ratings - ratings.mean(axis=0) - ratings.mean(axis=1)[:, None] + mean
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    least = ROUNDING * ((ratings - mean) ** 2).mean()
    between, readers, error = (
        0.0 if square <= least else float(square)
        for square in (between, readers, error)
    )
    if not between and not error:
        what = "all cases" if readers else "all scores"
        return _none(n, method, f"{what} are the same")
    if not error and (form == "consistency" or not readers):
        reason = "the readers differ in no case"
        return GradedAgreement(1.0, np.nan, np.nan, np.nan, n, method, reason)
    tail = (1 - level) / 2
    if form == "consistency":
        value = (between - error) / (between + (k - 1) * error)
        ratio = between / error
        freedom = n - 1, (n - 1) * (k - 1)
        ends = (
            ratio / fisher.isf(tail, *freedom),
            ratio * fisher.isf(tail, *freedom[::-1]),
        )
        low, high = ((end - 1) / (end + k - 1) for end in ends)
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


def _kappa(
    alike: ArrayLike, chance: ArrayLike, cases: ArrayLike
) -> NDArray[np.float64]:
    """Weighted kappas from summed weights of pairs, of a case and of any two."""
    cases = np.maximum(cases, 1)
    share, by_chance = np.asarray(alike) / cases, np.asarray(chance) / cases**2
    beyond = np.where(by_chance < 1 - ROUNDING, 1 - by_chance, np.nan)
    return np.asarray((share - by_chance) / beyond)


def _weights(name: str, categories: NDArray) -> NDArray[np.float64]:
    if name not in WEIGHTS:
        raise ValueError(f"`weights` must be one of {WEIGHTS}. Received: {name!r}")
    if len(categories) > MOST_GRADES:
        raise ValueError(
            f"Expected {MOST_GRADES} different grades at most; any number of scores "
            f"has an `intraclass_correlation`. Received: {len(categories)}"
        )
    if name == "identity" or len(categories) < 2:
        return np.eye(len(categories))
    apart = np.abs(categories[:, None] - categories) / np.ptp(categories)
    return np.asarray(1 - apart ** (2 if name == "quadratic" else 1))


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
    value: float,
    variance: float,
    patients: int,
    cases: int,
    method: str,
    level: float,
    *,
    fewest: int = 2,
) -> GradedAgreement:
    """With the interval of Student's t, one degree of freedom less than patients."""
    reason = ""
    if patients < fewest:
        reason = "one patient only" if patients == 1 else "two patients only"
    elif np.isnan(variance):
        reason = "undefined without one of the patients"
    elif not variance > 1e-15:
        reason = "its variance is 0"
    if reason:
        return GradedAgreement(value, np.nan, np.nan, np.nan, cases, method, reason)
    error = variance**0.5
    half = float(student.ppf((1 + level) / 2, patients - 1)) * error
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return GradedAgreement(value, error, low, high, cases, method, "")
