"""The table of readers' calls: checked when read, and laid beside the model's cases."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from usgland import table_files
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import check_patient_column, have_phantoms
from usgland.table_files import ROW, Problem, raise_problems, read_table

# Without clinical data comes first: it is what clinical data are compared with.
CONDITIONS = ("without", "with")
CALL_WORDS = {"benign": 0, "0": 0, "malignant": 1, "1": 1}
CONDITION_WORDS = {
    **dict.fromkeys(("without", "no", "0", "unaided"), "without"),
    **dict.fromkeys(("with", "yes", "1", "aided"), "with"),
}
# Column -> its words, and how an error lists them.
CALLS = (CALL_WORDS, "benign or malignant, or 0 or 1")
AIDS = (CONDITION_WORDS, "with or without")
WORDS: dict[str, tuple[Mapping[str, object], str]]
WORDS = {"call": CALLS, "label": CALLS, "clinical": AIDS, "aided": AIDS}
CASE_COLUMNS = ("image", "patient_id")
SKIPPED = ("error", "drop-case", "own-cases")
SPENT = ("seconds", "order")  # optional columns: how long a reading took, and its place
HINT = ". It holds the readers' calls, one row a reader and case"  # of a missing file


class Readings(NamedTuple):
    """What readers said of the same cases.

    Attributes:
        unit: `image` or `patient`: what a case is.
        cases: One row a case: `case`, `label` (0 or 1), `patient_id`.
        readers: Their names, sorted.
        conditions: Those of `CONDITIONS` in which all readers have read.
        calls: Condition -> `(readers, cases)`, 0 benign, 1 malignant, NaN if unread.
        scores: Condition -> `(readers, cases)`, higher is more suspicious; None
            where the readers gave calls only.
        dropped: Cases left out because a reader skipped them.
        synthetic: Whether a column `synthetic` says so.
        spent: `seconds` and `order`, those of them that the file has -> condition ->
            `(readers, cases)`; NaN where not known.
        aided: Whether the file says `aided` in place of `clinical`.
    """

    unit: str
    cases: pd.DataFrame
    readers: list[str]
    conditions: list[str]
    calls: dict[str, np.ndarray]
    scores: dict[str, np.ndarray] | None
    dropped: list[str]
    synthetic: bool
    spent: dict[str, dict[str, np.ndarray]]
    aided: bool = False

    @property
    def complete(self) -> bool:
        """Whether every reader has read every case in every condition."""
        return not any(np.isnan(calls).any() for calls in self.calls.values())

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
        path: CSV or .xlsx with `reader`; `image` or `patient_id`, what a case is, or
            both: whose image it is; `call` (benign or malignant, or 0 or 1) or `score`
            (a number, higher is more suspicious), or both; optionally `clinical` or
            `aided` (with or without, yes or no, aided or unaided, 1 or 0; without is
            assumed), `label`, needed where there are no predictions, `seconds` that a
            reading took, `order` in which a reader read, and `synthetic` (1 for
            phantoms).
        cases: The model's, `case`, `label` and `patient_id`, of the unit that the
            file has; None for the file's own.
        malignant_from: The score from which a case counts as called malignant, where
            the file has scores and no calls.
        skipped: What becomes of cases that a reader left out: `"error"`;
            `"drop-case"`, which leaves the case out for all; or `"own-cases"`, by
            which each reader counts on the cases that they have read.

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
    check_patient_column(path, rows.columns)
    name = _check_columns(path, rows, cases, malignant_from)
    if skipped != "error":  # a row without a call is a case that was left out, too
        said = rows["call" if "call" in rows else "score"]
        rows = rows[~table_files.missing_cells(said)]
    problems = _value_problems(rows, name)
    rows = _parsed(rows, name, malignant_from)
    problems += _call_problems(rows, cases)
    raise_problems(str(path), problems)
    if malignant_from is not None:
        _check_cut(path, rows["score"], malignant_from)
    known = _own_cases(rows) if cases is None else cases
    conditions = [key for key in CONDITIONS if key in set(rows["condition"])]
    missing = _skipped_cases(rows, known)
    if skipped == "error":
        raise_problems(str(path), _skipped_problems(missing, len(known)))
    dropped = sorted({case for cases in missing.values() for case in cases})
    if skipped == "own-cases":
        dropped = sorted(set(known["case"]) - set(rows["case"]))
    kept = known[~known["case"].isin(dropped)].reset_index(drop=True)
    if kept.empty or kept["label"].nunique() < 2:
        raise UserError(
            f"{path}: expected benign and malignant cases that every reader has read. "
            f"Received: {len(kept)} such cases, {len(dropped)} dropped"
        )
    if skipped == "own-cases":
        raise_problems(str(path), _own_problems(rows, known, conditions))
    readers = sorted(set(rows["reader"]))
    of_reader = pd.Index(readers).get_indexer(rows["reader"])
    of_case = pd.Index(kept["case"]).get_indexer(rows["case"])  # -1: dropped

    def crossed(column: str, kind: str) -> dict[str, np.ndarray]:
        """Condition -> `(readers, cases)`."""
        tables = {}
        for key in conditions:
            table = np.full((len(readers), len(kept)), np.nan)
            own = (rows["condition"] == key).to_numpy() & (of_case >= 0)
            table[of_reader[own], of_case[own]] = rows.loc[own, column]
            tables[key] = table if np.isnan(table).any() else table.astype(kind)
        return tables

    return Readings(
        name.removesuffix("_id"),
        kept.assign(label=kept["label"].astype(int)),
        readers,
        conditions,
        crossed("call", "int64"),
        crossed("score", "float64") if "score" in rows else None,
        dropped,
        have_phantoms(rows),
        {
            name: crossed(name, "float64")
            for name in SPENT
            if name in rows and rows[name].any()
        },
        "aided" in rows,
    )


def reader_unit(path: Path) -> str:
    """`image` or `patient`: by which of the two a file names its cases."""
    return _case_column(path, read_table(path, HINT)).removesuffix("_id")


def _case_column(path: Path, rows: pd.DataFrame) -> str:
    """What a reader was shown: images, also where it is said whose they are."""
    named = [name for name in CASE_COLUMNS if name in rows]
    if not named:
        raise UserError(
            f"{path}: expected the column image or the column patient_id: what a "
            f"reader was shown. Received: only {', '.join(rows.columns.drop(ROW))}"
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


def _check_cut(path: Path, scores: pd.Series, malignant_from: float) -> None:
    """Whether it parts the scores; else every case gets the same call."""
    low, high = scores.min(), scores.max()
    if not low < malignant_from <= high:
        raise UserError(
            f"{path}: --malignant-from: expected above {low:g} and at most {high:g}, "
            "so that some scores are malignant and some benign. Received: "
            f"{malignant_from:g}"
        )


def _parsed(
    rows: pd.DataFrame, name: str, malignant_from: float | None
) -> pd.DataFrame:
    words = pd.Series("without", index=rows.index)
    for column in ("clinical", "aided"):
        words = rows[column].str.casefold() if column in rows else words
    rows = rows.assign(case=rows[name], condition=words.map(CONDITION_WORDS))
    for column in {"score", *SPENT} & set(rows):
        rows[column] = table_files.to_numbers(rows[column])
    if "call" in rows:
        rows["call"] = rows["call"].str.casefold().map(CALL_WORDS)
    else:
        rows["call"] = (rows["score"] >= malignant_from).astype(int)
    if "label" in rows:
        rows["label"] = rows["label"].str.casefold().map(CALL_WORDS)
    return rows


def _own_cases(rows: pd.DataFrame) -> pd.DataFrame:
    """The cases that the readers' file has, each one patient unless it says whose."""
    first = rows.drop_duplicates("case").sort_values("case")
    owner = first["patient_id"] if "patient_id" in rows else first["case"]
    return pd.DataFrame(
        {"case": first["case"], "label": first["label"], "patient_id": owner}
    ).reset_index(drop=True)


