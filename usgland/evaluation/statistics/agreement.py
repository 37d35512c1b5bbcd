"""Agreement of readers beyond chance: Cohen's and Fleiss' kappa of calls."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.statistics.delong import has_clusters
from usgland.evaluation.statistics.intervals import normal_bounds
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_labels,
    checked_patients,
    confusion,
    kinds_of_cases,
    measures_of_counts,
)


class Agreement(NamedTuple):
    """How often readers agree, and how far that exceeds chance.

    Attributes:
        kappa: 1 full agreement, 0 that of chance; NaN where undefined.
        standard_error: Of kappa, for its interval.
        low: Lower bound, not below -1.
        high: Upper bound, not above 1.
        agreement: Share of (pairs of) calls that are the same.
        malignant: Share of all calls that are malignant. Kappa falls as this nears
            0 or 1, at the same agreement.
        method: How the standard error was made.
        reason: Why something is NaN; otherwise empty.
    """

    kappa: float
    standard_error: float
    low: float
    high: float
    agreement: float
    malignant: float
    method: str
    reason: str

    def __repr__(self) -> str:
        return readable(self)


def cohen_kappa(
    calls_a: ArrayLike,
    calls_b: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> Agreement:
    """Agreement of two readers.

    Args:
        calls_a: `(cases,)`, 0 benign or 1 malignant.
        calls_b: `(cases,)`, of the other, in the same order.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent. Where patients have several, the standard error is a
            jackknife over patients.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If they differ in length or hold anything but 0 and 1.

    Reference:
        [Cohen, 1960](https://doi.org/10.1177/001316446002000104); standard error:
        [Fleiss, Cohen and Everitt, 1969](https://doi.org/10.1037/h0028106),
        equation 13.

    Example:
        >>> import usgland.evaluation as ev
        >>> a = [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15
        >>> b = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
        >>> ev.cohen_kappa(a, b)
        Agreement(
            kappa=0.4,
            standard_error=0.127,
            low=0.1511,
            high=0.6489,
            agreement=0.7,
            malignant=0.55,
            method='Fleiss, Cohen and Everitt',
        )
    """
    counts = confusion(calls_a, calls_b)
    kappa = float(measures_of_counts(counts.reshape(1, 4))["cohen_kappa"][0])
    share = counts / max(counts.sum(), 1)
    first, second = share.sum(axis=1), share.sum(axis=0)
    agreement, malignant = np.trace(share), (first[1] + second[1]) / 2
    if not counts.any():
        agreement = malignant = np.nan
    ids = checked_patients(patient_ids, int(counts.sum()))
    if has_clusters(ids):
        sums = _by_patient(np.eye(4)[kinds_of_cases(calls_a, calls_b)], ids)
        without = measures_of_counts(counts.ravel() - sums)["cohen_kappa"]
        method, variance = "jackknife over patients", _jackknife(without)
        return _finished(kappa, variance, agreement, malignant, method, level)
    variance = np.nan
    if not np.isnan(kappa):
        chance = float(first @ second)
        weights = first[None, :] + second[:, None]  # [i, j]: second_i + first_j
        agreeing = (1 - (first + second) * (1 - kappa)) ** 2
        variance = np.diag(share) @ agreeing
        apart = share * weights**2
        variance += (1 - kappa) ** 2 * (apart.sum() - np.trace(apart))
        variance -= (kappa - chance * (1 - kappa)) ** 2
        variance /= counts.sum() * (1 - chance) ** 2
    method = "Fleiss, Cohen and Everitt"
    return _finished(kappa, variance, agreement, malignant, method, level)


def fleiss_kappa(
    calls: ArrayLike, *, patient_ids: ArrayLike | None = None, level: float = 0.95
) -> Agreement:
    """Agreement of several readers, all of whom read every case.

    The standard error is a jackknife over cases, or over patients. The usual closed
    form holds only where readers agree by chance alone and makes no interval.

    Args:
        calls: `(readers, cases)`, 0 or 1; two readers or more.
        patient_ids: As in `cohen_kappa`.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If there are fewer readers or anything but 0 and 1.

    Reference:
        [Fleiss, 1971](https://doi.org/10.1037/h0031619)

    Example:
        >>> import usgland.evaluation as ev
        >>> calls = [[1, 1, 0, 0, 1, 0], [1, 1, 0, 1, 1, 0], [1, 0, 0, 0, 1, 1]]
        >>> agreement = ev.fleiss_kappa(calls)
        >>> round(agreement.kappa, 4), round(agreement.agreement, 4)
        (0.325, 0.6667)
    """
    calls = checked_labels(calls, "calls")
    if calls.ndim != 2 or len(calls) < 2:
        raise ValueError(
            "`calls` must be `(readers, cases)` of 0 and 1, of two readers or more. "
            f"Received: shape {calls.shape}"
        )
    readers, cases = calls.shape
    malignant = calls.sum(axis=0)
    benign, pairs = readers - malignant, readers * (readers - 1)
    same = (malignant * (malignant - 1) + benign * (benign - 1)) / pairs
    kappa, agreement, share = _fleiss(same.sum(), malignant.sum(), cases, readers)
    ids = checked_patients(patient_ids, cases)
    parts = _by_patient(np.stack([same, malignant, np.ones(cases)], axis=1), ids)
    kept_same, kept_malignant, kept_cases = (parts.sum(axis=0) - parts).T
    without, _, _ = _fleiss(kept_same, kept_malignant, kept_cases, readers)
    what = "patients" if has_clusters(ids) else "cases"
    method, variance = f"jackknife over {what}", _jackknife(without)
    return _finished(kappa, variance, agreement, share, method, level)


def _by_patient(values: NDArray, ids: NDArray) -> NDArray[np.float64]:
    """Sums of the rows of each patient, `(patients, columns)`."""
    _, patient = np.unique(ids, return_inverse=True)
    return np.stack([np.bincount(patient, column) for column in values.T], axis=1)


def _jackknife(without: NDArray) -> float:
    """The variance of a value, from what it is without each patient."""
    number = len(without)
    if not number:
        return np.nan
    return float((number - 1) / number * ((without - without.mean()) ** 2).sum())


def _fleiss(
    same: NDArray, malignant: NDArray, cases: ArrayLike, readers: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Kappa, agreement and malignant share, from their sums over cases."""
    cases = np.where(np.asarray(cases) > 0, cases, np.nan)
    agreement, share = same / cases, malignant / (cases * readers)
    beyond = 2 * share * (1 - share)  # 1 - chance; exactly 0 for one word alone
    known = np.where(beyond > 0, beyond, np.nan)
    return (agreement - 1 + beyond) / known, agreement, share


def _finished(
    kappa: NDArray | float,
    variance: float,
    agreement: NDArray,
    malignant: NDArray,
    method: str,
    level: float,
) -> Agreement:
    check_between_0_and_1(level=level)
    kappa = float(kappa)
    reason = ""
    if np.isnan(agreement):
        reason = "no case that all have read"
    elif np.isnan(kappa):
        reason = "all calls are the same"
    elif not variance > 1e-15:  # a rest of 1e-17 is rounding
        reason = "the variance of kappa is 0 or undefined"
    if reason:
        variance = np.nan
    bounds = normal_bounds(kappa, variance, level)
    shares = float(agreement), float(malignant)
    return Agreement(kappa, float(variance) ** 0.5, *bounds, *shares, method, reason)
