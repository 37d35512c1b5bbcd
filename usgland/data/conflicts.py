"""Patients, groups and identical images that stand in two parts."""

from collections.abc import Iterable

import pandas as pd

from usgland.data.draws import TIES
from usgland.data.given_splits import ROLE_WORDS, UNUSED, is_given
from usgland.table_files import ROW, Problem, normalize_word, show_rows


def find_given_conflicts(rows: pd.DataFrame, columns: Iterable[str]) -> list[Problem]:
    """Finds the conflicts of the first of some columns that gives parts.

    Args:
        rows: As for `find_conflicts`.
        columns: Names such as `split` and `fold`; they may be absent or empty.
    """
    for column in columns:
        if is_given(rows, column):
            words = [normalize_word(text) for text in rows[column]]
            return find_conflicts(rows, [ROLE_WORDS.get(word, word) for word in words])
    return []


def find_conflicts(rows: pd.DataFrame, parts: Iterable[str]) -> list[Problem]:
    """Finds patients, groups and identical images in two parts.

    Args:
        rows: Rows with `patient_id`, `group_id` and, where known, `sha256`.
        parts: The part of each row; "unused" is none.
    """
    used = rows.assign(
        part=list(parts), **{ROW: rows[ROW] if ROW in rows else range(2, len(rows) + 2)}
    )
    used = used[used["part"] != UNUSED]
    problems: list[Problem] = []
    for column, kind in TIES.items():
        if column not in used:
            continue
        named = used[used[column] != ""]
        for name, same in named.groupby(column):
            # What the patient's own line says is not said again.
            is_said = column != "patient_id" and same["patient_id"].nunique() == 1
            if same["part"].nunique() == 1 or is_said:
                continue
            received = " and ".join(
                f"{part} ({show_rows(numbers)})"
                for part, numbers in same.groupby("part")[ROW]
            )
            who = kind if column == "sha256" else f"{kind} {name!r}"
            row = int(same[ROW].min())
            problems.append((row, f"{who}: expected one part. Received: {received}"))
    return problems
