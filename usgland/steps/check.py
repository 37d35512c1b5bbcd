"""The step `check`: from a table of images to what is wrong with them.

Nothing of the user's is changed: what was noticed goes to a table and a page.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from usgland.config import Config
from usgland.data.columns import LESION, choose_columns
from usgland.data.images import ImageCheck, UnusableError, check_images
from usgland.data.lesion_marks import read_marks
from usgland.data.phantom import is_synthetic
from usgland.data.waiting import watched
from usgland.errors import UserError
from usgland.files import check_unwritten, write_text
from usgland.machine import usable_cores
from usgland.quality.confounding import (
    FEWEST_PATIENTS,
    Confounder,
    find_confounders,
    properties_of,
)
from usgland.quality.duplicates import Pair, find_duplicates
from usgland.quality.fingerprints import Fingerprint, comparable, fingerprint
from usgland.quality.frames import read_frame
from usgland.quality.image_findings import (
    REASONS,
    SERIOUS,
    UNREADABLE,
    WARNING,
    Finding,
    JudgedPair,
    copies,
    joined_groups,
    judge_pair,
)
from usgland.quality.patient_records import clinical_columns, cut_lesions, read_records
from usgland.quality.picture_measures import Measures, judge, measure
from usgland.steps.check_page import check_page
from usgland.table_files import ROW, names_nobody, normalize_word, read_table

TABLE, PAGE = "check.csv", "check.html"
AT_ONCE = 256  # pictures that wait for a thread
MADE = ("exclusion_candidate", "findings", "copy_of", "manifest_row")


class Checked(NamedTuple):
    """What `check_table` noticed.

    Attributes:
        rows: Of the table, each with `group_id`, `frame_width` and `frame_height`.
        findings: Of images.
        copies: Pairs of images that show one acquisition.
        confounders: The strongest first.
        unasked: Why nothing was asked for the label; "" where it was.
        synthetic: Whether the images are phantoms.
        excluded: Rows that the table itself leaves out; they are not looked at.
        words: Whether words in the pictures were looked for.
        unnamed: Rows without a patient, each of which stands for one of its own.
    """

    rows: pd.DataFrame
    findings: list[Finding]
    copies: list[JudgedPair]
    confounders: list[Confounder]
    unasked: str
    synthetic: bool
    excluded: pd.DataFrame
    words: bool
    unnamed: frozenset[int]

    @property
    def level(self) -> int:
        """The gravest of all that was noticed: an index of `LEVELS`."""
        warned = any(c.is_suspicious for c in self.confounders)
        levels = (finding.level for finding in self.findings)
        return max([WARNING if warned else 0, *levels])


def check_table(manifest: Path, config: Config, *, words: bool = True) -> Checked:
    """Looks at every image of a table, and at what the table says of them.

    Rows with an `exclusion` are looked at no more. Without `words` none are looked for.

    Raises:
        UserError: If no row is left to look at.
    """
    table = read_table(manifest)
    table = table.drop(columns=[name for name in MADE if name in table])
    rows = choose_columns(table, config.data, manifest, labelled=False)
    if config.data.columns.get("patient_id", "patient_id") not in table:
        rows["patient_id"] = ""
    reasons = rows.get("exclusion", pd.Series("", index=rows.index))
    used = reasons.map(names_nobody).astype(bool)
    excluded, rows = rows[~used], rows[used].reset_index(drop=True)
    if rows.empty:
        raise UserError(
            f"{manifest}: expected images to look at, one a row. Received: no rows"
            + (" but those with an `exclusion`" if len(excluded) else "")
        )
    nobody = rows["patient_id"].map(names_nobody).astype(bool)
    unnamed = frozenset(np.flatnonzero(nobody).tolist())
    rows["patient_id"] = rows["patient_id"].mask(nobody, rows["image"])
    paths = _paths_of(rows["image"], manifest)
    rows = rows.assign(image_path=paths)
    files = check_images(paths, manifest=manifest)
    rows["frame_width"] = [file.width for file in files]
    rows["frame_height"] = [file.height for file in files]
    findings = [
        Finding(row, "file", file.problem, SERIOUS, UNREADABLE)
        for row, file in enumerate(files)
        if file.problem
    ]
    seen = _look_at(
        [r for r, file in enumerate(files) if not file.problem], paths, words
    )
    pairs = _find_pairs(seen, paths)
    part = next((name for name in ("split", "fold") if name in rows), None)
    judged = [judge_pair(rows, pair, part) for pair in pairs]
    findings += copies(rows, judged)
    rows["group_id"] = joined_groups(rows, pairs)
    shorter = {row: min(files[row].width, files[row].height) for row in seen}
    findings += judge({row: looked.measures for row, looked in seen.items()}, shorter)
    findings += read_records(rows, [n for n in config.clinical.used() if n in rows])
    findings += [
        Finding(row, "record", "no patient_id", WARNING) for row in sorted(unnamed)
    ]
    findings += _marked_lesions(rows, files, manifest)
    shown = [
        name
        for name in ("callipers", "words", "split", "coloured")
        if any(getattr(looked.measures, name) > 0 for looked in seen.values())
    ]
    marks = pd.DataFrame(
        {n: [float(getattr(seen[r].measures, n) > 0) for r in seen] for n in shown},
        index=list(seen),
    )
    confounders, unasked = _ask_for_labels(rows.loc[list(seen)], marks, config)
    synthetic = is_synthetic(manifest, rows)
    return Checked(
        *(rows, findings, judged, confounders, unasked, synthetic, excluded),
        words=words,
        unnamed=unnamed,
    )


def _paths_of(texts: pd.Series, manifest: Path) -> list[str]:
    """Paths of a column of a table: they begin at its folder."""
    folder = manifest.absolute().parent
    return [os.path.normpath(folder / text.replace("\\", "/")) for text in texts]


class Looked(NamedTuple):
    """What was seen of a picture: the digest of its pixels, and what is compared."""

    digest: str
    fingerprint: Fingerprint
    measures: Measures


def _look_at(
    usable: Sequence[int], paths: Sequence[str], words: bool
) -> dict[int, Looked]:
    """Reads each picture once; gives what is kept of it, by the number of its row."""
    find_text = None
    if words:
        from usgland.ingest.burned_text import text_boxes

        find_text = text_boxes

    def look(row: int) -> Looked | None:
        try:
            frame = read_frame(paths[row])
        except UnusableError:  # changed since it was checked
            return None
        shape = str(frame.colour.shape).encode()
        digest = hashlib.sha256(shape + frame.colour.tobytes()).hexdigest()
        seen = fingerprint(comparable(frame.grey))
        return Looked(digest, seen, measure(frame, find_text))

    with ThreadPoolExecutor(usable_cores()) as pool:
        blocks = (usable[n : n + AT_ONCE] for n in range(0, len(usable), AT_ONCE))
        looked = (answer for block in blocks for answer in pool.map(look, block))
        seen = list(watched(looked, len(usable), "Looking at pictures"))
    return {
        row: each for row, each in zip(usable, seen, strict=True) if each is not None
    }


def _find_pairs(seen: dict[int, Looked], paths: Sequence[str]) -> list[Pair]:
    """Copies, by the numbers of their rows."""
    firsts: dict[str, int] = {}
    exact = []
    for row, looked in seen.items():
        first = firsts.setdefault(looked.digest, row)
        if first != row:
            exact.append(Pair(first, row, "exact", 1.0))
    numbers = list(firsts.values())
    near = find_duplicates(
        [seen[row].fingerprint for row in numbers],
        lambda number: comparable(read_frame(paths[numbers[number]]).grey),
    )
    near = [p._replace(first=numbers[p.first], second=numbers[p.second]) for p in near]
    return sorted([*exact, *near])


def _marked_lesions(
    rows: pd.DataFrame, files: Sequence[ImageCheck], manifest: Path
) -> list[Finding]:
    """Marks of lesions that cannot be used, and those that the border cuts."""
    marked = rows.assign(label=-1)
    if "mask" in rows:
        given = rows["mask"].to_list()
        masks = zip(given, _paths_of(rows["mask"], manifest), strict=True)
        marked["mask_path"] = [path if text else "" for text, path in masks]
    problems = read_marks(marked, files, manifest, pixels=True)
    row_of = {number: row for row, number in enumerate(rows[ROW])}
    findings = [
        Finding(row_of[number], "file", text, SERIOUS, UNREADABLE)
        for number, text in problems
        if number in row_of
    ]
    known = marked.loc[marked[LESION[0]].notna(), list(LESION)]
    boxes = {int(row): tuple(box) for row, *box in known.itertuples()}
    return findings + cut_lesions(boxes, rows)


def _ask_for_labels(
    rows: pd.DataFrame, marks: pd.DataFrame, config: Config
) -> tuple[list[Confounder], str]:
    """What of a table predicts the label, or why that was not asked."""
    words = {normalize_word(w): label for w, label in config.data.label_words.items()}
    labels = rows["label"].map(lambda text: words.get(normalize_word(text), -1))
    rows, known = rows[labels >= 0], labels[labels >= 0].to_numpy(np.int64)
    groups = rows["group_id"].where(rows["group_id"] != "", rows["patient_id"])
    fewest = min(groups[known == label].nunique() for label in (0, 1))
    if fewest < FEWEST_PATIENTS:
        return [], (
            f"Expected {FEWEST_PATIENTS} patients of each label to ask what predicts "
            f"it. Received: {fewest} (data.label_words says which words are labels)"
        )
    properties = properties_of(rows, clinical_columns(rows, config))
    properties |= {str(name): marks.loc[rows.index, [name]] for name in marks}
    return find_confounders(properties, known, groups.to_numpy(str)), ""


def write_checked(
    checked: Checked, manifest: Path, config: Config, out: Path, *, overwrite: bool
) -> list[Path]:
    """Writes check.csv and check.html into a folder."""
    written = [out / TABLE, out / PAGE]
    check_unwritten("check", written, overwrite=overwrite)
    mapped = (config.data.columns.get(name, name) for name in ("image", "mask"))
    table = checked_table(checked, manifest, out, ["image", "mask", *mapped])
    write_text(written[0], table.to_csv(index=False))
    write_text(written[1], check_page(checked, manifest))
    return written


def checked_table(
    checked: Checked, manifest: Path, out: Path, paths: Sequence[str]
) -> pd.DataFrame:
    """The user's table with what was noticed; its columns of `paths` begin at `out`."""
    by_row: dict[int, list[Finding]] = {}
    for finding in checked.findings:
        by_row.setdefault(finding.row, []).append(finding)
    copy_of: dict[int, list[str]] = {}
    folder = manifest.absolute().parent
    images = [_moved(folder, text, out) for text in checked.rows["image"]]
    for pair, _, _ in checked.copies:
        copy_of.setdefault(pair.second, []).append(images[pair.first])
    numbers = range(len(images))
    rows = checked.rows.assign(
        exclusion_candidate=[_candidate(by_row.get(row, [])) for row in numbers],
        findings=[
            "; ".join(f"{each.kind}: {each.text}" for each in by_row.get(row, []))
            for row in numbers
        ],
        copy_of=["; ".join(copy_of.get(row, [])) for row in numbers],
        # Whom nobody named, `fit` shall ask for: a made name would hide a leak.
        patient_id=[
            "" if row in checked.unnamed else name
            for row, name in enumerate(checked.rows["patient_id"])
        ],
    )
    if len(checked.excluded):
        own = checked.excluded["exclusion"]
        rows = pd.concat([rows, checked.excluded.assign(exclusion_candidate=own)])
    rows = rows.sort_values(ROW).rename(columns={ROW: "manifest_row"})
    for name in set(paths):
        if name in rows:
            rows[name] = [_moved(folder, text, out) for text in rows[name]]
    return rows.drop(columns="image_path")


def _candidate(findings: Sequence[Finding]) -> str:
    """The first of `REASONS` for which an image may be left out; "" for none."""
    reasons = {finding.reason for finding in findings}
    return next((reason for reason in REASONS if reason in reasons), "")


def _moved(folder: Path, text: str, out: Path) -> str:
    """A path of the table as it reads from another folder."""
    if not text:
        return ""
    return os.path.relpath(folder / text.replace("\\", "/"), out.absolute())
