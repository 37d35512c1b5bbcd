"""What of a DICOM header goes on: named columns, each from a list, a range or a key.

De-identification by leaving out, as in PS3.15 annex E, fails at what nobody thought of:
private tags, nested sequences, text in the wrong attribute. So nothing is left out
here; a few values are taken, and no character of a source's text is among them.
"""

import datetime
import logging
import math
import re
import struct
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from usgland.ingest.devices import (
    device_names,
    known_array,
    known_manufacturer,
    known_model,
    known_probe,
)
from usgland.ingest.pseudonyms import ALPHABET, LETTERS, SHORT, Key, normalize_id
from usgland.table_files import names_nobody

# What pydicom raises for a value that does not fit its attribute.
BAD_VALUE = (
    *(ValueError, TypeError, KeyError, AttributeError, LookupError, OverflowError),
    *(NotImplementedError, RecursionError, EOFError, OSError, ArithmeticError),
    *(struct.error, BytesLengthException, InvalidDicomError),
)
OLDEST = 90  # years: stands for all ages over 89, as 45 CFR 164.514(b)(2)(i)(C) has it
LONGEST_LIFE = 125  # years
LONGEST_STUDY = 36_525  # days, a century
SEXES = {"M": "male", "F": "female", "O": "other"}
AGE_UNITS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
# Patient ids that say that there is none, beside `table_files.MISSING`.
NO_ID = re.compile(
    r"(anon|anonym(ous|i[sz]ed)?|no ?(id|name)|removed|deleted|patient|x+|[0-]+)"
)
UNKNOWN_PATIENT = "no_patient_id"  # mark: each study counts as a patient of its own
TWO_PATIENTS = "two_patients_of_one_id"  # mark
SAID_TO_HAVE_TEXT = "burned_in_annotation"  # mark: the header itself says so
MARKS = (UNKNOWN_PATIENT, TWO_PATIENTS, SAID_TO_HAVE_TEXT)
CODE = rf"other_[{ALPHABET}]{{{SHORT}}}"
PSEUDONYM = rf"[{ALPHABET}]{{{LETTERS}}}"
SPACING_DIGITS = 4  # significant ones; more would be room for a number of another kind


class PrivateFields(NamedTuple):
    """Of one file, what joins labels, finishes days and tells patients apart.

    Never under OUT.
    """

    patient: str  # the id as `normalize_id` has it, "" if unknown
    accession: str
    study_date: str  # ISO, "" if unknown
    issuer: str
    birth_date: str
    sex: str


class HeaderFields(NamedTuple):
    """Of one file, the columns that its header gives; "" where it does not."""

    patient_id: str
    study_id: str
    age: str  # whole years, 90 for all over 89
    sex: str
    manufacturer: str
    model: str
    transducer: str
    array: str  # kind of transducer
    marks: tuple[str, ...]
    private: PrivateFields

    def columns(self) -> dict[str, str]:
        """The columns of the manifest but `study_day`, which needs all files."""
        fields = self._asdict()
        del fields["private"], fields["marks"]
        return fields


# Column -> what its cells must match as a whole; what the header gives and no more.
PATTERNS: dict[str, str] = {
    "patient_id": PSEUDONYM,
    "study_id": PSEUDONYM,
    "study_day": r"\d{0,5}",
    "age": r"(\d|[1-8]\d|90)?",
    "sex": "|".join(("", *SEXES.values())),
    "manufacturer": "|".join(["", CODE, *map(re.escape, sorted(device_names()))]),
    "model": "|".join(["", CODE, *map(re.escape, sorted(device_names()))]),
    "transducer": "|".join(["", CODE, *map(re.escape, sorted(device_names()))]),
    "array": "|".join(["", *map(re.escape, sorted(device_names()))]),
}


def fields_of(
    dataset: pydicom.Dataset, pseudonyms: Key, source: str = ""
) -> HeaderFields:
    """Takes the named columns of a header.

    Args:
        dataset: A file's header.
        pseudonyms: The key of this collection.
        source: What tells the file from others where its header does not, its path.
    """
    with quietly():
        private = _private_fields(dataset)
        study = text_of(dataset, "StudyInstanceUID") or "|".join(
            (private.patient, private.study_date, private.accession or source)
        )
        marks = [] if private.patient else [UNKNOWN_PATIENT]
        if text_of(dataset, "BurnedInAnnotation").upper() == "YES":
            marks.append(SAID_TO_HAVE_TEXT)
        identity = private.patient or f"study {study}"
        return HeaderFields(
            patient_id=pseudonyms.patient(identity),
            study_id=pseudonyms.study(study),
            age=_age(dataset, private),
            sex=private.sex,
            **_device(dataset, pseudonyms),
            marks=tuple(marks),
            private=private,
        )


