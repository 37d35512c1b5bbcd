"""Headers of DICOM files, read within bounds: a file may be made to fill the memory."""

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from usgland.ingest.headers import quietly
from usgland.ingest.unreadable import BROKEN, UnreadableFileError, reason_of

LARGEST_INFLATED = 256_000_000  # bytes of a deflated file
LONGEST_VALUE = 64_000_000  # bytes of a value other than pixels
DEFERRED = 1_000_000  # bytes; longer values are read when they are asked for
MOST_ELEMENTS = 100_000  # of a header, those of sequences included
DEEPEST = 32  # sequences within each other; structured reports have about ten
CHUNK = 1 << 20
UNDEFINED = 0xFFFFFFFF  # length of a value that a delimiter ends
ITEM, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
CUT_OFF = "cut off: it ends before its pixels do"
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double, and integers


def read_header(path: Path) -> FileDataset:
    """Reads a DICOM file up to its pixels.

    A transfer syntax that the file does not name is added as it was guessed.

    Raises:
        UnreadableFileError: If it is broken, or more than a header needs.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_inflated(path)
            with path.open("rb") as file:
                dataset = _read(file, _counter(stop_at_pixels=True))
            _check_sequences(dataset)
    except InvalidDicomError as error:
        raise UnreadableFileError("no DICOM file: it has no header") from error
    except BROKEN as error:
        raise UnreadableFileError(f"a broken header: {reason_of(error)}") from error
    return dataset


def read_inflated(path: Path) -> FileDataset:
    """Reads a deflated file with its pixels, which are unpacked with its header."""
    _check_inflated(path)
    with path.open("rb") as file:
        return _read(file, _counter(stop_at_pixels=False))


def seek_pixels(file: BinaryIO) -> None:
    """Moves a file to the first item of its encapsulated pixels."""
    file.seek(_pixels_start(file) + 12)  # tag, value representation and length


def check_whole(path: Path, length: int) -> None:
    """Checks that pixels of so many bytes fit into the rest of a file.

    Raises:
        UnreadableFileError: If it ends before.
    """
    with path.open("rb") as file:
        if _pixels_start(file) + 8 + length > path.stat().st_size:
            raise UnreadableFileError(CUT_OFF)


def _pixels_start(file: BinaryIO) -> int:
    _read(file, _counter(stop_at_pixels=True))
    return file.tell()


def item_lengths(path: Path) -> list[int]:
    """Lengths of the items of encapsulated pixels, without the table before them.

    Raises:
        UnreadableFileError: If an item ends beyond the file, or other bytes follow.
    """
    lengths, size = [], path.stat().st_size
    with path.open("rb") as file:
        seek_pixels(file)
        while len(head := file.read(8)) == 8:
            group, element, length = struct.unpack("<HHI", head)
            if (group, element) == SEQUENCE_END:
                break
            if (group, element) != ITEM:
                raise UnreadableFileError("its pixels are not coded as it says")
            if file.tell() + length > size:
                raise UnreadableFileError(CUT_OFF)
            lengths.append(length)
            file.seek(length, 1)
    return lengths[1:]


def _read(file: BinaryIO, stop: Callable[[BaseTag, str | None, int], bool]) -> Any:
    # Values of a deflated file have no place of their own in it to be read from later.
    deferred = None if file_syntax(file) == DeflatedExplicitVRLittleEndian else DEFERRED
    file.seek(0)
    with quietly():
        dataset = read_partial(file, stop_when=stop, defer_size=deferred, force=True)
    if not dataset:
        raise InvalidDicomError
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else explicit
        )
    return dataset


def _counter(*, stop_at_pixels: bool) -> Callable[[BaseTag, str | None, int], bool]:
    """A function that pydicom asks before it reads each element."""
    elements = 0

    def stop(tag: BaseTag, representation: str | None, length: int) -> bool:
        nonlocal elements
        elements += 1
        if elements > MOST_ELEMENTS:
            raise UnreadableFileError(
                f"more than {MOST_ELEMENTS:,} elements in its header"
            )
        if tag in PIXELS:
            return stop_at_pixels
        if length != UNDEFINED and length > LONGEST_VALUE:
            raise UnreadableFileError(
                f"a value of {length:,} bytes at {tag} of its header"
            )
        return False

    return stop


def _check_inflated(path: Path) -> None:
    """Checks that a deflated file does not unpack to more than it may, in chunks."""
    with path.open("rb") as file:
        if file_syntax(file) != DeflatedExplicitVRLittleEndian:
            return
        unpacked, inflater = 0, zlib.decompressobj(-zlib.MAX_WBITS)
        while not inflater.eof and (packed := file.read(CHUNK)):
            while packed:
                unpacked += len(inflater.decompress(packed, CHUNK))
                packed = inflater.unconsumed_tail
                if unpacked > LARGEST_INFLATED:
                    raise UnreadableFileError(
                        f"deflated, it unpacks to more than {LARGEST_INFLATED:,} bytes"
                    )
        if not inflater.eof:
            raise UnreadableFileError("a deflated file that is cut off")


def file_syntax(file: BinaryIO) -> UID | None:
    """The transfer syntax that a file names; leaves it at the end of its file meta."""
    file.seek(0)
    if file.read(132)[128:] != b"DICM":
        return None
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, representation, length: tag.group != 2,
    )
    return meta.get("TransferSyntaxUID")


def _check_sequences(dataset: Dataset) -> None:
    """Checks how deep sequences stand within each other, and what they hold in all."""
    elements, waiting = 0, [(dataset, 0)]
    while waiting:
        items, depth = waiting.pop()
        if depth > DEEPEST:
            raise UnreadableFileError(f"sequences nested more than {DEEPEST} deep")
        elements += len(items)
        if elements > MOST_ELEMENTS:
            raise UnreadableFileError(
                f"more than {MOST_ELEMENTS:,} elements in its header"
            )
        for tag in items.keys():  # noqa: SIM118
            if _is_sequence(items.get_item(tag)):
                waiting += [(item, depth + 1) for item in items[tag].value or ()]


def _is_sequence(element: Any) -> bool:
    if element.VR in (None, "UN"):  # implicit, or not known to who wrote it
        return dictionary_has_tag(element.tag) and dictionary_VR(element.tag) == "SQ"
    return element.VR == "SQ"
