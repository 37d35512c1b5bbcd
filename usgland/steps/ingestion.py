"""The step `ingest`: from a folder of scanners' files to pictures and a manifest."""

import contextlib
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from usgland.cache import data_folder
from usgland.errors import UserError
from usgland.files import write_json
from usgland.ingest.extraction import IMAGES, Setup, extract
from usgland.ingest.headers import TWO_PATIENTS
from usgland.ingest.identifiers import output_words
from usgland.ingest.journal import JOURNAL, Journal, run_folder
from usgland.ingest.labels import Labels, compare, read_labels
from usgland.ingest.leaks import Needles
from usgland.ingest.manifest_rows import Row, make_rows, own_words, part_leaks
from usgland.ingest.official_datasets import convert_dataset
from usgland.ingest.private_files import (
    FINGERPRINT,
    KEY,
    check_key,
    open_private,
    write_rows,
    write_sheet,
)
from usgland.ingest.pseudonyms import Key
from usgland.ingest.removals import removed_table
from usgland.ingest.source_files import Skipped, SourceFile, stamp, walk
from usgland.ingest.unreadable import UnreadableFileError
from usgland.ingest.workers import run_tasks

MANIFEST, REMOVED = "manifest.csv", "removed.json"
PATHS, SKIPPED, REVIEW = "paths.csv", "skipped.csv", "review"
QUARANTINE, UNMATCHED, LOG = "quarantine", "labels.csv", "readers.log"


class Summary(NamedTuple):
    """What a run has made."""

    files: int
    pictures: int
    patients: int
    skipped: Counter[str]
    review: int
    quarantined: int
    shared: int  # ids that two patients seem to have
    unmatched: str  # labels and patients that did not meet
    private: Path


def ingest(
    source: Path,
    out: Path,
    *,
    key: Path | None,
    private: Path | None,
    frames: str,
    text: str,
    labels: Path | None,
    jobs: int,
    resume: bool,
    console: Console,
) -> Summary:
    """Writes the pictures and the manifest of a folder.

    Args:
        source: Folder of DICOM, PNG and JPEG files.
        out: Folder that must not be there yet; it appears whole or not at all.
        key: Of the pseudonyms; by default in the private folder.
        private: Folder of all that must not be given away.
        frames: `all`, `first`, `every:N` or `sharpest`.
        text: What is done with text in pictures: `flag`, `mask`, or `off`, nothing.
        labels: Table of labels by patient id or accession number.
        jobs: Files that are worked on at a time.
        resume: Goes on where a run was interrupted.
        console: Where progress is shown.

    Raises:
        UserError: If folders are within each other, a key does not fit, or there is no
            room.
    """
    private = data_folder() / "ingest" if private is None else private
    key_path = private / KEY if key is None else key
    check_places(source, out, private, key_path)
    joined = read_labels(labels) if labels else None
    open_private(private)
    pseudonyms = Key.load_or_make(key_path)
    check_key(private, pseudonyms, key_path)
    folder = run_folder(private, out.resolve())
    staging = _staging_of(out)
    settings = {
        "SOURCE": str(source.resolve()),
        "OUT": str(out.resolve()),
        "--frames": frames,
        "--text": text,
    }
    _open_staging(staging, resume=resume)
    journal = Journal(folder / JOURNAL, settings, resume=resume)
    with contextlib.closing(journal):
        setup = Setup(staging, pseudonyms, frames, text)
        skipped = _extract_all(source, setup, journal, jobs, console)
        return _finish(journal, skipped, joined, staging, out, folder)


def ingest_dataset(name: str, source: Path, out: Path) -> list[str]:
    """Writes the pictures, masks and manifest of a public set.

    Nothing of it is private, so there are no pseudonyms.

    Args:
        name: Of `DATASETS`.
        source: Its archive, or the folder that it was unpacked to.
        out: Folder that must not be there yet; it appears whole or not at all.

    Returns:
        What was met, a line each.
    """
    _check_new(out)
    if not source.exists():
        raise UserError(f"SOURCE: expected a folder or ZIP file. Received: {source}")
    staging = _staging_of(out)
    if staging.exists():  # of a run that was interrupted; this one takes a minute
        shutil.rmtree(staging)
    _open_staging(staging, resume=False)
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, staging)
        lines = convert_dataset(name, source, staging)
        _give_name(staging, out)
        undo.pop_all()
    return lines


