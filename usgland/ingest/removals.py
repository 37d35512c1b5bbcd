"""What was removed: counts by attribute and by what PS3.15 would do to it."""

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pydicom
from pydicom.datadict import dictionary_has_tag

from usgland.ingest.headers import BAD_VALUE, quietly

EDITION = "DICOM PS3.15 2026c, table E.1-1"
# The table's actions, by the names that dicom-anonymizer's lists have.
ACTIONS = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
}
NOT_LISTED = "not in the table"  # the profile would keep these; here they go, too
PRIVATE, UNKNOWN = "private attributes", "unknown attributes"
FILE_META = "file meta information"
DEEPEST = 10_000  # sequences that are looked into, of one file


def removed_counts(dataset: pydicom.Dataset) -> Counter[tuple[str, str]]:
    """Counts a file's attributes, nested ones too, by action and tag.

    Never a value; of private and unknown attributes not even the tag, whose number is
    free.
    """
    with quietly():
        counts = Counter(map(_action, _tags(dataset)))
        counts[NOT_LISTED, FILE_META] += len(getattr(dataset, "file_meta", ()))
    return +counts


def removed_table(counts: Counter[tuple[str, str]], files: int) -> dict[str, Any]:
    """What removed.json holds, of the counts of all files together."""
    actions: dict[str, dict[str, int]] = {}
    for (action, tag), count in sorted(counts.items()):
        actions.setdefault(action, {})[tag] = count
    return {
        "table": EDITION,
        "files": files,
        "kept": "nothing of a header but the columns of manifest.csv",
        "removed": actions,
    }


def datasets_of(dataset: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """A dataset and all that are nested in it, without recursion."""
    waiting, count = [dataset], 0
    while waiting and count < DEEPEST:
        current = waiting.pop()
        count += 1
        yield current
        for tag in list(current.keys()):
            try:
                raw = current.get_item(tag)
                if raw is not None and raw.VR in ("SQ", None, "UN"):
                    element = current[tag]
                    if element.VR == "SQ":
                        waiting.extend(element.value or ())
            except BAD_VALUE:
                continue  # `identifiers_of` reads its bytes.


def _tags(dataset: pydicom.Dataset) -> Iterator[pydicom.tag.BaseTag]:
    for inner in datasets_of(dataset):
        yield from inner.keys()


def _action(tag: pydicom.tag.BaseTag) -> tuple[str, str]:
    table, masked = _table()
    if tag.is_private:
        return "X", PRIVATE  # as the table's last row has it
    for (group, element, group_mask, element_mask), action in masked:
        if tag.group & group_mask == group and tag.element & element_mask == element:
            name = f"({group >> 8:02X}xx,{'xxxx' if not element_mask else ''}"
            return action, name + (f"{element:04X})" if element_mask else ")")
    if not dictionary_has_tag(tag):
        return NOT_LISTED, UNKNOWN
    action = table.get((tag.group, tag.element), NOT_LISTED)
    return action, f"({tag.group:04X},{tag.element:04X})"


@functools.cache
def _table() -> tuple[dict[tuple[int, int], str], list[tuple[tuple, str]]]:
    """The table's rows by tag; those of repeating groups with their masks."""
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c

    rows: dict[tuple[int, int], str] = {}
    masked = []
    for name, action in ACTIONS.items():
        for tag in getattr(dicomfields_2026c, name):
            if len(tag) == 2:
                rows[tag] = action
            else:
                masked.append((tag, action))
    return rows, masked
