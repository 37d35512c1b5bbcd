"""Two shares of cases called right: McNemar's exact test, or Fisher's if unpaired.

Of two models, two readers, or one of each. Where patients have several cases, whose
calls are not independent, the patient is what is counted in both.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, fisher_exact, norm

from usgland.evaluation.statistics.bootstrap import Interval
from usgland.evaluation.statistics.delong import check_level, has_clusters
from usgland.evaluation.statistics.non_inferiority import (
    NonInferiority,
    check_margin,
    judge_non_inferiority,
)
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import checked_labels
from usgland.evaluation.statistics.share_intervals import (
    Bounds,
    clustered_variance,
    newcombe_paired,
    newcombe_unpaired,
    normal_bounds,
    p_of_margin,
)
from usgland.evaluation.statistics.swap_tests import swap_test

NO_VARIANCE = "no variance between patients, so no interval"
# Measure -> the label of the cases it counts; None for all.
SHARES: dict[str, int | None] = {"sensitivity": 1, "specificity": 0, "accuracy": None}


class ShareTest(NamedTuple):
    """Two shares of cases called right and whether they differ.

    Attributes:
        a: The first share.
        b: The second.
        difference: a - b.
        only_a: Cases that only the first called right; None if unpaired.
        only_b: Cases that only the second called right; None if unpaired.
        n_a: Cases of the first.
        n_b: Of the second; the same ones if paired.
        low: Lower bound of the difference; NaN where none is made.
        high: Upper bound.
        p_value: Two-sided.
        method: The test, and how the interval was made.
        reason: Why something is NaN; otherwise empty.
        non_inferiority: For the margin asked for, by that interval; None for none.
    """

    a: float
    b: float
    difference: float
    only_a: int | None
    only_b: int | None
    n_a: int
    n_b: int
    low: float
    high: float
    p_value: float
    method: str
    reason: str
    non_inferiority: NonInferiority | None

    def __repr__(self) -> str:
        return readable(self)


def mcnemar_test(
    labels: ArrayLike,
    calls_a: ArrayLike,
    calls_b: ArrayLike,
    *,
    measure: str = "accuracy",
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
    margin: float | None = None,
) -> ShareTest:
    """Compares the sensitivity, specificity or accuracy of two sets of calls.

    Of the same cases, by McNemar's exact test. Where patients have several cases,
    whose calls are not independent, both calls of a patient are swapped in all cases
    at once instead (`swap_tests`), and the interval is of patients, too; it has no
    bounds where the two differ in no patient, or alike in all.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        calls_a: `(cases,)`, 0 or 1.
        calls_b: `(cases,)`, of the other, in the same order.
        measure: `"accuracy"`, of all cases; `"sensitivity"`, of the malignant ones; or
            `"specificity"`, of the benign ones.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Of the interval, in (0, 1).
        margin: Of non-inferiority of a to b, in (0, 1); None for none.

    Raises:
        ValueError: If there is no case of the label that counts, or level or margin
            is out of range.

    Reference:
        [McNemar, 1947](https://doi.org/10.1007/BF02295996), by the binomial
        distribution; interval: [Newcombe,
        1998](https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22%3C2635::AID-SIM954%3E3.0.CO;2-C),
        method 10; of patients with several cases [Obuchowski,
        1998](https://doi.org/10.1002/(SICI)1097-0258(19980715)17:13%3C1495::AID-SIM863%3E3.0.CO;2-I).

    Example:
        Of 20 malignant cases one model alone calls 2 right, the other alone 9.

        >>> import usgland.evaluation as ev
        >>> a = [0] * 9 + [1] * 2 + [1] * 5 + [0] * 4
        >>> b = [1] * 9 + [0] * 2 + [1] * 5 + [0] * 4
        >>> ev.mcnemar_test([1] * 20, a, b, measure="sensitivity")
        ShareTest(
            a=0.35,
            b=0.7,
            difference=-0.35,
            only_a=2,
            only_b=9,
            n_a=20,
            n_b=20,
            low=-0.5789,
            high=-0.04161,
            p_value=0.06543,
            method='McNemar, exact, paired; interval: Newcombe, paired',
        )
    """
    check_level(level)
    check_margin(margin)
    right_a, right_b = (
        _right(measure, labels, calls_a),
        _right(measure, labels, calls_b),
    )
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    differing, cases = only_a + only_b, len(right_a)
    difference = (only_a - only_b) / cases
    ids = None
    if patient_ids is not None:
        ids = np.asarray(patient_ids)[_counted(measure, labels)]
    if ids is not None and has_clusters(ids):
        _, patient = np.unique(ids, return_inverse=True)
        apart = right_a.astype(float) - right_b
        swapped = swap_test(np.bincount(patient, weights=apart))
        p_value = swapped.p_value
        bounds = partial(normal_bounds, difference, clustered_variance(apart, ids))
        method = f"swaps within patients, paired ({swapped.method})"
        how = "normal, clustered by patient"
    else:
        p_value = float(binomtest(only_a, differing).pvalue) if differing else 1.0
        bounds = partial(newcombe_paired, right_a, right_b)
        method, how = "McNemar, exact, paired", "Newcombe, paired"
    interval, judged = _bounded(bounds, difference, level, margin, how)
    return ShareTest(
        float(right_a.mean()),
        float(right_b.mean()),
        difference,
        only_a,
        only_b,
        cases,
        cases,
        interval.low,
        interval.high,
        p_value,
        "; ".join(filter(None, (method, interval.method))),
        interval.reason,
        judged,
    )


def unpaired_shares(
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
    *,
    measure: str = "accuracy",
    patient_ids: tuple[ArrayLike, ArrayLike] | None = None,
    level: float = 0.95,
    margin: float | None = None,
) -> ShareTest:
    """Compares two shares of two samples of cases, as if they were independent.

    Fisher's exact test and Newcombe's interval. Where patients have several cases, z
    from variances clustered by patient; P is NaN where there is no such variance.

    Args:
        a: Labels and calls, each `(cases,)`.
        b: Of the other, of cases of another unit or of other patients.
        measure: As in `mcnemar_test`.
        patient_ids: Who the cases belong to, of a and of b; None where every case
            is independent.
        level: Of the interval, in (0, 1).
        margin: Of non-inferiority of a to b, in (0, 1); None for none.

    Raises:
        ValueError: If there is no case of the label that counts, or level or margin
            is out of range.

    Reference:
        As `newcombe_unpaired` and `clustered_variance`.
    """
    check_level(level)
    check_margin(margin)
    right_a, right_b = _right(measure, *a), _right(measure, *b)
    difference = float(right_a.mean() - right_b.mean())
    ids = []
    if patient_ids is not None:
        both = zip(patient_ids, (a[0], b[0]), strict=True)
        ids = [np.asarray(own)[_counted(measure, labels)] for own, labels in both]
    if any(has_clusters(own) for own in ids):
        pairs = zip((right_a, right_b), ids, strict=True)
        variance = sum((clustered_variance(*pair) for pair in pairs), 0.0)
        p_value = np.nan
        if variance > 0:
            p_value = float(2 * norm.sf(abs(difference) / variance**0.5))
        bounds = partial(normal_bounds, difference, variance)
        method, how = "z, clustered by patient, unpaired", "normal, likewise"
    else:
        table = [[int(own.sum()), int((~own).sum())] for own in (right_a, right_b)]
        p_value = float(fisher_exact(table).pvalue)
        bounds = partial(newcombe_unpaired, right_a, right_b)
        method, how = "Fisher, exact, unpaired", "Newcombe, unpaired"
    interval, judged = _bounded(bounds, difference, level, margin, how)
    return ShareTest(
        float(right_a.mean()),
        float(right_b.mean()),
        difference,
        None,
        None,
        len(right_a),
        len(right_b),
        interval.low,
        interval.high,
        p_value,
        "; ".join(filter(None, (method, interval.method))),
        interval.reason,
        judged,
    )


def _bounded(
    bounds: Callable[[float], Bounds],
    difference: float,
    level: float,
    margin: float | None,
    how: str,
) -> tuple[Interval, NonInferiority | None]:
    """The interval, and what it says of the margin."""
    low, high = bounds(level)
    reason = NO_VARIANCE if np.isnan(low) else ""
    interval = Interval(low, high, "" if reason else f"interval: {how}", reason)
    if margin is None:
        return interval, None
    p_value = p_of_margin(bounds, difference, margin)
    made = interval.method or reason
    return interval, judge_non_inferiority(margin, p_value, low, level, made)


def _right(measure: str, labels: ArrayLike, calls: ArrayLike) -> NDArray[np.bool_]:
    """Which of the cases that count were called right."""
    labels, calls = checked_labels(labels), checked_labels(calls, "calls")
    if measure not in SHARES or labels.shape != calls.shape or labels.ndim != 1:
        raise ValueError(
            f"`measure` must be one of {list(SHARES)}, labels and calls of one length. "
            f"Received: {measure!r}, shapes {labels.shape} and {calls.shape}"
        )
    chosen = _counted(measure, labels)
    if not chosen.any():
        raise ValueError(
            f"{measure} needs cases of label {SHARES[measure]}. Received: none"
        )
    return np.asarray((labels == calls)[chosen])


def _counted(measure: str, labels: ArrayLike) -> NDArray[np.bool_]:
    labels, label = np.asarray(labels), SHARES[measure]
    return np.full(len(labels), True) if label is None else labels == label
