"""Intervals in closed form.

Of a share and an AUC, also where patients have several cases; of a likelihood ratio
and a predictive value at a given prevalence of independent cases. `measured_cases`
says which of them a measure gets, or the jackknife.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import beta, norm
from scipy.stats import t as student

from usgland.evaluation.statistics import delong
from usgland.evaluation.statistics.bootstrap import Interval, no_interval
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_patients,
    checked_scores,
)

PROPORTION_METHODS = {"wilson": "Wilson", "clopper_pearson": "Clopper-Pearson"}
# Column of the confusion matrix, and what its cases are called.
RATIOS = {
    "positive_likelihood_ratio": (1, "malignant"),
    "negative_likelihood_ratio": (0, "benign"),
}
CALLED = {"npv": 0, "ppv": 1}  # column of the confusion matrix


def normal_bounds(
    value: float, variance: float, level: float, *, lowest: float = -1.0
) -> tuple[float, float]:
    """Bounds by the normal distribution, in [lowest, 1]; NaN without a variance."""
    if not variance > 0:
        return np.nan, np.nan
    half = float(norm.ppf((1 + level) / 2)) * float(variance) ** 0.5
    return max(lowest, float(value) - half), min(1.0, float(value) + half)


def logit_bounds(
    area: ArrayLike, variance: ArrayLike, freedom: ArrayLike, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of areas in (0, 1), symmetric on the logit scale, by Student's t.

    Each argument but `level` is one number or an array; NaN where the variance is not
    above 0 or an area is 0 or 1, whose logit is infinite.

    Reference:
        Pepe, The Statistical Evaluation of Medical Tests for Classification and
        Prediction, 2003, section 5.2.4 (the scale).
    """
    area, variance = np.asarray(area, "float64"), np.asarray(variance, "float64")
    inside = (area > 0) & (area < 1) & (variance > 0)
    within, spread = np.where(inside, area, 0.5), np.where(inside, variance, np.nan)
    half = student.ppf((1 + level) / 2, freedom) * spread**0.5
    half /= within * (1 - within)
    return expit(logit(within) - half), expit(logit(within) + half)


def ratio_interval(name: str, counts: NDArray, *, level: float = 0.95) -> Interval:
    """The interval of a likelihood ratio of independent cases, on the log scale.

    Of counts `[[tn, fp], [fn, tp]]` with both labels among them; NaN with the reason
    where the ratio is 0, whose logarithm is not defined. Where all cases of both labels
    are called so, which the formula takes for certain, 1/2 is added to every cell and
    the interval stretched to hold the ratio of 1.

    Reference:
        [Simel et al., 1991](https://doi.org/10.1016/0895-4356(91)90128-V)
    """
    column, call = RATIOS[name]
    (benign, malignant), totals = counts[:, column], counts.sum(axis=1)
    if not malignant:
        return no_interval(f"no malignant case is called {call}")
    method, certain = "log (Simel)", benign == totals[0] and malignant == totals[1]
    if certain:
        method = "log (Simel), 1/2 added to each count"
        benign, malignant, totals = benign + 0.5, malignant + 0.5, totals + 1
    middle = np.log(malignant / totals[1]) - np.log(benign / totals[0])
    variance = 1 / malignant - 1 / totals[1] + 1 / benign - 1 / totals[0]
    half = norm.ppf((1 + level) / 2) * variance**0.5
    low, high = np.exp([middle - half, middle + half])
    if certain:
        low, high = min(low, 1.0), max(high, 1.0)
    return Interval(float(low), float(high), method)


