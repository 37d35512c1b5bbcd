"""The files of a folder: which are read, and why the others are not."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from usgland.ingest.unreadable import UnreadableFileError

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
PREAMBLE = 128  # bytes before `DICM`, PS3.10, section 7.1
HEAD = 144  # bytes that tell the kind of a file
DIRECTORY = b"1.2.840.10008.1.3.10"  # SOP class of a DICOMDIR, PS3.4
# Groups with which a file without preamble may begin, and value representations.
FIRST_GROUPS = (2, 8)
LONGEST_FIRST = 128  # bytes of a first value without preamble; it is a UID or a date


@dataclass(frozen=True)
class SourceFile:
    """A file that is to be read; `relative` is its path from the source."""

    path: Path
    relative: str
    kind: Literal["dicom", "picture"]


@dataclass(frozen=True)
class Skipped:
    """A file that is not read, and why."""

    relative: str
    reason: str


def walk(source: Path) -> Iterator[SourceFile | Skipped]:
    """Gives the files under a folder, in the order of their names.

    No link is followed: what it leads to is either outside of the source, which is
    not to be read, or inside, where it is read under its own name. A pipe or device
    is not opened.
    """
    folders = [source]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(
                _relative(folder, source), f"cannot be read: {error.strerror}"
            )
            continue
        inner = []
        for entry in entries:
            path = Path(entry.path)
            if entry.is_symlink():
                yield Skipped(_relative(path, source), _link_reason(path, source))
            elif entry.is_dir():
                inner.append(path)
            else:
                yield _source_file(path, _relative(path, source))
        folders += reversed(inner)


def _relative(path: Path, source: Path) -> str:
    # Names that are not UTF-8 are shown, and are written to files, with escapes.
    text = path.relative_to(source).as_posix()
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _link_reason(path: Path, source: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        # Of links in a circle, Python raises RuntimeError before 3.13.
        circle = isinstance(error, RuntimeError) or error.errno == errno.ELOOP
        return "a link that loops" if circle else "a link that leads nowhere"
    if not target.is_relative_to(source.resolve()):
        return "a link that leaves the source"
    if path.parent.resolve().is_relative_to(target):
        return "a link that loops"
    return "a link to what is read under its own name"


def _source_file(path: Path, relative: str) -> SourceFile | Skipped:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return Skipped(
                relative, "a pipe, a socket or a device, which may never end"
            )
        with open(path, "rb", opener=_open_file) as file:
            head = file.read(HEAD)
            kind = kind_of(head)
            if kind == "dicom" and DIRECTORY in head + file.read(512):
                return Skipped(
                    relative, "a DICOMDIR, which lists files and is no image"
                )
    except OSError as error:
        return Skipped(relative, f"cannot be read: {error.strerror}")
    except UnreadableFileError as error:
        return Skipped(relative, str(error))
    return SourceFile(path, relative, kind)


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file; zeros where it is gone, or a link or pipe instead."""
    try:
        state = path.lstat()
    except OSError:
        return 0, 0
    return (state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else (0, 0)


def _open_file(path: str, flags: int) -> int:
    # A file that becomes a link or a pipe after it was looked at is not followed.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def kind_of(head: bytes) -> Literal["dicom", "picture"]:
    """What a file is, by its first bytes and not by its name.

    Raises:
        UnreadableFileError: If it is nothing that is read.
    """
    if not head:
        raise UnreadableFileError("an empty file")
    if head.startswith((PNG, JPEG)):
        return "picture"
    if head[PREAMBLE : PREAMBLE + 4] == b"DICM" or _begins_without_preamble(head):
        return "dicom"
    raise UnreadableFileError("no DICOM, PNG or JPEG file")


def _begins_without_preamble(head: bytes) -> bool:
    for order in ("little", "big"):
        group = int.from_bytes(head[:2], order)
        if group not in FIRST_GROUPS or len(head) < 8:
            continue
        if head[4:6].isalpha() and head[4:6].isupper():
            return True
        if int.from_bytes(head[4:8], "little") <= LONGEST_FIRST:
            return True
    return False
