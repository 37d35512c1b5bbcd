"""Two shares of cases called right: McNemar's exact test, or Fisher's if unpaired.

Of two models, two readers, or one of each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, fisher_exact

from usgland.evaluation.delong import has_clusters
from usgland.evaluation.permutation import swap_test

# Figure -> the label of the cases it counts; None for all.
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


def paired_shares(
    figure: str,
    labels: ArrayLike,
    calls_a: ArrayLike,
    calls_b: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> ShareTest:
    """Compares two shares on the same cases.

    McNemar's exact test. Where patients have several cases, whose calls are not
    independent, both calls of a patient are swapped in all cases at once instead
    (`usgland.evaluation.permutation`), and there is no interval.

    Args:
        figure: One of `SHARES`.
        labels: `(cases,)`, 0 or 1.
        calls_a: `(cases,)`, 0 or 1.
        calls_b: `(cases,)`, likewise.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Of the interval, in (0, 1).

    Raises:
        ValueError: If there is no case of the label that counts.

    Reference:
        [McNemar, 1947](https://doi.org/10.1007/BF02295996), by the binomial
        distribution; interval of Newcombe for paired shares, see `_newcombe`.
    """
    right_a, right_b = _right(figure, labels, calls_a), _right(figure, labels, calls_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    differing = only_a + only_b
    cases = len(right_a)
    low, high = _newcombe(right_a, right_b, level)
    method = "McNemar, exact, paired; interval: Newcombe, paired"
    p_value = float(binomtest(only_a, differing).pvalue) if differing else 1.0
    if has_clusters(patient_ids):
        ids = np.asarray(patient_ids)[_counted(figure, labels)]
        _, patient = np.unique(ids, return_inverse=True)
        apart = right_a.astype(float) - right_b
        swapped = swap_test(np.bincount(patient, weights=apart))
        low, high, p_value = np.nan, np.nan, swapped.p_value
        method = f"swaps within patients, paired ({swapped.method}); no interval"
    return ShareTest(
        float(right_a.mean()),
        float(right_b.mean()),
        (only_a - only_b) / cases,
        only_a,
        only_b,
        cases,
        cases,
        low,
        high,
        p_value,
        method,
    )


def unpaired_shares(
    figure: str,
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
) -> ShareTest:
    """Fisher's exact test of two samples of cases, as if they were independent.

    Args:
        figure: One of `SHARES`.
        a: Labels and calls, each `(cases,)`.
        b: Of the other, of cases of another unit.

    Raises:
        ValueError: If there is no case of the label that counts.
    """
    right_a, right_b = _right(figure, *a), _right(figure, *b)
    table = [[int(one.sum()), int((~one).sum())] for one in (right_a, right_b)]
    return ShareTest(
        right_a.mean(),
        right_b.mean(),
        right_a.mean() - right_b.mean(),
        None,
        None,
        len(right_a),
        len(right_b),
        np.nan,
        np.nan,
        float(fisher_exact(table).pvalue),
        "Fisher, exact, unpaired",
    )


def _right(figure: str, labels: ArrayLike, calls: ArrayLike) -> NDArray[np.bool_]:
    """Which of the cases that count were called right."""
    labels, calls = np.asarray(labels), np.asarray(calls)
    if figure not in SHARES or labels.shape != calls.shape or labels.ndim != 1:
        raise ValueError(
            f"`figure` must be one of {list(SHARES)}, labels and calls of one length. "
            f"Received: {figure!r}, shapes {labels.shape} and {calls.shape}"
        )
    chosen = _counted(figure, labels)
    if not chosen.any():
        raise ValueError(
            f"{figure} needs cases of label {SHARES[figure]}. Received: none"
        )
    return np.asarray((labels == calls)[chosen])


def _counted(figure: str, labels: ArrayLike) -> NDArray[np.bool_]:
    labels, label = np.asarray(labels), SHARES[figure]
    return np.full(len(labels), True) if label is None else labels == label


def _newcombe(
    right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], level: float
) -> tuple[float, float]:
    """Interval of the difference of two paired shares, from two Wilson intervals.

    Reference:
        [Newcombe, 1998](https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22%3C2635::AID-SIM954%3E3.0.CO;2-C),
        method 10.
    """
    cases = len(right_a)
    shares, bounds = [], []
    for right in (right_a, right_b):
        interval = binomtest(int(right.sum()), cases).proportion_ci(level, "wilson")
        shares.append(float(right.mean()))
        bounds.append((interval.low, interval.high))
    (a, b), ((low_a, high_a), (low_b, high_b)) = shares, bounds
    both = int((right_a & right_b).sum())
    neither = int((~right_a & ~right_b).sum())
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    sums = (both + only_a, only_b + neither, both + only_b, only_a + neither)
    phi = 0.0
    if all(sums):
        cross = float(both * neither - only_a * only_b)
        # Continuity correction, for a positive association only.
        cross = max(cross - cases / 2, 0.0) if cross > 0 else cross
        phi = cross / float(np.prod(sums, dtype=float)) ** 0.5

    def reach(one: float, other: float) -> float:
        return max(0.0, one**2 - 2 * phi * one * other + other**2) ** 0.5

    low = a - b - reach(a - low_a, high_b - b)
    return float(low), float(a - b + reach(high_a - a, b - low_b))
