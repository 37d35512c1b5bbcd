"""Whether one model falls behind another by less than a margin, or neither does."""

from typing import NamedTuple

import numpy as np

from usgland.evaluation.statistics.readable import readable


class NonInferiority(NamedTuple):
    """Whether a falls behind b by less than a margin.

    Attributes:
        margin: By how much a may fall behind, in the unit of the measure.
        p_value: One-sided, of the hypothesis that a falls behind by it or more.
        low: Lower bound of a - b, at the one-sided `level`.
        level: One-sided: 0.975 for a two-sided interval of 0.95.
        shown: Whether `low` is above -margin; None where that cannot be said.
        method: How it was made.
    """

    margin: float
    p_value: float
    low: float
    level: float
    shown: bool | None
    method: str

    def __repr__(self) -> str:
        return readable(self)


def judge_non_inferiority(
    margin: float, p_value: float, low: float, level: float, method: str
) -> NonInferiority:
    """Reads a margin and the lower bound of a two-sided interval of a - b together."""
    shown = None if np.isnan(low) else bool(low > -margin)
    return NonInferiority(margin, p_value, low, (1 + level) / 2, shown, method)


class Equivalence(NamedTuple):
    """Whether a and b differ by less than a margin, by two one-sided tests.

    Attributes:
        margin: By how much they may differ, in the unit of the measure.
        p_value: The larger of both tests' P.
        low: Lower bound of a - b, at the one-sided `level`.
        high: Upper bound.
        level: Of each test, one-sided: 0.975 for a two-sided interval of 0.95.
        shown: Whether both bounds are within the margin; None where that cannot be
            said.
        method: How it was made.

    Reference:
        [Schuirmann, 1987](https://doi.org/10.1007/BF01068419)
    """

    margin: float
    p_value: float
    low: float
    high: float
    level: float
    shown: bool | None
    method: str

    def __repr__(self) -> str:
        return readable(self)


def judge_equivalence(
    margin: float,
    p_values: tuple[float, float],
    bounds: tuple[float, float],
    level: float,
    method: str,
) -> Equivalence:
    """Reads a margin and both bounds of a two-sided interval of a - b together."""
    low, high = bounds
    shown = None if np.isnan(low) else bool(low > -margin and high < margin)
    p_value = float(max(p_values)) if not np.isnan(p_values).any() else np.nan
    return Equivalence(margin, p_value, low, high, (1 + level) / 2, shown, method)
