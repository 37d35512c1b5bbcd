"""Labels of patients or studies, joined while their ids are still known.

The words of the column go into what is given away. So they are few and plain, and only
those that are known as labels pass the search for leaks without a look.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from usgland.errors import UserError
from usgland.ingest.headers import PrivateFields
from usgland.ingest.pseudonyms import normalize_id
from usgland.table_files import (
    ROW,
    Problem,
    is_missing,
    normalize_word,
    raise_problems,
    read_table,
    show_rows,
)

if TYPE_CHECKING:
    import pandas as pd

# Names of columns, without case and signs.
PATIENT = ("patientid", "patient", "mrn")
ACCESSION = ("accessionnumber", "accession", "accessionno")
LABEL = ("label", "diagnosis")
MOST_LABELS = 10
KNOWN = frozenset(("benign", "malignant", "normal", "0", "1", "2"))
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _+-]{0,29}")
WHAT_TO_DO = "A row a patient or study: patient_id or accession_number, and label"


class Labels(NamedTuple):
    """Labels by id: as `normalize_id` has ids, and without their leading zeros."""

    by_patient: dict[str, str]
    by_accession: dict[str, str]

    def label_of(self, fields: PrivateFields, *, shared: bool = False) -> str:
        """The label of a file, "" if it has none.

        That of the study counts before that of the patient; an id that two patients
        seem to have (`shared`) labels neither.
        """
        label = _look_up(self.by_accession, fields.accession)
        return label or ("" if shared else _look_up(self.by_patient, fields.patient))

    def words(self) -> set[str]:
        """The labels that tell of nobody, whatever a header has.

        Any other word is sought among the names of the source: a column of doctors
        has few words, too.
        """
        labels = {*self.by_patient.values(), *self.by_accession.values()}
        return {label for label in labels if normalize_word(label) in KNOWN}


class LabelReport(NamedTuple):
    """What did not meet; the ids belong to the private folder, not their number."""

    without_label: list[str]  # patient ids, or accession numbers where there is none
    without_images: list[str]  # ids of the table

    def __str__(self) -> str:
        return (
            f"{_count(self.without_label, 'patient')} without a label, "
            f"{_count(self.without_images, 'label')} without images"
        )


def read_labels(path: Path) -> Labels:
    """Reads a table, CSV or .xlsx, of patient ids or accession numbers and labels.

    Raises:
        UserError: If a column is missing, an id has two labels, or labels are no few
            plain words. The message has rows and no ids.
    """
    table = read_table(path)
    patient, accession = _column(table, PATIENT), _column(table, ACCESSION)
    label = _column(table, LABEL)
    if label is None or (patient is None and accession is None):
        columns = ", ".join(name for name in table.columns if name != ROW)
        raise UserError(
            f"{path}: expected the columns `patient_id` or `accession_number`, and "
            f"`label`. Received: {columns}. {WHAT_TO_DO}"
        )
    rows = table[~table[label].map(is_missing).astype(bool)]
    _check_words(path, rows, label)
    joined = [_by_id(path, rows, name, label) for name in (patient, accession)]
    if not any(joined):
        raise UserError(f"{path}: expected labels. Received: no row with an id and one")
    return Labels(*joined)


def compare(
    labels: Labels, files: Iterable[PrivateFields], shared: frozenset[str] = frozenset()
) -> LabelReport:
    """Which patients have no label and which labels no images.

    Args:
        labels: Those of the table.
        files: Of each file that was read.
        shared: Ids of `PrivateFields.patient` that two patients seem to have.
    """
    without, used = set(), set()
    for fields in files:
        if not labels.label_of(fields, shared=fields.patient in shared):
            without.add(fields.patient or fields.accession)
        used |= _keys(labels.by_patient, fields.patient)
        used |= _keys(labels.by_accession, fields.accession)
    known = {*labels.by_patient, *labels.by_accession}
    return LabelReport(sorted(without), sorted(known - used))


def _column(table: "pd.DataFrame", names: Sequence[str]) -> str | None:
    bare = {re.sub(r"[\W_]", "", str(c).casefold()): c for c in reversed(table.columns)}
    return next((bare[name] for name in names if name in bare), None)


def _check_words(path: Path, rows: "pd.DataFrame", label: str) -> None:
    distinct = set(rows[label])
    if len(distinct) > MOST_LABELS:
        raise UserError(
            f"{path}: expected at most {MOST_LABELS} different labels. Received: "
            f"{len(distinct)}; `{label}` seems to be another kind of column"
        )
    problems: list[Problem] = [
        (row, "expected a label of a few plain words (A-Z, 0-9, space, _ + -)")
        for row, cell in rows[[ROW, label]].itertuples(index=False)
        if not WORD.fullmatch(cell)
    ]
    raise_problems(str(path), problems)


def _by_id(
    path: Path, rows: "pd.DataFrame", column: str | None, label: str
) -> dict[str, str]:
    if column is None:
        return {}
    labels: dict[str, str] = {}
    numbers: dict[str, list[int]] = {}
    for row, cell, word in rows[[ROW, column, label]].itertuples(index=False):
        identity = normalize_id(cell)
        if is_missing(cell):
            continue
        numbers.setdefault(identity, []).append(row)
        if labels.setdefault(identity, word) != word:
            raise UserError(
                f"{path}: expected a label an id in `{column}`. Received: two labels "
                f"of the id in {show_rows(numbers[identity])}; label studies by "
                "`accession_number`"
            )
    return labels


def _look_up(labels: dict[str, str], identity: str) -> str:
    words = {labels[key] for key in _keys(labels, identity)}
    return words.pop() if len(words) == 1 else ""


def _keys(labels: dict[str, str], identity: str) -> set[str]:
    """The table's ids that mean this one.

    Spreadsheets drop leading zeros: 471 in the table is 00471 of the scanner, unless
    another row has 00471.
    """
    if not identity:
        return set()
    if identity in labels:
        return {identity}
    bare = normalize_word(identity)
    return {bare} & labels.keys()


def _count(items: Sequence[str], name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"
