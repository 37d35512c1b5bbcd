"""Patients, groups and identical images that stand in two parts."""

from collections.abc import Iterable

import pandas as pd

from usgland.data.draws import TIES
from usgland.data.given_splits import ROLE_WORDS, UNUSED, is_given
from usgland.table_files import ROW, Problem, normalize_word, show_rows


def find_given_conflicts(rows: pd.DataFrame, columns: Iterable[str]) -> list[Problem]:
    """Finds the conflicts of the first of some columns, if any, that gives parts."""
    for column in columns:
        if is_given(rows, column):
            words = [normalize_word(text) for text in rows[column]]
            return find_conflicts(rows, [ROLE_WORDS.get(word, word) for word in words])
    return []


def find_conflicts(rows: pd.DataFrame, parts: Iterable[str]) -> list[Problem]:
    """Finds patients, groups and identical images (by `sha256`) in two parts.

    The part "unused" is none.
    """
    used = rows.assign(part=list(parts))
    used = used[used["part"] != UNUSED]
    problems: list[Problem] = []
    for column in [name for name in TIES if name in used]:
        named = used[used[column] != ""]
        # Only these are looked at one by one: of 100,000 it would take minutes.
        parted = named.groupby(column)["part"].transform("nunique") > 1
        for name, same in named[parted].groupby(column):
            # What the patient's own line says is not said again.
            if column != "patient_id" and same["patient_id"].nunique() == 1:
                continue
            received = " and ".join(
                f"{part} ({show_rows(numbers)})"
                for part, numbers in same.groupby("part")[ROW]
            )
            who = TIES[column] + (f" {name!r}" if column != "sha256" else "")
            row = int(same[ROW].min())
            problems.append((row, f"{who}: expected one part. Received: {received}"))
    return problems
