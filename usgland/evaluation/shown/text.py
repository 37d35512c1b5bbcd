"""One spelling of a number, a P value and a warning."""

from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

SYNTHETIC = "SYNTHETIC DATA: phantoms, not patients"


def print_synthetic(synthetic: bool, console: Console) -> None:
    """Says in large letters that measures are of phantoms, where they are."""
    if synthetic:
        console.print(
            Panel(
                Text(SYNTHETIC, justify="center"),
                style="bold white on red",
                box=box.HEAVY,
            )
        )


def format_measure(measure: dict[str, Any]) -> str:
    """`0.972 (0.912 to 1.000)`; `undefined`, or `(no interval)`, where there is none.

    Args:
        measure: value, low, high: numbers, or NaN or None where undefined.
    """
    value, low, high = (known_number(measure[key]) for key in ("value", "low", "high"))
    if value is None:
        return "undefined"
    if low is None or high is None:
        return f"{_number(value)} (no interval)"
    return f"{_number(value)} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    """Three decimals; one where 10 or more, as likelihood ratios may be."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def known_number(value: float | None) -> float | None:
    """NaN in memory is null in JSON: both say undefined."""
    return None if value is None or value != value else value


def format_p(value: float) -> str:
    """`0.034`, `<0.001`, or nothing where undefined."""
    if value != value:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
