"""What of a source must not be seen again: its names, ids, dates, UIDs and texts.

The rule that keeps chance out, for a value that is everywhere identifies nobody:

- a text counts as a whole; a name also by each of its parts of three letters (one, of
  Chinese, Japanese and Korean), a longer text also by each of its words of five;
- numbers count from five digits; dates in the usual ways to write them;
- left out are the registered UIDs (of formats, not of patients), numbers of
  measurement (VR DS, IS, US, FD ...) below five digits, ages, and the words that the
  output itself is made of, such as `linear` or the makers' names: those stand in it
  anyhow, from our own lists.
"""

import datetime
import re
import unicodedata
from collections.abc import Iterable, Iterator, Set
from pathlib import PurePath
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.uid import UID_dictionary

from usgland.ingest.devices import device_names
from usgland.ingest.headers import BAD_VALUE, MARKS, PATTERNS, SEXES, quietly
from usgland.ingest.removals import datasets_of

Identifier = str | bytes
NAME_PART, WORD_PART, NUMBER_PART = 3, 5, 5  # characters from which a part counts
MOST = 20_000  # identifiers of one file
LONGEST_TEXT = 10_000  # characters of one value that are parted into words
LONGEST_BYTES = 1 << 20  # of one binary value that are looked through for text
# Texts by value representation, PS3.5 table 6.2-1. Ages stand in a column of their own.
TEXTS = ("LO", "SH", "LT", "ST", "UT", "UC", "UR", "AE", "CS", "UI", "TM", "IS", "DS")
BINARY = ("OB", "OW", "UN", "OD", "OF", "OL", "OV", "OB or OW")
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
# Text in bytes: ASCII, or UTF-16 of it; letters of other scripts are decoded as UTF-8.
PRINTABLE = re.compile(rb"[\x20-\x7e\xa0-\xff]{5,}")
WIDE = re.compile(rb"(?:[\x20-\x7e]\0){5,}")
WIDE_BIG = re.compile(rb"(?:\0[\x20-\x7e]){5,}")
SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
UID = re.compile(r"[0-2](?:\.\d+){3,}")


def identifiers_of(dataset: pydicom.Dataset) -> set[Identifier]:
    """All identifiers of a file's header, nested, private and binary values included.

    Decoded texts as `str`; `bytes` where a value is no ASCII, as the file has it.
    """
    values: set[Identifier] = set()
    with quietly():
        datasets = list(datasets_of(dataset))
        meta = getattr(dataset, "file_meta", None)
        for inner in [*datasets, meta] if meta else datasets:
            for tag in list(inner.keys()):
                if tag not in PIXELS:
                    values.update(_of_element(inner, tag))
                if len(values) > MOST:
                    return values
        values.update(_of_bytes(getattr(dataset, "preamble", None) or b""))
    return values


def identifiers_of_path(path: PurePath) -> set[Identifier]:
    """What a source's own place says: folders and files bear patients' names."""
    values: set[Identifier] = set()
    for part in path.with_suffix("").parts:
        values.update(parts_of_text(part, NAME_PART))
    return values


def parts_of_text(text: str, shortest: int = WORD_PART) -> set[str]:
    """A text as it counts: as a whole and by its words, see above."""
    text = text.replace("\0", " ").strip()
    # The numbers within a UID are its maker's, so it counts as a whole.
    values = {text, *UID.findall(text[:LONGEST_TEXT])}
    for word in re.split(r"[\W_]+", UID.sub(" ", text[:LONGEST_TEXT])):
        digits = sum(map(str.isdigit, word))
        if len(word) >= (NUMBER_PART if digits == len(word) else shortest):
            values.add(word)
        values.update(SPACELESS.findall(word))
    return {value for value in values if _counts(value)}


