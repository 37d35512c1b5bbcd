"""Printed numbers: which values may stand behind the decimals that are shown."""

import re
from typing import Literal, NamedTuple

import numpy as np

# How the last decimal came about; `either` where the paper does not say.
Rounding = Literal["rounded", "truncated", "either"]
ROUNDINGS: tuple[Rounding, ...] = ("rounded", "truncated", "either")
# Binary fractions stand beside decimal ones; far below any printed decimal.
SLACK = 1e-9
PRINTED = re.compile(r"([<>]?)(-?\d+(?:\.(\d+))?)(%?)", re.ASCII)


class Bounds(NamedTuple):
    """The values that may be printed so; both ends belong to them."""

    low: float
    high: float

    def meet(self, other: "Bounds") -> bool:
        return self.low <= other.high and other.low <= self.high


def printed_bounds(text: str, rounding: Rounding = "either") -> Bounds:
    """The values that may stand behind a printed number.

    Half a unit of the last decimal may go up or down, as programs differ in it. A
    value that would be printed so is never left out.

    Args:
        text: As printed: `0.850` has three decimals, `97.2%` one of a percent, and
            `<0.05` or `>0.99` name all values on that side of it.
        rounding: One of `ROUNDINGS`.

    Raises:
        ValueError: If it is no such text.
    """
    match = PRINTED.fullmatch(text.replace(" ", ""))
    if not match or rounding not in ROUNDINGS:
        raise ValueError(
            "expected a number as printed, such as '0.850', '97.2%' or '<0.05', and "
            f"rounding among {list(ROUNDINGS)}. Received: {text!r}, {rounding!r}"
        )
    side, number, decimals, percent = match.groups()
    scale = 0.01 if percent else 1.0
    value, unit = float(number) * scale, scale * 10.0 ** -len(decimals or "")
    if side == "<":
        return Bounds(-float("inf"), value)
    if side == ">":
        return Bounds(value, float("inf"))
    down = up = unit / 2
    if rounding != "rounded":
        # Truncation moves towards 0: a value is at most a unit larger in size.
        inner = unit / 2 if rounding == "either" else 0.0
        down = unit if value <= 0 else inner  # a 0 may stand for either sign
        up = unit if value >= 0 else inner
    return Bounds(value - down - SLACK, value + up + SLACK)


def printed_value(text: str) -> float:
    """The number as it stands, without what its decimals leave open; no limit."""
    bounds = printed_bounds(text, "rounded")
    if not np.isfinite(bounds).all():
        raise ValueError(f"expected a number, not a limit. Received: {text!r}")
    return (bounds.low + bounds.high) / 2
