"""The steps of a study that is made: it is served, looked after, and given out."""

import asyncio
import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from usgland.errors import UserError
from usgland.files import check_unwritten, write_text
from usgland.study import readings_file, study_folder
from usgland.study.answer_store import AnswerStore
from usgland.study.design import Design
from usgland.study.sittings import DESIGN_SEAL, PROTOCOL_SEAL
from usgland.table_files import show_some

STARD = "stard.md"


def study_status(folder: Path) -> list[str]:
    """Who is where, and whether all is as it was: lines that tell nothing of calls."""
    study = study_folder.read_study(folder)
    store = AnswerStore(folder / study_folder.ANSWERS, study.design.study)
    try:
        lines = [
            _where(line) for line in readings_file.whereabouts(study.design, store)
        ]
        sealed = store.fact(DESIGN_SEAL)
        changed = readings_file.changes(study, store, _private(folder))
        noted = readings_file.happenings(store)
    finally:
        store.close()
    seal = f"Design {study.sha256[:16]}: "
    seal += "not sealed, as nobody has begun" if sealed is None else "sealed"
    return [
        f"Study {study.design.study.upper()}, {len(study.design.cases)} cases",
        *lines,
        *(f"Noted: {line}" for line in noted),
        *(f"CHANGED: {line}" for line in changed),
        seal if changed else f"{seal}; nothing has changed",
    ]


def _where(line: Mapping[str, Any]) -> str:
    day = readings_file.day_of
    text = f"  {line['reader']}  session {line['session']}, {line['arm']}: "
    text += f"{line['read']} of {line['cases']} cases"
    if line["ended"] is not None:
        return f"{text}, ended {day(line['ended'])}"
    if line["began"] is not None:
        return f"{text}, last answer {day(line['last'] or line['began'])}"
    if line["opens"] is None:
        return f"{text}, after the session before it"
    later = line["opens"] > time.time()
    return f"{text}, opens {day(line['opens'])}" if later else f"{text}, may begin"


def _private(folder: Path) -> dict[str, bytes]:
    """The owner's files, as far as they are here."""
    names = {"truth": study_folder.TRUTH, "protocol": study_folder.PROTOCOL}
    paths = {
        key: study_folder.private_folder(folder) / name for key, name in names.items()
    }
    return {key: path.read_bytes() for key, path in paths.items() if path.is_file()}


def export_study(
    folder: Path, output: Path | None, *, unfinished: bool, overwrite: bool
) -> tuple[list[Path], list[str]]:
    """Writes the readers' tables and the items of STARD.

    Args:
        folder: Of the study; its private folder must stand beside it.
        output: Folder to write to; by default `export` in the private one.
        unfinished: Whether calls may be looked at before all were made.
        overwrite: Whether earlier tables may be replaced.

    Returns:
        The files, and what has changed since the first reader began.

    Raises:
        UserError: If readings are still to be made, or cases.csv is not there.
    """
    study = study_folder.read_study(folder)
    design, secret = study.design, study_folder.private_folder(folder)
    output = output or secret / "export"
    private = _private(folder)
    if "truth" not in private:
        raise UserError(
            f"Expected {study_folder.TRUTH} in {secret}, which says whose the cases "
            "are. Received: no such file; put the two folders of the study together"
        )
    truth = _truth(secret / study_folder.TRUTH, private["truth"], design)
    stems = [contrast.stem for contrast in readings_file.contrasts(design.arms)]
    planned = [output / f"{stem}.csv" for stem in stems]
    check_unwritten("export", planned, overwrite=overwrite)
    store = AnswerStore(folder / study_folder.ANSWERS, design.study)
    try:
        answers = store.answers()
        readings_file.check_answers(study, answers)
        ended = len(store.rows("SELECT 1 FROM sessions WHERE ended IS NOT NULL"))
        missing = len(design.sessions) * len(design.arms) - ended
        if missing and not unfinished:
            raise UserError(
                f"Expected all sessions to have ended. Received: {missing} that have "
                "not; to look at calls before is noted in the study: --unfinished"
            )
        if missing:
            with store.writing():
                store.event(time.time(), "owner", "calls given out before the end")
        changed = readings_file.changes(study, store, private)
        noted = readings_file.happenings(store)
        seals = store.fact(DESIGN_SEAL), store.fact(PROTOCOL_SEAL)
    finally:
        store.close()
    if not answers:
        raise UserError(f"{folder}: expected answers of readers. Received: none yet")
    made = readings_file.tables(design, answers, truth)
    paths = []
    for stem, rows in made.items():
        if rows:
            paths.append(output / f"{stem}.csv")
            write_text(paths[-1], _csv_text(rows))
    every = list(made.values())[-1]
    items = readings_file.stard_items(design, every, seals, changed, noted)
    lines = ["| item | of the reader study |", "|---|---|"]
    lines += [f"| {number} | {text} |" for number, text in items]
    write_text(output / STARD, "\n".join(["# STARD 2015", "", *lines, ""]))
    return [*paths, output / STARD], changed


def _truth(path: Path, content: bytes, design: Design) -> dict[str, dict[str, str]]:
    """Name of a case -> whose it is, and its label."""
    text = content.decode("utf-8", "replace")
    rows = list(csv.DictReader(io.StringIO(text)))
    case, *told = study_folder.TRUTH_COLUMNS
    whole = [row for row in rows if {case, *told} <= set(row)]
    known = {row[case]: {name: row[name] for name in told} for row in whole}
    missing = [case.name for case in design.cases if case.name not in known]
    if missing:
        raise UserError(
            f"{path}: expected the columns {', '.join([case, *told])} and a row "
            f"of each case. Received: none of {show_some(missing)}; take the file from "
            "a backup"
        )
    return known


def _csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def serve_study(
    folder: Path,
    echo: Callable[[str], None],
    *,
    clock: Any = None,
    **chosen: Any,
) -> None:
    """Serves the page for readers until it is told to stop.

    Args:
        folder: Of the study.
        echo: Shows a line to whoever started it.
        clock: A `sittings.Clock`; None for that of this machine.
        **chosen: Address, files of TLS and names, as `ServerOptions` has them.
    """
    # Not before the page is served: the other steps do without these packages.
    from usgland.serving.server.listening import stop_on_signals
    from usgland.serving.server.logs import start_logging
    from usgland.serving.server.server_options import check_tls, listens_beyond
    from usgland.study.sittings import Sittings
    from usgland.study.study_app import run_study, study_options

    options = study_options(folder, **chosen)
    check_tls(options)
    if options.tls_certificate is None and listens_beyond(options.host):
        echo(
            f"Warning: --host {options.host} without --tls-cert: others in the network "
            "can read images, keys and answers on their way"
        )
    study = study_folder.read_study(folder)
    study_folder.check_images(study)
    store = AnswerStore(folder / study_folder.ANSWERS, study.design.study)
    try:
        readings_file.check_answers(study, store.answers())
        for line in readings_file.changes(study, store, _private(folder)):
            echo(f"Warning: {line}; the export will say so")
        start_logging()

        def started(port: int) -> None:
            echo(f"Page  {options.url(port)}")
            echo(f"Study {study.design.study.upper()}. Stop with Ctrl-C")

        async def main() -> None:
            sittings = Sittings(study, store, clock)
            await run_study(sittings, options, started, stop_on_signals())

        asyncio.run(main())
    finally:
        store.close()
