"""The step `table1`: from rows of images to the table of their patients."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import DataSettings
from usgland.data.columns import BOX, choose_columns, exclusion_reasons
from usgland.data.phantom import is_synthetic
from usgland.errors import UserError
from usgland.evaluation.baseline.characteristics import (
    DISTINCT,
    TESTS,
    TableOne,
    table_one,
    unreadable_numbers,
)
from usgland.evaluation.baseline.characteristics_text import table_one_document
from usgland.evaluation.baseline.imputed_estimates import imputed_table_one
from usgland.evaluation.baseline.missing_text import missing_document
from usgland.evaluation.baseline.missing_values import missing_values
from usgland.evaluation.shown.table import Document
from usgland.evaluation.shown.terminal import show
from usgland.files import check_unwritten
from usgland.table_files import (
    ROW,
    Problem,
    check_columns,
    is_missing,
    normalize_word,
    raise_problems,
    read_table,
    show_rows,
    to_numbers,
    with_points,
    wrong_cells,
)

STEM = "table1"
MISSING = "missing"
KINDS = ("csv", "tex", "md")
# Columns that describe files and parts, not patients.
NOT_SHOWN = {
    *(*BOX, "image", "mask", "patient_id", "group_id", "split", "fold"),
    *("exclusion", "synthetic", ROW),
}
MOST_WORDS = 12  # a text column with more is named below unless it is asked for


def parse_tests(options: Sequence[str]) -> dict[str, str]:
    """Reads options `COLUMN=TEST`: column -> test."""
    tests = dict(option.partition("=")[::2] for option in options)
    for test in tests.values():
        if test not in TESTS:
            raise UserError(
                f"--test: expected COLUMN= and one of {', '.join(TESTS)}. "
                f"Received: {test!r}"
            )
    return tests


def describe_patients(
    manifest: Path,
    settings: DataSettings,
    *,
    by: str = "label",
    columns: Sequence[str] = (),
    medians: Sequence[str] = (),
    tests: Mapping[str, str] | None = None,
    seed: int = 0,
) -> tuple[TableOne, bool]:
    """Table 1 of the patients of a manifest, and whether they are phantoms.

    Of the rows that a run would use. The columns are those asked for, or all that have
    few words or are numbers; `medians`, `tests` and `seed` are those of `table_one`.
    """
    patients, shown, left_out, synthetic = _patients(manifest, settings, by, columns)
    table = table_one(
        patients, by, shown, medians=medians, tests=tests, seed=seed, left_out=left_out
    )
    return table, synthetic


def describe_missing(
    manifest: Path,
    settings: DataSettings,
    *,
    by: str = "label",
    columns: Sequence[str] = (),
    imputations: int | None = None,
    names: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Document:
    """What the patients of a manifest lack, and means with it filled in.

    The patients and columns are those of `describe_patients`; with `imputations` also
    their imputed means and shares, of two groups.
    """
    patients, shown, _, synthetic = _patients(manifest, settings, by, columns)
    patients = patients[patients[by] != ""]
    filled = None
    if imputations is not None:
        groups = patients[by].value_counts().sort_index()
        known = [name for name in shown if (patients[name] != "").any()]
        if len(groups) != 2 or groups.min() < 2 or not known:
            received = (f"{name} ({count})" for name, count in groups.items())
            raise UserError(
                f"--impute: expected two groups of `{by}`, each of two patients or "
                f"more, and a column with values. Received: {', '.join(received)}"
            )
        filled = imputed_table_one(
            patients, by, known, imputations=imputations, seed=seed
        )
    return missing_document(
        missing_values(patients, by, shown),
        filled,
        imputations=imputations or 0,
        synthetic=synthetic,
        names=names,
    )


def show_missing(
    document: Document, console: Console, *, output: Path | None, docx: bool = False
) -> list[Path]:
    """Shows what `describe_missing` gives; writes missing.md and .csv into a folder."""
    console.print()
    show(document, console)
    return [] if output is None else document.write(output / MISSING, docx=docx)


def _patients(
    manifest: Path, settings: DataSettings, by: str, columns: Sequence[str]
) -> tuple[pd.DataFrame, list[str], list[str], bool]:
    """One row a patient, with the first text that is known, "" where none is.

    Also the columns to show; those left out as they differ within a patient, with
    where they do; and whether the patients are phantoms.
    """
    rows = choose_columns(read_table(manifest), settings, manifest, labelled=True)
    rows = rows[exclusion_reasons(rows, settings) == ""]
    present = [str(name) for name in rows.columns]
    check_columns(manifest, [by, *columns], present, "Name columns of the manifest")
    if len({by, *columns}) <= len(columns):
        raise UserError(
            f"--columns: expected each column once, and without `{by}`, which makes "
            f"the groups. Received: {', '.join(columns)}"
        )
    shown = list(columns) or [name for name in present if name not in {*NOT_SHOWN, by}]
    texts = rows[[by, *shown]].map(_known)
    texts = texts.assign(patient_id=rows["patient_id"], **{ROW: rows[ROW]})
    problems: list[Problem] = []
    for name in shown:
        expected = f"a number in `{name}`, as most of its cells have, or an empty cell"
        wrong = unreadable_numbers(texts[name])
        problems += wrong_cells(texts, name, wrong, expected)
        texts[name] = one_spelling(texts[name])
    for name in (by, *columns):
        problems += _problems(name, _differing(texts, name))
    raise_problems(str(manifest), problems)
    # Columns nobody asked for that differ within a patient may describe images, or hold
    # a mistake: the table names them.
    differing = {} if columns else {name: _differing(texts, name) for name in shown}
    left_out = [_left_out(name, rest) for name, rest in differing.items() if rest]
    shown = [name for name in shown if not differing.get(name)]
    if not columns:
        many = {name: _too_many_words(texts[name]) for name in shown}
        left_out += [f"{name}, {why}" for name, why in many.items() if why]
        shown = [name for name in shown if not many[name]]
    known = texts.replace("", pd.NA).groupby("patient_id", sort=False, as_index=False)
    patients = known.first().fillna("")
    for name in shown:
        patients[name] = with_points(patients[name], DISTINCT)
    if patients[by].replace("", pd.NA).nunique() < 2:
        raise UserError(
            f"{manifest}: `{by}`: expected two groups of patients or more. Received: "
            f"{', '.join(sorted(set(patients[by]))) or 'none'}"
        )
    return patients, shown, left_out, is_synthetic(manifest, rows)


def _known(value: object) -> str:
    text = str(value).strip()
    return "" if is_missing(text) else text


def _too_many_words(values: pd.Series) -> str:
    """Why a column nobody asked for makes no lines of a table; "" where it does."""
    known = values[values != ""]
    if not len(known):
        return "which has no value"
    if known.nunique() <= MOST_WORDS or not to_numbers(known).isna().any():
        return ""
    return f"which has {known.nunique()} different words"


def one_spelling(cells: pd.Series) -> pd.Series:
    """Writes words of one meaning, as `normalize_word` has it, as the first of them."""
    words = cells[cells != ""].unique()
    if not to_numbers(pd.Series(words, dtype=str)).isna().any():
        return cells
    first: dict[str, str] = {}
    spelled = {word: first.setdefault(normalize_word(word), word) for word in words}
    return cells.map(lambda cell: spelled.get(cell, cell))


def _differing(rows: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """Patients with two known values or more, and their rows that have one."""
    known = rows[rows[name] != ""]
    return {
        str(patient): same
        for patient, same in known.groupby("patient_id", sort=False)
        if same[name].nunique() > 1
    }


def _problems(name: str, differing: Mapping[str, pd.DataFrame]) -> list[Problem]:
    return [
        (
            int(same[ROW].min()),
            f"patient {patient!r}: {name}: expected one value. Received: "
            f"{', '.join(map(repr, dict.fromkeys(same[name])))} "
            f"({show_rows(same[ROW])})",
        )
        for patient, same in differing.items()
    ]


def _left_out(name: str, differing: Mapping[str, pd.DataFrame]) -> str:
    """The column, the first patient whose values differ, and how many more do."""
    patient, same = next(iter(differing.items()))
    rest = len(differing) - 1
    more = f", and {rest} more" if rest else ""
    where = f"patient {patient}, {show_rows(same[ROW])}{more}"
    return f"{name}, which differs within a patient ({where})"


def show_table_one(
    table: TableOne,
    console: Console,
    *,
    synthetic: bool,
    names: Mapping[str, str] | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Prints the table and writes table1.md, .csv and .tex into the folder `output`.

    `names` is column -> how it is called, with its unit; others have their own names.
    """
    paths = [] if output is None else [output / f"{STEM}.{kind}" for kind in KINDS]
    check_unwritten("Table 1", paths, overwrite=overwrite)
    document = table_one_document(table, synthetic=synthetic, names=names)
    show(document, console)
    return [] if output is None else document.write(output / STEM, KINDS, docx=docx)
