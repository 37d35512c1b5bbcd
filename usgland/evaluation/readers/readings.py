"""The table of readers' calls: checked when read, and laid beside the model's cases."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from usgland.errors import UserError
from usgland.evaluation.readers.reading_checks import (
    CALL_WORDS,
    CONDITION_WORDS,
    CONDITIONS,
    duplicate_problems,
    label_problems,
    skipped_cases,
    skipped_problems,
    unknown_problems,
    value_problems,
)
from usgland.table_files import ROW, raise_problems, read_table, to_numbers

CASE_COLUMNS = ("image", "patient_id")
SKIPPED = ("error", "drop-case")
HINT = ". It holds the readers' calls, one row a reader and case"  # of a missing file


class Readings(NamedTuple):
    """What readers said of the same cases, fully crossed.

    Attributes:
        unit: `image` or `patient`: what a case is.
        cases: One row a case: `case`, `label` (0 or 1), `patient_id`.
        readers: Their names, sorted.
        conditions: Those of `CONDITIONS` in which all readers have read.
        calls: Condition -> `(readers, cases)`, 0 benign or 1 malignant.
        scores: Condition -> `(readers, cases)`, higher is more suspicious; None
            where the readers gave calls only.
        dropped: Cases left out because a reader skipped them.
        synthetic: Whether a column `synthetic` says so.
    """

    unit: str
    cases: pd.DataFrame
    readers: list[str]
    conditions: list[str]
    calls: dict[str, np.ndarray]
    scores: dict[str, np.ndarray] | None
    dropped: list[str]
    synthetic: bool

    def __repr__(self) -> str:
        gave = "calls" if self.scores is None else "calls and scores"
        return (
            f"Readings({len(self.readers)} readers, {len(self.cases)} {self.unit}s, "
            f"{' and '.join(self.conditions)} clinical data: {gave})"
        )


def read_readers(
    path: str | Path,
    cases: pd.DataFrame | None = None,
    *,
    malignant_from: float | None = None,
    skipped: str = "error",
) -> Readings:
    """Reads a table with one row a reader, case and condition.

    Args:
        path: CSV or .xlsx with `reader`; `image` or `patient_id`, one of the two;
            `call` (benign or malignant, or 0 or 1) or `score` (a number, higher is
            more suspicious), or both; optionally `clinical` or `aided` (with or
            without, yes or no, aided or unaided, 1 or 0; without is assumed), `label`,
            needed where there are no predictions, and `synthetic` (1 for phantoms).
        cases: The model's, `case`, `label` and `patient_id`, of the unit that the
            file has; None for the file's own.
        malignant_from: The score from which a case counts as called malignant, where
            the file has scores and no calls.
        skipped: What becomes of cases that a reader left out: `"error"`, or
            `"drop-case"`, which leaves the case out for all.

    Raises:
        UserError: If the file cannot be read or used; it names every problem.
        ValueError: If `skipped` is no such word.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rows = pd.DataFrame({
        ...     "reader": ["A"] * 4 + ["B"] * 4, "patient_id": list("pqrs") * 2,
        ...     "label": [0, 0, 1, 1] * 2, "score": [1, 3, 3, 5, 2, 1, 4, 2],
        ... })
        >>> rows.to_csv("readers.csv", index=False)
        >>> ev.read_readers("readers.csv", malignant_from=3)
        Readings(2 readers, 4 patients, without clinical data: calls and scores)
    """
    path = Path(path)
    if skipped not in SKIPPED:
        raise ValueError(f"`skipped` must be one of {SKIPPED}. Received: {skipped!r}")
    rows = read_table(path, HINT)
    name = _check_columns(path, rows, cases, malignant_from)
    problems = list(value_problems(rows, name))
    rows = _parsed(rows, name, malignant_from)
    problems += [*duplicate_problems(rows), *label_problems(rows, cases)]
    if cases is not None:
        problems += unknown_problems(rows, cases)
    raise_problems(str(path), problems)
    known = _own_cases(rows) if cases is None else cases
    read = set(rows["condition"])
    conditions = [condition for condition in CONDITIONS if condition in read]
    missing = skipped_cases(rows, known, conditions)
    if missing and skipped == "error":
        raise_problems(str(path), list(skipped_problems(missing, len(known))))
    dropped = sorted({case for cases in missing.values() for case in cases})
    kept = known[~known["case"].isin(dropped)].reset_index(drop=True)
    if kept.empty or kept["label"].nunique() < 2:
        raise UserError(
            f"{path}: expected benign and malignant cases that every reader has read. "
            f"Received: {len(kept)} such cases, {len(dropped)} dropped"
        )
    return _crossed(rows, kept, name, conditions, dropped)


def reader_unit(path: Path) -> str:
    """`image` or `patient`: by which of the two a file names its cases.

    Raises:
        UserError: If the file cannot be read, or has both columns or neither.
    """
    rows = read_table(path, HINT)
    return "image" if _case_column(path, rows) == "image" else "patient"


def _case_column(path: Path, rows: pd.DataFrame) -> str:
    named = [name for name in CASE_COLUMNS if name in rows]
    if len(named) != 1:
        received = " and ".join(named) or f"only {', '.join(rows.columns.drop(ROW))}"
        raise UserError(
            f"{path}: expected either the column image or the column patient_id: what "
            f"a reader was shown. Received: {received}"
        )
    return named[0]


def _check_columns(
    path: Path,
    rows: pd.DataFrame,
    cases: pd.DataFrame | None,
    malignant_from: float | None,
) -> str:
    """Gives the name of the column of cases."""
    name = _case_column(path, rows)
    if rows.empty:
        raise UserError(f"{path}: expected one row a reader and case. Received: none")
    if "reader" not in rows or not {"call", "score"} & set(rows):
        raise UserError(
            f"{path}: expected the columns reader, {name} and call or score. "
            f"Received: {', '.join(rows.columns.drop(ROW))}"
        )
    if "clinical" in rows and "aided" in rows:
        raise UserError(
            f"{path}: expected one column that says whether clinical data were shown. "
            "Received: clinical and aided; remove one"
        )
    if cases is None and "label" not in rows:
        raise UserError(
            f"{path}: expected a column label, or --predictions that have the labels. "
            "Received: neither"
        )
    if "call" not in rows and malignant_from is None:
        raise UserError(
            f"{path}: expected a call beside each score, or the score from which a "
            "case counts as malignant. Received: scores only; add --malignant-from"
        )
    if "call" in rows and malignant_from is not None:
        raise UserError(
            f"{path}: expected --malignant-from only where there are scores and no "
            "calls. Received: a column call; leave the option or the column out"
        )
    return name


def _parsed(
    rows: pd.DataFrame, name: str, malignant_from: float | None
) -> pd.DataFrame:
    words = pd.Series("without", index=rows.index)
    for column in ("clinical", "aided"):
        words = rows[column].str.casefold() if column in rows else words
    rows = rows.assign(case=rows[name], condition=words.map(CONDITION_WORDS))
    if "score" in rows:
        rows["score"] = to_numbers(rows["score"])
    if "call" in rows:
        rows["call"] = rows["call"].str.casefold().map(CALL_WORDS)
    else:
        rows["call"] = (rows["score"] >= malignant_from).astype(int)
    if "label" in rows:
        rows["label"] = rows["label"].str.casefold().map(CALL_WORDS)
    return rows


def _own_cases(rows: pd.DataFrame) -> pd.DataFrame:
    """The cases that the readers' file has; each is one patient."""
    first = rows.drop_duplicates("case").sort_values("case")
    return pd.DataFrame(
        {"case": first["case"], "label": first["label"], "patient_id": first["case"]}
    ).reset_index(drop=True)


def _crossed(
    rows: pd.DataFrame,
    cases: pd.DataFrame,
    name: str,
    conditions: list[str],
    dropped: list[str],
) -> Readings:
    readers = sorted(set(rows["reader"]))

    def table(column: str, condition: str) -> np.ndarray:
        part = rows[rows["condition"] == condition]
        wide = part.pivot(index="reader", columns="case", values=column)
        return wide.loc[readers, cases["case"]].to_numpy()

    scores = None
    if "score" in rows:
        scores = {
            condition: table("score", condition).astype("float64")
            for condition in conditions
        }
    return Readings(
        "image" if name == "image" else "patient",
        cases.assign(label=cases["label"].astype(int)),
        readers,
        conditions,
        {
            condition: table("call", condition).astype("int64")
            for condition in conditions
        },
        scores,
        dropped,
        "synthetic" in rows and bool((rows["synthetic"] == "1").any()),
    )
