"""Whether two areas under ROC curves differ.

A difference is always that of the first model from the second, a - b. What cannot be
computed is NaN, and `reason` says why.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from usgland.evaluation.statistics import delong
from usgland.evaluation.statistics.non_inferiority import (
    Equivalence,
    NonInferiority,
    judge_equivalence,
    judge_non_inferiority,
)
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import check_between_0_and_1, checked_patients
from usgland.evaluation.statistics.swap_tests import RESAMPLES, auc_swap_test


class AucDifference(NamedTuple):
    """Two areas under ROC curves and their difference, a - b.

    Attributes:
        auc_a: Of the first model.
        auc_b: Of the second.
        difference: auc_a - auc_b.
        standard_error: Of the difference.
        low: Lower bound of the difference.
        high: Upper bound.
        level: Of the interval.
        z: Difference over standard error.
        degrees_of_freedom: Of the distribution of z; infinite for the normal.
        p_value: Two-sided.
        method: The test, and whether the two were compared as paired data.
        reason: Why something is NaN, or P is 1 without a test; otherwise empty.
        non_inferiority: For the margin asked for, if any.
        equivalence: Likewise, of both sides.
    """

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    low: float
    high: float
    level: float
    z: float
    degrees_of_freedom: float
    p_value: float
    method: str
    reason: str
    non_inferiority: NonInferiority | None
    equivalence: Equivalence | None

    def __repr__(self) -> str:
        return readable(self)


def delong_test(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    level: float = 0.95,
    patient_ids: ArrayLike | None = None,
    margin: float | None = None,
) -> AucDifference:
    """Compares two models on the same cases, as paired data.

    Two models that rank all cases alike have a P of 1 and no interval. A variance of
    0 with areas that differ, as of a perfect and a perfectly wrong model, gives no P:
    `permutation_test` can tell there.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        scores_a: `(cases,)`: higher is more suspicious, on any scale.
        scores_b: `(cases,)`, of the other model, in the same order.
        level: Confidence level in (0, 1).
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        margin: Of non-inferiority of a to b, in (0, 1); None for none.

    Raises:
        ValueError: If the arguments differ in length, there is one label only, a
            score is not finite, or level or margin is out of range.

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595); with patients who have
        several cases [Obuchowski, 1997](https://doi.org/10.2307/2533958).

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> a = [0.1, 0.3, 0.4, 0.6, 0.5, 0.7, 0.8, 0.9]
        >>> b = [0.2, 0.6, 0.1, 0.5, 0.3, 0.4, 0.9, 0.7]
        >>> ev.delong_test(labels, a, b)
        AucDifference(
            auc_a=0.9375,
            auc_b=0.75,
            difference=0.1875,
            standard_error=0.1693,
            low=-0.1442,
            high=0.5192,
            level=0.95,
            z=1.108,
            degrees_of_freedom=inf,
            p_value=0.2679,
            method='DeLong, paired',
        )
    """
    check_between_0_and_1(level=level, margin=margin)
    a, b = np.asarray(scores_a, "float64"), np.asarray(scores_b, "float64")
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            "`scores_a` and `scores_b` must be of one length. "
            f"Received: shapes {a.shape} and {b.shape}"
        )
    placed = delong.placements(labels, np.stack([a, b]))
    apart = delong.Placements(*(part[:1] - part[1:] for part in placed))
    clustered = delong.has_clusters(patient_ids)
    ((variance,),) = delong.covariance_of_areas(apart, labels, patient_ids=patient_ids)
    # Of the whole numbers: areas subtracted leave a rest where the two are equal.
    values = (*delong.areas(placed).tolist(), float(delong.areas(apart)[0]))
    reason = "" if variance > 0 else delong.no_variance(variance, clustered)
    if not any(part.any() for part in apart):
        reason = "the two models rank all cases alike"
    method = f"{delong.variance_name(clustered)}, paired"
    return _finished(values, variance, np.inf, level, method, reason, margin)


def unpaired_delong_test(
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
    *,
    level: float = 0.95,
    patient_ids: tuple[ArrayLike, ArrayLike] | None = None,
    margin: float | None = None,
) -> AucDifference:
    """Compares two models on different cases, as independent samples.

    Args:
        a: Labels and scores of the first model, each `(cases,)`.
        b: Of the second, of other cases.
        level: Confidence level in (0, 1).
        patient_ids: Who the cases belong to, of a and of b; None where every case
            is independent.
        margin: As in `delong_test`.

    Raises:
        ValueError: As `delong_test`.

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595) for each variance;
        degrees of freedom by Satterthwaite, as in R's pROC, there of cases, here of
        patients.

    Example:
        >>> import usgland.evaluation as ev
        >>> a = [0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.6, 0.4, 0.7, 0.9]
        >>> b = [0, 0, 0, 0, 1, 1, 1], [0.5, 0.2, 0.6, 0.7, 0.3, 0.4, 0.8]
        >>> result = ev.unpaired_delong_test(a, b)
        >>> round(result.difference, 4), round(result.p_value, 4)
        (0.3889, 0.2812)
    """
    check_between_0_and_1(level=level, margin=margin)
    areas, variances, patients = [], [], []
    clustered = False
    owners = (None, None) if patient_ids is None else patient_ids
    for (labels, scores), own in zip((a, b), owners, strict=True):
        ids = checked_patients(own, len(np.asarray(labels)))
        clustered |= delong.has_clusters(ids)
        (area,), ((variance,),) = delong.delong_covariance(
            labels, scores, patient_ids=ids
        )
        areas.append(float(area))
        variances.append(float(variance))
        patients.append(len(np.unique(ids)))
    variance = sum(variances)
    reason = "" if variance > 0 else delong.no_variance(variance, clustered)
    freedom = np.nan
    if variance > 0:
        parts = (v**2 / (n - 1) for v, n in zip(variances, patients, strict=True))
        freedom = variance**2 / sum(parts)
    method = f"{delong.variance_name(clustered)}, unpaired: the cases differ"
    auc_a, auc_b = areas
    values = auc_a, auc_b, auc_a - auc_b
    return _finished(values, variance, freedom, level, method, reason, margin)


def permutation_test(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    level: float = 0.95,
    patient_ids: ArrayLike | None = None,
    margin: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AucDifference:
    """As `delong_test`, with P from swapping the two models within patients.

    The interval and non-inferiority stay DeLong's, which `method` says.

    Args:
        labels: As in `delong_test`.
        scores_a: As in `delong_test`.
        scores_b: As in `delong_test`.
        level: As in `delong_test`.
        patient_ids: As in `delong_test`.
        margin: As in `delong_test`.
        resamples: How many swaps to draw where they are not all worked out.
        seed: Of the draw.

    Raises:
        ValueError: As `delong_test`.

    Reference:
        [Bandos et al., 2005](https://doi.org/10.1002/sim.2149), which swaps cases;
        here all cases of a patient are swapped at once.

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> a = [0.1, 0.3, 0.4, 0.6, 0.5, 0.7, 0.8, 0.9]
        >>> b = [0.2, 0.6, 0.1, 0.5, 0.3, 0.4, 0.9, 0.7]
        >>> result = ev.permutation_test(labels, a, b)
        >>> result.p_value
        0.375
        >>> result.method
        'permutation within patients (exact, all 2^4 swaps); interval: DeLong, paired'
    """
    result = delong_test(
        labels, scores_a, scores_b, level=level, patient_ids=patient_ids, margin=margin
    )
    ids = checked_patients(patient_ids, len(np.asarray(labels)))
    swapped = auc_swap_test(
        labels, scores_a, scores_b, ids, resamples=resamples, seed=seed
    )
    method = f"permutation within patients ({swapped.method}); interval: "
    return result._replace(p_value=swapped.p_value, method=method + result.method)


def _finished(
    values: tuple[float, float, float],
    variance: float,
    freedom: float,
    level: float,
    method: str,
    reason: str,
    margin: float | None,
) -> AucDifference:
    difference, error = values[2], float(variance) ** 0.5
    z = p_value = p_margin = p_other = np.nan
    bounds = np.nan, np.nan
    if variance > 0:
        z = difference / error
        half = float(student.ppf((1 + level) / 2, freedom)) * error
        bounds = max(-1.0, difference - half), min(1.0, difference + half)
        p_value = float(2 * student.sf(abs(z), freedom))
        if margin is not None:
            p_margin = float(student.sf((difference + margin) / error, freedom))
            p_other = float(student.sf((margin - difference) / error, freedom))
    elif variance == 0 and difference == 0:
        p_value = 1.0
    judged = alike = None
    if margin is not None:
        judged = judge_non_inferiority(margin, p_margin, bounds[0], level, method)
        alike = judge_equivalence(margin, (p_margin, p_other), bounds, level, method)
    return AucDifference(
        *(*values, error, *bounds, level, z, freedom, p_value, method, reason),
        judged,
        alike,
    )
