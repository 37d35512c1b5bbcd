"""What a study gives at its end: the readers' tables, items of STARD, and its seals."""

import datetime
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from usgland.errors import UserError
from usgland.study.answer_store import AnswerStore
from usgland.study.design import (
    CALLS,
    FORM,
    MODEL,
    PARTS,
    UNAIDED,
    Design,
    digest,
    parts_of,
)
from usgland.study.sittings import DAY, DESIGN_SEAL, PROTOCOL_SEAL
from usgland.study.study_folder import DESIGN, Study, changed_images

ALL = "readings"  # the table of all arms
READERS = "readers"  # that of the first contrast
NAMES = {
    UNAIDED: "the image alone",
    FORM: "the image and the clinical form",
    MODEL: "the image and the model's answer",
    f"{FORM}+{MODEL}": "the image, the clinical form and the model's answer",
}


class Contrast(NamedTuple):
    """Two arms that one part tells apart; or one arm alone."""

    stem: str  # of the file
    column: str  # in which the file says with or without
    arms: dict[str, str]  # arm -> with or without


def contrasts(arms: Sequence[str]) -> list[Contrast]:
    """What `usgland readers` can compare: pairs of arms, or each arm where none is."""
    pairs = [
        (part, base, other)
        for part in PARTS
        for base in arms
        for other in arms
        if part not in parts_of(base) and parts_of(other) == parts_of(base) | {part}
    ]
    found = [
        Contrast(
            f"{READERS}_{_word(other)}_over_{_word(base)}",
            "clinical" if part == FORM else "aided",
            {base: "without", other: "with"},
        )
        for part, base, other in pairs
    ]
    paired = {arm for contrast in found for arm in contrast.arms}
    found += [
        Contrast(
            f"{READERS}_{_word(arm)}",
            "clinical",
            {arm: "with" if FORM in parts_of(arm) else "without"},
        )
        for arm in arms
        if arm not in paired
    ]
    return [found[0]._replace(stem=READERS), *found[1:]]


def _word(arm: str) -> str:
    return arm.replace("+", "_")


def tables(
    design: Design, answers: Sequence[Mapping[str, Any]], truth: Mapping[str, Mapping]
) -> dict[str, list[dict[str, Any]]]:
    """Name of a file without its ending -> rows, one a reader, case and condition.

    Args:
        design: Of the study.
        answers: As `AnswerStore.answers` gives them.
        truth: Name of a case -> `image`, `patient_id` and `label`.
    """
    rows = list(_rows(design, answers, truth))
    made = {
        contrast.stem: [
            {**row, contrast.column: contrast.arms[row["arm"]]}
            for row in rows
            if row["arm"] in contrast.arms
        ]
        for contrast in contrasts(design.arms)
    }
    return {**made, ALL: rows} if len(design.arms) > 1 else made


def _rows(
    design: Design, answers: Sequence[Mapping[str, Any]], truth: Mapping[str, Mapping]
) -> Iterator[dict[str, Any]]:
    # Calls that were not changed again.
    last = {(a["reader"], a["session"], a["name"]): a for a in answers}
    earlier: dict[tuple[str, str], float] = {}  # when a reader read a case before
    for answer in sorted(last.values(), key=lambda answer: answer["number"]):
        reader, session, name = (answer[x] for x in ("reader", "session", "name"))
        certain = answer["confidence"] / 2
        before = earlier.get((reader, name))
        earlier[reader, name] = answer["at"]
        row = {
            "reader": reader,
            **truth[name],
            "arm": design.sessions[reader][session - 1].arm,
            "call": CALLS[answer["call"]],
            "score": 50 + certain if answer["call"] else 50 - certain,
            "confidence": answer["confidence"],
            # Empty where nothing was counted: a time of 0 is none.
            "seconds": round(answer["seconds"], 2) or "",
            "order": answer["position"],
            "session": session,
            "days": "" if before is None else round((answer["at"] - before) / DAY, 2),
            "server_seconds": round(answer["server_seconds"], 2),
            "views": answer["views"],
            "changes": answer["revision"],
            "seconds_cut": answer["capped"],
        }
        asked = json.loads(answer["descriptors"])
        row |= {f"read_{column}": value for column, value in asked.items()}
        yield {**row, "synthetic": 1} if design.synthetic else row


def whereabouts(design: Design, store: AnswerStore) -> list[dict[str, Any]]:
    """Of each reader and session how many cases are read; nothing of the calls."""
    known = {
        (row["reader"], row["session"]): row
        for row in store.rows("SELECT * FROM sessions")
    }
    read = {
        (row["reader"], row["session"]): row
        for row in store.rows(
            "SELECT reader, session, COUNT(DISTINCT position) AS read, MAX(at) AS at "
            "FROM answers GROUP BY reader, session"
        )
    }
    lines = []
    for reader, sessions in design.sessions.items():
        opens: float | None = 0.0
        for number, session in enumerate(sessions, start=1):
            row, done = known.get((reader, number)), read.get((reader, number))
            lines.append(
                {
                    "reader": reader,
                    "session": number,
                    "arm": session.arm,
                    "read": done["read"] if done else 0,
                    "cases": len(session.cases),
                    "last": done["at"] if done else None,
                    "began": row["began"] if row else None,
                    "ended": row["ended"] if row else None,
                    # None: an earlier session has not ended.
                    "opens": opens,
                }
            )
            ended = row["ended"] if row else None
            opens = None if ended is None else ended + design.washout_days * DAY
    return lines


