"""CSV files and Excel workbooks as text, row by row; errors that name the rows."""

from __future__ import annotations

import csv
import datetime
import difflib
import io
import re
import unicodedata
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usgland.errors import UserError
from usgland.files import check_ends, list_some

if TYPE_CHECKING:  # pandas takes half a second to load, and a header needs none.
    import pandas as pd

ROW = "csv_row"  # column: the row as a spreadsheet numbers it; the header is row 1
SHOWN = 5  # names or rows in one message
# How programs and people write that a value is not known, as `normalize_word` has it.
# "none" is not among them: of a sign on a form it says that the sign is absent.
MISSING = frozenset(
    ("", "?", "n/a", "#n/a", "na", "nan", "null", "not available", "unknown")
)
ZIP, COMPOUND_FILE = b"PK\3\4", b"\xd0\xcf\x11\xe0"  # first bytes of .xlsx and .xls
LARGEST_WORKBOOK = 300_000_000  # bytes, unpacked; about ten million cells
LAST_ROW = 1_048_576  # of a sheet, ECMA-376 as Excel limits it
MOST_CELLS = 10_000_000  # empty ones before the last of a row included
# What openpyxl raises on workbooks that are broken.
BROKEN_WORKBOOK = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, SyntaxError, RuntimeError),
    *(AttributeError, IndexError, KeyError, TypeError, ValueError),
)
_TAG = rb"<(?:\w+:)?"  # some programs write a prefix before the names of tags
HIDDEN_ROW = re.compile(
    _TAG + rb"row\b(?=[^>]*\bhidden=\"(?:1|true)\")[^>]*\br=\"(\d+)\""
)
MERGED_CELLS = re.compile(_TAG + rb"mergeCell\b[^>]*\bref=\"([A-Z0-9:]+)\"")
# A formula whose value was never computed; that of an empty text has t="str".
UNCOMPUTED = re.compile(
    _TAG
    + rb"c\b(?![^>]*\bt=\"str\")[^>]*\br=\"([A-Z0-9]+)\"[^>]*>\s*"
    + _TAG
    + rb"f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:" + _TAG + rb"v\s*/>|" + _TAG + rb"v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)

# Row of the table, 0 where there is no single one, and what is wrong with it.
Problem = tuple[int, str]


def read_table(path: str | Path, hint: str = "") -> pd.DataFrame:
    """Reads a CSV or an Excel workbook as text and adds the row numbers, as `csv_row`.

    Cells lose the spaces around them. Empty rows and columns without a name are left
    out, but for text beyond the last name, which is an error. Nothing is taken for a
    number or a missing value. Which of the two a file is, its first bytes say.

    Rows are numbered as a spreadsheet does: the header is row 1, empty rows count,
    and a quoted cell with line breaks stays in one row. So an editor's line numbers
    are higher below such a cell.

    Of a workbook the only visible sheet with anything in it is read. Whole numbers
    lose their fraction (7.0 is "7"), dates are written as ISO 8601 does, truth values
    TRUE and FALSE; of formulas the value counts that was last computed.

    Args:
        path: CSV in UTF-8 with or without a byte order mark, any line ends, separated
            by commas, semicolons or tabs; or .xlsx.
        hint: The end of the message where there is no such file.
    """
    import pandas as pd

    path = Path(path)
    data = _read_bytes(path, hint)
    records = iter(_workbook(path, data)) if data.startswith(ZIP) else _csv(path, data)
    header = _read_header(path, records)
    width = len(header)
    # One list of all cells: a list a row takes Python's collector twice the time.
    cells: list[str] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    for number, record in enumerate(records, start=2):
        if not any(map(str.strip, record)):
            continue
        count = len(record)
        if count < width or any(map(str.strip, record[width:])):
            problems.append((number, f"expected {width} cells. Received: {count}"))
        cells += record[:width]
        numbers.append(number)
    raise_problems(str(path), problems)
    columns = {
        name: pd.Series(list(map(str.strip, cells[place::width])), dtype=str)
        for place, name in enumerate(header)
        if name
    }
    return pd.DataFrame({**columns, ROW: pd.Series(numbers, dtype="int64")})


def peek_columns(path: Path) -> list[str]:
    """The columns of a CSV; none of a workbook, where they take as long as all."""
    data = _read_bytes(path, "")
    names = [] if data.startswith(ZIP) else _read_header(path, _csv(path, data))
    return [name for name in names if name]


def check_columns(
    path: Path, wanted: Iterable[str], columns: Sequence[str], hint: str
) -> None:
    """Checks that a table has its columns; the error names the nearest that it has.

    It ends with `hint`, which says what to do.
    """
    by_lower = {name.lower(): name for name in columns}
    missing = []
    for name in dict.fromkeys(wanted):
        if name not in columns:
            near = difflib.get_close_matches(name.lower(), by_lower, n=1)
            nearest = f" (the nearest is `{by_lower[near[0]]}`)" if near else ""
            missing.append(f"`{name}`{nearest}")
    if missing:
        raise UserError(
            f"{path}: expected the column {' and '.join(missing)}. "
            f"Received: {', '.join(columns)}. {hint}"
        )


def raise_problems(source: str, problems: Sequence[Problem]) -> None:
    """Raises one error of `source`, e.g. a path, with all problems by their rows."""
    lines = [f"row {row}: {text}" if row else text for row, text in sorted(problems)]
    if lines:
        many = f"{len(lines)} problems:{list_some(lines)}"
        raise UserError(f"{source}: {many if lines[1:] else lines[0]}")


def wrong_cells(
    rows: pd.DataFrame, column: str, wrong: pd.Series, expected: str, hint: str = ""
) -> list[Problem]:
    """What was expected in the cells of a column that are wrong, bool `(rows,)`."""
    return [
        (row, f"expected {expected}. Received: {cell!r}{hint}")
        for row, cell in rows.loc[wrong, [ROW, column]].itertuples(index=False)
    ]


def show_rows(numbers: Iterable[int]) -> str:
    """Writes `row 2` or `rows 2, 5, 7`, and only the first of many."""
    ordered = [str(number) for number in sorted(numbers)]
    return f"{'row' if len(ordered) == 1 else 'rows'} {show_some(ordered)}"


def show_some(names: Sequence[str]) -> str:
    """Writes the first few of some names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def is_missing(value: object) -> bool:
    """Whether a cell says that its value is not known."""
    return normalize_word(value) in MISSING


def missing_cells(cells: pd.Series) -> pd.Series:
    """Whether each cell says that its value is not known, bool `(rows,)`."""
    return cells.isin([word for word in cells.unique() if is_missing(word)])


def names_nobody(value: object) -> bool:
    """Whether a cell that should name a patient or a group does not."""
    return is_missing(value) or normalize_name(value) == "none"


def to_numbers(cells: pd.Series) -> pd.Series:
    """Reads cells as float64, with a decimal point or comma; others are NaN."""
    import pandas as pd

    points = cells.astype(str).str.replace(",", ".", regex=False)
    return pd.to_numeric(points, errors="coerce").astype("float64")


def with_points(cells: pd.Series, distinct: int) -> pd.Series:
    """Writes a column of numbers, if `distinct` or more differ, with decimal points.

    Others stay as they are: of few that differ, "1,2" may be the codes of two signs.
    """
    known = cells[~missing_cells(cells)]
    numbers = to_numbers(known)
    if numbers.isna().any() or numbers.nunique() < distinct:
        return cells
    return cells.astype(str).str.replace(",", ".", regex=False)


def normalize_word(value: object) -> str:
    """Gives words of one meaning the same form: 1, "1", " 01" and "1.0" are "1"."""
    word = normalize_name(value)
    number = re.fullmatch(r"(-?)\+?0*(\d+)(?:\.(\d*?)0*)?", word)
    if not number:
        return word
    sign, whole, fraction = number.groups(default="")
    return f"{sign}{whole}" + (f".{fraction}" if fraction else "")


def normalize_name(value: object) -> str:
    """Drops what the eye overlooks in a name: case, spaces, kinds of letters."""
    return " ".join(unicodedata.normalize("NFKC", str(value)).casefold().split())


def _read_bytes(path: Path, hint: str) -> bytes:
    try:
        check_ends(path)
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"Expected a table (CSV or .xlsx). Received: no file at {path}{hint}"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: expected a readable table. Received: {error.strerror}"
        ) from error
    received = ""
    if data.startswith(COMPOUND_FILE):
        received = "an old .xls, or a workbook with a password"
    elif data[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        received = "HTML or XML, which some programs name .xls"
    elif data.startswith(ZIP):
        received = _other_archive(data)
    if received:
        raise UserError(
            f"{path}: expected a CSV file or an Excel workbook. Received: {received}; "
            'open it in a spreadsheet and save it as "Excel Workbook (.xlsx)"'
        )
    return data


def _other_archive(data: bytes) -> str:
    """What a ZIP file is that is no workbook; "" of one that is, or is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return ""
    if "xl/workbook.xml" in names:
        return ""
    if "xl/workbook.bin" in names or "mimetype" in names:
        return "a workbook of another kind (.xlsb, .ods)"
    return f"a ZIP file with {show_some(names) or 'nothing in it'}"


def _csv(path: Path, data: bytes) -> Iterator[list[str]]:
    received = "a file with zero bytes" if b"\0" in data else ""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        received = f"byte 0x{data[error.start]:02x} at position {error.start}"
    if received:
        raise UserError(
            f"{path}: expected a CSV file in UTF-8. Received: {received}; save it as "
            '"CSV UTF-8"'
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first_line = text.split("\n", 1)[:1]

    def pieces(cut: str) -> int:
        return len(next(csv.reader(first_line, delimiter=cut), ()))

    try:
        separator = max(",;\t", key=pieces)  # a comma if none cuts the header
        # Not strict, an open quote would swallow the rest of the file in silence.
        yield from csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    except csv.Error as error:
        raise UserError(f"{path}: expected a CSV table. Received: {error}") from error


def _workbook(path: Path, data: bytes) -> list[list[str]]:
    """The rows of a workbook's only sheet, each as long as the header or longer."""
    import openpyxl  # A CSV does without.

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, warnings.catch_warnings():
            # openpyxl warns of what it leaves out, as colours and checks of input.
            warnings.simplefilter("ignore")
            size = sum(member.file_size for member in archive.infolist())
            if size > LARGEST_WORKBOOK:
                raise UserError(
                    f"{path}: expected a workbook of up to {LARGEST_WORKBOOK} bytes "
                    f'when unpacked. Received: {size}; save its sheet as "CSV UTF-8"'
                )
            workbook = openpyxl.load_workbook(
                io.BytesIO(data), read_only=True, data_only=True, keep_links=False
            )
            sheet = _only_sheet(path, workbook)
            records = list(_sheet_rows(path, sheet))
            _check_sheet(path, records, archive.read(sheet._worksheet_path))
    except BROKEN_WORKBOOK as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: expected an Excel workbook that can be read. Received: a damaged "
            f"one ({reason}); open it in a spreadsheet and save it again"
        ) from error
    width = len(records[0]) if records else 0
    return [[*row, *[""] * (width - len(row))] for row in records]


def _only_sheet(path: Path, workbook: Any) -> Any:
    """The visible sheet that is not empty; the first if all are."""
    visible = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    for sheet in visible:
        sheet.reset_dimensions()  # They may claim a million empty rows.
    filled = [sheet for sheet in visible if any(map(any, _sheet_rows(path, sheet)))]
    if len(filled) > 1:
        raise UserError(
            f"{path}: expected one sheet with a table. Received: "
            f"{', '.join(repr(sheet.title) for sheet in filled)}; keep one, "
            "and move the others to another workbook or hide them"
        )
    return (filled or visible)[0]


def _sheet_rows(path: Path, sheet: Any) -> Iterator[list[str]]:
    cells = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells += len(row)
        if number > LAST_ROW or cells > MOST_CELLS:
            raise UserError(
                f"{path}: expected a sheet of up to {MOST_CELLS} cells and {LAST_ROW} "
                f"rows. Received: more, in row {number}; delete what lies right of the "
                "table and below it"
            )
        texts = [_cell_text(value) for value in row]
        while texts and not texts[-1]:
            texts.pop()
        yield texts


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value).strip()


