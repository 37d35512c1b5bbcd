"""Table 1 as published tables show it: a line a variable, its categories below."""

from collections.abc import Mapping
from itertools import groupby

from usgland.evaluation.baseline.characteristics import (
    LEAST_EXPECTED,
    SKEWED,
    Line,
    TableOne,
)
from usgland.evaluation.shown.table import MARKS, Document, Row, Table
from usgland.evaluation.shown.text import format_number, format_p

TESTED = ("test", "p_value", "smd", "reason")  # columns of the CSV


def table_one_document(
    characteristics: TableOne,
    *,
    synthetic: bool,
    names: Mapping[str, str] | None = None,
) -> Document:
    """The table, and a record a line of it in full precision.

    `names` are column -> how it is called, with its unit; others have their own names.
    """
    tests = [_test(line) for line in characteristics.lines if line.test or line.reason]
    marks = dict(zip(dict.fromkeys(tests), MARKS, strict=False))
    # More than two groups have no difference.
    smd = any(line.smd == line.smd for line in characteristics.lines)
    lines = []
    for column, of_column in groupby(characteristics.lines, key=lambda line: line.name):
        shown = (names or {}).get(column) or column.replace("_", " ")
        # Of the first letter alone: BMI stays in capitals.
        name = shown[:1].upper() + shown[1:]
        lines += _rows(name, list(of_column), marks, smd=smd)
    groups = tuple(zip(characteristics.groups, characteristics.sizes, strict=True))
    sizes = (f"{group}\nn = {size}" for group, size in groups)
    table = Table(
        heads=("", *sizes, "P", *(["SMD"] if smd else [])),
        sections=(tuple(lines),),
        notes=tuple(_notes(characteristics, smd=smd)),
        footnote="; ".join(f"{mark} {test}" for test, mark in marks.items()),
    )
    heads = [f"{group} (n = {size})" for group, size in groups]
    missing = [f"missing {group}" for group in characteristics.groups]
    records = [
        {
            "synthetic": synthetic,
            "unit": characteristics.unit,
            "column": line.name,
            **dict(zip(heads, line.cells, strict=True)),
            **dict(zip(missing, line.missing, strict=True)),
            **{name: getattr(line, name) for name in ("word", *TESTED)},
        }
        for line in characteristics.lines
    ]
    columns = ("synthetic", "unit", "column", "word", *heads, *missing)
    return Document(
        (table,),
        synthetic,
        columns=(*columns, *TESTED),
        records=tuple(records),
    )


def _test(line: Line) -> str:
    """What the mark of a P value stands for."""
    return f"no test, {line.reason}" if line.reason else line.test


def _rows(
    name: str, lines: list[Line], marks: Mapping[str, str], *, smd: bool
) -> list[Row]:
    """A variable with its P; below, its categories and how many are missing."""
    first = lines[0]
    p_value = "none" if first.reason else format_p(first.p_value)
    tested = [p_value + marks[_test(first)]]
    if smd:
        tested += ["" if first.smd != first.smd else format_number(first.smd, 2)]
    empty = ("",) * len(first.cells)
    rows = [Row((name, *(empty if first.word else first.cells), *tested))]
    none = ("",) * len(tested)
    if first.word:
        rows += [Row((line.word, *line.cells, *none), indent=1) for line in lines]
    if any(first.missing):
        rows.append(Row(("missing", *map(str, first.missing), *none), indent=1))
    return rows


def _notes(characteristics: TableOne, *, smd: bool) -> list[str]:
    notes = [
        f"Counted: {characteristics.unit}. Numbers: mean ± SD, or median [quartiles]; "
        "words: count (percent of those known).",
        "Tests, unless chosen: numbers by Welch, by Mann-Whitney where a group's "
        f"skewness passes {SKEWED:g}; words by chi-square without correction if every "
        f"expected count is {LEAST_EXPECTED:g} or more, else by Fisher; more than two "
        "groups of numbers by ANOVA or Kruskal-Wallis.",
        "P values are not adjusted for several columns.",
    ]
    if smd:
        notes.append(
            "SMD: standardized mean difference; above 0.1 is often called an "
            "imbalance; empty where the groups share no value."
        )
    if characteristics.left_out:
        listed = "; ".join(characteristics.left_out)
        notes.append(f"Left out: {listed}.")
    return notes
