"""What can be wrong with a table of readers' calls, each with its row."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from usgland.table_files import ROW, Problem, show_some, to_numbers

# Without clinical data comes first: it is what clinical data are compared with.
CONDITIONS = ("without", "with")
CONDITION_WORDS = {
    "without": "without",
    "no": "without",
    "0": "without",
    "unaided": "without",
    "with": "with",
    "yes": "with",
    "1": "with",
    "aided": "with",
}
CALL_WORDS = {"benign": 0, "0": 0, "malignant": 1, "1": 1}


def value_problems(rows: pd.DataFrame, name: str) -> Iterator[Problem]:
    """Cells that cannot be read."""
    for column in ("reader", name):
        yield from _problems(rows, column, rows[column] == "", "a value")
    if "call" in rows:
        wrong = ~rows["call"].str.casefold().isin(CALL_WORDS)
        yield from _problems(rows, "call", wrong, "benign or malignant, or 0 or 1")
    if "score" in rows:
        numbers = to_numbers(rows["score"])
        yield from _problems(rows, "score", ~np.isfinite(numbers), "a finite number")
    for column in ("clinical", "aided"):
        if column in rows:
            wrong = ~rows[column].str.casefold().isin(CONDITION_WORDS)
            yield from _problems(rows, column, wrong, "with or without")
    if "label" in rows:
        wrong = ~rows["label"].str.casefold().isin(CALL_WORDS)
        yield from _problems(rows, "label", wrong, "benign or malignant, or 0 or 1")


def _problems(
    rows: pd.DataFrame, column: str, wrong: pd.Series, expected: str
) -> Iterator[Problem]:
    for row, value in zip(rows.loc[wrong, ROW], rows.loc[wrong, column], strict=True):
        yield row, f"`{column}`: expected {expected}. Received: {value!r}"


def duplicate_problems(rows: pd.DataFrame) -> Iterator[Problem]:
    """Calls of one reader, case and condition, given again."""
    keys = ["reader", "case", "condition"]
    for _, again in rows[rows.duplicated(keys, keep=False)].groupby(keys):
        first, *others = again.index
        for index in others:
            who = f"{rows['reader'][index]} on {rows['case'][index]}"
            yield (
                rows[ROW][index],
                f"expected one call of each reader, case and condition. Received: "
                f"{who}, {rows['condition'][index]} clinical data, again (first in "
                f"row {rows[ROW][first]})",
            )


def label_problems(rows: pd.DataFrame, cases: pd.DataFrame | None) -> Iterator[Problem]:
    """Labels that contradict the predictions, or an earlier row."""
    if "label" not in rows:
        return
    source = "the predictions"
    if cases is None:
        cases, source = rows.drop_duplicates("case"), "an earlier row"
    true = rows["case"].map(dict(zip(cases["case"], cases["label"], strict=True)))
    read = true.notna() & rows["label"].notna()
    for index in rows.index[read & (true != rows["label"])]:
        yield (
            rows[ROW][index],
            f"`label` of {rows['case'][index]}: expected {int(true[index])}, as in "
            f"{source}. Received: {int(rows['label'][index])}",
        )


def unknown_problems(rows: pd.DataFrame, cases: pd.DataFrame) -> Iterator[Problem]:
    """Cases that the predictions do not have."""
    for index in rows.index[~rows["case"].isin(cases["case"])]:
        yield (
            rows[ROW][index],
            "expected a case that the predictions have. Received: "
            f"{rows['case'][index]}",
        )


def skipped_cases(
    rows: pd.DataFrame, cases: pd.DataFrame, conditions: list[str]
) -> dict[tuple[str, str], list[str]]:
    """Reader and condition -> cases without a call."""
    missing = {}
    for reader in sorted(set(rows["reader"])):
        for condition in conditions:
            chosen = (rows["reader"] == reader) & (rows["condition"] == condition)
            left = cases["case"][~cases["case"].isin(rows["case"][chosen])].tolist()
            if left:
                missing[reader, condition] = left
    return missing


def skipped_problems(
    missing: dict[tuple[str, str], list[str]], total: int
) -> Iterator[Problem]:
    """One a reader and condition, with the cases and what to do."""
    hint = (
        "Add the calls, or --skipped drop-case to leave these cases out for all readers"
    )
    for (reader, condition), left in missing.items():
        yield (
            0,
            f"expected a call of {reader} on all {total} cases, {condition} clinical "
            f"data. Received: none on {show_some(left)}. {hint}",
        )
