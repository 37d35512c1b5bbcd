"""Several tests taken together: a family of P values, the folds of one run."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student


class FoldsDifference(NamedTuple):
    """The mean over folds of a difference a - b, and whether it is 0.

    By Student's t with one degree of freedom less than folds; the standard error is
    corrected for what the folds share.
    """

    mean: float
    standard_error: float
    folds: int
    p_value: float


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P values adjusted so that the whole family errs at most at its level.

    Args:
        p_values: `(tests,)`; NaN for a test that could not be made, which stays NaN
            and does not count.

    Returns:
        `(tests,)`, in their order, at most 1.

    Raises:
        ValueError: If a P value is not in [0, 1].

    Reference:
        [Holm, 1979](https://www.jstor.org/stable/4615733)

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    values = np.asarray(p_values, "float64")
    known = values[~np.isnan(values)]
    if values.ndim != 1 or not ((known >= 0) & (known <= 1)).all():
        raise ValueError(f"`p_values` must be in [0, 1]. Received: {values}")
    order = np.argsort(known, kind="stable")
    raised = known[order] * np.arange(len(known), 0, -1)
    adjusted = np.full(len(values), np.nan)
    places = np.flatnonzero(~np.isnan(values))[order]
    adjusted[places] = np.minimum(np.maximum.accumulate(raised), 1)
    return adjusted


def corrected_resampled_test(
    differences: ArrayLike, test_share: float
) -> FoldsDifference:
    """Tests the mean difference over the folds of a cross-validation.

    Its folds share most of their training cases, so that their differences vary less
    than independent ones would; the variance is raised for it, by `test_share`: test
    cases over training cases of a fold.

    Reference:
        [Nadeau and Bengio, 2003](https://doi.org/10.1023/A:1024068626366), section 3.
    """
    differences = np.asarray(differences, "float64")
    folds = len(differences)
    if differences.ndim != 1 or folds < 2:
        raise ValueError(
            f"`differences` must be of two folds or more. Received: {folds}"
        )
    error = float(np.sqrt((1 / folds + test_share) * differences.var(ddof=1)))
    mean = float(differences.mean())
    p_value = np.nan
    if error > 0:
        p_value = float(2 * student.sf(abs(mean) / error, folds - 1))
    elif mean == 0:
        p_value = 1.0
    return FoldsDifference(mean, error, folds, p_value)
