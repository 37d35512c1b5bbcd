"""Preprocessed pictures in a file of the cache folder, for data larger than memory.

A file holds a header of `PAGE` bytes; the SHA-256 of the image file that each picture
comes from; the CRC-32 of each picture; and, from the next whole page on, the pictures.
They are read one by one, not by a memory map, whose pages would count as memory.
"""

import contextlib
import errno
import hashlib
import json
import os
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from usgland.cache import cache_folder, free_space, make_private, show_bytes
from usgland.data.kept_pictures import (
    Pictures,
    Read,
    Source,
    decode_unchanged,
    distinct_files,
    hold_pictures,
    read_on_demand,
)
from usgland.data.pipeline import WORKERS
from usgland.data.waiting import watched
from usgland.errors import UserError
from usgland.files import write_whole
from usgland.machine import memory_bytes

# `data.cache=auto` takes the memory up to this share of what the process may use.
MEMORY_SHARE = 0.25
FORMAT = "usgland pictures 1"
FOLDER, SUFFIX = "pictures", ".pixels"
KEY_LETTERS = 16  # of a digest in the name of a file
PAGE = 4096  # bytes
DIGEST, CHECKSUM = 32, 4  # bytes
BLOCK = 2**22  # bytes that are checked or copied at a time
HOUR, DAY = 3600, 86_400  # seconds
# A file that nobody used for so long is removed when another one is written.
UNUSED_DAYS, UNUSED_DAYS_OF_OTHER_VERSION = 30, 1


class PictureKey(NamedTuple):
    """What a picture depends on beside its image file, as hexadecimal digests."""

    version: str  # of the code
    settings: str


class Kept(NamedTuple):
    """Pictures, and where they are kept in words."""

    pictures: Pictures
    where: str


class _DamagedError(Exception):
    """A file that is none, or not whole."""


class _UnwritableError(UserError):
    """Pictures that cannot be kept on the disk."""


@contextlib.contextmanager
def _seen_as_damage() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _DamagedError(f"{type(error).__name__}: {error}") from error


