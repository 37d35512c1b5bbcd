"""CSV files as text, row by row, and errors that name the rows."""

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from usgland.errors import UserError

ROW = "csv_row"  # column: the row as a spreadsheet numbers it; the header is row 1
SHOWN_ROWS = 5

# Row of the CSV, 0 where there is no single one, and what is wrong with it.
Problem = tuple[int, str]


def read_table(path: Path) -> pd.DataFrame:
    """Reads a CSV as text and adds the row numbers, int, as `csv_row`.

    Cells lose the spaces around them. Empty rows and columns without a name are
    left out. Nothing is taken for a number or a missing value.

    Args:
        path: UTF-8 with or without a byte order mark, any line ends, separated by
            commas, semicolons or tabs.

    Raises:
        UserError: If the file is no such table.
    """
    text = _read_text(path)
    first_line = text.split("\n", 1)[0]
    # The separator that cuts the header into most pieces; a comma if none does.
    separator = max(",;\t", key=first_line.count)
    try:
        # Not strict, an open quote would swallow the rest of the file in silence.
        records = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: expected a CSV table. Received: {error}") from error
    header = [cell.strip() for cell in records[0]] if records else []
    _check_header(path, header)
    table, problems = [], []
    for number, record in enumerate(records[1:], start=2):
        cells = [cell.strip() for cell in record]
        if not any(cells):
            continue
        if len(cells) < len(header) or any(cells[len(header) :]):
            problems.append(
                (number, f"expected {len(header)} cells. Received: {len(cells)}")
            )
        table.append([*cells[: len(header)], number])
    raise_problems(str(path), problems)
    rows = pd.DataFrame(table, columns=[*header, ROW])
    return rows.loc[:, [name != "" for name in rows.columns]]


def check_columns(
    path: Path, wanted: Iterable[str], found: Sequence[str], hint: str
) -> None:
    """Checks that columns are there; the error names the nearest that are.

    Args:
        path: The table.
        wanted: Columns it must have.
        found: Columns it has.
        hint: What to do.

    Raises:
        UserError: If any is missing.
    """
    by_lower = {name.lower(): name for name in found}
    missing = []
    for name in dict.fromkeys(wanted):
        if name not in found:
            near = difflib.get_close_matches(name.lower(), by_lower, n=1)
            nearest = f" (the nearest is `{by_lower[near[0]]}`)" if near else ""
            missing.append(f"`{name}`{nearest}")
    if missing:
        raise UserError(
            f"{path}: expected the column {' and '.join(missing)}. "
            f"Received: {', '.join(found)}. {hint}"
        )


def raise_problems(source: str, problems: Sequence[Problem]) -> None:
    """Raises one error that names every problem, in the order of their rows.

    Args:
        source: What was checked, e.g. the path of the manifest.
        problems: Rows and texts.

    Raises:
        UserError: If there are any.
    """
    lines = [f"row {row}: {text}" if row else text for row, text in sorted(problems)]
    if len(lines) == 1:
        raise UserError(f"{source}: {lines[0]}")
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise UserError(f"{source}: {len(lines)} problems:{listed}")


def show_rows(numbers: Iterable[int]) -> str:
    """Writes `row 2` or `rows 2, 5, 7`, and only the first of many."""
    ordered = sorted(numbers)
    listed = ", ".join(map(str, ordered[:SHOWN_ROWS]))
    more = ", …" if len(ordered) > SHOWN_ROWS else ""
    return f"{'row' if len(ordered) == 1 else 'rows'} {listed}{more}"


def normalize_word(value: object) -> str:
    """Gives words that mean the same one form: 1, "1", " 01" and "1.0" are "1"."""
    word = normalize_name(value)
    number = re.fullmatch(r"(-?)\+?0*(\d+)(?:\.(\d*?)0*)?", word)
    if not number:
        return word
    sign, whole, fraction = number.groups(default="")
    return f"{sign}{whole}" + (f".{fraction}" if fraction else "")


def normalize_name(value: object) -> str:
    """Drops what the eye overlooks in a name: case, spaces, kinds of letters."""
    return " ".join(unicodedata.normalize("NFKC", str(value)).casefold().split())


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"Expected a CSV file. Received: no file at {path}") from error
    except OSError as error:
        raise UserError(
            f"{path}: expected a readable CSV file. Received: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: expected a CSV file in UTF-8. Received: byte "
            f"0x{data[error.start]:02x} at position {error.start}; save it as "
            '"CSV UTF-8"'
        ) from error
    if "\0" in text:
        raise UserError(
            f"{path}: expected a CSV file in UTF-8. Received: a file with zero "
            'bytes; save it as "CSV UTF-8"'
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise UserError(
            f"{path}: expected a header with the names of the columns. "
            "Received: an empty first line"
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(
            f"{path}: expected each column once. Received: {', '.join(twice)} twice "
            "or more; rename or remove one"
        )
    if ROW in header:
        raise UserError(
            f"{path}: expected columns of other names than ours. Received: `{ROW}`; "
            "rename it"
        )
