"""Table 1 on the terminal, as Markdown, CSV and LaTeX."""

import csv
import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from usgland.evaluation.shown.text import SYNTHETIC, format_p, print_synthetic
from usgland.evaluation.table_one.characteristics import (
    LEAST_EXPECTED,
    SKEWED,
    Line,
    TableOne,
)

SPECIAL = str.maketrans(
    {
        **{one: f"\\{one}" for one in "%_&#${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "<": "$<$",
        ">": "$>$",
    }
)


def print_table_one(found: TableOne, console: Console, *, synthetic: bool) -> None:
    """Shows the table in 80 columns.

    Args:
        found: The table.
        console: Where to.
        synthetic: Whether the rows are phantoms.
    """
    print_synthetic(synthetic, console)
    table = Table()
    for number, head in enumerate(_heads(found)):
        table.add_column(
            Text(head), justify="right" if number else "left", overflow="fold"
        )
    for line in found.lines:
        table.add_row(*map(Text, _cells(line)))
    console.print(table)
    for note in _notes(found):
        console.print(note, highlight=False, markup=False)


def table_one_markdown(found: TableOne, *, synthetic: bool) -> str:
    """The table as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if synthetic else []
    heads = _heads(found)
    lines += [_markdown_row(heads), "|---" + "|---:" * (len(heads) - 1) + "|"]
    lines += [_markdown_row(_cells(line)) for line in found.lines]
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(found))]) + "\n"


def table_one_latex(found: TableOne, *, synthetic: bool) -> str:
    """The table as a LaTeX `tabular`."""
    heads = _heads(found)
    rows = [" & ".join(cell.translate(SPECIAL) for cell in heads) + r" \\ \hline"]
    for line in found.lines:
        rows.append(
            " & ".join(cell.translate(SPECIAL) for cell in _cells(line)) + r" \\"
        )
    mark = [f"% {SYNTHETIC}", rf"\textbf{{{SYNTHETIC}}} \\"] if synthetic else []
    notes = [f"% {note}" for note in _notes(found)]
    columns = "l" + "r" * (len(heads) - 1)
    begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([*mark, begin, *rows, end, *notes]) + "\n"


def table_one_csv(found: TableOne, *, synthetic: bool) -> str:
    """One row a line, in full precision; empty where undefined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "synthetic",
            "unit",
            "column",
            "word",
            *(f"{g} (n = {n})" for g, n in zip(found.groups, found.sizes, strict=True)),
            *(f"missing {group}" for group in found.groups),
            "test",
            "p_value",
            "smd",
            "reason",
        ]
    )
    for line in found.lines:
        writer.writerow(
            [
                str(synthetic).lower(),
                found.unit,
                line.name,
                line.word,
                *line.cells,
                *line.missing,
                line.test,
                "" if line.p_value != line.p_value else line.p_value,
                "" if line.smd != line.smd else line.smd,
                line.reason,
            ]
        )
    return text.getvalue()


def _markdown_row(cells: list[str]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _heads(found: TableOne) -> list[str]:
    groups = zip(found.groups, found.sizes, strict=True)
    return ["", *(f"{group}, n = {size}" for group, size in groups), "P", "test", "SMD"]


def _cells(line: Line) -> list[str]:
    first = bool(line.test or line.reason or not line.word)
    name = line.name + (f": {line.word}" if line.word else "")
    if not first:
        name = f"- {line.word}"
    cells = list(line.cells)
    if first and any(line.missing):
        cells = [
            f"{cell}; {gone} missing" if gone else cell
            for cell, gone in zip(cells, line.missing, strict=True)
        ]
    smd = "" if line.smd != line.smd else f"{line.smd:.2f}"
    return [name, *cells, format_p(line.p_value), line.test or line.reason, smd]


def _notes(found: TableOne) -> list[str]:
    notes = [
        f"Counted: {found.unit}. Numbers: mean ± SD, or median [quartiles]; words: "
        "count (percent of those known).",
        "Tests, unless chosen: numbers by Welch, by Mann-Whitney where a group's "
        f"skewness passes {SKEWED:g}; words by chi-square without correction if every "
        f"expected count is {LEAST_EXPECTED:g} or more, else by Fisher; more than two "
        "groups of numbers by ANOVA or Kruskal-Wallis.",
        "SMD: standardized mean difference; above 0.1 is often called an imbalance; "
        "empty where the groups share no value. P values are not adjusted for "
        "several columns.",
    ]
    if found.left_out:
        listed = "; ".join(found.left_out)
        notes.append(f"Left out, as values differ within a patient: {listed}.")
    return notes
