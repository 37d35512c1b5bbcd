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
from usgland.data.columns import BOX, choose_columns
from usgland.data.images import UnusableError, check_images
from usgland.data.phantom import is_synthetic
from usgland.files import check_unwritten, write_text
from usgland.machine import usable_cores
from usgland.quality.confounding import (
    CIRCUMSTANCES,
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
    copies,
    joined_groups,
)
from usgland.steps.check_page import check_page
from usgland.table_files import ROW, names_nobody, normalize_word, read_table

TABLE, PAGE = "check.csv", "check.html"
# Columns that describe files, parts and patients, not what is known of a patient.
NOT_CLINICAL = {
    *(*BOX, ROW, "image", "mask", "patient_id", "group_id", "label", "split", "fold"),
    *("exclusion", "synthetic", "image_path", *CIRCUMSTANCES),
    *("frame_width", "frame_height", "dataset", "frame", "study_id"),
}
MADE = ("exclusion_candidate", "findings", "copy_of", "manifest_row")


class Checked(NamedTuple):
    """What `check_table` noticed.

    Attributes:
        rows: Of the table, each with `group_id`, `frame_width` and `frame_height`.
        findings: Of images.
        pairs: Copies.
        confounders: The strongest first.
        unasked: Why nothing was asked for the label; "" where it was.
        synthetic: Whether the images are phantoms.
        excluded: Rows that the table itself leaves out; they are not looked at.
    """

    rows: pd.DataFrame
    findings: list[Finding]
    pairs: list[Pair]
    confounders: list[Confounder]
    unasked: str
    synthetic: bool
    excluded: pd.DataFrame

    @property
    def level(self) -> int:
        """The gravest of all that was noticed: an index of `LEVELS`."""
        warned = any(c.is_suspicious for c in self.confounders)
        levels = (finding.level for finding in self.findings)
        return max([WARNING if warned else 0, *levels])


def check_table(manifest: Path, config: Config) -> Checked:
    """Looks at every image of a table, and at what the table says of them.

    Rows with an `exclusion` are looked at no more.
    """
    table = read_table(manifest)
    table = table.drop(columns=[name for name in MADE if name in table])
    rows = choose_columns(table, config.data, manifest, labelled=False)
    reasons = rows.get("exclusion", pd.Series("", index=rows.index))
    used = reasons.map(names_nobody).astype(bool)
    excluded, rows = rows[~used], rows[used].reset_index(drop=True)
    nobody = rows["patient_id"].map(names_nobody).astype(bool)
    rows["patient_id"] = rows["patient_id"].mask(nobody, rows["image"])
    folder = manifest.absolute().parent
    paths = [
        os.path.normpath(folder / text.replace("\\", "/")) for text in rows["image"]
    ]
    rows = rows.assign(image_path=paths)
    files = check_images(paths, manifest=manifest)
    rows["frame_width"] = [file.width for file in files]
    rows["frame_height"] = [file.height for file in files]
    findings = [
        Finding(row, "file", file.problem, SERIOUS, UNREADABLE)
        for row, file in enumerate(files)
        if file.problem
    ]
    usable = [row for row, file in enumerate(files) if not file.problem]
    pairs = _find_pairs(usable, paths)
    part = next((name for name in ("split", "fold") if name in rows), None)
    findings += copies(rows, pairs, part)
    rows["group_id"] = joined_groups(rows, pairs)
    confounders, unasked = _ask_for_labels(rows.iloc[usable], config)
    synthetic = is_synthetic(manifest, rows)
    return Checked(rows, findings, pairs, confounders, unasked, synthetic, excluded)


def _find_pairs(usable: Sequence[int], paths: Sequence[str]) -> list[Pair]:
    """Copies among the images that can be read, by the numbers of their rows."""

    def look(row: int) -> tuple[str, Fingerprint] | None:
        try:
            frame = read_frame(paths[row])
        except UnusableError:  # changed since it was checked
            return None
        shape = str(frame.colour.shape).encode()
        digest = hashlib.sha256(shape + frame.colour.tobytes()).hexdigest()
        return digest, fingerprint(comparable(frame.grey))

    firsts: dict[str, int] = {}
    prints: list[Fingerprint] = []
    numbers: list[int] = []
    exact: list[Pair] = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(usable), 256):
            some = usable[start : start + 256]
            for row, looked in zip(some, pool.map(look, some), strict=True):
                if looked is None:
                    continue
                digest, seen = looked
                if digest in firsts:
                    exact.append(Pair(firsts[digest], row, "exact", 1.0))
                else:
                    firsts[digest] = row
                    numbers.append(row)
                    prints.append(seen)
    near = find_duplicates(
        prints, lambda number: comparable(read_frame(paths[numbers[number]]).grey)
    )
    near = [p._replace(first=numbers[p.first], second=numbers[p.second]) for p in near]
    return sorted([*exact, *near])


def clinical_columns(rows: pd.DataFrame) -> list[str]:
    """Columns of what is known of a patient, some of it missing for some."""
    return [str(n) for n in rows.columns if str(n).lower() not in NOT_CLINICAL]


def _ask_for_labels(rows: pd.DataFrame, config: Config) -> tuple[list[Confounder], str]:
    """What of a table predicts the label, or why that was not asked."""
    words = {normalize_word(w): label for w, label in config.data.label_words.items()}
    labels = rows["label"].map(lambda text: words.get(normalize_word(text), -1))
    rows, known = rows[labels >= 0], labels[labels >= 0].to_numpy(np.int64)
    groups = rows["group_id"].where(rows["group_id"] != "", rows["patient_id"])
    fewest = min(groups[known == label].nunique() for label in (0, 1))
    if fewest < FEWEST_PATIENTS:
        return [], (
            f"Expected {FEWEST_PATIENTS} patients of each label to ask what predicts "
            f"it. Received: {fewest}"
        )
    properties = properties_of(rows, clinical_columns(rows))
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
    images = checked.rows["image"].to_list()
    for pair in checked.pairs:
        copy_of.setdefault(pair.second, []).append(images[pair.first])
    numbers = range(len(images))
    rows = checked.rows.assign(
        exclusion_candidate=[_candidate(by_row.get(row, [])) for row in numbers],
        findings=[
            "; ".join(f"{each.kind}: {each.text}" for each in by_row.get(row, []))
            for row in numbers
        ],
        copy_of=["; ".join(copy_of.get(row, [])) for row in numbers],
    )
    if len(checked.excluded):
        own = checked.excluded["exclusion"]
        rows = pd.concat([rows, checked.excluded.assign(exclusion_candidate=own)])
    rows = rows.sort_values(ROW).rename(columns={ROW: "manifest_row"})
    folder = manifest.absolute().parent
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
