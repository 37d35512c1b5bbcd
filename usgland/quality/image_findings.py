"""What may be wrong with images of a table, and reasons to leave them out.

A finding is something for a person to look at. Nothing here decides.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from usgland.quality.duplicates import Pair
from usgland.table_files import names_nobody

# Why an image may be left out; the paper's four come first, in its words.
TREATED = "treated before the ultrasound examination"
INFLAMMATORY = "inflammatory lesion"
INCOMPLETE_RECORD = "incomplete medical record"
POOR_IMAGE = "unsatisfactory image quality"
COPY = "copy of another image"
TWO_LABELS = "copies with different labels"
OTHER_PICTURE = "not a grey-scale ultrasound picture"
UNREADABLE = "file that cannot be read"
REASONS = (
    *(TREATED, INFLAMMATORY, INCOMPLETE_RECORD, POOR_IMAGE),
    *(COPY, TWO_LABELS, OTHER_PICTURE, UNREADABLE),
)

NOTE, WARNING, SERIOUS = 0, 1, 2  # how much a finding matters
LEVELS = ("note", "warning", "serious")


class Finding(NamedTuple):
    """What was noticed of an image.

    Attributes:
        row: Number of the image in the table that is checked.
        kind: A key of `KINDS`.
        text: What exactly.
        level: `NOTE`, `WARNING` or `SERIOUS`.
        reason: Among `REASONS`; "" where it is none to leave the image out.
    """

    row: int
    kind: str
    text: str
    level: int
    reason: str = ""


# Kind of finding -> what it means, in the order in which it is shown.
KINDS = {
    "file": "The file cannot be used for training",
    "copy": "Another image of the table shows the same acquisition",
    "other": "Not a grey-scale ultrasound picture",
    "colour": "Parts are in colour, as of Doppler",
    "split": "Two pictures in one",
    "words": "Words in the picture: they may name somebody, or the side",
    "callipers": "Callipers: somebody measured here",
    "blurred": "Less sharp than the others",
    "contrast": "Little contrast",
    "saturated": "Overexposed",
    "small": "Few pixels",
    "cut": "The lesion is cut by the border of the picture",
    "record": "What the table says of the patient",
}


class JudgedPair(NamedTuple):
    """Copies, how much they matter, and why, as the end of a sentence."""

    pair: Pair
    level: int
    why: str


def copies(rows: pd.DataFrame, judged: Sequence[JudgedPair]) -> list[Finding]:
    """What follows of copies: a leak between parts, two labels, or a row too many."""
    findings = []
    images, labels = rows["image"].to_list(), rows["label"].to_list()
    for pair, level, what in judged:
        differ = labels[pair.first] != labels[pair.second]
        for row, other in ((pair.first, pair.second), (pair.second, pair.first)):
            text = f"{pair.kind} copy of {images[other]}{what}"
            # The first of the copies stays, unless nobody knows which label is right.
            reason = TWO_LABELS if differ else COPY if row == pair.second else ""
            findings.append(Finding(row, "copy", text, level, reason))
    return findings


def judge_pair(rows: pd.DataFrame, pair: Pair, part: str | None) -> JudgedPair:
    """Judges a copy.

    Args:
        rows: With `image`, `patient_id`, `group_id` and `label`, as texts.
        pair: Numbers of rows.
        part: The column that says who trains and who tests; None: there is none.
    """
    first, second = rows.iloc[pair.first], rows.iloc[pair.second]
    level, what = NOTE, ""
    if not _tied(first, second):
        level, what = WARNING, ", of another patient"
    if part is not None and first[part] != second[part]:
        level, what = SERIOUS, f"{what}, in another part ({part})"
    if first["label"] != second["label"]:
        level = SERIOUS
        what += f", with another label ({first['label']}, {second['label']})"
    return JudgedPair(pair, level, what)


def _tied(first: pd.Series, second: pd.Series) -> bool:
    """Whether the table itself keeps two rows together."""
    return any(
        first[column] == second[column] and not names_nobody(first[column])
        for column in ("patient_id", "group_id")
    )


def joined_groups(rows: pd.DataFrame, pairs: Sequence[Pair]) -> list[str]:
    """`group_id` of each row: who stays together for a patient, a group or a copy.

    Rows of a single patient keep what they have. Others take the name that the first of
    them has, or its patient's.
    """
    above = list(range(len(rows)))

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    def join(one: int, two: int) -> None:
        low, high = sorted((top(one), top(two)))
        above[high] = low

    for column in ("patient_id", "group_id"):
        first: dict[str, int] = {}
        for row, name in enumerate(rows[column]):
            if not names_nobody(name):
                join(first.setdefault(name, row), row)
    for pair in pairs:
        join(pair.first, pair.second)
    tops = [top(row) for row in range(len(rows))]
    members = rows.assign(top=tops).groupby("top", sort=True)
    patients = members["patient_id"].transform("nunique")
    names: dict[int, str] = {}
    taken: set[str] = set()
    for number, same in members:
        known = [name for name in same["group_id"] if not names_nobody(name)]
        name = known[0] if known else str(same["patient_id"].iloc[0])
        while name in taken:
            name += "+"
        taken.add(name)
        names[int(str(number))] = name
    return [
        names[number] if many > 1 else ("" if names_nobody(own) else str(own))
        for number, many, own in zip(tops, patients, rows["group_id"], strict=True)
    ]
