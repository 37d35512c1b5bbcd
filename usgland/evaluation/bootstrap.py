"""Bootstrap intervals: patients are drawn with replacement, each with all images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.scores import (
    checked_cases,
    figures_of_counts,
    kinds_of_cases,
    weighted_auc,
)

# Weights held at a time for the AUC of resamples, 32 MB.
CHUNK = 4_000_000


class Interval(NamedTuple):
    """Bounds of a figure; NaN where the resamples can give none.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        method: How it was made, or why there is none.
        undefined: Resamples left out because the figure was not defined in them.
    """

    low: float
    high: float
    method: str
    undefined: int


def resample_patients(patients: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Draws patients with replacement, as many as there are.

    Two sets of predictions of the same patients, resampled with the same seed, are
    resampled alike.

    Returns:
        `(resamples, patients)`: how often each patient was drawn.
    """
    drawn = np.random.default_rng(seed).integers(0, patients, (resamples, patients))
    drawn += patients * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * patients)
    return counts.reshape(resamples, patients)


def bootstrap_figures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    patient_ids: ArrayLike,
    *,
    resamples: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Every figure in every resample of patients, each with all images.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        threshold: One, or `(cases,)`.
        patient_ids: `(cases,)`: who each case belongs to.
        resamples: How many.
        seed: Of the draw.

    Returns:
        Name -> `(resamples,)`; NaN where undefined, see `score`.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    kinds = kinds_of_cases(labels, probabilities >= np.asarray(threshold, "float64"))
    # Sorted by np.unique: the order of the rows has no say in the draw.
    ids, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    drawn = resample_patients(len(ids), resamples, seed)
    counts = np.zeros((len(ids), 4))
    np.add.at(counts, (patient, kinds), 1)
    figures = figures_of_counts(drawn @ counts)
    step = max(1, CHUNK // len(labels))
    chunks = [
        weighted_auc(labels, probabilities, drawn[start : start + step][:, patient])
        for start in range(0, resamples, step)
    ]
    figures["roc_auc"] = np.concatenate(chunks) if chunks else np.empty(0)
    return figures


def percentile_interval(values: NDArray, *, level: float, seed: int) -> Interval:
    """The percentile bootstrap interval of one figure.

    It has no bounds where no resample differs from another: of 21 patients called
    right, every resample has a sensitivity of 1, which is no evidence that the next
    patient will be.

    Args:
        values: `(resamples,)`, NaN where undefined, which are left out and counted.
        level: Confidence level in (0, 1).
        seed: Of the draw, for the record.
    """
    if not len(values):
        return Interval(np.nan, np.nan, "none: 0 bootstrap resamples asked for", 0)
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(defined):
        return Interval(np.nan, np.nan, "none: undefined in every resample", undefined)
    if np.ptp(defined) == 0:
        reason = f"none: the same value in all {len(defined)} resamples"
        return Interval(np.nan, np.nan, reason, undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    method = f"percentile bootstrap over patients, {len(values)} resamples, seed {seed}"
    return Interval(float(low), float(high), method, undefined)