class PictureFile:
    """Pictures in a file, of which any can be read.

    Args:
        path: The file.

    Attributes:
        digests: SHA-256 of the image file of each picture, 32 bytes each.

    Raises:
        OSError: If it cannot be opened, which says nothing of what it holds.
        _DamagedError: If its first part is not as it was written.
    """

    _known_whole: ClassVar[set[tuple[int, ...]]] = set()

    def __init__(self, path: Path):
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        with _seen_as_damage():
            self._read_index()

    def _read_index(self) -> None:
        header = json.loads(os.pread(self._file, PAGE, 0))
        if header["format"] != FORMAT:
            raise ValueError(header["format"])
        count, self.size = header["pictures"], header["size"]
        self._bytes, self._start = self.size**2, _start_of_pixels(count)
        length = os.fstat(self._file).st_size
        if count < 1 or length != self._start + count * self._bytes:
            raise ValueError(f"{length} bytes")
        index = os.pread(self._file, count * (DIGEST + CHECKSUM), PAGE)
        if zlib.crc32(index) != header["index"]:
            raise ValueError("its index differs")
        names = index[: count * DIGEST]
        self.digests = [names[i : i + DIGEST] for i in range(0, len(names), DIGEST)]
        self.checksums = np.frombuffer(index[count * DIGEST :], "<u4")

    def check(self) -> None:
        """Reads every picture once and compares its checksum.

        Of a file that this process has checked, as a fold after the first, nothing is
        read again.

        Raises:
            _DamagedError: If one cannot be read, or differs.
        """
        status = os.fstat(self._file)
        identity = *(status.st_dev, status.st_ino, status.st_size), status.st_mtime_ns
        if identity in self._known_whole:
            return
        at_once = max(1, BLOCK // self._bytes)

        def is_whole(first: int) -> bool:
            block = self.block(first, at_once)
            expected = self.checksums[first : first + at_once]
            return all(
                zlib.crc32(picture) == checksum
                for picture, checksum in zip(block, expected, strict=True)
            )

        starts = range(0, len(self.digests), at_once)
        with _seen_as_damage(), ThreadPoolExecutor(WORKERS) as pool:
            if not all(watched(pool.map(is_whole, starts), len(starts), "Checking")):
                raise _DamagedError("a picture differs from its checksum")
        self._known_whole.add(identity)

    def block(self, first: int, count: int) -> np.ndarray:
        """Pictures that follow each other, `(count or fewer, size * size)`."""
        count = min(count, len(self.digests) - first)
        start = self._start + first * self._bytes
        read = os.pread(self._file, count * self._bytes, start)
        return np.frombuffer(read, "uint8").reshape(count, self._bytes)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Some of the pictures, uint8 `(numbers, size, size, 1)`."""
        pixels = np.empty((len(numbers), self.size, self.size, 1), "uint8")
        places = [self._start + number * self._bytes for number in numbers.tolist()]
        for place in places:  # The disk works on all of them at a time.
            os.posix_fadvise(self._file, place, self._bytes, os.POSIX_FADV_WILLNEED)
        for picture, place in zip(pixels, places, strict=True):
            if os.preadv(self._file, [picture], place) != self._bytes:
                raise OSError(f"{self.path} was cut short while it was read")
        return pixels

    def source(self) -> Source:
        """Graph code that reads, for `Pictures`."""

        def source(numbers: tf.Tensor) -> tf.Tensor:
            # Stateful, it would run on one core where runs must repeat.
            return tf.numpy_function(self.read, [numbers], tf.uint8, stateful=False)

        return source


def keep_pictures(
    rows: pd.DataFrame,
    read: Read,
    size: int,
    key: PictureKey,
    *,
    cache: str,
    say: Callable[[str], None],
) -> Kept:
    """Makes the pictures of some rows ready to be taken again and again.

    Args:
        rows: Manifest rows with `image_path` and `sha256`.
        read: Maps the bytes of an image file to a picture.
        size: Side of a picture.
        key: What the pictures depend on beside their files.
        cache: `data.cache`: `"memory"`, `"disk"`, `"none"`, or `"auto"`: memory where
            they take no more than `MEMORY_SHARE` of it, else the disk where it has
            room, else none.
        say: Takes a line for the user.

    Raises:
        UserError: If `cache` is `"disk"` and they cannot be written, or if a file to be
            written from is not what it was when it was checked.
    """
    needed = rows.get("sha256", rows["image_path"]).nunique() * size**2
    if cache == "auto" and needed <= MEMORY_SHARE * memory_limit():
        cache = "memory"
    if cache == "memory":
        held = hold_pictures(rows, read, size)
        return Kept(held, f"kept in memory ({show_bytes(needed)})")
    if cache != "none":
        files, numbers = distinct_files(rows)
        try:
            file = _cached(files, read, size, key, say)
        except _UnwritableError as error:
            if cache == "disk":
                raise
            say(f"{error}. Going on with data.cache=none")
        else:
            place = {digest: number for number, digest in enumerate(file.digests)}
            places = np.array([place[name] for name in _digests(files)])
            where = f"kept on disk ({show_bytes(needed)}, {file.path})"
            return Kept(Pictures(file.source(), places[numbers], size), where)
    return Kept(read_on_demand(rows, read, size), "decoded anew in each epoch")


def memory_limit() -> int:
    """Bytes that this process may use, of machine or container; 0 where unknown."""
    total, _, limit = memory_bytes()
    return limit or total or 0


def _digests(files: pd.DataFrame) -> list[bytes]:
    return [bytes.fromhex(digest) for digest in files["sha256"]]


def _cached(
    files: pd.DataFrame,
    read: Read,
    size: int,
    key: PictureKey,
    say: Callable[[str], None],
) -> PictureFile:
    """A checked file that has the pictures of all image files, made if need be.

    A file that has more than half of them is replaced by one that has its own, too: of
    a manifest that grows, and of the folds of one, there is one file.
    """
    folder, wanted = cache_folder() / FOLDER, _digests(files)
    base, most = None, len(wanted) / 2
    for file in _checked_files(folder, key, wanted, say):
        common = len(set(wanted) & set(file.digests))
        if common == len(wanted):
            # It can be read and not written to, or another process has replaced it.
            with contextlib.suppress(OSError):
                # With another time it would be read whole again.
                if time.time() - os.stat(file.path).st_mtime > HOUR:
                    os.utime(file.path)
            return file
        if common > most:
            base, most = file, common
    known = set(base.digests) if base else set()
    files = files[[digest not in known for digest in wanted]]
    digests = [*(base.digests if base else []), *_digests(files)]
    name = hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:KEY_LETTERS]
    path = folder / f"{_prefix(key)}{name}{SUFFIX}"
    needed = _start_of_pixels(len(digests)) + len(digests) * size**2
    what = f"{len(digests)} preprocessed pictures ({show_bytes(needed)})"
    say(f"Keeping {what} in {folder}" + _reason(folder, key))
    _remove_old(folder, key, base, say)
    try:
        make_private(folder)
        if needed > free_space(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        paths, names = files["image_path"].to_list(), files["sha256"].to_list()
        new = watched(decode_unchanged(paths, names, read), len(files), "Reading")
        with write_whole(path) as temporary:
            _write(temporary, digests, base, new, size)
            # Opened before another process can replace it.
            file = PictureFile(temporary)
    except (OSError, UserError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):  # An image has changed.
            raise
        reason = cause.strerror or str(error)
        raise _UnwritableError(
            f"Cannot keep {what} in {folder}: {reason}; "
            f"{show_bytes(free_space(folder))} are free. Make room, set XDG_CACHE_HOME "
            "to a folder on another disk, or set data.cache=none"
        ) from error
    file.path = path
    if base is not None:
        with contextlib.suppress(OSError):
            base.path.unlink()
    return file


def _checked_files(
    folder: Path, key: PictureKey, wanted: list[bytes], say: Callable[[str], None]
) -> Iterator[PictureFile]:
    """The files of this key that have any of the pictures; removes damaged ones."""
    for path in sorted(folder.glob(f"{_prefix(key)}*{SUFFIX}")):
        try:
            file = PictureFile(path)
            if not set(wanted) & set(file.digests):
                continue
            file.check()
        except FileNotFoundError:  # Another process has replaced it.
            continue
        except OSError as error:
            say(f"Passed over a cache of pictures ({error.strerror}): {path}")
            continue
        except _DamagedError as error:
            try:
                path.unlink(missing_ok=True)
                done = "Removed"
            except OSError:
                done = "Passed over"
            say(f"{done} a damaged cache of pictures ({error}): {path}")
            continue
        yield file


def _write(
    path: Path,
    digests: list[bytes],
    base: PictureFile | None,
    new: Iterable[np.ndarray],
    size: int,
) -> None:
    """Writes a file of what `base` has and what is new, in the order of `digests`."""
    start, checksums = _start_of_pixels(len(digests)), []
    with path.open("r+b") as file:
        # What does not fit is known now, and not after hours of decoding.
        os.posix_fallocate(file.fileno(), 0, start + len(digests) * size**2)
        file.seek(start)
        if base is not None:
            at_once = max(1, BLOCK // size**2)
            for first in range(0, len(base.digests), at_once):
                file.write(base.block(first, at_once).data)
            checksums += base.checksums.tolist()
        for picture in new:
            file.write(picture.data)
            checksums.append(zlib.crc32(picture.data))
        index = b"".join(digests) + np.array(checksums, "<u4").tobytes()
        header = {
            "format": FORMAT,
            "pictures": len(digests),
            "size": size,
            "index": zlib.crc32(index),
        }
        file.seek(0)
        file.write(json.dumps(header).encode().ljust(PAGE))
        file.write(index)


def _start_of_pixels(pictures: int) -> int:
    index = pictures * (DIGEST + CHECKSUM)
    return PAGE + -(-index // PAGE) * PAGE


def _prefix(key: PictureKey) -> str:
    return f"{key.version[:KEY_LETTERS]}-{key.settings[:KEY_LETTERS]}-"


def _is_of_other_version(path: Path, key: PictureKey) -> bool:
    return not path.name.startswith(key.version[:KEY_LETTERS])


def _reason(folder: Path, key: PictureKey) -> str:
    """Why what is there already cannot be used, for the end of a line."""
    paths = list(folder.glob(f"[!.]*{SUFFIX}"))
    if paths and all(_is_of_other_version(path, key) for path in paths):
        return "; those of another version there are not used"
    return ""


def _remove_old(
    folder: Path,
    key: PictureKey,
    base: PictureFile | None,
    say: Callable[[str], None],
) -> None:
    """Removes what nobody used for long, but `base`, and leftovers of a kill."""
    removed: list[int] = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            status = path.stat()
            short = path.name.startswith(".") or _is_of_other_version(path, key)
            days = UNUSED_DAYS_OF_OTHER_VERSION if short else UNUSED_DAYS
            is_base = base is not None and path == base.path
            if time.time() - status.st_mtime > days * DAY and not is_base:
                path.unlink()
                removed.append(status.st_size)
        except OSError:  # Another process was faster, or it is another user's.
            continue
    if removed:
        room = show_bytes(sum(removed))
        say(f"Removed {len(removed)} old caches of pictures ({room}) from {folder}")
