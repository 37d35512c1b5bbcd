"""Checks that an image file is one that training and serving can read.

Stricter than Pillow where the decoder in the graph is: one bad file would fail a
whole batch in the middle of a run.
"""

import contextlib
import functools
import hashlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import PIL
from PIL import Image

from usgland.data.picture_headers import MOST_SCANS, jpeg_cost, png_bomb
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
JUDGES = (
    "images.py",
    "lesion_marks.py",
    "picture_headers.py",
)  # modules whose code judges a file


class ImageCheck(NamedTuple):
    """What one file is."""

    sha256: str  # digest of its bytes; "" if it could not be read
    problem: str  # as "expected …. Received: …"; "" if nothing is wrong
    width: int = 0  # pixels; 0 where they are not known
    height: int = 0


# What judges a file gives this, or a tuple that begins like it.
Check = TypeVar("Check", bound=tuple)


class UnusableError(Exception):
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
    if not pixels:
        return [_check_image(str(path), pixels=False) for path in paths]
    judge = functools.partial(_check_image, pixels=True)
    return check_files(paths, "images", judge, ImageCheck, manifest)


def check_files(
    paths: Iterable[str | Path],
    what: str,
    judge: Callable[[str], Check],
    kind: Callable[..., Check],
    manifest: Path | None,
) -> list[Check]:
    """Judges every file once, several at a time; see `check_images`.

    Args:
        paths: The files.
        what: `"images"` or `"masks"`.
        judge: Gives what a file is, its digest first, "" if it could not be read.
        kind: Makes what `judge` gives of its parts.
        manifest: As for `check_images`.
    """
    names = [str(path) for path in paths]
    stamps = [stamp_of(name) for name in names]
    known = None
    if manifest is not None and len(names) >= REMEMBERED:
        known = RememberedChecks(manifest, what, version_of_checks())
    checks: dict[int, Check] = {}
    unknown: dict[Stamp | str, list[int]] = {}  # name by name, or by the file
    for number, (name, stamp) in enumerate(zip(names, stamps, strict=True)):
        earlier = known.find(name, stamp) if known else None
        if earlier:
            checks[number] = kind(*earlier)
        else:
            unknown.setdefault(stamp or name, []).append(number)
    firsts = [names[numbers[0]] for numbers in unknown.values()]
    try:
        with contextlib.closing(_check_each(firsts, judge)) as done:
            progress = watched(done, len(firsts), f"Checking {what}")
            for numbers, check in zip(unknown.values(), progress, strict=True):
                for number in numbers:
                    checks[number] = check
                    if known:
                        known.note(names[number], stamps[number], check)
    finally:  # After Ctrl-C it goes on where it was.
        if known:
            known.save()
    return [checks[number] for number in range(len(names))]


def version_of_checks() -> str:
    """Changes whenever the code does that judges a file."""
    code = [path.read_bytes() for path in map(Path(__file__).with_name, JUDGES)]
    return hashlib.sha256(b"".join(code) + PIL.__version__.encode()).hexdigest()


def _check_each(
    paths: list[str], judge: Callable[[str], Check]
) -> Generator[Check, None, None]:
    with warnings.catch_warnings(), ThreadPoolExecutor(CHECKED_AT_ONCE) as pool:
        # Pillow warns of odd metadata and large headers; both are judged below.
        warnings.simplefilter("ignore")
        for start in range(0, len(paths), WAITING_AT_ONCE):
            yield from pool.map(judge, paths[start : start + WAITING_AT_ONCE])


def _check_image(path: str, *, pixels: bool) -> ImageCheck:
    digest = problem = ""
    width = height = 0
    try:
        if not os.path.exists(path):
            raise UnusableError(f"expected an image file. Received: no file at {path}")
        if not os.path.isfile(path):
            raise UnusableError("expected an image file. Received: a folder or device")
        if pixels:
            data = read_image_file(path)
            digest = hashlib.sha256(data).hexdigest()
            width, height = _check_bytes(data)
    except UnusableError as error:
        problem = str(error)
    return ImageCheck(digest, problem, width, height)


def read_image_file(path: str | Path) -> bytes:
    """The bytes of a file of plausible size."""
    try:
        size = os.path.getsize(path)
        if size > LARGEST_FILE:
            raise UnusableError(
                f"expected an image file up to {LARGEST_FILE} bytes. "
                f"Received: {size} bytes"
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise UnusableError(
            f"expected a file that can be read. Received: {error.strerror}"
        ) from error


def _check_bytes(data: bytes) -> tuple[int, int]:
    """Judges an image; gives its width and height."""
    if not data:
        raise UnusableError("expected an image. Received: an empty file (0 bytes)")
    image = _open(data)
    _check_header(image)
    _check_decoder_limits(image, data)
    try:
        image.load()
    except BROKEN as error:
        raise UnusableError(
            "expected a whole image. Received: a truncated or damaged "
            f"{image.format} ({one_line(error)})"
        ) from error
    if _is_constant(image):
        raise UnusableError(
            "expected a picture. Received: the same grey level everywhere"
        )
    return image.size


def _open(data: bytes) -> Image.Image:
    """Reads the header only."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnusableError(
            f"expected at most {LARGEST_AREA} pixels. Received: {one_line(error)}"
        ) from error
    except BROKEN as error:
        received = f"a damaged file ({one_line(error)})"
        if isinstance(error, Image.UnidentifiedImageError):
            received = "no image, or a damaged one"
            for start, name in OTHER_FORMATS.items():
                if data.startswith(start, 128 if name == "DICOM" else 0):
                    received = f"a {name} file"
        raise UnusableError(
            f"expected a PNG, JPEG or BMP image. Received: {received}"
        ) from error


def _check_header(image: Image.Image) -> None:
    """Judges what can be known before the pixels are decoded."""
    width, height = image.size
    if min(width, height) < SMALLEST_SIDE:
        raise UnusableError(
            f"expected at least {SMALLEST_SIDE} pixels on each side. "
            f"Received: {width}x{height}"
        )
    if width * height > LARGEST_AREA:
        raise UnusableError(
            f"expected at most {LARGEST_AREA} pixels. Received: {width}x{height}; "
            "shrink it"
        )
    if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise UnusableError(
            "expected one picture. Received: an animated PNG; save one frame"
        )
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    except BROKEN:  # unreadable metadata turns no picture
        orientation = UPRIGHT
    if orientation in range(2, 9):
        raise UnusableError(
            "expected an upright image without EXIF rotation, which the decoder "
            f"ignores. Received: orientation {orientation}; turn it and save it again"
        )


def _check_decoder_limits(image: Image.Image, data: bytes) -> None:
    """Finds damage that Pillow forgives and TensorFlow's decoders do not."""
    if image.format == "PNG" and (bomb := png_bomb(data)):
        raise UnusableError(
            f"expected a PNG of its picture and a few texts. Received: {bomb}; save it "
            "again"
        )
    if image.format == "PNG" and not _png_is_whole(data):
        raise UnusableError(
            "expected a whole image. Received: a truncated or damaged PNG"
        )
    # Whatever Pillow calls it: several pictures in one file are JPEG, too.
    if data.startswith(b"\xff\xd8") and jpeg_cost(data)[1] > MOST_SCANS:
        raise UnusableError(
            f"expected a JPEG of at most {MOST_SCANS} scans. Received: more; save it "
            "again"
        )
    if image.format == "BMP" and not _bmp_is_plain(image, data):
        raise UnusableError(
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


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
