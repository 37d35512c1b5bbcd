"""One spelling of a number, an interval, a P value and a percent."""

from typing import Any

SYNTHETIC = "SYNTHETIC DATA: phantoms, not patients"


def known_number(value: float | None) -> float | None:
    """NaN in memory is null in JSON: both say undefined."""
    return None if value is None or value != value else value


def format_number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """`0.972`, `+0.020`; `undefined` for NaN and None.

    Args:
        value: NaN or None where undefined.
        digits: After the point; one where the value is 10 or more, as likelihood
            ratios may be.
        signed: Whether + stands before what is not below 0, as of differences.
    """
    number = known_number(value)
    if number is None:
        return "undefined"
    digits = digits if abs(number) < 10 else 1
    # Adding 0 turns -0.000 into 0.000.
    number = round(number, digits) + 0.0
    return f"{number:+.{digits}f}" if signed else f"{number:.{digits}f}"


def format_interval(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    digits: int = 3,
    signed: bool = False,
) -> str:
    """`0.972 (0.912 to 1.000)`; `undefined`, or `(no interval)`, where there is none.

    `digits` and `signed` as in `format_number`.
    """
    first, *bounds = (
        format_number(number, digits, signed=signed) for number in (value, low, high)
    )
    if "undefined" in (first, *bounds):
        return first if first == "undefined" else f"{first} (no interval)"
    return f"{first} ({bounds[0]} to {bounds[1]})"


def format_measure(measure: dict[str, Any], digits: int = 3) -> str:
    """`format_interval` of a dict with value, low and high."""
    return format_interval(
        measure["value"], measure["low"], measure["high"], digits=digits
    )


def format_p(value: float | None) -> str:
    """`0.034`, `<0.001`, or `undefined`."""
    number = known_number(value)
    if number is None:
        return "undefined"
    return "<0.001" if number < 0.001 else f"{number:.3f}"


def format_percent(share: float, digits: int | None = None) -> str:
    """`95%` of 0.95; with as many digits after the point as asked for."""
    percent = 100 * share
    return f"{percent:g}%" if digits is None else f"{percent:.{digits}f}%"
