"""Standardized mean differences of two groups, of numbers and of categories."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from usgland.evaluation.association import Moments


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
    """Distance of two sets of shares, in their mean covariance; the same source."""
    if len(table) != 2 or min(table.sum(axis=1)) == 0:
        return np.nan
    shares = table / table.sum(axis=1, keepdims=True)
    a, b = shares[:, 1:]  # The last share follows from the others.
    covariances = [np.diag(one) - np.outer(one, one) for one in (a, b)]
    apart = a - b
    mean = sum(covariances) / 2
    squared = apart @ np.linalg.pinv(np.atleast_2d(mean)) @ apart
    return float(np.sqrt(max(squared, 0.0)))
