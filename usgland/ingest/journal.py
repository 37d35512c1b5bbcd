"""What a run has done so far, so that it can go on after any end; private."""

import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from usgland.errors import UserError
from usgland.ingest.extraction import Picture, Record
from usgland.ingest.headers import HeaderFields, PrivateFields
from usgland.ingest.identifiers import Identifier
from usgland.ingest.source_files import SourceFile, stamp

JOURNAL = "journal"  # file of the private folder


class Entry(NamedTuple):
    """What became of a file: a record, or why it was skipped."""

    relative: str
    size: int
    modified_ns: int
    reason: str
    record: Record | None


class Journal:
    """A file of lines of JSON: the settings of the run, then an entry for each file.

    A line counts once it is whole; what an end in its middle has left is cut off.
    """

    def __init__(self, path: Path, settings: dict[str, Any], *, resume: bool) -> None:
        """Opens a journal, anew or, with the same settings, to go on.

        Raises:
            UserError: If another process has it open, or its settings are others.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._file = os.fdopen(handle, "r+b", buffering=0)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise UserError(
                f"Expected no other run into this OUT. Received: {path}, which another "
                "process has open"
            ) from error
        self.entries: dict[str, Entry] = {}
        if not resume:
            self._file.truncate(0)
        try:
            self._read(settings)
        except UserError:
            self._file.close()
            raise

    def _read(self, settings: dict[str, Any]) -> None:
        end = 0
        for number, line in enumerate(self._lines()):
            if number == 0 and json.loads(line) != settings:
                raise UserError(
                    "--resume: expected the options of the run that was interrupted: "
                    f"{_shown(json.loads(line))}. Received: {_shown(settings)}"
                )
            if number:
                entry = _entry(json.loads(line), with_identifiers=False)
                self.entries[entry.relative] = entry
            end += len(line)
        self._file.truncate(end)
        self._file.seek(end)
        if not end:
            self._append(settings)

    def _lines(self) -> Iterator[bytes]:
        """The lines that are whole."""
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield line

    def add(self, file: SourceFile, reason: str, record: Record | None) -> None:
        """Notes what became of a file."""
        size, modified = stamp(file.path)
        self._append(
            [file.relative, size, modified, reason, record and _to_json(record)]
        )
        if record:  # Identifiers may be many; they stay in the file.
            record = record._replace(identifiers=frozenset())
        self.entries[file.relative] = Entry(
            file.relative, size, modified, reason, record
        )

    def identifiers(self) -> set[Identifier]:
        """Those of all files that have pictures."""
        values: set[Identifier] = set()
        for number, line in enumerate(self._lines()):
            entry = number and _entry(json.loads(line), with_identifiers=True)
            if entry and entry.record:
                values |= entry.record.identifiers
        return values

    def close(self) -> None:
        self._file.close()

    def _append(self, value: Any) -> None:
        # One line is one write: the kernel has it even if this process is killed.
        line = json.dumps(value).encode("ascii") + b"\n"
        try:
            written = self._file.write(line)
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path}: {error.strerror}. Make room, then repeat "
                "the command with --resume"
            ) from error
        if written != len(line):
            raise UserError(
                f"Cannot write {self.path}: no space left. Make room, then repeat the "
                "command with --resume"
            )


def run_folder(private: Path, out: Path) -> Path:
    """Where a run keeps what is private: by the name of its OUT.

    OUTs of one name in several places get numbers, so that none loses its files.
    """
    for number in itertools.count(1):
        folder = private / (out.name if number == 1 else f"{out.name}-{number}")
        if _out_of(folder / JOURNAL) in ("", str(out)):
            break
    return folder


def _out_of(journal: Path) -> str:
    """The OUT of a journal, "" where there is none."""
    try:
        with journal.open("rb") as file:
            return str(json.loads(file.readline())["OUT"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _shown(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _to_json(record: Record) -> Any:
    values = [
        ["bytes", value.hex()] if isinstance(value, bytes) else value
        for value in sorted(record.identifiers, key=repr)
    ]
    return record._replace(identifiers=values)  # type: ignore[arg-type]


def _entry(line: list[Any], *, with_identifiers: bool) -> Entry:
    *head, written = line
    if written is None:
        return Entry(head[0], head[1], head[2], head[3], None)
    fields, exclusion, frames, pictures, identifiers, removed = written
    *columns, marks, private = fields
    values = identifiers if with_identifiers else ()
    known = dict(zip(HeaderFields._fields, columns, strict=False))
    return Entry(
        *(head[0], head[1], head[2], head[3]),
        Record(
            HeaderFields(**known, marks=tuple(marks), private=PrivateFields(*private)),
            exclusion,
            frames,
            tuple(_picture(picture) for picture in pictures),
            frozenset(
                value if isinstance(value, str) else bytes.fromhex(value[1])
                for value in values
            ),
            tuple(tuple(count) for count in removed),
        ),
    )


def _picture(values: list[Any]) -> Picture:
    picture = Picture(*values)
    return picture._replace(
        box=tuple(picture.box),  # type: ignore[arg-type]
        flags=tuple(picture.flags),
        leaks=tuple(picture.leaks),
    )
