"""Printed means and standard deviations: which whole numbers can have them.

The mean of n whole numbers is a count of n (GRIM); their squares sum to a whole number
that is odd where their sum is (GRIMMER); and between two limits their standard
deviation lies between two bounds, which is where a search for a sample (SPRITE) ends.

Reference:
    [Brown and Heathers, 2017](https://doi.org/10.1177/1948550616673876); [Anaya,
    2016](https://doi.org/10.7287/peerj.preprints.2400v1); [Heathers et al.,
    2018](https://doi.org/10.7287/peerj.preprints.26968v1)
"""

from math import ceil, floor, sqrt
from typing import NamedTuple

from scipy.stats import norm

from usgland.evaluation.audit.printed import Bounds, Rounding, printed_bounds

TELLING = 0.05  # share of a normal distribution beyond a limit that is told


class Limits(NamedTuple):
    """What a value can be, in units of its step."""

    low: int | None
    high: int | None


def fitting_totals(mean: Bounds, n: int) -> range:
    """Sums of n whole numbers whose mean may be printed so (GRIM)."""
    return range(ceil(mean.low * n), floor(mean.high * n) + 1)


def sd_limits(total: int, n: int, limits: Limits) -> Bounds:
    """The least and the largest SD of n whole numbers with this sum.

    The least has all of them next to the mean; the largest has all but one at a limit.
    Without both limits it has no bound.
    """
    each, more = divmod(total, n)
    squares = more * (each + 1) ** 2 + (n - more) * each**2
    least = _sd(squares, total, n)
    if limits.low is None or limits.high is None:
        return Bounds(least, float("inf"))
    width, above = limits.high - limits.low, total - n * limits.low
    if width == 0:
        return Bounds(least, least)
    at_high, rest = divmod(above, width)
    at_low = n - at_high - (1 if rest else 0)
    squares = at_high * limits.high**2 + at_low * limits.low**2
    squares += (limits.low + rest) ** 2 if rest else 0
    return Bounds(least, _sd(squares, total, n))


def _sd(squares: int, total: int, n: int) -> float:
    # Whole numbers up to the last division: nothing is lost for large values.
    return sqrt(max(0, n * squares - total * total) / (n * (n - 1))) if n > 1 else 0.0


def sd_is_possible(total: int, n: int, sd: Bounds, limits: Limits) -> bool:
    """Whether n whole numbers with this sum can have an SD that is printed so."""
    if n < 2:
        return False
    reach = sd_limits(total, n, limits)
    low, high = max(sd.low, reach.low - 1e-9, 0.0), min(sd.high, reach.high + 1e-9)
    if low > high:
        return False
    first = ceil(low**2 * (n - 1) + total**2 / n - 1e-6)
    last = floor(high**2 * (n - 1) + total**2 / n + 1e-6)
    # A number and its square are odd together, and so are their sums.
    return any(
        squares % 2 == total % 2 for squares in range(first, min(last, first + 1) + 1)
    )


def check_moments(
    printed: tuple[str, str],
    n: int,
    *,
    step: float | None,
    limits: tuple[float | None, float | None],
    rounding: Rounding,
) -> tuple[list[str], list[str]]:
    """What a printed mean and SD of n values cannot be, and what is merely unusual.

    Args:
        printed: Mean and SD.
        n: How many values.
        step: Values are whole multiples of it, such as 1 for years; None for any.
        limits: The lowest and the highest value there can be; None where unknown.
        rounding: Of the last decimals.
    """
    mean, sd = (printed_bounds(text, rounding) for text in printed)
    low, high = limits
    wrong = []
    if (low is not None and mean.high < low) or (high is not None and mean.low > high):
        return [f"mean {printed[0]} lies outside {_ends(limits)}"], []
    if step is None:
        if low is not None and high is not None and n > 1:
            middle = min(max((mean.low + mean.high) / 2, low), high)
            spread = max(
                (x - low) * (high - x)
                for x in (max(mean.low, low), min(mean.high, high), middle)
            )
            most = sqrt(max(0.0, spread) * n / (n - 1))
            if sd.low > most:
                wrong.append(
                    f"SD {printed[1]} is more than {most:.2f}, the largest of {n} "
                    f"values in {_ends(limits)} with mean {printed[0]}"
                )
    else:
        wrong = _whole(printed, n, step, limits, mean, sd)
    return wrong, [] if wrong else _unusual(printed, limits)


def _whole(
    printed: tuple[str, str],
    n: int,
    step: float,
    limits: tuple[float | None, float | None],
    mean: Bounds,
    sd: Bounds,
) -> list[str]:
    """As `check_moments`, of values that are multiples of a step."""
    bounds, spread = Bounds(*(x / step for x in mean)), Bounds(*(x / step for x in sd))
    ends = Limits(*(None if x is None else round(x / step) for x in limits))
    totals = [
        total
        for total in fitting_totals(bounds, n)
        if (ends.low is None or total >= n * ends.low)
        and (ends.high is None or total <= n * ends.high)
    ]
    unit = "whole numbers" if step == 1 else f"multiples of {step:g}"
    if not totals:
        return [f"mean {printed[0]} cannot be that of {n} {unit}"]
    if any(sd_is_possible(total, n, spread, ends) for total in totals):
        return []
    reach = [sd_limits(total, n, ends) for total in totals]
    low, high = min(x.low for x in reach), max(x.high for x in reach)
    most = "" if high == float("inf") else f" to {high * step:.2f}"
    return [
        f"SD {printed[1]} cannot be that of {n} {unit} with mean {printed[0]}; "
        f"it can be {low * step:.2f}{most or ' or more'}"
    ]


def _unusual(
    printed: tuple[str, str], limits: tuple[float | None, float | None]
) -> list[str]:
    """How much of a normal distribution lies beyond a limit, where that is much."""
    mean, sd = (float(text) for text in printed)
    texts = []
    for limit, side in zip(limits, ("below", "above"), strict=True):
        if limit is None or not sd > 0:
            continue
        distance = (limit - mean) / sd
        share = norm.cdf(distance) if side == "below" else norm.sf(distance)
        if share >= TELLING:
            texts.append(
                f"mean {printed[0]} and SD {printed[1]}: of a normal distribution "
                f"{share:.0%} would lie {side} {limit:g}, so values are skewed or the "
                "SD is of something else"
            )
    return texts


def _ends(limits: tuple[float | None, float | None]) -> str:
    low, high = ("?" if x is None else f"{x:g}" for x in limits)
    return f"[{low}, {high}]"
