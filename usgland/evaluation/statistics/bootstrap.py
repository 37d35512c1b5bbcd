"""Bootstrap intervals: patients are drawn with replacement, each with all images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    MEASURES,
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
    """Bounds of a measure.

    Attributes:
        low: Lower bound; NaN where there is none.
        high: Upper bound; NaN where there is none.
        method: How it was made; "" where there are no bounds.
        reason: Why there are no bounds; "" where there are.
        undefined: Resamples left out because the measure was not defined in them.
    """

    low: float
    high: float
    method: str
    reason: str = ""
    undefined: int = 0

    def __repr__(self) -> str:
        return readable(self, without=() if self.undefined else ("undefined",))

    def how(self) -> str:
        """How it was made or, after `none:`, why not, as files say it in one cell."""
        return f"none: {self.reason}" if self.reason else self.method


def no_interval(reason: str, undefined: int = 0) -> Interval:
    """An interval without bounds, and why."""
    return Interval(np.nan, np.nan, "", reason, undefined)


@dataclass(frozen=True, eq=False)
class PatientDraws:
    """Patients of one set of cases, and how often each is drawn in each resample.

    Patients are drawn once, when they are first needed, for all that is computed of
    these cases.

    Attributes:
        patient: `(cases,)`: whose each case is, a number from 0 in the order of the
            sorted ids; so the order of the rows has no say in the draw.
        patients: How many there are.
        resamples: How many are drawn.
        seed: Of the draw.
    """

    patient: NDArray[np.int64]
    patients: int
    resamples: int
    seed: int

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """`(resamples, patients)`: how often each patient was drawn."""
        return resample_patients(self.patients, self.resamples, self.seed)

    @property
    def clustered(self) -> bool:
        """Whether any patient has several cases."""
        return self.patients < len(self.patient)

    def chunks(self, parts: int = 1) -> Iterator[NDArray[np.int64]]:
        """Rows of `counts`, so few that `parts` weights of cases stay below `CHUNK`."""
        step = max(1, CHUNK // (parts * len(self.patient)))
        for start in range(0, self.resamples, step):
            yield self.counts[start : start + step]

    def all_but_one(self) -> Iterator[NDArray[np.float64]]:
        """As `chunks`, of sets in which each patient in turn is left out."""
        step = max(1, CHUNK // len(self.patient))
        for start in range(0, self.patients, step):
            rows = np.arange(start, min(start + step, self.patients))
            yield (rows[:, None] != np.arange(self.patients)).astype("float64")


def draw_patients(
    patient_ids: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> PatientDraws:
    """Makes the draws of one set of cases: `(cases,)`, who each belongs to."""
    ids, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    return PatientDraws(patient, len(ids), resamples, seed)


def resample_patients(patients: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Draws patients with replacement, as many as there are; one seed, one draw.

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
    draws: PatientDraws,
    names: Sequence[str] = MEASURES,
    *,
    sets: Iterable[NDArray] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Measures in every resample of patients, each with all images.

    Or in other `sets` of the patients than those drawn, a chunk `(sets, patients)` at
    a time: those of `draws.all_but_one()` are the jackknife's.

    Returns:
        Name -> `(resamples,)` or `(sets,)`; NaN where undefined.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    kinds = kinds_of_cases(labels, probabilities >= np.asarray(threshold, "float64"))
    counts = np.zeros((draws.patients, 4))
    np.add.at(counts, (draws.patient, kinds), 1)
    ranked = bool(set(names) & set(OF_PROBABILITIES))
    parts = {name: [np.empty(0)] for name in names}
    for chunk in draws.chunks() if sets is None else sets:
        measures = measures_of_counts(chunk @ counts)
        if ranked:
            weights = chunk[:, draws.patient]
            measures |= measures_of_probabilities(labels, probabilities, weights)
        for name in names:
            parts[name].append(measures[name])
    return {name: np.concatenate(part) for name, part in parts.items()}


def percentile_interval(values: NDArray, *, level: float, seed: int) -> Interval:
    """The percentile bootstrap interval of one measure.

    It has no bounds where no resample differs from another: of 21 patients called
    right, every resample has a sensitivity of 1, which is no evidence that the next
    patient will be. Resamples in which the measure is undefined, NaN, are left out
    and counted; where they are more than the level leaves outside, there are no
    bounds, either: where those would lie is not known.
    """
    if not len(values):
        return no_interval("0 bootstrap resamples asked for")
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(defined):
        return no_interval("undefined in every resample", undefined)
    if undefined > (1 - level) * len(values):
        reason = f"undefined in {undefined} of {len(values)} resamples"
        return no_interval(reason, undefined)
    if np.ptp(defined) < ROUNDING:
        return no_interval("the same value in every resample", undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    method = f"percentile bootstrap over patients, {len(values)} resamples, seed {seed}"
    return Interval(float(low), float(high), method, undefined=undefined)


def bca_interval(
    values: NDArray, value: float, jackknife: NDArray, *, level: float, seed: int
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of one measure.

    Like `percentile_interval`, but its quantiles are moved by how far the resamples
    lie to one side of the measure, `value`, and by how its spread changes with its
    value: from `jackknife`, `(patients,)`, the measure without each patient.

    Reference:
        [Efron, 1987](https://doi.org/10.1080/01621459.1987.10478410)
    """
    plain = percentile_interval(values, level=level, seed=seed)
    defined = values[~np.isnan(values)]
    known = jackknife[~np.isnan(jackknife)]
    if plain.reason or len(known) < 2:
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
    return plain._replace(low=float(low), high=float(high), method=method)
