"""The columns of a manifest under our names, and which of its rows are used."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from usgland import table_files
from usgland.config import Config, DataSettings
from usgland.errors import UserError
from usgland.table_files import ROW, check_columns, normalize_word

if TYPE_CHECKING:  # `check_header` does without.
    import pandas as pd

# The lesion's box: pixels of the image as stored, the corner at the upper left.
BOX = ("box_x", "box_y", "box_width", "box_height")
# Columns that new images may lack even where the settings of a run map them.
OF_TRAINING = (
    *("patient_id", "group_id", "label", "mask", *BOX),
    *("split", "fold", "histology", "site"),
)
# Names that mean something here; a column that only resembles one is an error. A site
# means something where it is asked for alone.
KNOWN = ("image", *OF_TRAINING[:-1], "exclusion", "synthetic")
# Made here, in pixels: the lesion's box, from either kind of mark; NaN without.
LESION = ("lesion_x", "lesion_y", "lesion_width", "lesion_height")
SIZE = ("image_width", "image_height")
# All columns that are made here and in `splits`.
MADE = ("image_path", "mask_path", "sha256", "role", *LESION, *SIZE)


def choose_columns(
    table: pd.DataFrame,
    settings: DataSettings,
    path: Path,
    labelled: bool,
    images: bool = True,
) -> pd.DataFrame:
    """Gives columns our names, and the optional ones their defaults."""
    present = [name for name in table.columns if name != ROW]
    mapped = map_columns(present, settings, path, labelled, images)
    rows = table.assign(**{ours: table[theirs] for ours, theirs in mapped.items()})
    if labelled:
        hint = "data.where asks for that column"
        check_columns(path, settings.where, list(rows.columns), hint)
    if "image" not in rows:
        rows["image"] = rows["patient_id"]
    if "patient_id" not in rows:
        rows["patient_id"] = rows["image"]
    for name in ("label", "group_id"):
        if name not in rows:
            rows[name] = ""
    return rows


def check_header(config: Config) -> None:
    """Checks the columns of a CSV to train on, before pandas is loaded."""
    path, settings = config.data.manifest, config.data
    present = [] if path is None else table_files.peek_columns(path)
    if path is not None and present:
        images = settings.columns.get("image", "image") in present
        images = images or config.model.inputs != "clinical"
        map_columns(present, settings, path, True, images)


def map_columns(
    present: Sequence[str],
    settings: DataSettings,
    path: Path,
    labelled: bool,
    images: bool,
) -> dict[str, str]:
    """Our name -> the table's, of the columns that `data.columns` maps; all checked."""
    key = "image" if images else "patient_id"
    needed = (key, "patient_id", "label") if labelled else (key,)
    mapped = {
        ours: theirs
        for ours, theirs in settings.columns.items()
        if labelled or theirs in present or ours not in OF_TRAINING
    }
    check_columns(
        path,
        [*(mapped.get(name, name) for name in needed), *mapped.values()],
        present,
        "Set data.columns for other names, e.g. {label: diagnosis}",
    )
    _check_meaning(present, settings.columns, path)
    taken = [name for name in present if name in MADE and name not in mapped.values()]
    if taken:
        raise UserError(
            f"{path}: expected columns of other names than ours. Received: "
            f"`{taken[0]}`; rename it (train, val and test stand in `split`)"
        )
    return mapped


def choose_rows(
    rows: pd.DataFrame, settings: DataSettings, path: Path, *, no_lesion: bool
) -> pd.DataFrame:
    """Leaves out what `exclusion_reasons` names; some rows must remain."""
    for column, value in settings.where.items():
        words = {normalize_word(cell) for cell in rows.get(column, ())}
        # An absent column means other images than those the filter was made for.
        if column in rows and normalize_word(value) not in words:
            values = ", ".join(map(repr, sorted(set(rows[column]))[:8]))
            raise UserError(
                f"{path}: expected rows with `{column}` = {value} (data.where). "
                f"Received: {values or 'no rows'}"
            )
    reasons = exclusion_reasons(rows, settings, no_lesion=no_lesion)
    if not (reasons == "").any():
        raise UserError(
            f"{path}: expected a row an image. Received: no rows"
            + (f" but those left out: {reasons.iloc[0]}" if len(rows) else "")
        )
    return rows[reasons == ""].reset_index(drop=True)


def exclusion_reasons(
    rows: pd.DataFrame, settings: DataSettings, *, no_lesion: bool = False
) -> pd.Series:
    """Why each row is left out, "" where it is used.

    The first of these counts: the manifest's own column `exclusion`; a filter of
    `data.where` on a column that is there; a label of `data.ignore_labels`, and of
    `data.no_lesion_labels` where such rows are not wanted, as for all that counts
    patients.

    `label` is still text.
    """
    reasons = rows.assign(exclusion=rows.get("exclusion", ""))["exclusion"]
    reasons = reasons.astype(object)
    reasons = reasons.mask(reasons.map(table_files.names_nobody).astype(bool), "")
    for column, value in settings.where.items():
        if column in rows:
            differs = rows[column].map(normalize_word) != normalize_word(value)
            not_so = f"{column} is not {value} (data.where)"
            reasons = reasons.mask(differs & (reasons == ""), not_so)
    unwanted = {"ignore_labels": settings.ignore_labels}
    if not no_lesion:
        unwanted["no_lesion_labels"] = settings.no_lesion_labels
    words = rows["label"].map(normalize_word)
    for setting, labels in unwanted.items():
        unused = words.isin(list(map(normalize_word, labels)))
        named = "label " + rows["label"].astype(object) + f" (data.{setting})"
        reasons = reasons.mask(unused & (reasons == ""), named)
    return reasons


def excluded_rows(path: Path, settings: DataSettings) -> pd.DataFrame:
    """The rows that a run leaves out: `patient_id` and `reason`, one row an image."""
    rows = choose_columns(table_files.read_table(path), settings, path, labelled=False)
    reasons = exclusion_reasons(rows, settings)
    left_out = rows.loc[reasons != "", ["patient_id"]]
    return left_out.assign(reason=reasons[reasons != ""])


def _check_meaning(present: Sequence[str], columns: dict[str, str], path: Path) -> None:
    """Refuses a `Split` or a `patient-id` that would be passed over in silence."""
    for name in set(columns) - set(KNOWN):
        nearest = difflib.get_close_matches(name, KNOWN, n=1)
        if nearest:
            raise UserError(
                f"data.columns: expected a name like `{nearest[0]}`. Received: "
                f"{name!r}, which means nothing here"
            )
    alike = {_bare(name): name for name in KNOWN}
    for name in present:
        ours = alike.get(_bare(name))
        if ours in (None, name) or ours in present or ours in columns:
            continue
        if name not in columns.values():
            raise UserError(
                f"{path}: expected the column `{ours}` under that name. Received: "
                f"`{name}`; rename it or set data.columns.{ours}={name}"
            )


def _bare(name: str) -> str:
    return re.sub(r"[\W_]|id$", "", name.casefold())
