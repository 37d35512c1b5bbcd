"""The answers of a study in SQLite: each is there at once, once, and stays as it is."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from usgland.errors import UserError
from usgland.study.design import digest

BUSY_SECONDS = 10.0  # for which another process is waited for
START = "0" * 64  # what stands before the first link of the chain
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (
  name TEXT PRIMARY KEY, value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seats (
  number INTEGER PRIMARY KEY, reader TEXT NOT NULL, token_sha256 TEXT NOT NULL UNIQUE,
  at REAL NOT NULL, left_open INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
  reader TEXT NOT NULL, session INTEGER NOT NULL, began REAL NOT NULL, ended REAL,
  PRIMARY KEY (reader, session)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS views (
  name TEXT PRIMARY KEY, reader TEXT NOT NULL, session INTEGER NOT NULL,
  position INTEGER NOT NULL, began REAL NOT NULL, last REAL NOT NULL,
  seconds REAL NOT NULL DEFAULT 0, server_seconds REAL NOT NULL DEFAULT 0,
  capped INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY, reader TEXT NOT NULL, session INTEGER NOT NULL,
  position INTEGER NOT NULL, revision INTEGER NOT NULL, name TEXT NOT NULL,
  call INTEGER NOT NULL CHECK (call IN (0, 1)),
  confidence INTEGER NOT NULL CHECK (confidence BETWEEN 0 AND 100),
  descriptors TEXT NOT NULL, at REAL NOT NULL,
  seconds REAL NOT NULL, server_seconds REAL NOT NULL, views INTEGER NOT NULL,
  capped INTEGER NOT NULL, view TEXT NOT NULL UNIQUE REFERENCES views (name),
  link TEXT NOT NULL,
  UNIQUE (reader, session, position, revision), UNIQUE (reader, session, name, revision)
) STRICT;
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY, at REAL NOT NULL, reader TEXT NOT NULL, kind TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_change BEFORE UPDATE ON answers
BEGIN SELECT RAISE(ABORT, 'an answer is never changed'); END;
CREATE TRIGGER IF NOT EXISTS no_loss BEFORE DELETE ON answers
BEGIN SELECT RAISE(ABORT, 'an answer is never deleted'); END;
"""
# What a link of the chain holds, in this order, behind the link before.
LINKED = (
    *("number", "reader", "session", "position", "revision", "name", "call"),
    *("confidence", "descriptors", "at", "seconds", "server_seconds", "view"),
)


class AnswerStore:
    """The database of a study, for one thread at a time."""

    def __init__(self, path: Path, study: str):
        """Opens it, and makes it if need be.

        Args:
            path: Of answers.sqlite.
            study: Whose it is.

        Raises:
            UserError: If it cannot be used, or is of another study.
        """
        self.path = path
        failed = contextlib.ExitStack()
        try:
            self.database = sqlite3.connect(
                path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            failed.callback(self.database.close)
            self.database.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self.database.execute(f"PRAGMA {pragma}")
            path.chmod(0o600)
            self.database.executescript(SCHEMA)
            known = self.fact("study")
            if known is None:
                with self.writing():
                    self.note("study", study)
        except (sqlite3.Error, OSError) as error:
            failed.close()
            raise UserError(
                f"{path}: expected the answers of a study. Received: {error}. Take the "
                "file from a backup, with its -wal, on a disk of this machine"
            ) from error
        if known not in (None, study):
            self.close()
            raise UserError(
                f"{path}: expected the answers of study {study}. Received: those of "
                f"{known}; each study has a folder of its own"
            )

    def close(self) -> None:
        self.database.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Around what is written together: all of it is on the disk, or none."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.database.execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:  # A full disk has ended it already.
                self.database.execute("ROLLBACK")
            raise

    def rows(self, text: str, *values: object) -> list[dict[str, Any]]:
        return [dict(row) for row in self.database.execute(text, values)]

    def row(self, text: str, *values: object) -> dict[str, Any] | None:
        row = self.database.execute(text, values).fetchone()
        return None if row is None else dict(row)

    def run(self, text: str, *values: object) -> None:
        self.database.execute(text, values)

    def fact(self, name: str) -> str | None:
        row = self.row("SELECT value FROM facts WHERE name = ?", name)
        return None if row is None else row["value"]

    def note(self, name: str, value: str) -> None:
        """Keeps a fact that does not change."""
        self.run("INSERT INTO facts VALUES (?, ?)", name, value)

    def event(self, at: float, reader: str, kind: str) -> None:
        self.run(
            "INSERT INTO events (at, reader, kind) VALUES (?, ?, ?)", at, reader, kind
        )

    def add_answer(self, **values: Any) -> None:
        """Writes an answer behind the others, with the link that holds it there."""
        last = self.row("SELECT number, link FROM answers ORDER BY number DESC LIMIT 1")
        values["number"] = 1 + (last["number"] if last else 0)
        values["link"] = link_of(last["link"] if last else START, values)
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self.run(f"INSERT INTO answers ({names}) VALUES ({marks})", *values.values())

    def answers(self) -> list[dict[str, Any]]:
        """All that were given, in the order in which they came."""
        return self.rows("SELECT * FROM answers ORDER BY number")

    def broken_link(self) -> int | None:
        """The number of the first answer that is not as it was written, if any."""
        link = START
        for expected, answer in enumerate(self.answers(), start=1):
            link = link_of(link, answer)
            if answer["number"] != expected or answer["link"] != link:
                return expected
        return None


def link_of(before: str, answer: dict[str, Any]) -> str:
    """The digest of an answer and of all before it."""
    return digest(json.dumps([before, *(answer[name] for name in LINKED)]))
