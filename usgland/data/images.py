"""Checks that an image file is one that training and serving can read.

Stricter than Pillow where the decoder in the graph is: one bad file would fail a
whole batch in the middle of a run.
"""

import contextlib
import hashlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import PIL
from PIL import Image

from usgland.data.remembered_checks import RememberedChecks, Stamp, stamp_of
from usgland.data.waiting import watched
from usgland.machine import usable_cores

FORMATS = ("PNG", "JPEG", "BMP")
SMALLEST_SIDE = 32  # pixels; below this nothing of a lesion's outline is left
LARGEST_AREA = 16_000_000  # pixels, tens of times an ultrasound frame
# Pixels of 64 bits that do not compress fit, and metadata; nothing larger is read.
LARGEST_FILE = 9 * LARGEST_AREA  # bytes
# Threads, as decoding and hashing free the interpreter; two where one waits for a disk.
# No more than eight: each may hold a file of `LARGEST_FILE`.
CHECKED_AT_ONCE = min(max(usable_cores(), 2), 8)
WAITING_AT_ONCE = 256  # files that wait for a thread
REMEMBERED = 500  # files; fewer are checked again in a moment
UPRIGHT = 1  # value of the EXIF orientation tag
ORIENTATION_TAG = 0x0112
# First bytes of files that are often taken for PNG, JPEG or BMP.
OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"RIFF": "WebP or AVI",
    b"%PDF": "PDF",
    b"PK\3\4": "ZIP or Office",
    b"\x1f\x8b": "gzip",
    b"<": "HTML, SVG or XML",
    b"DICM": "DICOM",  # behind 128 bytes of anything
    b"\0\0\0\x0cjP": "JPEG 2000",
}
# What Pillow raises on files that are broken.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)


class ImageCheck(NamedTuple):
    """What one file is."""

    sha256: str  # digest of its bytes; "" if it could not be read
    problem: str  # as "expected …. Received: …"; "" if nothing is wrong


class _UnusableError(Exception):
    """Ends the check of one file with its problem."""


def check_images(
    paths: Iterable[str | Path], *, pixels: bool = True, manifest: Path | None = None
) -> list[ImageCheck]:
    """Reads and decodes every file once, several at a time.

    Of several names of one file, e.g. links, one is read.

    Args:
        paths: The files.
        pixels: If false, only what is known before a file is opened; no digests.
        manifest: The table that names them: what an earlier check of it found is taken
            for files that have not changed since. None: each file is read.
    """
    names = [str(path) for path in paths]
    if not pixels:
        return [_check_image(name, pixels=False) for name in names]
    stamps = [stamp_of(name) for name in names]
    known = None
    if manifest is not None and len(names) >= REMEMBERED:
        known = RememberedChecks(manifest, version_of_checks())
    checks: dict[int, ImageCheck] = {}
    unknown: dict[Stamp | str, list[int]] = {}  # name by name, or by the file
    for number, (name, stamp) in enumerate(zip(names, stamps, strict=True)):
        earlier = known.find(name, stamp) if known else None
        if earlier:
            checks[number] = ImageCheck(*earlier)
        else:
            unknown.setdefault(stamp or name, []).append(number)
    firsts = [names[numbers[0]] for numbers in unknown.values()]
    try:
        with contextlib.closing(_check_each(firsts)) as done:
            progress = watched(done, len(firsts), "Checking images")
            for numbers, check in zip(unknown.values(), progress, strict=True):
                for number in numbers:
                    checks[number] = check
                    if known:
                        known.note(names[number], stamps[number], *check)
    finally:  # After Ctrl-C it goes on where it was.
        if known:
            known.save()
    return [checks[number] for number in range(len(names))]


def version_of_checks() -> str:
    """Changes whenever the code does that judges a file."""
    code = hashlib.sha256(Path(__file__).read_bytes() + PIL.__version__.encode())
    return code.hexdigest()


def _check_each(paths: list[str]) -> Generator[ImageCheck, None, None]:
    def check(path: str) -> ImageCheck:
        return _check_image(path, pixels=True)

    with warnings.catch_warnings(), ThreadPoolExecutor(CHECKED_AT_ONCE) as pool:
        # Pillow warns of odd metadata and large headers; both are judged below.
        warnings.simplefilter("ignore")
        for start in range(0, len(paths), WAITING_AT_ONCE):
            yield from pool.map(check, paths[start : start + WAITING_AT_ONCE])