def fold(text: str) -> str:
    """A text as it is compared: without case, accents and kinds of letters or signs."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    # Composed anew, for Hangul falls into single letters.
    composed = unicodedata.normalize("NFKC", bare)
    return " ".join(re.sub(r"[\W_]+", " ", composed).split())


def output_words(*texts: str) -> set[str]:
    """The words that the output itself is made of: our lists, and these texts."""
    known = (*PATTERNS, *device_names(), *SEXES.values(), *MARKS, *texts)
    return {word for text in known for word in fold(text).split()}


def without_words(values: Iterable[Identifier], words: Set[str]) -> set[Identifier]:
    """Leaves out the texts that are made of the output's own words and no other."""
    return {
        value
        for value in values
        if isinstance(value, bytes) or not set(fold(value).split()) <= words
    }


def _of_element(dataset: pydicom.Dataset, tag: Any) -> Iterator[Identifier]:
    try:
        raw = dataset.get_item(tag)
        element = dataset[tag]
    except BAD_VALUE:
        element = raw = None
        try:
            raw = dataset.get_item(tag)
        except BAD_VALUE:
            return
    before = getattr(raw, "value", None)
    binary = element is None or element.VR in BINARY
    if isinstance(before, bytes) and (binary or not before.isascii()):
        yield from _of_bytes(before)
    if element is not None and element.VR != "SQ":
        yield from _of_values(element)


def _of_values(element: DataElement) -> Iterator[Identifier]:
    value = element.value
    several = isinstance(value, (list, tuple, pydicom.multival.MultiValue))
    for item in value if several else [value]:
        if item is None or element.VR == "AS":
            continue
        if isinstance(item, bytes):
            yield from _of_bytes(item)
        elif element.VR == "PN":
            yield from _of_name(item)
        elif element.VR in ("DA", "DT"):
            yield from _of_date(str(item))
        elif element.VR in TEXTS or isinstance(item, str):
            original = getattr(item, "original_string", None)
            yield from parts_of_text(str(original or item))


def _of_name(name: Any) -> Iterator[Identifier]:
    text = str(name)
    yield from parts_of_text(text, NAME_PART)
    for group in text.split("="):
        yield from parts_of_text(group, NAME_PART)
        for part in group.split("^"):
            yield from parts_of_text(part, NAME_PART)
    original = getattr(name, "original_string", b"")
    if isinstance(original, bytes) and not original.isascii():
        for encoded in re.split(rb"[=^]", original):
            if len(encoded) >= WORD_PART:
                yield encoded


def _of_date(text: str) -> Iterator[Identifier]:
    """A date as DICOM, ISO and people write it; of a DT also the whole."""
    text = text.strip()
    if len(text) >= NUMBER_PART:
        yield text
    digits = re.sub(r"\D", "", text)[:8]
    try:
        date = datetime.datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return
    for form in ("%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d%m%Y", "%m%d%Y"):
        yield date.strftime(form)


def _of_bytes(data: bytes) -> Iterator[Identifier]:
    """Texts within binary values."""
    data = data[:LONGEST_BYTES]
    runs = [run for run in PRINTABLE.findall(data)]
    runs += [run.replace(b"\0", b"") for run in WIDE.findall(data)]
    runs += [run.replace(b"\0", b"") for run in WIDE_BIG.findall(data)]
    for run in runs:
        if not run.isascii():
            yield run.strip()
        for encoding in ("utf-8", "latin-1"):
            try:
                yield from parts_of_text(run.decode(encoding))
                break
            except UnicodeDecodeError:
                continue
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    if not text.isascii() and text.isprintable():
        yield from parts_of_text(text)


def _counts(value: str) -> bool:
    if value in UID_dictionary:
        return False
    signs = [c for c in value if c.isalnum()]
    if all(map(str.isdigit, signs)):
        return len(signs) >= NUMBER_PART and not _measures(value)
    return len(signs) >= NAME_PART or bool(SPACELESS.search(value))


def _measures(value: str) -> bool:
    """Whether a number has a fraction or an exponent, as only measurements have."""
    return bool(re.fullmatch(r"[-+]?(\d{1,4}\.\d*|0*\.\d+)", value))