def predictive_interval(
    name: str, counts: NDArray, prevalence: float, *, level: float = 0.95
) -> Interval:
    """The interval of a predictive value at a given prevalence, independent cases.

    On the logit scale. Where only cases of one label are called so, the value is 0 or
    1 and has no logit: then k^2 / 2 is added to every cell, k the quantile of the
    level, and the interval is stretched to hold the value itself. To do so for any
    other 0 of the table pulls the value towards 1/2 and covers much less than `level`.

    Args:
        name: `"ppv"` or `"npv"`.
        counts: `[[tn, fp], [fn, tp]]`: both labels, and a case that is called so.
        prevalence: Share of malignant cases, in (0, 1).
        level: Confidence level.

    Reference:
        [Mercaldo et al., 2007](https://doi.org/10.1002/sim.2677), standard and
        adjusted logit.
    """
    if name not in CALLED:
        raise ValueError(f"`name` must be one of {list(CALLED)}. Received: {name!r}")
    column, cells = CALLED[name], np.asarray(counts, "float64")
    value = _share_of(column, cells[:, column] / cells.sum(axis=1), prevalence)
    quantile, method = norm.ppf((1 + level) / 2), "logit (Mercaldo)"
    if not cells[:, column].all():
        method, cells = "adjusted logit (Mercaldo)", cells + quantile**2 / 2
    called, totals = cells[:, column], cells.sum(axis=1)
    half = quantile * (1 / called - 1 / totals).sum() ** 0.5
    ends = [
        _share_of(column, called / totals * np.array([1, ratio]), prevalence)
        for ratio in np.exp([-half, half])
    ]
    return Interval(min(*ends, value), max(*ends, value), method)


def _share_of(label: int, called: np.ndarray, prevalence: float) -> float:
    """Share of a label among the called, from how often each label is called so."""
    parts = called * np.array([1 - prevalence, prevalence])
    return float(parts[label] / parts.sum())


def proportion_interval(
    successes: int, cases: int, *, level: float = 0.95, method: str = "wilson"
) -> Interval:
    """The interval of a share of independent cases.

    Args:
        successes: How many.
        cases: Of how many, 1 or more.
        level: Confidence level in (0, 1).
        method: `"wilson"`: covers `level` on average; `"clopper_pearson"`: never
            covers less, and so is wider.

    Raises:
        ValueError: If `method` is neither, or the counts are out of range.

    Reference:
        [Wilson, 1927](https://doi.org/10.1080/01621459.1927.10502953); [Clopper and
        Pearson, 1934](https://doi.org/10.1093/biomet/26.4.404)

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.proportion_interval(17, 20)
        Interval(low=0.6396, high=0.9476, method='Wilson')
        >>> ev.proportion_interval(17, 20, method="clopper_pearson")
        Interval(low=0.6211, high=0.9679, method='Clopper-Pearson')
    """
    check_between_0_and_1(level=level)
    if method not in PROPORTION_METHODS:
        raise ValueError(
            f"`method` must be one of {list(PROPORTION_METHODS)}. Received: {method!r}"
        )
    if not 0 <= successes <= cases or cases < 1:
        raise ValueError(
            "`successes` must be from 0 to `cases`, 1 or more. "
            f"Received: {successes} of {cases}"
        )
    low, high = share_bounds(successes, cases, level=level, method=method)
    return Interval(low, high, PROPORTION_METHODS[method])


def share_bounds(
    successes: float, cases: float, *, level: float, method: str
) -> tuple[float, float]:
    """Bounds of a share; both counts may be effective ones, with a fraction."""
    if method == "clopper_pearson":
        failures, tail = cases - successes, (1 - level) / 2
        low = beta.ppf(tail, successes, failures + 1) if successes > 0 else 0.0
        high = beta.ppf(1 - tail, successes + 1, failures) if failures > 0 else 1.0
        return float(low), float(high)
    share, square = successes / cases, float(norm.ppf((1 + level) / 2)) ** 2
    middle = (share + square / (2 * cases)) / (1 + square / cases)
    half = (share * (1 - share) * square / cases + (square / cases / 2) ** 2) ** 0.5
    half /= 1 + square / cases
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return low, 1.0 if successes == cases else min(1.0, middle + half)