def _check_sheet(path: Path, records: Sequence[list[str]], xml: bytes) -> None:
    """Refuses what a reader of the sheet sees otherwise than it is stored."""
    merged = [match.decode() for match in MERGED_CELLS.findall(xml)]
    if merged:
        raise UserError(
            f"{path}: expected a table without merged cells, where only the first "
            f"has a value. Received: {show_some(merged)}; unmerge and fill them"
        )
    hidden = [int(match) for match in HIDDEN_ROW.findall(xml)]
    hidden = [row for row in hidden if row <= len(records) and records[row - 1]]
    if hidden:
        raise UserError(
            f"{path}: expected a table without hidden or filtered rows, which would "
            f"be used. Received: {show_rows(hidden)}; show them or delete them"
        )
    uncomputed = [match.decode() for match in UNCOMPUTED.findall(xml)]
    if uncomputed:
        raise UserError(
            f"{path}: expected values. Received: formulas that were never computed, in "
            f"{show_some(uncomputed)}; open the workbook in a spreadsheet and save it"
        )


def _read_header(path: Path, records: Iterator[list[str]]) -> list[str]:
    header = [cell.strip() for cell in next(records, [])]
    while header and not header[-1]:  # no name for a cell too many
        header.pop()
    if not any(header):
        raise UserError(
            f"{path}: expected a header with the names of the columns. "
            "Received: an empty first line"
        )
    twice = sorted(name for name, n in Counter(header).items() if name and n > 1)
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
    return header
