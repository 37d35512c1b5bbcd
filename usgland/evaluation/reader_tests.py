"""One reader against another reading: McNemar's exact test, or Fisher's if unpaired."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, fisher_exact

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
        p_value: Two-sided.
        method: The test.
    """

    a: float
    b: float
    difference: float
    only_a: int | None
    only_b: int | None
    n_a: int
    n_b: int
    p_value: float
    method: str


def paired_shares(
    figure: str, labels: ArrayLike, calls_a: ArrayLike, calls_b: ArrayLike
) -> ShareTest:
    """McNemar's exact test on the same cases.

    Args:
        figure: One of `SHARES`.
        labels: `(cases,)`, 0 or 1.
        calls_a: `(cases,)`, 0 or 1.
        calls_b: `(cases,)`, likewise.

    Raises:
        ValueError: If there is no case of the label that counts.

    Reference:
        [McNemar, 1947](https://doi.org/10.1007/BF02295996), by the binomial
        distribution.
    """
    right_a, right_b = _right(figure, labels, calls_a), _right(figure, labels, calls_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    differing = only_a + only_b
    p_value = binomtest(only_a, differing).pvalue if differing else 1.0
    cases = len(right_a)
    return ShareTest(
        right_a.mean(),
        right_b.mean(),
        (only_a - only_b) / cases,
        only_a,
        only_b,
        cases,
        cases,
        float(p_value),
        "McNemar, exact, paired",
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
        float(fisher_exact(table).pvalue),
        "Fisher, exact, unpaired",
    )


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P values adjusted so that the whole family errs at most at its level.

    Args:
        p_values: `(tests,)`, in [0, 1].

    Reference:
        [Holm, 1979](https://www.jstor.org/stable/4615733)
    """
    given = np.asarray(p_values, "float64")
    order = np.argsort(given, kind="stable")
    raised = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def _right(figure: str, labels: ArrayLike, calls: ArrayLike) -> NDArray[np.bool_]:
    labels, calls = np.asarray(labels), np.asarray(calls)
    if figure not in SHARES or labels.shape != calls.shape or labels.ndim != 1:
        raise ValueError(
            f"`figure` must be one of {list(SHARES)}, labels and calls of one length. "
            f"Received: {figure!r}, shapes {labels.shape} and {calls.shape}"
        )
    label = SHARES[figure]
    chosen = np.full(len(labels), True) if label is None else labels == label
    if not chosen.any():
        raise ValueError(f"{figure} needs cases of label {label}. Received: none")
    return np.asarray((labels == calls)[chosen])
