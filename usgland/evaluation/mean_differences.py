"""Standardized mean differences of two groups, of numbers and of categories."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from usgland.evaluation.association import Moments

SAME = 1e-7  # of two differences of shares


def number_smd(moments: Sequence[Moments]) -> float:
    """Difference of two means in pooled standard deviations.

    Reference:
        [Yang and Dalton, 2012](https://support.sas.com/resources/papers/proceedings12/335-2012.pdf),
        for numbers; categories, see `category_smd`.
    """
    if len(moments) != 2:
        return np.nan
    a, b = moments
    pooled = ((a.sd**2 + b.sd**2) / 2) ** 0.5
    return abs(a.mean - b.mean) / pooled if pooled > 0 else np.nan


def category_smd(table: NDArray) -> float:
    """Distance of two sets of shares, in their mean covariance; the same source.

    Args:
        table: Counts, `(groups, categories)`.

    Returns:
        From 0; NaN unless there are two groups, each of somebody, and where they differ
        in what varies in neither, such as all of one against none of the other: no
        number of standard deviations parts them.
    """
    if len(table) != 2 or min(table.sum(axis=1)) == 0:
        return np.nan
    a, b = table / table.sum(axis=1, keepdims=True)
    covariances = [np.diag(one) - np.outer(one, one) for one in (a, b)]
    mean = (covariances[0] + covariances[1]) / 2
    apart = a - b
    # Shares sum to 1: the covariance has no inverse, but one on what can vary.
    inverse = np.linalg.pinv(mean, rcond=1e-10, hermitian=True)
    if np.abs(mean @ inverse @ apart - apart).max() > SAME:
        return np.nan
    return float(np.sqrt(max(apart @ inverse @ apart, 0.0)))
