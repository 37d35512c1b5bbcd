"""Pixels of DICOM files: a frame at a time, as they are seen, in 8 bits."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_color_lut, iter_pixels
from pydicom.pixels.utils import get_nr_frames

from usgland.ingest.headers import quietly
from usgland.ingest.safe_dicom import (
    CUT_OFF,
    check_whole,
    item_lengths,
    read_inflated,
    seek_pixels,
)
from usgland.ingest.unreadable import BROKEN, UnreadableFileError, reason_of

MOST_PIXELS = 64_000_000  # of a frame: 8000 x 8000
MOST_FRAMES = 100_000  # an hour at 28 frames a second
PLUGINS = "Unable to decode as exceptions were raised by all available plugins: "
RLE_HEAD = 64 + 15 * 2  # bytes of a frame's table, and of what fills up its segments
# Photometric interpretations (PS3.3, C.7.6.3.1.2); pydicom turns YBR into RGB.
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420")
PALETTE = "PALETTE COLOR"


def count_frames(path: Path, dataset: Dataset) -> int:
    """How many frames a file has, once its claims are checked against its size.

    Raises:
        UnreadableFileError: If it cannot be as large as it says, or is too large.
    """
    try:
        with quietly():
            rows, columns = int(dataset.Rows), int(dataset.Columns)
            samples, bits = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
            frames = int(get_nr_frames(dataset, warn=False))
            shown = dataset.PhotometricInterpretation
    except AttributeError as error:
        raise UnreadableFileError("no pixels: a report or other object") from error
    except BROKEN as error:
        raise UnreadableFileError(
            f"broken pixel attributes: {reason_of(error)}"
        ) from error
    if shown not in (*GREY, *COLOUR, PALETTE):
        raise UnreadableFileError(
            f"colours that are not read: {reason_of(ValueError(shown))}"
        )
    if min(rows, columns, samples, bits, frames) < 1 or samples not in (1, 3):
        raise UnreadableFileError(
            f"broken pixel attributes: {rows} x {columns} x {samples}, {frames} frames"
        )
    if rows * columns > MOST_PIXELS or frames > MOST_FRAMES:
        raise UnreadableFileError(
            f"too large: {columns} x {rows} pixels, {frames:,} frames; at most "
            f"{MOST_PIXELS:,} and {MOST_FRAMES:,} are read"
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return frames
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise UnreadableFileError("a transfer syntax that is not known")
    share = 2 if shown == "YBR_FULL_422" and not syntax.is_compressed else samples
    native = rows * columns * share * bits // 8
    try:
        if syntax.is_compressed:
            _check_items(path, frames, native if syntax == uid.RLELossless else None)
        else:
            check_whole(path, frames * native)
    except BROKEN as error:
        raise UnreadableFileError(f"a broken header: {reason_of(error)}") from error
    return frames


def _check_items(path: Path, frames: int, native: int | None) -> None:
    """Checks that each frame has an item, and that run lengths do not explode."""
    lengths = item_lengths(path)
    if len(lengths) < frames:
        raise UnreadableFileError(CUT_OFF)
    # The worst that run lengths make of pixels is a byte more for each row and 128.
    if native and max(lengths) > 2 * native + RLE_HEAD:
        raise UnreadableFileError("too large: its run lengths exceed its pixels")


def iter_frames(
    path: Path, dataset: FileDataset, indices: Iterable[int] | None = None
) -> Iterator[np.ndarray]:
    """Decodes frames, each as it is asked for: memory does not grow with their number.

    Args:
        path: A DICOM file.
        dataset: What `read_header` gave of it.
        indices: Which frames, from 0; by default all.

    Yields:
        uint8 `(rows, columns)` of grey pictures and `(rows, columns, 3)` of others.

    Raises:
        UnreadableFileError: If a frame cannot be decoded, or the file is cut off.
    """
    count_frames(path, dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for frame in _decoded(path, dataset, indices):
                yield to_grey_or_rgb(frame, dataset)
    except BROKEN as error:
        reason = reason_of(error).removeprefix(PLUGINS)
        raise UnreadableFileError(f"pixels not decoded: {reason}") from error


def _decoded(
    path: Path, dataset: FileDataset, indices: Iterable[int] | None
) -> Iterator[np.ndarray]:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        dataset = read_inflated(path)
        return iter_pixels(dataset, indices=indices, correct_unused_bits=False)
    if syntax == uid.JPEGExtended12Bit and dataset.BitsStored > 8:
        return _twelve_bits(path, dataset, indices)
    options: dict[str, Any] = {
        "transfer_syntax_uid": syntax,  # not every file names it
        # pydicom takes those that are stored for the lowest; see `_stored_bits`.
        "correct_unused_bits": False,
    }
    if syntax in uid.JPEG2000TransferSyntaxes and dataset.PixelRepresentation:
        # Where the sign of the code stream is not that of the header, pydicom 3.0.2
        # writes into the memory of the other decoders, which does not let it.
        options["decoding_plugin"] = "pylibjpeg"
    return iter_pixels(path, indices=indices, **options)


def _twelve_bits(
    path: Path, dataset: FileDataset, indices: Iterable[int] | None
) -> Iterator[np.ndarray]:
    """JPEG of 12 bits, which gdcm decodes and pydicom 3.0.2 does not ask it to."""
    wanted = None if indices is None else set(indices)
    with path.open("rb") as file:
        seek_pixels(file)
        frames = generate_frames(file, number_of_frames=get_nr_frames(dataset))
        for number, code in enumerate(frames):
            if wanted is None or number in wanted:
                yield _gdcm_frame(code, dataset)


def _gdcm_frame(code: bytes, dataset: Dataset) -> np.ndarray:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(code)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    pixels = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    pixels.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((dataset.Columns, dataset.Rows, 1))
    image.SetDataElement(pixels)
    kind = gdcm.PhotometricInterpretation.GetPIType(dataset.PhotometricInterpretation)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.GetTSType(str(dataset.file_meta.TransferSyntaxUID))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    # gdcm gives bytes as text.
    pixels = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(pixels, "<u2").reshape(dataset.Rows, dataset.Columns)


def to_grey_or_rgb(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    """A decoded frame in 8 bits, white where it is bright; bits above are dropped.

    Bits beyond those that are stored are not seen, and could hold anything.
    """
    shown = dataset.PhotometricInterpretation
    if frame.dtype.kind == "f":
        return _stretched(frame)
    values = _stored_bits(frame, dataset)
    if shown == PALETTE:
        return _from_palette(values, dataset)
    scaled = _in_eight_bits(values, int(dataset.BitsStored))
    return 255 - scaled if shown == "MONOCHROME1" else scaled


def _stretched(frame: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(frame.astype(np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, np.uint8)
    return np.rint((values - low) * (255 / (high - low))).astype(np.uint8)


def _stored_bits(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Unsigned values of the bits that are stored; of signed ones the lowest is 0."""
    bits, stored = 8 * frame.dtype.itemsize, int(dataset.BitsStored)
    values = frame.astype(f"u{frame.dtype.itemsize}")  # in the machine's byte order
    if not 1 <= stored <= bits:
        raise ValueError(f"{stored} bits stored of {bits}")
    above = int(dataset.get("HighBit", stored - 1)) + 1 - stored
    syntax = dataset.file_meta.TransferSyntaxUID
    # Run lengths code whole words; the other codes have a precision of their own.
    if above and (syntax == uid.RLELossless or not syntax.is_compressed):
        if not 0 <= above <= bits - stored:
            raise ValueError(f"{stored} bits stored below bit {stored - 1 + above}")
        values = values >> above
    mask = (1 << stored) - 1
    values = values & values.dtype.type(mask)
    if dataset.get("PixelRepresentation") and dataset.PhotometricInterpretation in GREY:
        values = (values + values.dtype.type(1 << (stored - 1))) & values.dtype.type(
            mask
        )
    return values


def _in_eight_bits(values: np.ndarray, stored: int) -> np.ndarray:
    if stored == 8:
        return values.astype(np.uint8)
    highest = (1 << stored) - 1
    if stored <= 16:
        table = np.rint(np.arange(highest + 1) * (255 / highest)).astype(np.uint8)
        return table[values]
    return np.rint(values * (255 / highest)).astype(np.uint8)


def _from_palette(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    colours = apply_color_lut(values, dataset)
    if colours.dtype == np.uint8:
        return colours
    # Tables of 16 bits whose colours have 8 (PS3.3, C.7.6.3.1.5) are common.
    return (colours if colours.max() <= 255 else colours >> 8).astype(np.uint8)
