"""What readers measure: from their readings of the same cases to an analysis.

`mrmc` analyses estimates and their covariance; both are made here, from readings.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.statistics import scores
from usgland.evaluation.statistics.delong import delong_covariance
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

    Fully crossed: every reader has read every case in both modalities, such as
    without and with a computer's help.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant, both among them.
        readings: `(2, readers, cases)`: for `roc_auc` scores, higher is more
            suspicious, on any scale; else calls, 0 or 1.
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
        [Hillis et al., 2008](https://doi.org/10.1016/j.acra.2007.12.015).

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
    """A measure of each reading of the same cases, and their covariance due to cases.

    The arguments are those of `mrmc`, but `readings` are `(readings, cases)`. The
    balanced accuracy is the area under the "curve" of one operating point. The
    jackknife leaves out one patient at a time; for sensitivity and specificity one of
    those with such cases, which makes it the usual s²/n.

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
    # Checks the arguments, too.
    areas, covariance = delong_covariance(labels, readings, patient_ids=patient_ids)
    labels, readings = np.asarray(labels), np.atleast_2d(np.asarray(readings))
    if name != "roc_auc" and not np.isin(readings, (0, 1)).all():
        raise ValueError(
            f"`readings` must be calls, 0 or 1, for {name}. "
            f"Received: {np.unique(readings)[:5].tolist()}"
        )
    if method == "delong":
        return areas, covariance
    ids = scores.checked_patients(patient_ids, len(labels))
    if label is None:
        values = areas
        weights = (ids[None, :] != np.unique(ids)[:, None]).astype("float64")
        without = [scores.weighted_auc(labels, own, weights) for own in readings]
        return values, _jackknife_covariance(np.stack(without))
    _, patient = np.unique(ids[labels == label], return_inverse=True)
    cases = np.bincount(patient)
    right = (readings == label)[:, labels == label]
    hits = np.stack([np.bincount(patient, own) for own in right])
    with np.errstate(invalid="ignore"):  # of one patient nothing is left
        kept = (hits.sum(axis=1, keepdims=True) - hits) / (cases.sum() - cases)
    return right.mean(axis=1), _jackknife_covariance(kept)


def _jackknife_covariance(without: NDArray) -> NDArray[np.float64]:
    """Of values, from what they are without each patient, `(readings, patients)`."""
    apart = without - without.mean(axis=1, keepdims=True)
    patients = without.shape[1]
    return np.asarray((patients - 1) / patients * apart @ apart.T)
