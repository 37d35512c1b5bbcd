"""How far a ROC curve could lie elsewhere: a pointwise band over patients."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.statistics.bootstrap import resample_patients
from usgland.evaluation.statistics.scores import checked_cases

BAND_POINTS = 101


def roc_band(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patient_ids: ArrayLike,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The interval of the sensitivity at each false positive rate.

    Patients are drawn with replacement, each with all cases; the sensitivity between
    two points of a curve is that of the line between them.

    Args:
        labels: `(cases,)`, 0 or 1, both among them.
        probabilities: `(cases,)`.
        patient_ids: `(cases,)`: who each case belongs to.
        resamples: How many; 1 or more.
        level: Of the interval, in (0, 1).
        seed: Of the draw.

    Returns:
        False positive rates, lower and upper bounds, `(BAND_POINTS,)` each.

    Reference:
        Pointwise, so the whole curve leaves it more often than 1 - level: [Macskassy
        et al., 2005](https://doi.org/10.1145/1102351.1102419).
    """
    labels, probabilities = checked_cases(labels, probabilities)
    ids, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    drawn = resample_patients(len(ids), resamples, seed)[:, patient]
    order = np.argsort(-probabilities, kind="stable")
    last = np.r_[np.diff(probabilities[order]) != 0, True]  # of equal probabilities
    weights, malignant = drawn[:, order], labels[order] == 1
    true = np.cumsum(weights * malignant, axis=1)[:, last]
    false = np.cumsum(weights * ~malignant, axis=1)[:, last]
    whole = (true[:, -1] > 0) & (false[:, -1] > 0)
    rates = np.linspace(0, 1, BAND_POINTS)
    curves = [
        np.interp(rates, np.r_[0, f / f[-1]], np.r_[0, t / t[-1]])
        for f, t in zip(false[whole], true[whole], strict=True)
    ]
    if not curves:
        empty = np.full(BAND_POINTS, np.nan)
        return rates, empty, empty
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return rates, low, high