def check_places(source: Path, out: Path, private: Path, key: Path) -> None:
    """Checks that nothing of the source or private stands under OUT, nor OUT in it."""
    if not source.is_dir():
        raise UserError(f"SOURCE: expected a folder. Received: {source}")
    source, out, private = source.resolve(), out.resolve(), private.resolve()
    if private.is_relative_to(out) or key.resolve().is_relative_to(out):
        raise UserError(
            "Expected --private and --key outside of OUT, which may be given away. "
            f"Received: {private if private.is_relative_to(out) else key}"
        )
    for name, folder in (("OUT", out), ("--private", private)):
        if folder.is_relative_to(source):
            raise UserError(
                f"{name}: expected a folder outside of SOURCE. Received: {folder}"
            )
    if out.name in (KEY, FINGERPRINT):
        raise UserError(
            f"OUT: expected another name than that of a file of --private. "
            f"Received: {out.name}"
        )
    if source.is_relative_to(out):
        raise UserError(f"OUT: expected a folder without SOURCE in it. Received: {out}")
    _check_new(out)


def _check_new(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"OUT: expected a folder that is not there yet. Received: {out}. It was "
            "written whole; choose another name, or delete it"
        )


def _staging_of(out: Path) -> Path:
    """Where OUT is made: beside it, so that one renaming makes it whole."""
    return out.resolve().parent / f".{out.resolve().name}.partial"


def _open_staging(staging: Path, *, resume: bool) -> None:
    if staging.exists() and not resume:
        raise UserError(
            f"Expected no interrupted run. Received: {staging}. Add --resume to go on, "
            "or delete it to begin anew"
        )
    try:
        staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        (staging / IMAGES).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot make {staging}: {error.strerror}. Choose another OUT"
        ) from error


def _extract_all(
    source: Path, setup: Setup, journal: Journal, jobs: int, console: Console
) -> dict[str, str]:
    """Works on every file that the journal lacks; gives the other files' reasons."""
    skipped: dict[str, str] = {}
    files = []
    for item in walk(source):
        if isinstance(item, Skipped):
            skipped[item.relative] = item.reason
        else:
            files.append(item)
    names = {file.relative for file in files}
    for gone in journal.entries.keys() - names:
        del journal.entries[gone]
    waiting = [file for file in files if not _is_done(file, journal, setup.out)]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("files", total=len(files))
        progress.advance(task, len(files) - len(waiting))
        workers = min(jobs, max(1, len(waiting)))
        log = journal.path.parent / LOG
        results = run_tasks(extract, setup, waiting, workers, log=log)
        with contextlib.closing(results):
            for file, result in results:
                if isinstance(result, UnreadableFileError):
                    journal.add(file, str(result), None)
                else:
                    journal.add(file, "", result)
                progress.advance(task)
    reasons = {name: entry.reason for name, entry in journal.entries.items()}
    return {**skipped, **{name: reason for name, reason in reasons.items() if reason}}


def _is_done(file: SourceFile, journal: Journal, staging: Path) -> bool:
    """Whether an interrupted run has worked on a file that is still the same."""
    entry = journal.entries.get(file.relative)
    if entry is None or (entry.size, entry.modified_ns) != stamp(file.path):
        return False
    pictures = entry.record.pictures if entry.record else ()
    return all(
        stamp(staging / picture.image)[0] == picture.size for picture in pictures
    )