def _value_problems(rows: pd.DataFrame, name: str) -> list[Problem]:
    """Cells that cannot be read."""
    named = {"reader", name, "patient_id"} & set(rows)
    checks = [(column, rows[column] == "", "a value") for column in sorted(named)]
    checks += [
        (column, ~rows[column].str.casefold().isin(words), expected)
        for column, (words, expected) in WORDS.items()
        if column in rows
    ]
    if "score" in rows:
        finite = np.isfinite(table_files.to_numbers(rows["score"]))
        checks.append(("score", ~finite, "a finite number"))
    for column in sorted(set(SPENT) & set(rows)):
        numbers = table_files.to_numbers(rows[column])
        above = (numbers > 0) & np.isfinite(numbers)
        missing = table_files.missing_cells(rows[column])
        checks.append((column, ~above & ~missing, "a number above 0, or none"))
    return [
        (row, f"`{column}`: {text}")
        for column, wrong, expected in checks
        for row, text in table_files.wrong_cells(rows, column, wrong, expected)
    ]


def _call_problems(rows: pd.DataFrame, cases: pd.DataFrame | None) -> list[Problem]:
    """Calls given again, of unknown cases, and with labels that contradict others."""
    keys = ["reader", "case", "condition"]
    known = rows.dropna(subset=keys)
    first = known.groupby(keys)[ROW].transform("first")
    again = known.assign(first=first).loc[known.duplicated(keys), [ROW, *keys, "first"]]
    problems: list[Problem] = [
        (
            row,
            "expected one call of each reader, case and condition. Received: "
            f"{reader} on {case}, {condition} clinical data, again (first in row "
            f"{first_row})",
        )
        for row, reader, case, condition, first_row in again.itertuples(index=False)
    ]
    if cases is not None:
        unknown = rows.loc[~rows["case"].isin(cases["case"]), [ROW, "case"]]
        text = "expected a case that the predictions have. Received:"
        problems += [(row, f"{text} {case}") for row, case in unknown.to_numpy()]
    if "patient_id" in rows:
        problems += _owner_problems(rows, cases)
    if "label" in rows:
        earlier = rows.drop_duplicates("case") if cases is None else cases
        source = "an earlier row" if cases is None else "the predictions"
        true = rows["case"].map(
            dict(zip(earlier["case"], earlier["label"], strict=True))
        )
        apart = true.notna() & rows["label"].notna() & (true != rows["label"])
        problems += [
            (
                row,
                f"`label` of {case}: expected {int(expected)}, as in {source}. "
                f"Received: {int(label)}",
            )
            for row, case, label, expected in rows.assign(true=true)
            .loc[apart, [ROW, "case", "label", "true"]]
            .itertuples(index=False)
        ]
    return problems


