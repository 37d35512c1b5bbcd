"""How many cases a study needs for an interval of some width.

Cases are independent here: patients, or one image a patient.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, norm

from usgland.errors import UserError
from usgland.evaluation.statistics.intervals import PROPORTION_METHODS
from usgland.evaluation.statistics.readable import readable

LARGEST = 10_000_000  # cases; an answer beyond is none


class SampleSize(NamedTuple):
    """How many cases a study needs.

    Attributes:
        malignant: Malignant cases.
        benign: Benign ones, as many as come with those at the prevalence.
        patients: Among whom so many of either label are expected.
    """

    malignant: int
    benign: int
    patients: int

    def __repr__(self) -> str:
        return readable(self)


def proportion_width(share: float, cases: int, *, level: float, method: str) -> float:
    """Width of the interval of a share, at its expected count `share * cases`.

    The count need not be whole: the formulas of both methods, `"wilson"` and
    `"clopper_pearson"`, take it as it is.
    """
    tail, count = (1 - level) / 2, share * cases
    if method == "wilson":
        z2 = float(norm.isf(tail)) ** 2
        spread = share * (1 - share) / cases + z2 / (4 * cases**2)
        return 2 * math.sqrt(z2 * spread) / (1 + z2 / cases)
    if method == "clopper_pearson":
        # Of a count next to 0 SciPy's quantile overflows; it is 0 long before.
        low = beta.ppf(tail, count, cases - count + 1) if count > 1e-9 else 0.0
        high = beta.isf(tail, count + 1, cases - count) if count < cases else 1.0
        return float(high - low)
    raise ValueError(
        f"`method` must be one of {list(PROPORTION_METHODS)}. Received: {method!r}"
    )


def sample_size_proportion(
    share: float, width: float, *, level: float = 0.95, method: str = "wilson"
) -> int:
    """Fewest cases of a label whose sensitivity or specificity is known so well.

    Args:
        share: Expected sensitivity (of malignant cases) or specificity (of benign
            ones), in [0, 1].
        width: Of the interval, from bound to bound, in (0, 1).
        level: Confidence level in (0, 1).
        method: Of the interval: `"wilson"` or `"clopper_pearson"`.

    Returns:
        Cases of that label. The interval is taken at the expected count, which is
        not rounded.

    Raises:
        ValueError: If an argument is out of range.
        UserError: If more than ten million cases are needed.

    Reference:
        As `proportion_interval`.

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.sample_size_proportion(0.9, 0.1)
        141
        >>> ev.sample_size_proportion(0.9, 0.1, method="clopper_pearson")
        158
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


def sample_size_auc(
    auc: float, width: float, *, prevalence: float = 0.5, level: float = 0.95
) -> SampleSize:
    """Fewest malignant and benign cases whose AUC has an interval of that width.

    Args:
        auc: Expected, in [0.5, 1).
        width: Of the interval, symmetric and not cut at 1, in (0, 1).
        prevalence: Share of malignant cases, in (0, 1).
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If an argument is out of range.
        UserError: If more than ten million cases are needed.

    Reference:
        Standard error: [Hanley and McNeil,
        1982](https://doi.org/10.1148/radiology.143.1.7063747).

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.sample_size_auc(0.9, 0.1, prevalence=0.25)
        SampleSize(malignant=70, benign=210, patients=280)
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
    return sample_size_of(malignant, prevalence)


def sample_size_of(malignant: int, prevalence: float) -> SampleSize:
    """So many malignant cases, and whoever comes with them."""
    benign = benign_for(malignant, prevalence)
    return SampleSize(malignant, benign, patients_for(malignant, benign, prevalence))


def patients_for(malignant: int, benign: int, prevalence: float) -> int:
    """Patients among whom so many of either label are expected."""
    check_inside("prevalence", prevalence, 0, 1)
    # Off by less than rounding: 30 / 0.3 is 100, not 101.
    wanted = max(malignant / prevalence, benign / (1 - prevalence))
    return math.ceil(round(wanted, 9))


def fewest(enough: Callable[[int], bool], start: int = 1) -> int:
    """The smallest number that is enough, where larger ones are as well."""
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
