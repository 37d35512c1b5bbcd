"""`table1`: joins a manifest, one row an image, and the table of its patients."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import DataSettings
from usgland.data.columns import choose_columns, exclusion_reasons
from usgland.data.phantom import is_synthetic
from usgland.errors import UserError
from usgland.evaluation.shown.terminal import show
from usgland.evaluation.table_one.characteristics import TableOne
from usgland.evaluation.table_one.characteristics_text import table_one_document
from usgland.files import check_unwritten
from usgland.table_files import (
    ROW,
    Problem,
    check_columns,
    is_missing,
    raise_problems,
    read_table,
    show_rows,
)

STEM = "table1"
KINDS = ("csv", "tex", "md")


# Columns that describe files and parts, not patients.
NOT_SHOWN = {
    "image",
    "mask",
    "patient_id",
    "group_id",
    "split",
    "fold",
    "exclusion",
    "synthetic",
    ROW,
}
MOST_WORDS = 12  # a text column with more is left out unless it is asked for


def patients_of(
    manifest: Path, settings: DataSettings, by: str, columns: Sequence[str]
) -> tuple[pd.DataFrame, list[str], list[str], bool]:
    """One row a patient, of the rows that a run would use.

    Args:
        manifest: The CSV.
        settings: Other column names, filters, labels to leave out.
        by: The column of the groups.
        columns: Those to show; empty: all that have few words or are numbers.

    Returns:
        The patients, with the first text that is known, "" where none is; the columns
        to show; those left out as they differ within a patient, with where they do;
        and whether the patients are phantoms.

    Raises:
        UserError: If a column is missing or named twice, a value differs within a
            patient, or there are fewer than two groups.
    """
    rows = choose_columns(read_table(manifest), settings, manifest, labelled=True)
    rows = rows[exclusion_reasons(rows, settings) == ""]
    found = [str(name) for name in rows.columns]
    check_columns(manifest, [by, *columns], found, "Name columns of the manifest")
    if len({by, *columns}) <= len(columns):
        raise UserError(
            f"--columns: expected each column once, and without `{by}`, which makes "
            f"the groups. Received: {', '.join(columns)}"
        )
    shown = list(columns) or [
        name
        for name in found
        if name not in {*NOT_SHOWN, by} and _is_worth_showing(rows[name])
    ]
    texts = rows[[by, *shown]].map(_known)
    texts = texts.assign(patient_id=rows["patient_id"], **{ROW: rows[ROW]})
    problems: list[Problem] = []
    for name in (by, *(columns or ())):
        problems += _problems(name, _differing(texts, name))
    raise_problems(str(manifest), problems)
    # Of columns nobody asked for, those that differ within a patient may describe
    # images, or hold a mistake: the reader is told.
    differing = {} if columns else {one: _differing(texts, one) for one in shown}
    left_out = [_left_out(*one) for one in differing.items() if one[1]]
    shown = [name for name in shown if not differing.get(name)]
    known = texts.replace("", pd.NA).groupby("patient_id", sort=False, as_index=False)
    patients = known.first().fillna("")
    if patients[by].replace("", pd.NA).nunique() < 2:
        raise UserError(
            f"{manifest}: `{by}`: expected two groups of patients or more. Received: "
            f"{', '.join(sorted(set(patients[by]))) or 'none'}"
        )
    return patients, shown, left_out, is_synthetic(manifest, rows)


def _known(value: object) -> str:
    text = str(value).strip()
    return "" if is_missing(text) else text


def _is_worth_showing(values: pd.Series) -> bool:
    known = values[values.map(_known) != ""]
    numbers = pd.to_numeric(known, errors="coerce")
    return bool(len(known)) and (
        known.nunique() <= MOST_WORDS or not numbers.isna().any()
    )


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
    """The column, the first patient that differs, and how many more do."""
    patient, same = next(iter(differing.items()))
    rest = len(differing) - 1
    more = f", and {rest} more" if rest else ""
    return f"{name} (patient {patient}, {show_rows(same[ROW])}{more})"


def show_table_one(
    found: TableOne,
    console: Console,
    *,
    synthetic: bool,
    names: Mapping[str, str] | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Prints the table and writes table1.md, .csv and .tex.

    Args:
        found: The table.
        console: Where it is shown.
        synthetic: Whether the patients are phantoms.
        names: Column -> how it is called, with its unit; others by their own names.
        output: Folder of the files; None: nothing is written.
        overwrite: Whether they may be replaced.
        docx: Whether table1.docx is written, too.

    Returns:
        The files written.

    Raises:
        UserError: If they exist.
    """
    paths = [] if output is None else [output / f"{STEM}.{kind}" for kind in KINDS]
    check_unwritten("Table 1", paths, overwrite=overwrite)
    document = table_one_document(found, synthetic=synthetic, names=names)
    show(document, console)
    return [] if output is None else document.write(output / STEM, KINDS, docx=docx)
