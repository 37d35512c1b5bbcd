"""Every measure with its interval, by the method that fits its cases.

Shares have the interval of a proportion, of the effective number of cases where
patients have several images, and the AUC that of DeLong on the logit scale. Where every
patient is one case, likelihood ratios have the interval of their logarithm and
predictive values at a given prevalence that of their logit. All others are of the
jackknife over patients, unless a bootstrap is asked for, and where a measure is not
defined without one of them. This is decided here and nowhere else.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.statistics import intervals, scores
from usgland.evaluation.statistics.bootstrap import (
    ATANH,
    LOG,
    LOGIT,
    Interval,
    PatientDraws,
    Scale,
    bca_interval,
    bootstrap_measures,
    draw_patients,
    jackknife_interval,
    no_interval,
    percentile_interval,
)
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import MEASURES

BOOTSTRAPS = ("jackknife", "percentile", "bca")
# Of measures that are not in [0, 1], where the logit is.
SCALES: dict[str, Scale] = {
    "cohen_kappa": ATANH,
    "mcc": ATANH,
    **dict.fromkeys(intervals.RATIOS, LOG),
}
CALL_RATES = ("sensitivity", "specificity")


class Measure(NamedTuple):
    """A measure with its interval.

    Attributes:
        value: Of all cases; NaN where undefined.
        low: Lower bound; NaN where there is none.
        high: Upper bound; NaN where there is none.
        method: How the interval was made; "" where there is none.
        reason: Why there is no value, or no interval; "" where there are both.
        undefined_resamples: Left out because the measure was not defined in them.
    """

    value: float
    low: float
    high: float
    method: str
    reason: str
    undefined_resamples: int

    def __repr__(self) -> str:
        return readable(self)

    @classmethod
    def of(cls, value: float, interval: Interval) -> Measure:
        """A value and its interval."""
        return cls(float(value), *interval)

    def record(self) -> dict[str, Any]:
        """As files have it, where `method` says `none:` and why in one cell."""
        return self._asdict() | {"method": Interval(*self[1:]).how()}


@dataclass(frozen=True, eq=False)
class MeasuredCases:
    """One set of cases and the calls at one threshold; makes each measure's interval.

    Attributes:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        threshold: P(malignant) from which a case is called malignant; one, or
            `(cases,)`.
        draws: Of the patients of these cases, in this order.
        names: The measures that are wanted, of `MEASURES`.
        level: Confidence level in (0, 1).
        proportions: Interval of a share, of `PROPORTION_METHODS`.
        bootstrap: Interval of what has no closed form, of `BOOTSTRAPS`.
    """

    labels: NDArray
    probabilities: NDArray
    threshold: ArrayLike
    draws: PatientDraws
    names: Sequence[str] = MEASURES
    level: float = 0.95
    proportions: str = "wilson"
    bootstrap: str = "jackknife"

    def __post_init__(self) -> None:
        scores.check_between_0_and_1(level=self.level)
        cuts = np.asarray(self.threshold, "float64")
        if not ((cuts > 0) & (cuts <= 1)).all():
            raise ValueError(
                f"`threshold` must be in (0, 1]. Received: {cuts.min():g} to "
                f"{cuts.max():g}"
            )
        if self.bootstrap not in BOOTSTRAPS:
            raise ValueError(
                f"`bootstrap` must be one of {BOOTSTRAPS}. Received: {self.bootstrap!r}"
            )

    @cached_property
    def values(self) -> dict[str, float]:
        """Name -> value, each of `names`, and sensitivity and specificity."""
        cases = self.labels, self.probabilities, self.threshold
        return scores.score(*cases, self._all_names)

    def measures(self) -> dict[str, Measure]:
        """Name -> measure, each of `names`."""
        return {
            name: Measure.of(self.values[name], self._interval(name))
            for name in self.names
        }

    def predictive_values(self, prevalence: float) -> dict[str, Measure]:
        """PPV and NPV where another share of cases, in (0, 1), is malignant."""
        values = _at_prevalence(self.values, prevalence)
        return {
            name: Measure.of(value, self._predictive_interval(name, value, prevalence))
            for name, value in values.items()
        }

    def resampled_interval(
        self, value: float, of: Callable[[dict[str, NDArray]], NDArray], scale: Scale
    ) -> Interval:
        """The interval over patients of a measure or of what is computed of measures.

        Args:
            value: Of all cases.
            of: Measures of many sets of cases, name -> `(sets,)`, to `(sets,)`.
            scale: On which a jackknife's interval is symmetric.
        """
        level, draws = self.level, self.draws
        seed, over = draws.seed, draws.unit
        if self.bootstrap == "jackknife":
            freedom = draws.freedom(self.labels)
            left_out = of(self._left_out) if freedom > 0 else np.empty(0)
            if np.isfinite(left_out).all():
                return jackknife_interval(
                    value, left_out, scale, freedom=freedom, level=level, over=over
                )
        resampled = of(self._resampled)
        if self.bootstrap == "percentile":
            return percentile_interval(resampled, level=level, seed=seed, over=over)
        return bca_interval(
            resampled, value, of(self._left_out), level=level, seed=seed, over=over
        )

    def _interval(self, name: str) -> Interval:
        value = self.values[name]
        level, reason = self.level, scores.undefined_reason(name, self.labels, value)
        if reason:
            return no_interval(reason)
        clustered = self.draws.clustered
        if name in self._shares and clustered:
            return intervals.clustered_proportion(
                *self._of_share(name), level=level, method=self.proportions
            )
        if name in self._shares:
            return intervals.proportion_interval(
                *self._shares[name], level=level, method=self.proportions
            )
        if name == "roc_auc":
            cases, ids = (self.labels, self.probabilities), self.draws.patient
            return intervals.auc_interval(*cases, patient_ids=ids, level=level)
        if name in intervals.RATIOS and not clustered:
            return intervals.ratio_interval(name, self._counts, level=level)
        return self.resampled_interval(
            value, lambda measures: measures[name], SCALES.get(name, LOGIT)
        )

    def _of_share(self, name: str) -> tuple[NDArray, NDArray]:
        """Whether each case that a share counts is right, and whose it is."""
        calls = np.asarray(self.probabilities) >= np.asarray(self.threshold)
        right = calls == self.labels
        counted = {
            "sensitivity": self.labels == 1,
            "specificity": self.labels == 0,
            "ppv": calls,
            "npv": ~calls,
        }.get(name, np.full(len(right), True))
        return right[counted], self.draws.patient[counted]

    def _predictive_interval(
        self, name: str, value: float, prevalence: float
    ) -> Interval:
        if value != value:
            lacking = (
                scores.undefined_reason(other, self.labels, self.values[other])
                for other in CALL_RATES
            )
            return no_interval(next(filter(None, lacking), scores.UNDEFINED[name][0]))
        if not self.draws.clustered:
            return intervals.predictive_interval(
                name, self._counts, prevalence, level=self.level
            )
        return self.resampled_interval(
            value, lambda measures: _at_prevalence(measures, prevalence)[name], LOGIT
        )

    @property
    def _all_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.names, *CALL_RATES)))

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        probabilities = np.asarray(self.probabilities, "float64")
        return scores.confusion(
            self.labels, probabilities >= np.asarray(self.threshold)
        )

    @cached_property
    def _shares(self) -> dict[str, tuple[int, int]]:
        """Measures that are shares of cases: how many, of how many."""
        (tn, fp), (fn, tp) = self._counts.tolist()
        return {
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "ppv": (tp, tp + fp),
            "npv": (tn, tn + fn),
            "accuracy": (tp + tn, tp + tn + fp + fn),
        }

    @cached_property
    def _resampled(self) -> dict[str, NDArray[np.float64]]:
        return self._of_sets()

    @cached_property
    def _left_out(self) -> dict[str, NDArray[np.float64]]:
        return self._of_sets(self.draws.all_but_one())

    def _of_sets(self, sets: Iterator[NDArray] | None = None) -> dict[str, NDArray]:
        cases = self.labels, self.probabilities, self.threshold
        # The AUC's interval is in closed form, unless it alone is resampled.
        closed = {"roc_auc"} if tuple(self.names) != ("roc_auc",) else set()
        names = [name for name in self._all_names if name not in closed]
        return bootstrap_measures(*cases, self.draws, names, sets=sets)


def measures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    names: Sequence[str] = MEASURES,
    level: float = 0.95,
    proportions: str = "wilson",
    bootstrap: str = "jackknife",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measures of one set of cases, each with the interval that fits its cases.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in [0, 1].
        threshold: P(malignant) from which a case is called malignant; one, or
            `(cases,)`, as in cross-validation.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        names: Those wanted, of `usgland.evaluation.statistics.scores.MEASURES`.
        level: Confidence level in (0, 1).
        proportions: Interval of a share: `"wilson"` or `"clopper_pearson"`.
        bootstrap: Interval of what has no closed form: `"jackknife"`, `"percentile"` or
            `"bca"`. Where a measure is undefined without one of the patients, the first
            gives way to the last.
        resamples: How often patients are drawn.
        seed: Of the draw.

    Returns:
        One row a measure: value, low, high, method, reason, undefined_resamples.
        What is undefined is NaN, and its reason says why.

    Raises:
        ValueError: If the arrays do not fit, or an option is unknown.

    Reference:
        Intervals: of shares as `proportion_interval`, where patients have several cases
        of their effective number (Korn and Graubard, 1998); of the AUC as
        `auc_interval`; of likelihood ratios of independent cases [Simel et al.,
        1991](https://doi.org/10.1016/0895-4356(91)90128-V); of all others `bootstrap`.

    Example:
        17 of 20 malignant and 19 of 21 benign cases are called right.

        >>> import usgland.evaluation as ev
        >>> labels = [1] * 20 + [0] * 21
        >>> probabilities = [0.9] * 17 + [0.2] * 3 + [0.1] * 19 + [0.7] * 2
        >>> table = ev.measures(labels, probabilities, 0.5)
        >>> table.loc[["sensitivity", "specificity"], ["value", "low", "high"]].round(3)
                     value    low   high
        sensitivity  0.850  0.640  0.948
        specificity  0.905  0.711  0.973
        >>> table.loc["ppv", "method"]
        'Wilson'
    """
    labels, probabilities = scores.checked_cases(labels, probabilities)
    ids = scores.checked_patients(patient_ids, len(labels))
    draws = draw_patients(ids, resamples=resamples, seed=seed)
    cases = MeasuredCases(
        labels, probabilities, threshold, draws, names, level, proportions, bootstrap
    )
    return pd.DataFrame.from_dict(
        cases.measures(), orient="index", columns=list(Measure._fields)
    )


