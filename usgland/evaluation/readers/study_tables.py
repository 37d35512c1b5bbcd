"""The tables of a reader study: on the terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from usgland.evaluation.readers.study_sections import (
    Section,
    average_questions,
    study_notes,
    study_sections,
    study_title,
)
from usgland.evaluation.shown.text import SYNTHETIC

UNWRAPPED = 14  # characters; longer cells are words, which may be wrapped
CSV_COLUMNS = (
    "synthetic",
    "part",
    "question",
    "reader",
    "figure",
    "scope",
    "unit",
    "n",
    "value",
    "low",
    "high",
    "confidence_level",
    "standard_error",
    "statistic",
    "degrees_of_freedom",
    "p_value",
    "p_holm",
    "method",
    "reason",
)


def print_study(study: dict[str, Any], console: Console) -> None:
    """Shows all tables, readable in 80 columns; bounds there have two digits.

    Args:
        study: As `study_readers` gives it, or as read back from readers.json.
        console: Where to.
    """
    if study["synthetic"]:
        console.print(
            Panel(
                Text(SYNTHETIC, justify="center"),
                style="bold white on red",
                box=box.HEAVY,
            )
        )
    console.print(study_title(study), style="bold", highlight=False, markup=False)
    for section in study_sections(study):
        console.print(_rich(section))
        for note in section.notes:
            console.print(note, highlight=False, markup=False)
        console.print()
    for note in study_notes(study):
        console.print(note, highlight=False, markup=False)


def study_markdown(study: dict[str, Any]) -> str:
    """The same tables as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if study["synthetic"] else []
    lines += [f"**{study_title(study)}**", ""]
    for section in study_sections(study):
        lines += [f"**{section.title}**", ""]
        lines += [_line(section.header), "|---" * len(section.header) + "|"]
        lines += [_line(row) for row in section.rows]
        lines += ["", *(f"- {note}" for note in section.notes), ""]
    lines += [f"- {note}" for note in study_notes(study)]
    return "\n".join(lines).rstrip() + "\n"


def study_csv(study: dict[str, Any]) -> str:
    """One row a number, in full precision; empty where undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _records(study):
        known = {key: value for key, value in row.items() if value == value}
        writer.writerow(
            {
                **known,
                "synthetic": str(study["synthetic"]).lower(),
                "confidence_level": study["confidence_level"],
            }
        )
    return text.getvalue()


def _records(study: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for condition, table in study["tables"].items():
        for row in table:
            for name, measure in row["figures"].items():
                yield {
                    "part": "figures",
                    "question": f"{condition} clinical data",
                    "reader": row["name"],
                    "figure": name,
                    "unit": row["unit"],
                    "n": row["n"],
                    **{key: measure[key] for key in CSV_COLUMNS if key in measure},
                }
    for test in study["tests"]:
        kept = {key: test[key] for key in CSV_COLUMNS if key in test}
        sizes = f"{test['n_a']}" if test["n_a"] == test["n_b"] else ""
        yield {"part": "tests", **kept, "value": test["difference"], "n": sizes}
    for condition, part in study["agreement"].items():
        every = [{"readers": ["all"], **part["all"]}] if part["all"] else []
        for one in [*part["pairs"], *every]:
            kept = {key: one[key] for key in CSV_COLUMNS if key in one}
            yield {
                "part": "agreement",
                "question": f"{condition} clinical data",
                "reader": " and ".join(one["readers"]),
                "figure": "kappa",
                "unit": study["unit"],
                "n": study["n"],
                **kept,
                "value": one["kappa"],
            }
    for measure, part in study["averages"].items():
        for question, estimates in average_questions(part).items():
            for one in estimates:
                yield {
                    "part": "average reader",
                    "question": question,
                    "figure": measure,
                    "unit": study["unit"],
                    "n": study["n"],
                    **one,
                    "method": f"Obuchowski-Rockette, {part['covariance']}",
                }


def _rich(section: Section) -> Table:
    table = Table(
        title=section.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    cells = [[_stacked(cell) for cell in row] for row in section.rows]
    for name, *column in zip(section.header, *cells, strict=True):
        longest = max(len(line) for cell in column for line in cell.split("\n"))
        table.add_column(
            Text("\n".join(name.split())),
            no_wrap=longest <= UNWRAPPED,
            overflow="fold",
            vertical="top",
        )
    before = ""
    for first, *rest in cells:
        # What stands above is not said again.
        table.add_row(*map(Text, ["" if first == before else first, *rest]))
        before = first
    return table


def _stacked(cell: str) -> str:
    """An interval below its value: six of them stand side by side in 80 columns."""
    value, bracket, rest = cell.partition(" (")
    if not bracket:
        return cell
    low, between, high = rest.rstrip(")").partition(" to ")
    if not between:
        return f"{value}\n{low}"
    dash = " to " if "-" in rest else "-"
    return f"{value}\n{float(low):.2f}{dash}{float(high):.2f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