def study_days(files: Iterable[HeaderFields]) -> list[str]:
    """Days from a patient's first study to that of each file, "" if unknown."""
    rows = list(files)
    first: dict[str, datetime.date] = {}
    dates = [_date(row.private.study_date) for row in rows]
    for row, date in zip(rows, dates, strict=True):
        if date:
            first[row.patient_id] = min(date, first.get(row.patient_id, date))
    days = []
    for row, date in zip(rows, dates, strict=True):
        number = (date - first[row.patient_id]).days if date else -1
        days.append(str(number) if 0 <= number <= LONGEST_STUDY else "")
    return days


def shared_ids(files: Iterable[HeaderFields]) -> set[str]:
    """Pseudonyms of ids that two patients seem to have.

    Two birth dates, sexes or issuers of ids are at odds; a name is not, as people
    marry. The two stay one patient of the split, and get no label by that id.
    """
    seen: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in files:
        for name in ("issuer", "birth_date", "sex"):
            value = getattr(row.private, name)
            if value and row.private.patient:
                seen[row.patient_id][name, value] += 1
    return {
        patient
        for patient, values in seen.items()
        if len({name for name, _ in values}) < len(values)
    }


def rounded_spacing(millimetres: float) -> str:
    """A spacing as a column has it, "" where it is none of an ultrasound picture."""
    if not math.isfinite(millimetres) or not 0.001 <= millimetres <= 10:
        return ""
    return f"{millimetres:.{SPACING_DIGITS}g}"


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps pydicom's warnings and log, which quote values, from the screen."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def text_of(dataset: pydicom.Dataset, name: str) -> str:
    """The first value of an attribute as text, "" if it is absent or unreadable."""
    return next(iter(texts_of(dataset, name)), "")


def texts_of(dataset: pydicom.Dataset, name: str) -> list[str]:
    """The values of an attribute as text, without those that are empty."""
    try:
        value = dataset.get(name)
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        several = isinstance(value, Sequence) and not isinstance(value, str)
        values = [str(item) for item in (value if several else [value or ""])]
    except BAD_VALUE:
        return []
    stripped = (item.replace("\0", " ").strip() for item in values)
    return [item for item in stripped if item]


def _private_fields(dataset: pydicom.Dataset) -> PrivateFields:
    dates = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
    read = (_date(text_of(dataset, name)) for name in dates)
    study_date = next((date for date in read if date), None)
    birth_date = _date(text_of(dataset, "PatientBirthDate"))
    identity = normalize_id(text_of(dataset, "PatientID"))
    if names_nobody(identity) or NO_ID.fullmatch(identity):
        identity = ""
    return PrivateFields(
        patient=identity,
        accession=normalize_id(text_of(dataset, "AccessionNumber")),
        study_date=study_date.isoformat() if study_date else "",
        issuer=normalize_id(text_of(dataset, "IssuerOfPatientID")),
        birth_date=birth_date.isoformat() if birth_date else "",
        sex=SEXES.get(text_of(dataset, "PatientSex").upper(), ""),
    )


def _date(text: str) -> datetime.date | None:
    """Reads DA, the form of ACR-NEMA (1997.04.24) and ISO; None for anything else."""
    parts = re.fullmatch(r"(\d{4})([.-]?)(\d\d)\2(\d\d)", text, re.ASCII)
    try:
        return datetime.date(*(int(parts[n]) for n in (1, 3, 4))) if parts else None
    except ValueError:
        return None


def _age(dataset: pydicom.Dataset, private: PrivateFields) -> str:
    parts = re.fullmatch(
        r"(\d{1,3})([DWMY])", text_of(dataset, "PatientAge").upper(), re.ASCII
    )
    born, studied = _date(private.birth_date), _date(private.study_date)
    years = math.nan
    if parts:
        # Rounded, for 12 times a twelfth is a little less than a year.
        years = round(int(parts[1]) * AGE_UNITS[parts[2]], 6)
    elif born and studied:
        before = (studied.month, studied.day) < (born.month, born.day)
        years = studied.year - born.year - before
    if not 0 <= years <= LONGEST_LIFE:
        return ""
    return str(min(int(years), OLDEST))


def _device(dataset: pydicom.Dataset, pseudonyms: Key) -> Mapping[str, Any]:
    maker = text_of(dataset, "Manufacturer")
    model = text_of(dataset, "ManufacturerModelName")
    probes = texts_of(dataset, "TransducerData")
    probe = next((text for text in probes if text.upper() != "UNUSED"), "")

    def code(text: str) -> str:
        return pseudonyms.device(text) if text else ""

    return {
        "manufacturer": known_manufacturer(maker) or code(maker),
        "model": known_model(model) or code(model),
        "transducer": known_probe(probes) or code(probe),
        "array": known_array(text_of(dataset, "TransducerType")),
    }
