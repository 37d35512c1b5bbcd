"""From what is known of all files to the rows of the manifest."""

import re
from collections.abc import Iterable, Set
from typing import NamedTuple

from usgland.ingest.extraction import (
    FRAME_MARKS,
    IMAGES,
    NOT_ULTRASOUND,
    Picture,
    Record,
)
from usgland.ingest.headers import (
    MARKS,
    PATTERNS,
    TWO_PATIENTS,
    shared_ids,
    study_days,
)
from usgland.ingest.labels import Labels
from usgland.ingest.leaks import Needles

COLUMNS = (
    *("image", "patient_id", "study_id", "study_day", "age", "sex"),
    *("manufacturer", "model", "transducer", "array", "spacing_x_mm", "spacing_y_mm"),
    *("frame", "region", "marks", "exclusion"),
)


def _any(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


# What the cells of our own columns must match as a whole; headers have the others'.
REGION_SOURCES = ("tag", "detected", "whole")
ALL_MARKS = (*MARKS, *FRAME_MARKS)
UNLABELLED = "no label"
EXCLUSIONS = ("", NOT_ULTRASOUND, UNLABELLED)
SPACING = r"(\d{1,2}(\.\d{1,6})?)?"
OWN_PATTERNS = {
    "image": rf"{IMAGES}/[a-z]{{16}}\.png",
    "spacing_x_mm": SPACING,
    "spacing_y_mm": SPACING,
    "frame": r"[1-9]\d{0,5}",
    "region": _any(REGION_SOURCES),
    "marks": rf"(({_any(ALL_MARKS)})( ({_any(ALL_MARKS)}))*)?",
    "exclusion": _any(EXCLUSIONS),
}
# Columns whose cells are of our own words alone: a source that has them, too, is none
# the worse for it.
ENUMERATED = ("sex", "region", "marks", "exclusion", "frame")


class Row(NamedTuple):
    """A picture that goes into the manifest."""

    relative: str
    record: Record
    picture: Picture
    study_day: str
    marks: tuple[str, ...]
    label: str | None  # None where no labels are joined

    def cells(self) -> dict[str, str]:
        """Column -> cell.

        Raises:
            ValueError: If a cell is not of its column's pattern: nothing but what is
                on the list goes on.
        """
        cells = {
            **self.record.fields.columns(),
            "image": self.picture.image,
            "study_day": self.study_day,
            "spacing_x_mm": self.picture.spacing_x_mm,
            "spacing_y_mm": self.picture.spacing_y_mm,
            "frame": str(self.picture.frame),
            "region": self.picture.region,
            "marks": " ".join(self.marks),
            "exclusion": self.record.exclusion
            or (UNLABELLED if self.label == "" else ""),
        }
        for name, pattern in {**PATTERNS, **OWN_PATTERNS}.items():
            if not re.fullmatch(pattern, cells[name]):
                raise ValueError(f"a cell of {name} that does not match {pattern}")
        named = {name: cells[name] for name in COLUMNS}
        return named if self.label is None else {**named, "label": self.label}


def make_rows(
    records: Iterable[tuple[str, Record]], labels: Labels | None = None
) -> list[Row]:
    """The rows of all pictures, in the order of their pseudonyms.

    That order says nothing of the names or the order of the source's files.

    Args:
        records: Path below the source and what is known of each file.
        labels: By patient or study.
    """
    files = sorted(records)
    fields = [record.fields for _, record in files]
    shared = shared_ids(fields)
    rows = [
        Row(
            relative,
            record,
            picture,
            day,
            (
                *record.fields.marks,
                *((TWO_PATIENTS,) if record.fields.patient_id in shared else ()),
                *picture.flags,
            ),
            labels
            and labels.label_of(
                record.fields.private, shared=record.fields.patient_id in shared
            ),
        )
        for (relative, record), day in zip(files, study_days(fields), strict=True)
        for picture in record.pictures
    ]
    return sorted(
        rows,
        key=lambda row: (
            row.record.fields.patient_id,
            row.study_day.rjust(5),
            row.record.fields.study_id,
            row.picture.image,
        ),
    )


def part_leaks(
    rows: Iterable[Row], needles: Needles, labels: Set[str] = frozenset()
) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Parts the rows from those in which something of the source is, and where.

    Args:
        rows: All rows.
        needles: What identifies.
        labels: Those that several have, which so tell of nobody.
    """
    kept, leaking = [], []
    for row in rows:
        where = [
            *row.picture.leaks,
            *(
                f"in its column {name}"
                for name, cell in row.cells().items()
                if name not in ENUMERATED
                and not (name == "label" and cell in labels)
                and needles.in_text(cell)
            ),
        ]
        if where:
            leaking.append((row, ", ".join(where)))
        else:
            kept.append(row)
    return kept, leaking


def own_words() -> tuple[str, ...]:
    """The words that stand in the manifest whatever the source is."""
    return (*COLUMNS, *ALL_MARKS, *REGION_SOURCES, *EXCLUSIONS, IMAGES, "png")
