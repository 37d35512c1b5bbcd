"""Where each reader stands, what they are shown there, and what they answer.

Times are kept twice: as the reader's page counts them, while it is seen, and as this
machine does. What a page counts beyond what passed here is cut off, and marked.
"""

import datetime
import json
import math
import secrets
from typing import Any, NamedTuple

from usgland.serving.interface.status import RequestError
from usgland.study.answer_store import AnswerStore
from usgland.study.design import (
    CALLS,
    FORM,
    MODEL,
    Case,
    Session,
    digest,
    parts_of,
    shown_beside,
)
from usgland.study.seats import Clock
from usgland.study.study_folder import PROTOCOL, Study, private_folder

DAY = 86400.0  # seconds
SLACK = 2.0  # seconds by which the two counts may differ
CLOCK_SLACK = 60.0  # seconds by which a clock that is kept right may go back
MOST_VIEWS = 200  # of a case by a reader in a session; after that the last one serves
# Facts that are noted when the first reader begins.
DESIGN_SEAL, PROTOCOL_SEAL = "design_sha256", "protocol_sha256"


class Place(NamedTuple):
    """Where a reader stands."""

    # ready (a session can begin), reading, waiting (for the washout), checking (all is
    # read, calls may still be changed), clock (it stands before the last answer), done
    state: str
    session: int = 0  # from 1
    position: int = 0  # from 1, of the next case
    opens: float = 0.0  # when a session may begin, seconds since 1970