def changes(
    study: Study, store: AnswerStore, private: Mapping[str, bytes]
) -> list[str]:
    """What is no longer as it was when the first reader began, a line each.

    Args:
        study: As it is now.
        store: Of its answers.
        private: `truth` and `protocol`, the owner's files as they are now, as far as
            they are here.
    """
    found = []
    sealed = store.fact(DESIGN_SEAL)
    if sealed is not None and sealed != study.sha256:
        found.append(
            f"design.json is not the one with which reading began: {study.sha256[:16]} "
            f"in place of {sealed[:16]}"
        )
    truth, protocol = private.get("truth"), private.get("protocol")
    if truth is not None and digest(truth) != study.design.truth_sha256:
        found.append("cases.csv is not the one with which the design was made")
    sealed = store.fact(PROTOCOL_SEAL)
    if sealed and protocol is not None and digest(protocol) != sealed:
        found.append("protocol.md is not the one with which reading began")
    lost = changed_images(study)
    if lost:
        found.append(f"Images are lost or others: {', '.join(lost)}")
    broken = store.broken_link()
    if broken is not None:
        found.append(f"Answers from number {broken} on are not as they were stored")
    return found


def check_answers(study: Study, answers: Sequence[Mapping[str, Any]]) -> None:
    """Checks that answers are of the cases that the design has at their places.

    Raises:
        UserError: If one is not: the design was changed beyond use.
    """
    for answer in answers:
        sessions = study.design.sessions.get(answer["reader"], ())
        places = [session.cases for session in sessions[: answer["session"]]]
        read = places[-1] if len(places) == answer["session"] else ()
        if read[answer["position"] - 1 :][:1] != (answer["name"],):
            raise UserError(
                f"{study.folder / DESIGN}: expected the design that the answers were "
                f"given in. Received: another, as answer {answer['number']} of "
                f"{answer['reader']} tells; take the file from a backup"
            )


def happenings(store: AnswerStore) -> list[str]:
    """What was noted beside the answers, with how often."""
    counted = store.rows(
        "SELECT reader, kind, COUNT(*) AS times FROM events WHERE kind != 'entered' "
        "GROUP BY reader, kind ORDER BY reader, kind"
    )
    return [f"{row['reader']}: {row['kind']} ({row['times']})" for row in counted]


def stard_items(
    design: Design,
    rows: Sequence[Mapping[str, Any]],
    seals: tuple[str | None, str | None],
    changed: Sequence[str],
    noted: Sequence[str],
) -> list[tuple[str, str]]:
    """Number and text of the items of STARD 2015 that a study can fill in.

    Args:
        design: Of the study.
        rows: Those of the table of all arms.
        seals: The digests that design and protocol had when reading began, as far as
            they were there.
        changed: As `changes` gives them.
        noted: As `happenings` gives them.
    """
    readers, cases, arms = len(design.sessions), len(design.cases), len(design.arms)
    wanted = readers * cases * arms
    shown = "; ".join(f"{arm}: {NAMES[arm]}" for arm in design.arms)
    orders = "; ".join(
        f"{reader}: {' then '.join(session.arm for session in sessions)}"
        for reader, sessions in design.sessions.items()
    )
    back = (
        "A call could be changed until its session ended"
        if design.way_back
        else "There was no way back to a case that was answered"
    )
    asked = ", ".join(column.title for column in design.asked)
    test = (
        f"{readers} readers read {cases} cases each in {arms} sessions ({shown}). "
        f"Order of the sessions, crossed: {orders}. The order of cases was drawn for "
        f"each reader and session (seed {design.seed}). {back}."
        + (f" Asked for beside the call: {asked}." if asked else "")
        + (f" Model's operating point: {design.threshold}." if design.threshold else "")
    )
    known = "no label, no file name, no answer of another session or another reader"
    days = [float(row["days"]) for row in rows if row["days"] != ""]
    washout = f"Washout between sessions: {design.washout_days:g} days by design"
    if days:
        kept = "kept" if min(days) >= design.washout_days else "NOT KEPT"
        washout += (
            f", {kept}: {min(days):g} days or more between two readings of a case by "
            "one reader"
        )
    seconds = [row["seconds"] for row in rows if row["seconds"] != ""]
    times = f"median {statistics.median(seconds):.1f} s a case" if seconds else "none"
    cut = sum(row["seconds_cut"] for row in rows)
    integrity = "; ".join(changed) if changed else "unchanged since"
    return [
        ("10a", test),
        (
            "12a",
            "The reader's own call, benign or malignant, which every case needed. The "
            "score is 50 plus (malignant) or minus (benign) half the confidence of 0 "
            "to 100.",
        ),
        (
            "13a",
            f"Readers saw {known}. The clinical form and the model's answer were shown "
            "in the sessions named above alone.",
        ),
        ("15", "None: a call was needed to go on."),
        ("16", f"{wanted - len(rows)} of {wanted} readings were not made."),
        (
            "17",
            f"{washout}. Reading time, while the page was seen: {times}"
            + (f"; cut to the server's in {cut} readings" if cut else "")
            + ".",
        ),
        ("18", "author must supply (`usgland samplesize`)"),
        (
            "29",
            f"Made on {design.made}. SHA-256 when the first reader began: design "
            f"{seals[0] or 'none'}, protocol {seals[1] or 'not there'}; {integrity}."
            + (f" Noted: {'; '.join(noted)}." if noted else ""),
        ),
    ]


def day_of(at: float) -> str:
    """A time as a person reads it, on this machine."""
    return datetime.datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")
