"""Bootstrap intervals: patients are drawn with replacement, each with all images."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from usgland.evaluation.statistics.scores import (
    OF_PROBABILITIES,
    checked_cases,
    kinds_of_cases,
    measures_of_counts,
    measures_of_probabilities,
)

# Weights held at a time for the measures of probabilities, 32 MB.
CHUNK = 4_000_000
ROUNDING = 1e-12  # resamples that differ by less have one value


class Interval(NamedTuple):
    """Bounds of a measure; NaN where the resamples can give none.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        method: How it was made, or why there is none.
        undefined: Resamples left out because the measure was not defined in them.
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


def bootstrap_measures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    patient_ids: ArrayLike,
    *,
    resamples: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Every measure in every resample of patients, each with all images.

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
    measures = measures_of_counts(drawn @ counts)
    step = max(1, CHUNK // len(labels))
    chunks = (drawn[start : start + step] for start in range(0, resamples, step))
    return measures | _of_probabilities(labels, probabilities, patient, chunks)


def jackknife_measures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    patient_ids: ArrayLike,
) -> dict[str, NDArray[np.float64]]:
    """Every measure without one patient after the other, for `bca_interval`.

    Args:
        labels: As in `bootstrap_measures`.
        probabilities: As in `bootstrap_measures`.
        threshold: As in `bootstrap_measures`.
        patient_ids: As in `bootstrap_measures`.

    Returns:
        Name -> `(patients,)`; NaN where undefined.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    kinds = kinds_of_cases(labels, probabilities >= np.asarray(threshold, "float64"))
    ids, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    counts = np.zeros((len(ids), 4))
    np.add.at(counts, (patient, kinds), 1)
    measures = measures_of_counts(counts.sum(axis=0) - counts)
    chunks = _all_but_one(len(ids), max(1, CHUNK // len(labels)))
    return measures | _of_probabilities(labels, probabilities, patient, chunks)


def _all_but_one(patients: int, step: int) -> Iterator[NDArray]:
    """How often each patient stands in each set: all but one, each in turn."""
    for start in range(0, patients, step):
        rows = np.arange(start, min(start + step, patients))
        yield (rows[:, None] != np.arange(patients)).astype("float64")


def _of_probabilities(
    labels: NDArray, probabilities: NDArray, patient: NDArray, chunks: Iterable[NDArray]
) -> dict[str, NDArray[np.float64]]:
    """The measures that need probabilities, a chunk of the sets at a time."""
    parts = [
        measures_of_probabilities(labels, probabilities, weights[:, patient])
        for weights in chunks
    ]
    return {
        name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0)
        for name in OF_PROBABILITIES
    }


def percentile_interval(values: NDArray, *, level: float, seed: int) -> Interval:
    """The percentile bootstrap interval of one measure.

    It has no bounds where no resample differs from another: of 21 patients called
    right, every resample has a sensitivity of 1, which is no evidence that the next
    patient will be. Nor where the measure is undefined in more of them than the level
    leaves outside: where those would lie is not known.

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
    if undefined > (1 - level) * len(values):
        reason = f"none: undefined in {undefined} of {len(values)} resamples"
        return Interval(np.nan, np.nan, reason, undefined)
    if np.ptp(defined) < ROUNDING:
        reason = "none: the same value in every resample"
        return Interval(np.nan, np.nan, reason, undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    method = f"percentile bootstrap over patients, {len(values)} resamples, seed {seed}"
    return Interval(float(low), float(high), method, undefined)


def bca_interval(
    values: NDArray, value: float, jackknife: NDArray, *, level: float, seed: int
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of one measure.

    Like `percentile_interval`, but its quantiles are moved by how far the resamples
    lie to one side of the measure and by how its spread changes with its value.

    Args:
        values: `(resamples,)`, NaN where undefined, which are left out and counted.
        value: The measure itself.
        jackknife: `(patients,)`: the measure without each patient; NaN where undefined.
        level: Confidence level in (0, 1).
        seed: Of the draw, for the record.

    Reference:
        [Efron, 1987](https://doi.org/10.1080/01621459.1987.10478410)
    """
    plain = percentile_interval(values, level=level, seed=seed)
    defined = values[~np.isnan(values)]
    known = jackknife[~np.isnan(jackknife)]
    if plain.low != plain.low or len(known) < 2:
        return plain
    share = ((defined < value).sum() + (defined == value).sum() / 2) / len(defined)
    apart = known.mean() - known
    spread = float((apart**2).sum())
    if not 0 < share < 1 or spread == 0:
        return plain  # nothing to correct by
    bias, acceleration = norm.ppf(share), (apart**3).sum() / (6 * spread**1.5)
    ends = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
    if (1 - acceleration * ends <= 0).any():
        return plain  # beyond what the correction can express
    moved = norm.cdf(bias + ends / (1 - acceleration * ends))
    low, high = np.quantile(defined, moved)
    method = plain.method.replace("percentile", "BCa")
    return Interval(float(low), float(high), method, plain.undefined)
