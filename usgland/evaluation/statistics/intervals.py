"""Intervals in closed form, of cases that are independent.

Of a share, a likelihood ratio, a predictive value at a given prevalence and an AUC;
`measured_cases` says which of them a measure gets, or a bootstrap.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm

from usgland.evaluation.statistics import delong
from usgland.evaluation.statistics.bootstrap import Interval, no_interval
from usgland.evaluation.statistics.scores import check_between_0_and_1, roc_auc

PROPORTION_METHODS = {"wilson": "Wilson", "clopper_pearson": "Clopper-Pearson"}
CENTILES = {"wilson": "wilson", "clopper_pearson": "exact"}  # SciPy's names
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


def ratio_interval(name: str, counts: NDArray, *, level: float = 0.95) -> Interval:
    """The interval of a likelihood ratio of independent cases, on the log scale.

    Of counts `[[tn, fp], [fn, tp]]` with both labels among them; NaN with the reason
    where the ratio is 0, whose logarithm is not defined.

    Reference:
        [Simel et al., 1991](https://doi.org/10.1016/0895-4356(91)90128-V)
    """
    column, call = RATIOS[name]
    (benign, malignant), totals = counts[:, column], counts.sum(axis=1)
    if not malignant:
        return no_interval(f"no malignant case is called {call}")
    middle = np.log(malignant / totals[1]) - np.log(benign / totals[0])
    variance = 1 / malignant - 1 / totals[1] + 1 / benign - 1 / totals[0]
    half = norm.ppf((1 + level) / 2) * variance**0.5
    low, high = np.exp([middle - half, middle + half])
    return Interval(float(low), float(high), "log (Simel)")


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
    low, high = binomtest(successes, cases).proportion_ci(level, CENTILES[method])
    return Interval(float(low), float(high), PROPORTION_METHODS[method])


def auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The interval of an AUC.

    DeLong's, clustered where patients have several cases. Of independent cases with
    an AUC of 1 or 0, whose variance that puts at 0, the bound from
    disjoint pairs instead: k = min(malignant, benign) pairs that share no case are
    independent, each right with the probability that the AUC estimates, and all were
    right; so the AUC is not below `((1 - level) / 2) ** (1 / k)`, the bound of Clopper
    and Pearson for k of k. It is conservative, as most pairs go unused.

    Args:
        labels: `(cases,)`, 0 or 1, both among them.
        scores: `(cases,)`, higher is more suspicious: probabilities, logits or grades.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        Bounds in [0, 1]; NaN with the reason where a label has one case only.

    Raises:
        ValueError: As `delong_test`.

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595); with patients who have
        several cases [Obuchowski, 1997](https://doi.org/10.2307/2533958).

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> scores = [0.1, 0.3, 0.4, 0.6, 0.2, 0.5, 0.7, 0.9]
        >>> ev.auc_interval(labels, scores)
        Interval(low=0.3499, high=1, method='DeLong')
        >>> ev.auc_interval(labels, labels)
        Interval(
            low=0.3976,
            high=1,
            method="exact, of 4 disjoint pairs, as DeLong's variance is 0",
        )
    """
    check_between_0_and_1(level=level)
    labels, area = np.asarray(labels), roc_auc(labels, scores)
    clustered = delong.has_clusters(patient_ids)
    if area not in (0.0, 1.0) or clustered:
        (area,), ((variance,),) = delong.delong_covariance(
            labels, scores, patient_ids=patient_ids
        )
        if not variance > 0:
            return no_interval(delong.no_variance(variance, clustered))
        bounds = normal_bounds(area, variance, level, lowest=0.0)
        return Interval(*bounds, delong.variance_name(clustered))
    pairs = int(min((labels == 1).sum(), (labels == 0).sum()))
    bound = ((1 - level) / 2) ** (1 / pairs)
    method = f"exact, of {pairs} disjoint pairs, as DeLong's variance is 0"
    bounds = (bound, 1.0) if area == 1 else (0.0, 1 - bound)
    return Interval(*bounds, method)
