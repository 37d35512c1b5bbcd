"""From a table of images, CSV or Excel, to checked rows.

The table has one row an image: `image`, `image_path`, `patient_id`, `group_id`,
`label`, `csv_row` (the row as a spreadsheet numbers it; the header is row 1),
`sha256` (of the file's bytes), `mask_path` where there is a `mask` column, the
lesion's box and the image's size (see `lesion_marks`), and every other column of the
table as text, empty where its cell is empty.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from usgland import table_files
from usgland.config import DataSettings
from usgland.data.columns import LESION, choose_columns, choose_rows
from usgland.data.conflicts import find_given_conflicts
from usgland.data.forms import check_form_columns, join_forms, read_forms
from usgland.data.images import check_images
from usgland.data.lesion_marks import read_marks
from usgland.schema import ClinicalColumn
from usgland.table_files import ROW, Problem, names_nobody

UNLABELLED = -1
NO_LESION = -1  # the label, in a labelled manifest, of `data.no_lesion_labels`
CLASSES = ("benign", "malignant")
# What a spreadsheet takes for a formula, and may run, when it opens a CSV.
FORMULA = re.compile(r"\s*(=|[-+@].*[|!(])")


def load_manifest(
    path: Path,
    settings: DataSettings,
    *,
    labelled: bool = True,
    parts: Sequence[str] = (),
    form: Mapping[str, ClinicalColumn] | None = None,
    images: bool = True,
    table: pd.DataFrame | None = None,
    pixels: bool = True,
    no_lesion: bool = False,
) -> pd.DataFrame:
    """Reads a manifest and checks everything in it, the pixels included.

    Args:
        path: CSV or .xlsx, see `read_table`. Image and mask paths in it are relative
            to its folder.
        settings: Which columns, label words and rows to use. A mapped column takes
            the place of a column that already has our name.
        labelled: If false, `label` may be absent or empty and is then -1; without
            a column `patient_id` each image is a patient of its own, named after
            the image; and a filter of `where` on a column that is absent is void.
        parts: Columns of which the first that is there must not part a patient, a
            group or identical images.
        form: The clinical columns to read, see `usgland.data.forms`; those of
            `settings.forms` are joined first.
        images: If false, the column `image` may be absent: a row is then named after
            its patient, and its digest is that of its text.
        table: What `read_table` would read, if it is in memory; `path` then only
            names it, and its folder is that of the images.
        pixels: If false, no image is opened, and there is no `sha256` of one: only
            what the table says is checked, and that its files are there.
        no_lesion: Whether rows of `settings.no_lesion_labels` are kept; their label is
            then `NO_LESION`.

    Returns:
        The rows used, in their order, as the module describes them. `group_id` is
        empty where it is absent or names nobody.

    Raises:
        UserError: With all problems at once, each with its row.
    """
    table = table_files.read_table(path) if table is None else table
    images = images or settings.columns.get("image", "image") in table
    rows = choose_columns(table, settings, path, labelled, images)
    rows = choose_rows(rows, settings, path, no_lesion=no_lesion)
    form = form or {}
    if form and settings.forms is not None and labelled:
        rows = join_forms(rows, table_files.read_table(settings.forms), settings.forms)
    check_form_columns(rows, form, path)
    without = list(map(table_files.normalize_word, settings.no_lesion_labels))
    normal = rows["label"].map(table_files.normalize_word).isin(without)
    problems = _read_labels(rows, settings, labelled, normal)
    problems += _check_names(rows) + _find_formulas(rows)
    if images:
        problems += _check_files(rows, path, pixels=pixels)
    else:
        problems += _check_forms_alone(rows)
    if not settings.allow_patients_with_two_labels:
        hint = "one label, or data.allow_patients_with_two_labels=true"
        problems += _find_two_labels(rows, "patient_id", hint)
    if "sha256" in rows:
        problems += _find_two_labels(rows, "sha256", "one label for identical files")
    if no_lesion and labelled:
        problems += _find_lesions(rows, normal)
    problems += find_given_conflicts(rows, parts)
    problems += read_forms(rows, form, training=labelled)
    table_files.raise_problems(str(path), problems)
    return rows


def _read_labels(
    rows: pd.DataFrame, settings: DataSettings, labelled: bool, normal: pd.Series
) -> list[Problem]:
    """Turns the words in `label` into numbers, in place; `normal` say: no lesion."""
    normalize = table_files.normalize_word
    words = {normalize(word): label for word, label in settings.label_words.items()}
    labels = [words.get(normalize(text), UNLABELLED) for text in rows["label"]]
    wrong = pd.Series(labels, index=rows.index, dtype="int64") == UNLABELLED
    wrong &= ~normal
    if not labelled:
        wrong &= ~table_files.missing_cells(rows["label"])
    expected = f"a label among {', '.join(settings.label_words)}"
    hint = "; map it in data.label_words or name it in data.ignore_labels" + (
        " or, where it says that there is no lesion, in data.no_lesion_labels"
    )
    problems = table_files.wrong_cells(rows, "label", wrong, expected, hint)
    rows["label"] = pd.Series(labels, index=rows.index, dtype="int64")
    return problems


def _check_names(rows: pd.DataFrame) -> list[Problem]:
    """Finds rows without a patient, and one patient or group under two names.

    A patient whose name is written in two ways would stand in two roles unseen.
    Empties the groups that name nobody, in place.
    """
    nobody = rows["patient_id"].map(names_nobody).astype(bool)
    problems = table_files.wrong_cells(rows, "patient_id", nobody, "a patient_id")
    for column in ("patient_id", "group_id"):
        if rows[column].equals(rows["image"]):  # names of files may differ in case
            continue
        spelled = rows.loc[~rows[column].map(names_nobody).astype(bool), [ROW, column]]
        spelled = spelled.drop_duplicates(column)
        keys = spelled[column].map(_name_key)
        repeated = keys.duplicated(keep=False)
        for _, same in spelled[repeated].groupby(keys[repeated]):
            received = ", ".join(map(repr, same[column]))
            text = f"expected one spelling of each {column}. Received: {received}"
            problems.append((int(same[ROW].max()), text))
    ungrouped = rows["group_id"].map(names_nobody).astype(bool)
    rows["group_id"] = rows["group_id"].mask(ungrouped, "")
    return problems


def _find_formulas(rows: pd.DataFrame) -> list[Problem]:
    """Finds names that a spreadsheet would run, as they stand in what we write."""
    problems: list[Problem] = []
    for column in ("patient_id", "group_id", "image"):
        wrong = rows[column].astype(str).map(lambda text: bool(FORMULA.match(text)))
        expected = f"a {column} that no spreadsheet takes for a formula"
        problems += table_files.wrong_cells(rows, column, wrong, expected)
    return problems


def _name_key(name: str) -> str:
    """A spreadsheet makes 1 of 001 and 1.0 of 1; but 1.1 and 1.10 may be two."""
    key = table_files.normalize_name(name)
    return re.sub(r"^0*(\d+)(\.0*)?$", r"\1", key)


def _check_files(rows: pd.DataFrame, path: Path, *, pixels: bool) -> list[Problem]:
    """Checks images and masks; adds their paths and digests, in place."""
    folder = path.absolute().parent
    paths = [_resolve(folder, text) for text in rows["image"]]
    checks = check_images(paths, pixels=pixels, manifest=path)
    rows["image_path"] = paths
    if pixels:
        rows["sha256"] = [check.sha256 for check in checks]
    problems: list[Problem] = []
    first_rows: dict[str, int] = {}
    for row, image, file, check in zip(
        rows[ROW], rows["image"], paths, checks, strict=True
    ):
        if not image:
            problems.append((row, "expected the path of an image. Received: ''"))
        elif file in first_rows:
            received = f"the image of row {first_rows[file]}"
            text = f"{image}: expected each image once. Received: {received}"
            problems.append((row, text))
        elif check.problem:
            problems.append((row, f"{image}: {check.problem}"))
        first_rows.setdefault(file, row)
    if "mask" in rows:
        masks = [_resolve(folder, text) if text else "" for text in rows["mask"]]
        rows["mask_path"] = masks
    return problems + read_marks(rows, checks, path, pixels=pixels)


def _check_forms_alone(rows: pd.DataFrame) -> list[Problem]:
    """Finds rows of one name; gives each row the digest of its text, in place."""
    texts = rows.drop(columns=[ROW]).astype(str).agg("\0".join, axis=1)
    rows["image_path"] = ""
    rows["sha256"] = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    repeated = rows[rows["image"].duplicated()]
    return [
        (row, f"{image}: expected one row each. Received: a second one")
        for row, image in zip(repeated[ROW], repeated["image"], strict=True)
    ]


def _resolve(folder: Path, text: str) -> str:
    # Spreadsheets from Windows write backslashes.
    return os.path.normpath(os.path.join(folder, text.replace("\\", "/")))


def _find_lesions(rows: pd.DataFrame, normal: pd.Series) -> list[Problem]:
    """Finds a lesion marked, or told of the same file, where there is none."""
    without = rows[normal]
    problems: list[Problem] = []
    if LESION[0] in rows:
        text = "expected no mark, as its label says that it shows no lesion. Received: "
        problems += [
            (row, f"{image}: {text}one")
            for row, image in without.loc[
                without[LESION[0]].notna(), [ROW, "image"]
            ].itertuples(index=False)
        ]
    if "sha256" in rows:
        lesions = rows[~normal].drop_duplicates("sha256")
        other = dict(zip(lesions["sha256"], lesions[ROW], strict=True))
        text = "expected one label for identical files. Received: that of no lesion, "
        problems += [
            (row, f"{text}and another in row {other[digest]}")
            for row, digest in without[[ROW, "sha256"]].itertuples(index=False)
            if digest and digest in other
        ]
    return problems


def _find_two_labels(rows: pd.DataFrame, column: str, expected: str) -> list[Problem]:
    """Finds patients, or identical files, that are both benign and malignant."""
    named = ~rows[column].map(names_nobody).astype(bool)
    known = rows[(rows["label"] != UNLABELLED) & named]
    # Only these are looked at one by one: of 100,000 it would take minutes.
    both = known.groupby(column)["label"].transform("nunique") > 1
    problems: list[Problem] = []
    for name, same in known[both].groupby(column):
        by_class = same[ROW].groupby(same["label"].map(CLASSES.__getitem__))
        shown = by_class.agg(table_files.show_rows)
        received = " and ".join(f"{word} ({at})" for word, at in shown.items())
        who = f"patient {name!r}: " if column == "patient_id" else ""
        row = int(same[ROW].min())
        problems.append((row, f"{who}expected {expected}. Received: {received}"))
    return problems