def _finish(
    journal: Journal,
    skipped: dict[str, str],
    labels: Labels | None,
    staging: Path,
    out: Path,
    folder: Path,
) -> Summary:
    """Writes what needs all files, searches it, and gives OUT its name."""
    records = ((entry.relative, entry.record) for entry in journal.entries.values())
    rows = make_rows(((name, record) for name, record in records if record), labels)
    _write_skipped(folder, skipped)
    if not rows:
        shutil.rmtree(staging)
        raise UserError(
            "Expected ultrasound pictures in SOURCE. Received: none that could be "
            f"used; {folder / SKIPPED} says of each file why"
        )
    _remove_strangers(staging, {row.picture.image for row in rows})
    needles = Needles(journal.identifiers(), output_words(*own_words()))
    words = labels.words() if labels else set()
    kept, quarantined = part_leaks(rows, needles, words)
    for row, _ in quarantined:
        (folder / QUARANTINE).mkdir(exist_ok=True)
        image = Path(row.picture.image)
        shutil.move(staging / image, folder / QUARANTINE / image.name)
    if not kept:
        raise UserError(
            "Expected pictures without names, ids or dates of SOURCE. Received: none; "
            f"look at {folder / QUARANTINE}"
        )
    cells = [row.cells() for row in kept]
    lines = [list(row.values()) for row in cells]
    write_rows(staging / MANIFEST, list(cells[0]), lines, private=False)
    removed: Counter[tuple[str, str]] = Counter()
    for record in {row.relative: row.record for row in rows}.values():
        for action, tag, number in record.removed:
            removed[action, tag] += number
    table = removed_table(removed, len({row.relative for row in rows}))
    write_json(staging / REMOVED, table)
    review = [row for row in kept if row.picture.flags]
    _write_private(folder, out, rows, quarantined, review)
    unmatched = _compare_labels(folder, labels, rows) if labels else ""
    _level_times(staging)
    _give_name(staging, out)
    return Summary(
        files=len({row.relative for row in rows}),
        pictures=len(kept),
        patients=len({row.record.fields.patient_id for row in kept}),
        skipped=Counter(sorted(text.partition(":")[0] for text in skipped.values())),
        review=len(review),
        quarantined=len(quarantined),
        shared=len(
            {row.record.fields.patient_id for row in kept if TWO_PATIENTS in row.marks}
        ),
        unmatched=unmatched,
        private=folder,
    )


def _remove_strangers(staging: Path, images: set[str]) -> None:
    """Deletes what an interrupted run has written and not noted."""
    for path in [*staging.iterdir(), *(staging / IMAGES).iterdir()]:
        name = path.relative_to(staging).as_posix()
        if name != IMAGES and name not in images:
            path.unlink()


def _level_times(staging: Path) -> None:
    """Gives all files one time: their order is that of the source's names.

    Who is given the folder could else tell whose name comes first in the alphabet.
    """
    now = time.time()
    for path in (*(staging / IMAGES).iterdir(), *staging.iterdir(), staging):
        os.utime(path, (now, now))


def _write_private(
    folder: Path,
    out: Path,
    rows: list[Row],
    quarantined: list[tuple[Row, str]],
    review: list[Row],
) -> None:
    write_rows(
        folder / PATHS,
        ("image", "file", "frame", "x0", "y0", "x1", "y1", "patient", "accession"),
        [
            (
                *(row.picture.image, f"./{row.relative}", row.picture.frame),
                *row.picture.box,
                row.record.fields.private.patient,
                row.record.fields.private.accession,
            )
            for row in rows
        ],
    )
    reasons = [(row, " ".join(row.picture.flags)) for row in review]
    reasons += [(row, f"{QUARANTINE}: {where}") for row, where in quarantined]
    write_rows(
        folder / f"{REVIEW}.csv",
        ("image", "file", "reason"),
        [(row.picture.image, f"./{row.relative}", reason) for row, reason in reasons],
    )
    held = {row.picture.image for row, _ in quarantined}
    write_sheet(
        folder / f"{REVIEW}.html",
        [
            (
                folder / QUARANTINE / Path(row.picture.image).name
                if row.picture.image in held
                else out.resolve() / row.picture.image,
                f"{row.picture.image}: {reason}",
            )
            for row, reason in reasons
        ],
    )


def _compare_labels(folder: Path, labels: Labels, rows: list[Row]) -> str:
    files = [row.record.fields.private for row in rows]
    shared = {
        row.record.fields.private.patient for row in rows if TWO_PATIENTS in row.marks
    }
    report = compare(labels, files, frozenset(shared))
    lines = [(identity, "no label") for identity in report.without_label]
    lines += [(identity, "no images") for identity in report.without_images]
    write_rows(folder / UNMATCHED, ("id", "lacks"), lines)
    return f"{report}: {folder / UNMATCHED}"


def _write_skipped(folder: Path, skipped: dict[str, str]) -> None:
    # "./" before a name: then no spreadsheet takes it for a formula.
    lines = [(f"./{name}", reason) for name, reason in sorted(skipped.items())]
    write_rows(folder / SKIPPED, ("file", "reason"), lines)


def _give_name(staging: Path, out: Path) -> None:
    mask = os.umask(0)  # It can be read only by setting it.
    os.umask(mask)
    staging.chmod(0o777 & ~mask)
    try:
        staging.rename(out.resolve())
    except OSError as error:
        raise UserError(
            f"Cannot name {staging} {out}: {error.strerror}. Make room for it, then "
            "repeat the command with --resume"
        ) from error
