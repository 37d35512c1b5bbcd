"""Whether one model falls behind another by less than a margin."""

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