def _check_image(path: str | Path, *, pixels: bool) -> ImageCheck:
    digest = problem = ""
    try:
        if not os.path.exists(path):
            raise _UnusableError(f"expected an image file. Received: no file at {path}")
        if not os.path.isfile(path):
            raise _UnusableError("expected an image file. Received: a folder or device")
        if pixels:
            data = _read(path)
            digest = hashlib.sha256(data).hexdigest()
            _check_bytes(data)
    except _UnusableError as error:
        problem = str(error)
    return ImageCheck(digest, problem)


def _read(path: str | Path) -> bytes:
    """The bytes of a file of plausible size."""
    try:
        size = os.path.getsize(path)
        if size > LARGEST_FILE:
            raise _UnusableError(
                f"expected an image file up to {LARGEST_FILE} bytes. "
                f"Received: {size} bytes"
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise _UnusableError(
            f"expected a file that can be read. Received: {error.strerror}"
        ) from error


def _check_bytes(data: bytes) -> None:
    if not data:
        raise _UnusableError("expected an image. Received: an empty file (0 bytes)")
    image = _open(data)
    _check_header(image)
    _check_decoder_limits(image, data)
    try:
        image.load()
    except BROKEN as error:
        raise _UnusableError(
            "expected a whole image. Received: a truncated or damaged "
            f"{image.format} ({_one_line(error)})"
        ) from error
    if _is_constant(image):
        raise _UnusableError(
            "expected a picture. Received: the same grey level everywhere"
        )


def _open(data: bytes) -> Image.Image:
    """Reads the header only."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _UnusableError(
            f"expected at most {LARGEST_AREA} pixels. Received: {_one_line(error)}"
        ) from error
    except BROKEN as error:
        received = f"a damaged file ({_one_line(error)})"
        if isinstance(error, Image.UnidentifiedImageError):
            received = "no image, or a damaged one"
            for start, name in OTHER_FORMATS.items():
                if data.startswith(start, 128 if name == "DICOM" else 0):
                    received = f"a {name} file"
        raise _UnusableError(
            f"expected a PNG, JPEG or BMP image. Received: {received}"
        ) from error


def _check_header(image: Image.Image) -> None:
    """Judges what can be known before the pixels are decoded."""
    width, height = image.size
    if min(width, height) < SMALLEST_SIDE:
        raise _UnusableError(
            f"expected at least {SMALLEST_SIDE} pixels on each side. "
            f"Received: {width}x{height}"
        )
    if width * height > LARGEST_AREA:
        raise _UnusableError(
            f"expected at most {LARGEST_AREA} pixels. Received: {width}x{height}; "
            "shrink it"
        )
    if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise _UnusableError(
            "expected one picture. Received: an animated PNG; save one frame"
        )
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    except BROKEN:  # unreadable metadata turns no picture
        orientation = UPRIGHT
    if orientation in range(2, 9):
        raise _UnusableError(
            "expected an upright image without EXIF rotation, which the decoder "
            f"ignores. Received: orientation {orientation}; turn it and save it again"
        )


def _check_decoder_limits(image: Image.Image, data: bytes) -> None:
    """Finds damage that Pillow forgives and TensorFlow's decoders do not."""
    if image.format == "PNG" and not _png_is_whole(data):
        raise _UnusableError(
            "expected a whole image. Received: a truncated or damaged PNG"
        )
    if image.format == "BMP" and not _bmp_is_plain(image, data):
        raise _UnusableError(
            "expected a whole, uncompressed BMP of 8 bits grey, 24 or 32 bits. "
            "Received: another or damaged BMP; save it as PNG"
        )


def _png_is_whole(data: bytes) -> bool:
    """Whether all critical chunks are there with their checksums (PNG, section 5)."""
    position = 8
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            return False
        critical = not name[0] & 0x20
        body = data[position + 4 : end - 4]
        if critical and zlib.crc32(body) != int.from_bytes(data[end - 4 : end]):
            return False
        if name == b"IEND":
            return True
        position = end
    return False


def _bmp_is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether `tf.io.decode_bmp` reads it: it knows no palettes and no spare bytes."""
    offset = int.from_bytes(data[10:14], "little")
    bits = int.from_bytes(data[28:30], "little")
    compression = int.from_bytes(data[30:34], "little")
    width, height = image.size
    row = (width * bits + 31) // 32 * 4  # rows are padded to 4 bytes
    return (
        bits in (8, 24, 32)
        and image.mode in ("L", "RGB", "RGBA")
        and compression in (0, 3)
        and len(data) == offset + row * height
    )


def _is_constant(image: Image.Image) -> bool:
    """Whether the picture, flattened on black, has one grey level."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, coloured)
    if not image.mode.startswith("I"):  # 16-bit grey keeps its depth
        image = image.convert("L")
    low, high = image.getextrema()
    return low == high


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