def _owner_problems(rows: pd.DataFrame, cases: pd.DataFrame | None) -> list[Problem]:
    """Images that are said to be of another patient than before."""
    earlier = rows.drop_duplicates("case") if cases is None else cases
    source = "an earlier row" if cases is None else "the predictions"
    owners = dict(zip(earlier["case"], earlier["patient_id"].astype(str), strict=True))
    owner = rows["case"].map(owners)
    apart = owner.notna() & (owner != rows["patient_id"])
    columns = [ROW, "case", "owner", "patient_id"]
    return [
        (
            row,
            f"`patient_id` of {case}: expected {known}, as in {source}. "
            f"Received: {other}",
        )
        for row, case, known, other in rows.assign(owner=owner)
        .loc[apart, columns]
        .itertuples(index=False)
    ]


def _skipped_cases(
    rows: pd.DataFrame, cases: pd.DataFrame
) -> dict[tuple[str, str], list[str]]:
    """Reader and condition -> cases without a call."""
    read = rows.groupby(["reader", "condition"])["case"].agg(set)
    left = {
        pair: [case for case in cases["case"] if case not in read.get(pair, ())]
        for pair in product(sorted(set(rows["reader"])), set(rows["condition"]))
    }
    return {pair: cases for pair, cases in left.items() if cases}


def _skipped_problems(
    missing: dict[tuple[str, str], list[str]], total: int
) -> list[Problem]:
    """One a reader and condition, with the cases; the last says what to do."""
    hint = (
        "Add the calls, or --skipped drop-case to leave these cases out for all "
        "readers, or --skipped own-cases to count each reader on the cases they read"
    )
    texts = sorted(
        f"expected a call of {reader} on all {total} cases, {condition} clinical "
        f"data. Received: none on {table_files.show_some(left)}"
        for (reader, condition), left in missing.items()
    )
    return [(0, text + (f". {hint}" if text == texts[-1] else "")) for text in texts]


def _own_problems(
    rows: pd.DataFrame, cases: pd.DataFrame, conditions: list[str]
) -> list[Problem]:
    """Readers who have no case of a label, of whom nothing can be said."""
    labels = rows["case"].map(dict(zip(cases["case"], cases["label"], strict=True)))
    read = set(zip(rows["reader"], rows["condition"], labels, strict=True))
    return [
        (
            0,
            f"expected benign and malignant cases of {reader}, {condition} clinical "
            f"data. Received: none that is {word}",
        )
        for reader in sorted(set(rows["reader"]))
        for condition in conditions
        for label, word in enumerate(("benign", "malignant"))
        if (reader, condition, label) not in read
    ]