def clustered_proportion(
    right: ArrayLike,
    patient_ids: ArrayLike,
    *,
    level: float = 0.95,
    method: str = "wilson",
) -> Interval:
    """The interval of a share where patients have several cases.

    That of `proportion_interval` for the effective number of cases: so many independent
    ones would have the share's variance, which is clustered by patient, less what few
    patients leave uncertain of it; never more than there are. Where all cases agree,
    and nothing is known of how alike those of a patient are, they count as one.

    Args:
        right: `(cases,)`, 0 or 1.
        patient_ids: `(cases,)`.
        level: Confidence level in (0, 1).
        method: As in `proportion_interval`.

    Reference:
        [Korn and Graubard,
        1998](https://www150.statcan.gc.ca/n1/pub/12-001-x/1998002/article/4356-eng.pdf)
        by the bounds of Clopper and Pearson; of Wilson's [Saha et al.,
        2016](https://doi.org/10.1515/ijb-2015-0024).
    """
    right = np.asarray(right, "float64")
    _, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    cases, patients, share = len(right), int(patient.max()) + 1, right.mean()
    effective = float(patients)
    if 0 < share < 1:
        if patients < 2:
            return no_interval("one patient only")
        apart = np.bincount(patient, right - share)
        variance = patients / (patients - 1) * (apart**2).sum() / cases**2
        tail = (1 + level) / 2
        fewer = (student.ppf(tail, cases - 1) / student.ppf(tail, patients - 1)) ** 2
        effective = float(cases)
        if variance > 0:
            effective = min(effective, share * (1 - share) / variance * fewer)
    low, high = share_bounds(share * effective, effective, level=level, method=method)
    how = f"{PROPORTION_METHODS[method]}, clustered by patient (Korn and Graubard)"
    return Interval(float(min(low, share)), float(max(high, share)), how)


def auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The interval of an AUC.

    From DeLong's variance, clustered where patients have several cases, symmetric on
    the logit scale, with the t of as many degrees of freedom as the rarer label has
    patients, less one: the plain interval covers far too little of a few dozen
    patients. Of an AUC of 1 or 0, whose variance that puts at 0, the bound from
    disjoint pairs instead: k pairs of a malignant and a benign case that share no
    patient are independent, each right with the probability that the AUC estimates,
    and all were right; so the AUC is not below `((1 - level) / 2) ** (1 / k)`, the
    bound of Clopper and Pearson for k of k. It is conservative: most pairs go unused.

    Args:
        labels: `(cases,)`, 0 or 1, both among them.
        scores: `(cases,)`, higher is more suspicious: probabilities, logits or grades.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        Bounds in [0, 1]; NaN with the reason where a label has one patient only, or
        the variance is 0 though the AUC is not at an end.

    Raises:
        ValueError: As `delong_test`.

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595); with patients who have
        several cases [Obuchowski, 1997](https://doi.org/10.2307/2533958); the scale as
        in `logit_bounds`.

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> scores = [0.1, 0.3, 0.4, 0.6, 0.2, 0.5, 0.7, 0.9]
        >>> ev.auc_interval(labels, scores)
        Interval(low=0.0858, high=0.9897, method='DeLong, logit, t(3)')
        >>> ev.auc_interval(labels, labels)
        Interval(
            low=0.3976,
            high=1,
            method="exact, of 4 disjoint pairs, as DeLong's variance is 0",
        )
    """
    check_between_0_and_1(level=level)
    labels, scores = checked_scores(labels, scores)
    ids = checked_patients(patient_ids, len(labels))
    clustered = delong.has_clusters(ids)
    (area,), ((variance,),) = delong.delong_covariance(labels, scores, patient_ids=ids)
    owners = [np.unique(ids[labels == label]) for label in (0, 1)]
    rarer = min(map(len, owners))
    name = delong.variance_name(clustered)
    if area in (0.0, 1.0):
        # A patient with cases of both labels stands in one pair only.
        pairs = min(rarer, max(1, len(np.unique(ids)) // 2))
        bound = ((1 - level) / 2) ** (1 / pairs)
        method = f"exact, of {pairs} disjoint pairs, as DeLong's variance is 0"
        low, high = (bound, 1.0) if area == 1 else (0.0, 1 - bound)
        return Interval(low, high, method)
    if not variance > 0:
        return no_interval(delong.no_variance(variance, clustered))
    low, high = map(float, logit_bounds(area, variance, rarer - 1, level))
    return Interval(low, high, f"{name}, logit, t({rarer - 1})")
