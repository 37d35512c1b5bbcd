"""The importance of the form's columns: on the terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from usgland.evaluation.tables import SYNTHETIC, print_synthetic

TITLE = "What the model leans on: fall of the AUC per patient"
HEADS = ("", "fall", "AUC then")
NOTE = (
    "A column, or a whole side, of another patient in its place (withheld: of nobody); "
    "held-out patients."
)


def print_importance(
    table: Sequence[dict[str, Any]], console: Console, *, synthetic: bool
) -> None:
    """Shows the table in 80 columns.

    Args:
        table: As `importance_table` gives it.
        console: Where to.
        synthetic: Whether the cases are phantoms.
    """
    print_synthetic(synthetic, console)
    shown = Table(title=TITLE, title_justify="left", title_style="bold")
    for head in HEADS:
        shown.add_column(head, justify="left" if not head else "right")
    for row in table:
        shown.add_row(*_cells(row))
    console.print(shown)
    for line in (NOTE, _method(table)):
        console.print(line, highlight=False, markup=False)


def importance_markdown(table: Sequence[dict[str, Any]], *, synthetic: bool) -> str:
    """The same table as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if synthetic else []
    lines += [f"**{TITLE}**", "", f"| {' | '.join(HEADS)} |", "|---|---:|---:|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in table]
    return "\n".join([*lines, "", f"- {NOTE}", f"- {_method(table)}"]) + "\n"


def importance_csv(table: Sequence[dict[str, Any]]) -> str:
    """One row a name, in full precision; empty where undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: "" if v != v else v for k, v in row.items()})
    return text.getvalue()


def _cells(row: dict[str, Any]) -> tuple[str, str, str]:
    fall = f"{row['fall']:+.3f}"
    if row["low"] == row["low"]:
        fall += f" ({row['low']:+.3f} to {row['high']:+.3f})"
    else:
        fall += " (no interval)"
    return row["name"], fall, f"{row['auc']:.3f}"


def _method(table: Sequence[dict[str, Any]]) -> str:
    return f"Intervals: {max((row['method'] for row in table), key=len)}."
