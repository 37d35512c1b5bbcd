"""Intervals by patients: drawn with replacement, or left out one after the other.

A patient brings all images. Very many patients are taken in groups, so that the work
grows with the cases and not with their square.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm
from scipy.stats import t as student

from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    MEASURES,
    OF_PROBABILITIES,
    checked_cases,
    kinds_of_cases,
    measures_of_counts,
    measures_of_probabilities,
)

# Weights held at a time for the measures of probabilities: 3 MB stay in a cache.
CHUNK = 400_000
ROUNDING = 1e-12  # resamples that differ by less have one value
# Groups of patients: so many at most, or so few that groups times cases stay below
# `WEIGHTS`; their number is that of the degrees of freedom, so never few.
GROUPS, FEWEST_GROUPS, WEIGHTS = 2000, 100, 10_000_000


class Scale(NamedTuple):
    """A scale on which a measure has no ends, or none that matters."""

    name: str
    to: Callable[[float], float]
    back: Callable[[NDArray], NDArray]
    slope: Callable[[float], float]  # of `to`


def _slope_of_logit(share: float) -> float:
    return 1 / (share * (1 - share))


LOGIT = Scale("logit", logit, expit, _slope_of_logit)  # of [0, 1]
LOG = Scale("log", np.log, np.exp, lambda ratio: 1 / ratio)  # of [0, infinite)
ATANH = Scale("atanh", np.arctanh, np.tanh, lambda value: 1 / (1 - value**2))
PLAIN = Scale("", lambda value: value, lambda values: values, lambda value: 1.0)


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
    def groups(self) -> int:
        """How many groups of patients are drawn, or left out; as many as patients.

        Or fewer, of patients put together at random, where there are very many.
        """
        most = min(GROUPS, max(FEWEST_GROUPS, WEIGHTS // len(self.patient)))
        return min(self.patients, most)

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """`(cases,)`: the group of each case; its patient where each is a group."""
        if self.groups == self.patients:
            return self.patient
        shuffled = np.random.default_rng(self.seed).permutation(self.patients)
        return np.asarray(shuffled % self.groups)[self.patient]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """`(resamples, groups)`: how often each group was drawn."""
        return resample_patients(self.groups, self.resamples, self.seed)

    @property
    def clustered(self) -> bool:
        """Whether any patient has several cases."""
        return self.patients < len(self.patient)

    @property
    def unit(self) -> str:
        """What is drawn or left out, in words."""
        several = self.groups < self.patients
        return f"{self.groups} groups of patients" if several else "patients"

    def chunks(self, parts: int = 1) -> Iterator[NDArray[np.int64]]:
        """Rows of `counts`, so few that `parts` weights of cases stay below `CHUNK`."""
        step = max(1, CHUNK // (parts * len(self.patient)))
        for start in range(0, self.resamples, step):
            yield self.counts[start : start + step]

    def all_but_one(self, parts: int = 1) -> Iterator[NDArray[np.float64]]:
        """As `chunks`, of sets in which each group in turn is left out."""
        step = max(1, CHUNK // (parts * len(self.patient)))
        for start in range(0, self.groups, step):
            rows = np.arange(start, min(start + step, self.groups))
            yield (rows[:, None] != np.arange(self.groups)).astype("float64")

    def freedom(self, labels: ArrayLike) -> int:
        """Degrees of freedom: groups that have cases of the rarer label, less one."""
        labels = np.asarray(labels)
        owners = (self.group[labels == label] for label in np.unique(labels))
        return min(len(np.unique(own)) for own in owners) - 1


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
    counts = np.bincount(4 * draws.group + kinds, minlength=4 * draws.groups)
    counts = counts.reshape(draws.groups, 4)
    ranked = bool(set(names) & set(OF_PROBABILITIES))
    # Once for all sets, of whose cases each has 100,000 or more.
    order = np.argsort(probabilities, kind="stable")
    labels, probabilities, group = (
        array[order] for array in (labels, probabilities, draws.group)
    )
    parts = {name: [np.empty(0)] for name in names}
    for chunk in draws.chunks() if sets is None else sets:
        measures = measures_of_counts(chunk @ counts)
        if ranked:
            weights = chunk[:, group].astype("float64")
            measures |= measures_of_probabilities(labels, probabilities, weights, names)
        for name in names:
            parts[name].append(measures[name])
    return {name: np.concatenate(part) for name, part in parts.items()}


def jackknife_interval(
    value: float,
    left_out: NDArray,
    scale: Scale,
    *,
    freedom: int,
    level: float,
    over: str = "patients",
) -> Interval:
    """The interval of one measure from what it is without each patient.

    Symmetric on a scale that has no ends, by Student's t. Undefined where a set of the
    others has no value, and where none differs: of patients who are all called right,
    each set of the others is all right, which is no evidence that the next will be.

    Args:
        value: Of all cases.
        left_out: `(patients,)`: without each patient, or each group of patients.
        scale: Such as `LOGIT`, of a share.
        freedom: Degrees of freedom.
        level: Confidence level in (0, 1).
        over: What was left out, in words.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, equation 11.5;
        its error on the other scale by the delta method.
    """
    number = len(left_out)
    if freedom < 1:
        return no_interval("a label has one patient only")
    if not np.isfinite(left_out).all():
        return no_interval("undefined without one of the patients")
    if np.ptp(left_out) < ROUNDING:
        return no_interval("the same value without each patient")
    if not np.isfinite(scale.to(value)):
        return no_interval(f"{value:g} is an end of what is possible")
    variance = (number - 1) / number * ((left_out - left_out.mean()) ** 2).sum()
    half = student.ppf((1 + level) / 2, freedom) * variance**0.5 * scale.slope(value)
    low, high = scale.back(scale.to(value) + np.array([-half, half]))
    on = f"{scale.name}, " if scale.name else ""
    method = f"jackknife over {over}, {on}t({freedom})"
    return Interval(float(low), float(high), method)


def percentile_interval(
    values: NDArray, *, level: float, seed: int, over: str = "patients"
) -> Interval:
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
    method = f"percentile bootstrap over {over}, {len(values)} resamples, seed {seed}"
    return Interval(float(low), float(high), method, undefined=undefined)


def bca_interval(
    values: NDArray,
    value: float,
    jackknife: NDArray,
    *,
    level: float,
    seed: int,
    over: str = "patients",
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of one measure.

    Like `percentile_interval`, but its quantiles are moved by how far the resamples
    lie to one side of the measure, `value`, and by how its spread changes with its
    value: from `jackknife`, `(patients,)`, the measure without each patient.

    Reference:
        [Efron, 1987](https://doi.org/10.1080/01621459.1987.10478410)
    """
    plain = percentile_interval(values, level=level, seed=seed, over=over)
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
