"""What readers measure: from their readings of the same cases to an analysis.

`mrmc` analyses estimates and their covariance; both are made here, from readings.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.statistics import scores
from usgland.evaluation.statistics.delong import (
    Placements,
    areas,
    delong_covariance,
    placements,
)
from usgland.evaluation.statistics.mrmc import Components, Estimate, compare_modalities
from usgland.evaluation.statistics.readable import readable

# Name -> the label whose cases a share counts; None for areas, of which the balanced
# accuracy is one: that under the "curve" of one operating point.
MEASURES: dict[str, int | None] = {
    "roc_auc": None,
    "balanced_accuracy": None,
    "sensitivity": 1,
    "specificity": 0,
}


class Mrmc(NamedTuple):
    """Two modalities read by the same readers: a measure of each, and the difference.

    Attributes:
        values: `(2, readers)`: the measure of each reader in each modality.
        both_random: Mean difference, first modality less second: would it hold for
            other readers and other cases?
        readers_fixed: The same for these readers and other cases.
        cases_fixed: The same for other readers and these cases.
        components: Mean squares and covariances that they are made of.
    """

    values: NDArray[np.float64]
    both_random: Estimate
    readers_fixed: Estimate
    cases_fixed: Estimate
    components: Components

    def __repr__(self) -> str:
        return readable(self)


def mrmc(
    labels: ArrayLike,
    readings: ArrayLike,
    *,
    measure: str = "roc_auc",
    method: str | None = None,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> Mrmc:
    """Compares two modalities that several readers read: Obuchowski and Rockette.

    Such as without and with a computer's help. Where not every reader has read every
    case in both, two readers covary by the cases that they share; if they share none,
    as in a split-plot design, not at all.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant, both among them.
        readings: `(2, readers, cases)`: for `roc_auc` scores, higher is more
            suspicious, on any scale; else calls, 0 or 1. NaN where not read.
        measure: `"roc_auc"`, `"balanced_accuracy"`, `"sensitivity"` or
            `"specificity"`.
        method: Of the covariance due to cases: `"delong"`, of the first two measures,
            or `"jackknife"`; None for the first of these that the measure has.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        The difference in three scopes, each with t, degrees of freedom, interval and
        P; bounds are not cut to [-1, 1]. NaN with a reason where one reader says
        nothing of others, or nothing varies.

    Raises:
        ValueError: If the arrays do not fit, or an option is unknown.

    Reference:
        [Obuchowski and Rockette, 1995](https://doi.org/10.1080/03610919508813243);
        degrees of freedom: [Hillis, 2007](https://doi.org/10.1002/sim.2532); scopes:
        [Hillis et al., 2008](https://doi.org/10.1016/j.acra.2007.12.015); split plots:
        [Obuchowski et al., 2012](https://doi.org/10.1016/j.acra.2012.09.012).

    Example:
        Three readers grade eight cases from 1 to 5, without and with a form.

        >>> import usgland.evaluation as ev
        >>> without = [[3, 4, 2, 5, 2, 3, 1, 4], [2, 5, 3, 4, 1, 2, 3, 3],
        ...            [4, 3, 2, 4, 3, 1, 2, 2]]
        >>> with_form = [[4, 4, 3, 5, 2, 2, 1, 3], [3, 5, 4, 4, 1, 2, 2, 2],
        ...              [4, 4, 3, 4, 3, 1, 2, 1]]
        >>> analysis = ev.mrmc([1, 1, 1, 1, 0, 0, 0, 0], [with_form, without])
        >>> analysis.values.round(3)
        array([[0.969, 1.   , 0.969],
               [0.719, 0.781, 0.844]])
        >>> analysis.both_random
        Estimate(
            scope='readers and cases random',
            value=0.1979,
            standard_error=0.07864,
            degrees_of_freedom=38.45,
            low=0.03877,
            high=0.3571,
            statistic=2.517,
            p_value=0.01614,
        )
    """
    scores.check_between_0_and_1(level=level)
    readings = np.asarray(readings)
    if readings.ndim != 3 or len(readings) != 2:
        raise ValueError(
            "`readings` must be `(2, readers, cases)`. "
            f"Received: shape {readings.shape}"
        )
    if method is None:
        method = "delong" if MEASURES.get(measure, 0) is None else "jackknife"
    stacked = readings.reshape(-1, readings.shape[2])
    values, covariance = estimate_measure(
        measure, labels, stacked, method=method, patient_ids=patient_ids
    )
    values = values.reshape(2, -1)
    components, differences = compare_modalities(values, covariance, level=level)
    random, readers_fixed, cases_fixed = differences
    return Mrmc(values, random, readers_fixed, cases_fixed, components)


def estimate_measure(
    name: str,
    labels: ArrayLike,
    readings: ArrayLike,
    *,
    method: str,
    patient_ids: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A measure of each reading, and their covariance due to the cases they share.

    The arguments are those of `mrmc`, but `readings` are `(readings, cases)`. Cases
    that are NaN count as not read: the measure is that of the others, and two readings
    covary by the patients whom both have. The balanced accuracy is the area under the
    "curve" of one operating point. The jackknife leaves out one patient at a time; for
    sensitivity and specificity one of those with such cases, which makes it the usual
    s²/n.

    Returns:
        `(readings,)` and `(readings, readings)`; the covariance is NaN where one
        patient carries a label alone.

    Reference:
        DeLong: see `delong_covariance`. Jackknife: Efron and Tibshirani, An
        Introduction to the Bootstrap, 1993, equation 11.5.
    """
    if name not in MEASURES:
        raise ValueError(f"`name` must be one of {list(MEASURES)}. Received: {name!r}")
    label = MEASURES[name]
    methods = ("delong", "jackknife") if label is None else ("jackknife",)
    if method not in methods:
        raise ValueError(
            "`method` must be 'delong' (for areas) or 'jackknife'. "
            f"Received: {method!r} for {name}"
        )
    readings = np.atleast_2d(np.asarray(readings))
    read = ~np.isnan(readings)
    if name != "roc_auc" and not np.isin(readings[read], (0, 1)).all():
        raise ValueError(
            f"`readings` must be calls, 0 or 1, for {name}. "
            f"Received: {np.unique(readings[read])[:5].tolist()}"
        )
    # Checks the arguments, too.
    complete = delong_covariance(
        labels, np.where(read, readings, 0.0), patient_ids=patient_ids
    )
    if method == "delong" and read.all():
        return complete
    labels = np.asarray(labels)
    ids = scores.checked_patients(patient_ids, len(labels))
    if label is not None:
        right = np.where(read & (labels == label), readings == label, np.nan)
        return estimate_means(right, ids)
    _, patient = np.unique(ids, return_inverse=True)
    values, sums = (
        np.zeros(len(readings)),
        np.zeros((4, len(readings), patient.max() + 1)),
    )
    for place, (reading, known) in enumerate(zip(readings, read, strict=True)):
        true, said, owner = labels[known], reading[known], patient[known]
        placed = placements(true, said)
        values[place] = areas(placed)[0]
        if method == "delong":
            sums[:, place] = _placed_by_patient(placed, true, owner, sums.shape[2])
            continue
        present = np.unique(owner)
        weights = (owner != present[:, None]).astype("float64")
        without = scores.weighted_auc(true, said, weights)
        sums[0, place, present] = _jackknifed(without)
    # A patient whom one of two readings lacks adds nothing to their covariance.
    pairs = (0, 0), (1, 1), (2, 3), (3, 2)
    return values, np.sum([sums[a] @ sums[b].T for a, b in pairs], axis=0)


def estimate_means(
    values: ArrayLike, patient_ids: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of readings, such as the seconds they took, and their covariance.

    Args:
        values: `(readings, cases)`, NaN where a reading has none.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.

    Returns:
        `(readings,)` and `(readings, readings)`, due to the cases that two share, by a
        jackknife over patients; NaN where a reading has one patient.
    """
    values = np.asarray(values, "float64")
    known = ~np.isnan(values)
    ids = scores.checked_patients(patient_ids, values.shape[1])
    _, patient = np.unique(ids, return_inverse=True)
    apart = np.zeros((len(values), patient.max() + 1))
    means = np.full(len(values), np.nan)
    for place, (row, own) in enumerate(zip(values, known, strict=True)):
        present, owner = np.unique(patient[own], return_inverse=True)
        cases, sums = np.bincount(owner), np.bincount(owner, row[own])
        if not own.any():
            apart[place] = np.nan
            continue
        means[place] = row[own].mean()
        with np.errstate(invalid="ignore"):  # of one patient nothing is left
            without = (sums.sum() - sums) / (cases.sum() - cases)
        apart[place, present] = _jackknifed(without)
    return means, apart @ apart.T


def _placed_by_patient(
    placed: Placements, labels: NDArray, owner: NDArray, patients: int
) -> NDArray[np.float64]:
    """What each patient adds to DeLong's covariance of one reading, `(4, patients)`.

    Its parts are of malignant and of benign cases, and both again, whose product is
    that of patients who have cases of both labels.
    """
    pairs = 2 * placed.malignant.size * placed.benign.size
    sums = np.zeros((4, patients))
    for side, ranks in enumerate((placed.benign[0], placed.malignant[0])):
        whose = owner[labels == side]
        own = np.bincount(whose, (ranks - ranks.mean()) / pairs, minlength=patients)
        sums[side] = own * _unbiased(whose)
        sums[2 + side] = own * _unbiased(owner)
    return sums


def _unbiased(owner: NDArray) -> float:
    patients = len(np.unique(owner))
    return float((patients / (patients - 1)) ** 0.5) if patients > 1 else np.nan


def _jackknifed(without: NDArray) -> NDArray[np.float64]:
    """What patients add to a covariance, from values without each of them."""
    patients = len(without)
    return ((patients - 1) / patients) ** 0.5 * (without - without.mean())