def bootstrap_interval(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike | None = None,
    *,
    measure: str = "roc_auc",
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
    method: str = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The bootstrap interval of a measure, patients drawn with all their cases.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in [0, 1].
        threshold: P(malignant) from which a case is called malignant; one, or
            `(cases,)`. None for `roc_auc`, `average_precision` and `brier`, which
            need none.
        measure: One of `usgland.evaluation.statistics.scores.MEASURES`.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).
        method: `"bca"` or `"percentile"`; or `"jackknife"`, which draws nothing.
        resamples: How often patients are drawn.
        seed: Of the draw.

    Returns:
        Bounds; NaN with the reason where there are none: if every resample has one
        value, or more of them have none than the level leaves outside.

    Raises:
        ValueError: If the arrays do not fit, or an option is unknown.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3;
        `"bca"`: [Efron, 1987](https://doi.org/10.1080/01621459.1987.10478410).

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0, 0, 0, 1, 1, 1] * 5
        >>> probabilities = [0.1, 0.2, 0.6, 0.4, 0.7, 0.9] * 5
        >>> ev.bootstrap_interval(labels, probabilities, 0.5, measure="f1")
        Interval(
            low=0.4348,
            high=0.8333,
            method='BCa bootstrap over patients, 2000 resamples, seed 0',
        )
    """
    if threshold is None:
        if measure not in scores.OF_PROBABILITIES:
            raise ValueError(
                f"`threshold` must be in (0, 1) for {measure!r}. Received: None; only "
                f"{', '.join(scores.OF_PROBABILITIES)} need none"
            )
        threshold = 0.5
    labels, probabilities = scores.checked_cases(labels, probabilities)
    ids = scores.checked_patients(patient_ids, len(labels))
    draws = draw_patients(ids, resamples=resamples, seed=seed)
    cases = MeasuredCases(
        labels, probabilities, threshold, draws, (measure,), level, bootstrap=method
    )
    scale = SCALES.get(measure, LOGIT)
    return cases.resampled_interval(
        cases.values[measure], lambda of: of[measure], scale
    )


def _at_prevalence(measures: Mapping[str, Any], prevalence: float) -> dict[str, Any]:
    """PPV and NPV of measures of one set, or of many."""
    sensitivity, specificity = (measures[name] for name in CALL_RATES)
    pair = scores.predictive_values(sensitivity, specificity, prevalence)
    return dict(zip(("ppv", "npv"), pair, strict=True))
