"""The clinical values of a manifest: from cells to words and numbers.

In the checked rows a number is a float, NaN where missing, and a word is the one that
the schema lists first, "" where missing.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from usgland import table_files
from usgland.errors import UserError
from usgland.schema import ClinicalColumn
from usgland.table_files import ROW, Problem, normalize_word, show_rows

NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")


def check_form_columns(
    rows: pd.DataFrame, columns: Mapping[str, ClinicalColumn], path: Path
) -> None:
    """Checks that a table has every column of the form."""
    hint = (
        "Add it (its cells may be empty), map another to it in data.columns, or name "
        "it in clinical.leave_out"
    )
    present = [name for name in rows.columns if name != ROW]
    table_files.check_columns(path, columns, present, hint)


def read_forms(
    rows: pd.DataFrame, columns: Mapping[str, ClinicalColumn], *, training: bool
) -> list[Problem]:
    """Normalizes the form's columns of manifest rows, in place.

    Returns:
        What is wrong: unknown words, numbers out of range, values that must not be
        missing, values that differ between the images of a patient, and in `training`
        columns without any value.
    """
    problems: list[Problem] = []
    for name, column in columns.items():
        spellings = {
            normalize_word(spelling): word
            for spelling, word in column.spellings().items()
        }
        values = []
        expected = f"{name}: expected {column.expected()}. Received:"
        for row, cell in zip(rows[ROW], rows[name], strict=True):
            value = _read_cell(str(cell), column, spellings)
            if value is None:
                value = _missing(column)
                problems.append((row, f"{expected} {cell!r}"))
            elif _is_missing(value) and not column.may_be_missing:
                problems.append((row, f"{expected} no value"))
            values.append(value)
        kind = "float64" if column.kind == "number" else object
        rows[name] = pd.Series(values, index=rows.index, dtype=kind)
        if training and len(rows) and all(map(_is_missing, values)):
            received = "none; name it in clinical.leave_out"
            text = f"{name}: expected a value in some row. Received: {received}"
            problems.append((0, text))
        if column.level == "patient":
            problems += _find_two_values(rows, name)
    return problems


def join_forms(rows: pd.DataFrame, forms: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Adds the columns of a table of patients, at `path`, to the rows of their images.

    Raises:
        UserError: If a patient has two forms, a form no image or an image no form,
            or a column stands in both tables.
    """
    table_files.check_columns(
        path, ["patient_id"], list(forms.columns), "One row a patient"
    )
    both = [str(name) for name in forms if name in rows and name != "patient_id"]
    both.remove(ROW)
    if both:
        raise UserError(
            f"{path}: expected columns that the manifest does not have. Received: "
            f"{', '.join(both)} in both"
        )
    again = forms.loc[forms["patient_id"].duplicated(), ROW]
    strange = forms.loc[~forms["patient_id"].isin(rows["patient_id"]), ROW]
    wrong = (
        ("one form a patient. Received: a second one", again),
        ("a patient of the manifest. Received: forms without an image", strange),
    )
    lines = [f"expected {what} ({show_rows(at)})" for what, at in wrong if len(at)]
    without = rows.loc[~rows["patient_id"].isin(forms["patient_id"]), "patient_id"]
    if len(without):
        named = ", ".join(dict.fromkeys(without.head(5)))
        lines.append(
            f"expected a form of every patient (its cells may be empty). Received: "
            f"none of {without.nunique()} patients: {named}"
        )
    if lines:
        raise UserError(f"{path}: " + "; ".join(lines))
    return rows.merge(forms.drop(columns=[ROW]), on="patient_id", validate="m:1")


def _read_cell(
    cell: str, column: ClinicalColumn, spellings: Mapping[str, str]
) -> float | str | None:
    """The value; NaN or "" where it is missing; None where it means nothing."""
    word = normalize_word(cell)
    if word in spellings:
        return spellings[word]
    if word in table_files.MISSING:  # A word of the schema goes before.
        return _missing(column)
    if column.kind != "number" or not NUMBER.fullmatch(cell.strip()):
        return None
    number = float(cell.strip().replace(",", "."))
    # A number has both, as the schema checks.
    inside = (column.low or 0) <= number <= (column.high or 0)
    return number if inside else None


def _missing(column: ClinicalColumn) -> float | str:
    return math.nan if column.kind == "number" else ""


def _is_missing(value: float | str) -> bool:
    return value == "" or value != value


def _find_two_values(rows: pd.DataFrame, name: str) -> list[Problem]:
    # Missing in one image and known in another is a difference, too.
    counts = rows.groupby("patient_id")[name].nunique(dropna=False)
    problems: list[Problem] = []
    for patient in counts[counts > 1].index:
        same = rows[rows["patient_id"] == patient]
        received = ", ".join(
            f"{value!r} ({show_rows(part[ROW])})"
            for value, part in same.groupby(name, dropna=False)
        )
        text = (
            f"patient {patient!r}: {name}: expected one value for all images (or "
            f"level: image in its schema). Received: {received}"
        )
        problems.append((int(same[ROW].min()), text))
    return problems
