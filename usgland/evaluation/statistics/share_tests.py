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

from usgland.evaluation.statistics import scores, share_intervals
from usgland.evaluation.statistics.delong import has_clusters
from usgland.evaluation.statistics.intervals import normal_bounds
from usgland.evaluation.statistics.non_inferiority import (
    Equivalence,
    NonInferiority,
    judge_equivalence,
    judge_non_inferiority,
)
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.swap_tests import swap_test

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
        equivalence: Likewise, of both sides.
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
    equivalence: Equivalence | None

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
    scores.check_between_0_and_1(level=level, margin=margin)
    right_a, ids = _right(measure, labels, calls_a, patient_ids)
    right_b, _ = _right(measure, labels, calls_b, patient_ids)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    difference = (only_a - only_b) / len(right_a)
    if has_clusters(ids):
        _, patient = np.unique(ids, return_inverse=True)
        apart = right_a.astype(float) - right_b
        p_value, swaps = swap_test(np.bincount(patient, weights=apart))
        test = p_value, f"swaps within patients, paired ({swaps})"
        variance = share_intervals.clustered_variance(apart, ids)
        bounds = partial(normal_bounds, difference, variance)
        how = "normal, clustered by patient"
    else:
        differing = only_a + only_b
        p_value = float(binomtest(only_a, differing).pvalue) if differing else 1.0
        test = p_value, "McNemar, exact, paired"
        bounds = partial(share_intervals.newcombe_paired, right_a, right_b)
        how = "Newcombe, paired"
    right, only, interval = (right_a, right_b), (only_a, only_b), (bounds, how)
    return _finished(right, difference, only, test, interval, level, margin)


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

    Each is labels and calls, and both have their own `patient_ids`; all else is as in
    `mcnemar_test`. Fisher's exact test and Newcombe's interval. Where patients have
    several cases, z from variances clustered by patient; P is NaN where there is no
    such variance.

    Reference:
        As `newcombe_unpaired` and `clustered_variance`.
    """
    scores.check_between_0_and_1(level=level, margin=margin)
    ids_a, ids_b = (None, None) if patient_ids is None else patient_ids
    right_a, ids_a = _right(measure, *a, ids_a)
    right_b, ids_b = _right(measure, *b, ids_b)
    difference = float(right_a.mean() - right_b.mean())
    if has_clusters(ids_a) or has_clusters(ids_b):
        variance = share_intervals.clustered_variance(right_a, ids_a)
        variance += share_intervals.clustered_variance(right_b, ids_b)
        p_value = np.nan
        if variance > 0:
            p_value = float(2 * norm.sf(abs(difference) / variance**0.5))
        bounds = partial(normal_bounds, difference, variance)
        test = p_value, "z, clustered by patient, unpaired"
        how = "normal, likewise"
    else:
        table = [[int(own.sum()), int((~own).sum())] for own in (right_a, right_b)]
        test = float(fisher_exact(table).pvalue), "Fisher, exact, unpaired"
        bounds = partial(share_intervals.newcombe_unpaired, right_a, right_b)
        how = "Newcombe, unpaired"
    right, interval = (right_a, right_b), (bounds, how)
    return _finished(right, difference, (None, None), test, interval, level, margin)


def _finished(
    right: tuple[NDArray, NDArray],
    difference: float,
    only: tuple[int | None, int | None],
    test: tuple[float, str],
    interval: tuple[Callable[[float], tuple[float, float]], str],
    level: float,
    margin: float | None,
) -> ShareTest:
    """Adds the interval by a function of the level, and what it says of the margin."""
    (p_value, method), (bounds, how) = test, interval
    low, high = bounds(level)
    reason, made = "", f"interval: {how}"
    if np.isnan(low):
        reason = made = "no variance between patients, so no interval"
    else:
        method = f"{method}; {made}"
    judged = alike = None
    if margin is not None:
        p_margin = share_intervals.p_of_margin(bounds, difference, margin)
        judged = judge_non_inferiority(margin, p_margin, low, level, made)

        def turned(level: float) -> tuple[float, float]:
            low, high = bounds(level)
            return -high, -low

        p_other = share_intervals.p_of_margin(turned, -difference, margin)
        both = p_margin, p_other
        alike = judge_equivalence(margin, both, (low, high), level, made)
    a, b = (float(own.mean()) for own in right)
    sizes = len(right[0]), len(right[1])
    return ShareTest(
        *(a, b, difference, *only, *sizes, low, high, p_value, method, reason),
        judged,
        alike,
    )


def _right(
    measure: str, labels: ArrayLike, calls: ArrayLike, patient_ids: ArrayLike | None
) -> tuple[NDArray[np.bool_], NDArray]:
    """Which of the cases that count were called right, and whose they are."""
    labels, calls = scores.checked_labels(labels), scores.checked_labels(calls, "calls")
    if measure not in SHARES or labels.shape != calls.shape or labels.ndim != 1:
        raise ValueError(
            f"`measure` must be one of {list(SHARES)}, labels and calls of one length. "
            f"Received: {measure!r}, shapes {labels.shape} and {calls.shape}"
        )
    ids, label = scores.checked_patients(patient_ids, len(labels)), SHARES[measure]
    chosen = np.full(len(labels), True) if label is None else labels == label
    if not chosen.any():
        raise ValueError(f"{measure} needs cases of label {label}. Received: none")
    return np.asarray((labels == calls)[chosen]), ids[chosen]
