"""Splits and folds that the user gives: a file of an earlier run, or a column."""

from pathlib import Path

import numpy as np
import pandas as pd

from usgland import table_files
from usgland.errors import UserError
from usgland.table_files import ROW, normalize_word, raise_problems, wrong_cells

ROLES = ("train", "val", "test")
UNUSED = "unused"  # patients that the balanced draw leaves over
ROLE_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    UNUSED: UNUSED,
}


def is_given(rows: pd.DataFrame, column: str) -> bool:
    """Whether any row has something in the column."""
    return column in rows and any(str(cell) != "" for cell in rows[column])


def follow_file(path: Path, rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Reads a column of an earlier `splits.csv` in the order of `rows`.

    Returns:
        The file's rows as text, with its own row numbers.

    Raises:
        UserError: If its images or patients are not those of the manifest.
    """
    table = table_files.read_table(path)
    hint = "Set split.file to the splits.csv of an earlier run"
    wanted = ("image", "patient_id", column)
    table_files.check_columns(path, wanted, list(table.columns), hint)
    repeated = table[table["image"].duplicated()]
    problems = [
        (row, f"{image}: expected each image once. Received: it again")
        for row, image in zip(repeated[ROW], repeated["image"], strict=True)
    ]
    ours, theirs = set(rows["image"]), set(table["image"])
    for images, what in ((ours - theirs, "lacks"), (theirs - ours, "adds")):
        if images:
            received = f"{len(images)}: {table_files.show_some(sorted(images))}"
            text = "expected exactly the images of the manifest. Received: a file that"
            problems.append((0, f"{text} {what} {received}"))
    raise_problems(str(path), problems)
    followed = table.set_index("image").loc[rows["image"]].reset_index()
    # Digests tell other pixels under the same name.
    for name in ("patient_id", "label", "sha256"):
        if name not in followed or name not in rows:
            continue
        known = rows[name].astype(str).to_numpy()
        wrong = followed[(followed[name] != "") & (followed[name] != known)]
        problems += [
            (row, f"{image}: expected the {name} {known[at]!r}. Received: {text!r}")
            for at, row, image, text in wrong[[ROW, "image", name]].itertuples()
        ]
    raise_problems(str(path), problems)
    return followed


def read_roles(rows: pd.DataFrame, column: str, source: str) -> np.ndarray:
    """Turns the words of a column into train, val, test and unused.

    An error calls the table `source`.
    """
    words = rows[column].map(normalize_word)
    wrong = ~words.isin(ROLE_WORDS)
    raise_problems(source, wrong_cells(rows, column, wrong, "train, val or test"))
    return np.array([ROLE_WORDS[word] for word in words])


def read_folds(rows: pd.DataFrame, source: str) -> np.ndarray:
    """Numbers the folds of the column `fold` anew from 0, in their order."""
    words = rows["fold"].map(normalize_word)
    wrong = ~words.str.isdecimal()
    raise_problems(source, wrong_cells(rows, "fold", wrong, "a whole number as fold"))
    numbers, folds = np.unique(list(map(int, words)), return_inverse=True)
    if len(numbers) < 2:
        raise UserError(f"{source}: expected two folds or more. Received: {numbers[0]}")
    return folds


def read_sites(
    rows: pd.DataFrame, column: str, shown: np.ndarray
) -> tuple[np.ndarray, list[int]]:
    """Numbers the values of a column from 0, in their order, whatever their case.

    Args:
        rows: Manifest rows.
        column: Where an image is from, such as `site`.
        shown: Which rows show a lesion, bool `(rows,)`: others make no site.

    Returns:
        The numbers of the rows with a lesion, and of the others; -1 for another site.
    """
    present = [str(name) for name in rows.columns if name != ROW]
    hint = "Name a column of the manifest, or map it in data.columns"
    table_files.check_columns(Path("split.by"), [column], present, hint)
    missing = table_files.missing_cells(rows[column])
    problems = wrong_cells(rows, column, missing, f"a {column}")
    raise_problems(f"The column `{column}`", problems)
    words = rows[column].map(table_files.normalize_name)
    names = sorted(set(words[shown]))
    if len(names) < 2:
        raise UserError(
            f"split.by={column}: expected two values or more, to test on one of them "
            f"at a time. Received: {rows[column].iloc[0]!r} alone"
        )
    numbers = words.map({name: number for number, name in enumerate(names)})
    numbers = numbers.fillna(-1).astype(int)
    return numbers[shown].to_numpy(), numbers[~shown].to_list()


def may_train(words: pd.Series) -> np.ndarray:
    """Whether a role, or no word, lets an image without a lesion train."""
    roles = [ROLE_WORDS.get(normalize_word(word), word) for word in words]
    return np.isin(roles, ("train", ""))
