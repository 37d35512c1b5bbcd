"""Splits and folds that the user gives: a file of an earlier run, or a column."""

from pathlib import Path

import numpy as np
import pandas as pd

from usgland.errors import UserError
from usgland.table_files import (
    ROW,
    Problem,
    check_columns,
    normalize_word,
    raise_problems,
    read_table,
    show_some,
)

ROLES = ("train", "val", "test")
UNUSED = "unused"  # patients that the balanced draw leaves over
ROLE_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    UNUSED: UNUSED,
}


def is_given(rows: pd.DataFrame, column: str) -> bool:
    """Whether any row has something in the column."""
    return column in rows and any(str(cell) != "" for cell in rows[column])


def follow_file(path: Path, rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Reads a column of an earlier `splits.csv` in the order of `rows`.

    Args:
        path: CSV file with `image`, `patient_id` and the column.
        rows: Manifest rows.
        column: `role` or `fold`.

    Returns:
        The file's rows as text, with its own row numbers.

    Raises:
        UserError: If its images or patients are not those of the manifest.
    """
    table = read_table(path)
    check_columns(
        path,
        ("image", "patient_id", column),
        list(table.columns),
        "Set split.file to the splits.csv of an earlier run",
    )
    repeated = table[table["image"].duplicated()]
    problems: list[Problem] = [
        (row, f"{image}: expected each image once. Received: it again")
        for row, image in zip(repeated[ROW], repeated["image"], strict=True)
    ]
    ours, theirs = set(rows["image"]), set(table["image"])
    for images, what in ((ours - theirs, "lacks"), (theirs - ours, "adds")):
        if images:
            problems.append(
                (
                    0,
                    "expected exactly the images of the manifest. Received: a file "
                    f"that {what} {len(images)}: {show_some(sorted(images))}",
                )
            )
    raise_problems(str(path), problems)
    followed = table.set_index("image").loc[rows["image"]].reset_index()
    # Digests tell other pixels under the same name.
    compared = [
        name
        for name in ("patient_id", "label", "sha256")
        if name in followed and name in rows
    ]
    raise_problems(
        str(path),
        [
            (row, f"{image}: expected the {name} {ours!r}. Received: {theirs!r}")
            for name in compared
            for row, image, ours, theirs in zip(
                followed[ROW],
                followed["image"],
                rows[name].astype(str),
                followed[name],
                strict=True,
            )
            if theirs and ours != theirs
        ],
    )
    return followed


def _numbered(rows: pd.DataFrame, column: str) -> list[tuple[int, str]]:
    """The cells of a column with their row numbers."""
    numbers = rows[ROW] if ROW in rows else range(2, len(rows) + 2)
    return list(zip(numbers, map(str, rows[column]), strict=True))


def read_roles(rows: pd.DataFrame, column: str, source: str) -> np.ndarray:
    """Turns the words of a column into train, val, test and unused.

    Args:
        rows: Rows with the column, and `csv_row` where known.
        column: Where the words stand.
        source: What the error names.

    Raises:
        UserError: If a cell is empty or no such word.
    """
    cells = _numbered(rows, column)
    raise_problems(
        source,
        [
            (row, f"expected train, val or test. Received: {text!r}")
            for row, text in cells
            if normalize_word(text) not in ROLE_WORDS
        ],
    )
    return np.array([ROLE_WORDS[normalize_word(text)] for _, text in cells])


def read_folds(rows: pd.DataFrame, source: str) -> np.ndarray:
    """Numbers the folds of the column `fold` anew from 0, in their order.

    Args:
        rows: Rows with `fold`, and `csv_row` where known.
        source: What the error names.

    Raises:
        UserError: If a cell is no whole number, or all are the same.
    """
    cells = _numbered(rows, "fold")
    raise_problems(
        source,
        [
            (row, f"expected a whole number as fold. Received: {text!r}")
            for row, text in cells
            if not normalize_word(text).isdecimal()
        ],
    )
    numbers, folds = np.unique(
        [int(normalize_word(text)) for _, text in cells], return_inverse=True
    )
    if len(numbers) < 2:
        raise UserError(f"{source}: expected two folds or more. Received: {numbers[0]}")
    return folds
