"""How many cases a study needs for an interval of some width.

Cases are independent here: patients, or one image a patient.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import beta, norm

from usgland.errors import UserError

LARGEST = 10_000_000  # cases; an answer beyond is none


def proportion_width(share: float, cases: int, *, level: float, method: str) -> float:
    """Width of the interval of a share, at its expected count `share * cases`.

    Args:
        share: Expected sensitivity or specificity, in [0, 1].
        cases: Of the label that counts.
        level: Confidence level in (0, 1).
        method: `"wilson"` or `"clopper-pearson"`. An expected count need not be
            whole; both formulas take it as it is.

    Raises:
        ValueError: If the method is another.
    """
    tail, count = (1 - level) / 2, share * cases
    if method == "wilson":
        z2 = float(norm.isf(tail)) ** 2
        spread = share * (1 - share) / cases + z2 / (4 * cases**2)
        return 2 * math.sqrt(z2 * spread) / (1 + z2 / cases)
    if method == "clopper-pearson":
        # Of a count next to 0 SciPy's quantile overflows; it is 0 long before.
        low = beta.ppf(tail, count, cases - count + 1) if count > 1e-9 else 0.0
        high = beta.isf(tail, count + 1, cases - count) if count < cases else 1.0
        return float(high - low)
    raise ValueError(
        f"`method` must be wilson or clopper-pearson. Received: {method!r}"
    )


def cases_for_proportion(
    share: float, width: float, *, level: float, method: str
) -> int:
    """Fewest cases of a label whose interval is at most `width` wide.

    Raises:
        ValueError: If an argument is out of range; see `proportion_width`.
    """
    check_inside("share", share, 0, 1, closed=True)
    check_inside("width", width, 0, 1)
    check_inside("level", level, 0, 1)
    return fewest(
        lambda n: proportion_width(share, n, level=level, method=method) <= width
    )


def auc_standard_error(auc: float, malignant: int, benign: int) -> float:
    """Standard error of an area under the ROC curve, from the area alone.

    Reference:
        [Hanley and McNeil, 1982](https://doi.org/10.1148/radiology.143.1.7063747),
        equation 1 with Q1 and Q2 of exponential scores (equation 2).
    """
    both, other = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc)
    variance += (malignant - 1) * (both - auc**2) + (benign - 1) * (other - auc**2)
    return math.sqrt(variance / (malignant * benign))


def cases_for_auc(
    auc: float, width: float, prevalence: float, *, level: float
) -> tuple[int, int]:
    """Fewest malignant and benign cases whose AUC has an interval of that width.

    Args:
        auc: Expected, in [0.5, 1).
        width: Of the interval, symmetric and not cut at 1, in (0, 1).
        prevalence: Share of malignant cases, in (0, 1).
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If an argument is out of range.
    """
    check_inside("auc", auc, 0.5, 1, closed=True)
    check_inside("auc", auc, 0, 1)
    check_inside("width", width, 0, 1)
    check_inside("prevalence", prevalence, 0, 1)
    check_inside("level", level, 0, 1)
    z = float(norm.ppf((1 + level) / 2))
    malignant = fewest(
        lambda n: 2 * z * auc_standard_error(auc, n, benign_for(n, prevalence)) <= width
    )
    return malignant, benign_for(malignant, prevalence)


def patients_for(malignant: int, benign: int, prevalence: float) -> int:
    """Patients among whom so many of either label are expected."""
    check_inside("prevalence", prevalence, 0, 1)
    # Off by less than rounding: 30 / 0.3 is 100, not 101.
    wanted = max(malignant / prevalence, benign / (1 - prevalence))
    return math.ceil(round(wanted, 9))


def fewest(enough: Callable[[int], bool], start: int = 1) -> int:
    """The smallest number that is enough, where larger ones are as well.

    Raises:
        UserError: If it is larger than `LARGEST`.
    """
    high = max(start, 1)
    # A start beyond it is not tried: that alone could take minutes.
    while high > LARGEST or not enough(high):
        if high >= LARGEST:
            raise UserError(
                f"Expected a width or a difference that {LARGEST:,} cases are enough "
                "for. Received: one that needs more. Ask for a wider interval or a "
                "larger difference"
            )
        high = min(2 * high, LARGEST)
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def benign_for(malignant: int, prevalence: float) -> int:
    """Benign cases that come with so many malignant ones."""
    return max(1, math.ceil(round(malignant * (1 - prevalence) / prevalence, 9)))


def check_inside(
    name: str, value: float, low: float, high: float, *, closed: bool = False
) -> None:
    inside = low <= value <= high if closed else low < value < high
    if not inside or np.isnan(value):
        ends = f"[{low}, {high}]" if closed else f"({low}, {high})"
        raise ValueError(f"`{name}` must be in {ends}. Received: {value}")
