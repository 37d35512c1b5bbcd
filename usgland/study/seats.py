"""Who asks: a key is sent once, and gives its reader a seat that only they have."""

import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from usgland.serving.interface.status import RequestError
from usgland.study.answer_store import AnswerStore
from usgland.study.design import digest
from usgland.study.study_folder import Study, reader_of_key

TWO_WINDOWS = "key used in two windows at once"


class Clock(NamedTuple):
    """The time of day, seconds since 1970, and one that only goes forward."""

    now: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class Seats:
    """The windows in which readers sit, one each; for one thread at a time."""

    def __init__(self, study: Study, store: AnswerStore, clock: Clock | None = None):
        self.study, self.store, self.clock = study, store, clock or Clock()

    def enter(self, key: str) -> dict[str, str]:
        """Gives who has a key a seat; an earlier one of the same reader ends.

        Raises:
            RequestError: UNAUTHENTICATED, if it is nobody's key.
        """
        reader = reader_of_key(self.study.design, key)
        if reader is None:
            raise RequestError("UNAUTHENTICATED", self._not_known(key))
        token, now = secrets.token_hex(32), self.clock.now()
        with self.store.writing():
            self.store.event(now, reader, "entered")
            self.store.run(
                "INSERT INTO seats (reader, token_sha256, at) VALUES (?, ?, ?)",
                *(reader, digest(token), now),
            )
        return {"seat": token, "reader": reader}

    def _not_known(self, key: str) -> str:
        ours, theirs = self.study.design.study, key.strip().lower()[:4]
        if theirs.isalnum() and len(key.strip()) > len(theirs) and theirs != ours:
            return (
                f"This is study {ours.upper()}; the key begins with {theirs.upper()}, "
                "so it is of another study. Ask who gave it to you for the address"
            )
        return "This key is not known here. Look for a typing error"

    def reader_of_seat(self, token: str) -> str:
        """Who sits there.

        Raises:
            RequestError: UNAUTHENTICATED, if nobody does; ABORTED, if the reader has
                taken another seat since.
        """
        seat = self.store.row(
            "SELECT * FROM seats WHERE token_sha256 = ?", digest(token)
        )
        if seat is None:
            raise RequestError("UNAUTHENTICATED", "Expected your key. Enter it again")
        later = "SELECT 1 FROM seats WHERE reader = ? AND number > ?"
        if self.store.row(later, seat["reader"], seat["number"]):
            self._note_two_windows(seat)
            raise RequestError(
                "ABORTED",
                "Your key was entered in another window, which goes on from here. "
                "Enter it again to go on in this one",
            )
        return seat["reader"]

    def _note_two_windows(self, seat: dict[str, Any]) -> None:
        """Once for each seat that was left without an end."""
        if not seat["left_open"]:
            with self.store.writing():
                self.store.event(self.clock.now(), seat["reader"], TWO_WINDOWS)
                self.store.run(
                    "UPDATE seats SET left_open = 1 WHERE number = ?", seat["number"]
                )

    def leave(self, token: str) -> None:
        """Ends a seat."""
        with self.store.writing():
            self.store.run("DELETE FROM seats WHERE token_sha256 = ?", digest(token))