class Sittings:
    """The readers of a study before their cases; for one thread at a time."""

    def __init__(self, study: Study, store: AnswerStore, clock: Clock | None = None):
        self.study, self.store, self.clock = study, store, clock or Clock()
        self.design = study.design
        self._opened: dict[str, float] = {}  # view -> when, by the steady clock

    # Where they stand

    def where(self, reader: str) -> Place:
        """The state of a reader, from what is stored alone."""
        sessions = self.design.sessions[reader]
        known = {
            row["session"]: row
            for row in self.store.rows(
                "SELECT * FROM sessions WHERE reader = ?", reader
            )
        }
        now = self.clock.now()
        for number in range(1, len(sessions) + 1):
            row = known.get(number)
            if row is None:
                return self._before(number, known.get(number - 1), now)
            if row["ended"] is None:
                read = self._answered(reader, number)
                left = read < len(sessions[number - 1].cases)
                return Place("reading" if left else "checking", number, read + 1)
        return Place("done", len(sessions))

    def _before(self, number: int, earlier: dict[str, Any] | None, now: float) -> Place:
        opens = 0.0
        if earlier is not None:
            opens = earlier["ended"] + self.design.washout_days * DAY
        if now < self.latest() - CLOCK_SLACK:
            return Place("clock", number, 1, opens)
        return Place("waiting" if now < opens else "ready", number, 1, opens)

    def _answered(self, reader: str, session: int) -> int:
        row = self.store.row(
            "SELECT COUNT(DISTINCT position) AS read FROM answers "
            "WHERE reader = ? AND session = ?",
            *(reader, session),
        )
        return row["read"] if row else 0

    def latest(self) -> float:
        """When something was last stored, seconds since 1970."""
        row = self.store.row(
            "SELECT MAX(IFNULL((SELECT MAX(at) FROM answers), 0), IFNULL((SELECT "
            "MAX(MAX(began), IFNULL(MAX(ended), 0)) FROM sessions), 0)) AS at"
        )
        return row["at"] if row else 0.0

    def place(self, reader: str) -> dict[str, Any]:
        """What the page is told of where its reader stands."""
        place = self.where(reader)
        session = self._session(reader, place.session)
        parts = parts_of(session.arm)
        opens = datetime.datetime.fromtimestamp(place.opens, datetime.UTC)
        return {
            "study": self.design.study.upper(),
            "synthetic": self.design.synthetic,
            "state": place.state,
            "session": place.session,
            "sessions": len(self.design.sessions[reader]),
            "position": place.position,
            "cases": len(session.cases),
            "form": FORM in parts,
            "model": MODEL in parts,
            "way_back": self.design.way_back,
            "opens": opens.isoformat(timespec="minutes") if place.opens else None,
            "washout_days": self.design.washout_days,
        }

    def _session(self, reader: str, number: int) -> Session:
        return self.design.sessions[reader][number - 1]

    def begin(self, reader: str, session: int) -> dict[str, Any]:
        """Begins a session, if it is the next one and its washout is over.

        The first one of all seals the design.

        Raises:
            RequestError: FAILED_PRECONDITION with the status 409.
        """
        with self.store.writing():
            place = self.where(reader)
            now = self.clock.now()
            if place.state == "ready" and place.session == session:
                if self.store.fact(DESIGN_SEAL) is None:
                    self._seal(now)
                self.store.run(
                    "INSERT INTO sessions (reader, session, began) VALUES (?, ?, ?)",
                    *(reader, session, now),
                )
            elif place.state == "waiting":
                self.store.event(now, reader, "came before the washout was over")
            elif place.state == "clock":
                self.store.event(now, reader, "came while the clock stood back")
        if place.state == "clock":
            raise _conflict(
                "The clock of this server stands before the last answer. Tell who "
                "leads the study; nothing is lost"
            )
        if place.state == "waiting":
            raise _conflict(
                f"Session {place.session} begins {self.design.washout_days:g} days "
                "after the one before it ended. Come back then"
            )
        return self.place(reader)

    def _seal(self, now: float) -> None:
        """Notes what the design and the protocol are, where that stands here."""
        self.store.note(DESIGN_SEAL, self.study.sha256)
        self.store.note("sealed_at", str(now))
        protocol = private_folder(self.study.folder) / PROTOCOL
        if protocol.is_file():
            self.store.note(PROTOCOL_SEAL, digest(protocol.read_bytes()))

    # A case

    def show(self, reader: str, position: int | None = None) -> dict[str, Any]:
        """Opens the next case or, if there is a way back, an earlier one.

        Returns:
            What the page shows beside the image, and the `view` that its answer names.

        Raises:
            RequestError: If there is none to show.
        """
        place = self.where(reader)
        if place.state not in ("reading", "checking"):
            return self.place(reader)
        position = place.position if position is None else position
        session = self._session(reader, place.session)
        if position > len(session.cases):
            return self.place(reader)
        if not 1 <= position <= place.position or (
            position < place.position and not self.design.way_back
        ):
            raise _conflict("There is no way back to a case that was answered")
        case = self.design.case(session.cases[position - 1])
        view = self._open_view(reader, place.session, position)
        shown = {
            **self.place(reader),
            "position": position,
            "view": view,
            "asked": [asked.model_dump() for asked in self.design.asked],
            "earlier": self._own_answer(reader, place.session, position),
        }
        return {**shown, **shown_beside(case, session.arm)}

    def _open_view(self, reader: str, session: int, position: int) -> str:
        """The name of a new view, or of the last one of very many."""
        names = self.store.rows(
            "SELECT name FROM views WHERE reader = ? AND session = ? AND position = ? "
            "AND name NOT IN (SELECT view FROM answers) ORDER BY began",
            *(reader, session, position),
        )
        if len(names) >= MOST_VIEWS:
            return names[-1]["name"]
        view, now = secrets.token_hex(16), self.clock.now()
        with self.store.writing():
            self.store.run(
                "INSERT INTO views (name, reader, session, position, began, last) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                *(view, reader, session, position, now, now),
            )
        self._opened[view] = self.clock.steady()
        return view

    def _own_answer(
        self, reader: str, session: int, position: int
    ) -> dict[str, Any] | None:
        """What the reader said of the case in this session, where that may change."""
        row = self._last_answer(reader, session, position)
        if row is None:
            return None
        return dict(zip(("call", "confidence", "descriptors"), _said(row), strict=True))

    def _last_answer(
        self, reader: str, session: int, position: int
    ) -> dict[str, Any] | None:
        return self.store.row(
            "SELECT * FROM answers WHERE reader = ? AND session = ? AND position = ? "
            "ORDER BY revision DESC LIMIT 1",
            *(reader, session, position),
        )

    def case_of_view(self, reader: str, view: str) -> Case:
        """The case whose image a view may have: none that was answered and closed."""
        row = self._view(reader, view)
        place = self.where(reader)
        open_still = place.session == row["session"] and place.state in (
            "reading",
            "checking",
        )
        if not open_still or (
            row["position"] < place.position and not self.design.way_back
        ):
            raise _conflict("This case was answered. Go on with the next one")
        session = self._session(reader, row["session"])
        return self.design.case(session.cases[row["position"] - 1])

    def _view(self, reader: str, view: str) -> dict[str, Any]:
        row = self.store.row(
            "SELECT * FROM views WHERE name = ? AND reader = ?", view, reader
        )
        if row is None:
            raise RequestError("NOT_FOUND", "Expected a case that was shown to you")
        return row

    def spend(self, reader: str, view: str, seconds: float) -> None:
        """Notes how long a case has been seen so far, by the page."""
        with self.store.writing():
            self._spend(self._view(reader, view), seconds)

    def _spend(self, row: dict[str, Any], seconds: float) -> None:
        now = self.clock.now()
        opened = self._opened.get(row["name"])
        if opened is None:  # By a server that was ended since.
            passed = max(row["server_seconds"], now - row["began"], 0.0)
        else:
            passed = self.clock.steady() - opened
        capped = not 0 <= seconds <= passed + SLACK
        counted = min(max(seconds, 0.0), passed) if math.isfinite(seconds) else 0.0
        self.store.run(
            "UPDATE views SET last = ?, seconds = MAX(seconds, ?), server_seconds = ?, "
            "capped = MAX(capped, ?) WHERE name = ?",
            *(now, counted, passed, int(capped), row["name"]),
        )

    # An answer

    def answer(
        self,
        reader: str,
        view: str,
        *,
        call: str,
        confidence: int,
        descriptors: dict[str, str],
        seconds: float,
    ) -> dict[str, Any]:
        """Stores an answer, once; to send the same one again changes nothing.

        Raises:
            RequestError: If the case was answered otherwise or from another window, or
                the answer is not whole.
        """
        self._check_descriptors(descriptors)
        with self.store.writing():
            row = self._view(reader, view)
            again = self.store.row("SELECT * FROM answers WHERE view = ?", view)
            if again is None:
                self._add(row, call, confidence, descriptors, seconds)
            elif _said(again) != (call, confidence, descriptors):
                raise _conflict("This case was answered otherwise; that answer stands")
        self._opened.pop(view, None)
        return self.place(reader)

    def _add(
        self,
        row: dict[str, Any],
        call: str,
        confidence: int,
        descriptors: dict[str, str],
        seconds: float,
    ) -> None:
        reader, number, position = row["reader"], row["session"], row["position"]
        place = self.where(reader)
        before = self._last_answer(reader, number, position)
        if place.session != number or place.state not in ("reading", "checking"):
            raise _conflict("This session has ended; the answer was not stored")
        if before is not None and not self.design.way_back:
            raise _conflict(
                "This case was answered in another window; that answer stands. Go on "
                "with the next one"
            )
        self._spend(row, seconds)
        spent = self.store.row(
            "SELECT SUM(seconds) AS seconds, SUM(server_seconds) AS server_seconds, "
            "COUNT(*) AS views, MAX(capped) AS capped FROM views "
            "WHERE reader = ? AND session = ? AND position = ?",
            *(reader, number, position),
        )
        session = self._session(reader, number)
        now = self.clock.now()
        if now < self.latest() - CLOCK_SLACK:
            self.store.event(now, reader, "answered while the clock stood back")
        self.store.add_answer(
            reader=reader,
            session=number,
            position=position,
            revision=0 if before is None else before["revision"] + 1,
            name=session.cases[position - 1],
            call=CALLS.index(call),
            confidence=confidence,
            descriptors=json.dumps(descriptors, sort_keys=True),
            at=now,
            view=row["name"],
            **(spent or {}),
        )
        if not self.design.way_back and position == len(session.cases):
            self._end(reader, number)

    def _end(self, reader: str, session: int) -> None:
        # A clock that was set back does not shorten a washout.
        ended = max(self.clock.now(), self.latest())
        self.store.run(
            "UPDATE sessions SET ended = ? WHERE reader = ? AND session = ?",
            *(ended, reader, session),
        )

    def end(self, reader: str) -> dict[str, Any]:
        """Ends a session whose calls could still be changed."""
        with self.store.writing():
            place = self.where(reader)
            if place.state == "checking":
                self._end(reader, place.session)
        return self.place(reader)

    def _check_descriptors(self, descriptors: dict[str, str]) -> None:
        asked = {asked.column: asked for asked in self.design.asked}
        if set(descriptors) != set(asked):
            raise RequestError(
                "INVALID_ARGUMENT",
                "Expected a value of each descriptor, or an empty one",
            )
        for column, value in descriptors.items():
            if value and not asked[column].takes(value):
                raise RequestError(
                    "INVALID_ARGUMENT",
                    f"{asked[column].title}: expected a value that the page offers",
                )


def _said(row: dict[str, Any]) -> tuple[str, int, dict[str, str]]:
    """Call, confidence and descriptors of a stored answer."""
    return CALLS[row["call"]], row["confidence"], json.loads(row["descriptors"])


def _conflict(message: str) -> RequestError:
    return RequestError("FAILED_PRECONDITION", message, 409)
