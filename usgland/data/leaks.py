"""Images that a model has learned from already, known by their bytes."""

from pathlib import Path

import pandas as pd

from usgland.errors import UserError
from usgland.table_files import check_columns, read_table, show_some

LEARNED_FROM = ("train", "val")


def stored_roles(rows: pd.DataFrame, splits: Path) -> pd.Series:
    """The role that each image had in an earlier run.

    Args:
        rows: Manifest rows with `sha256`.
        splits: The splits.csv of that run.

    Returns:
        train, val, test or unused; "" for images that were not in it.

    Raises:
        UserError: If the file does not know its images' digests.
    """
    table = read_table(splits)
    hint = "Fit the run again: images are known by their digests"
    check_columns(splits, ("role", "sha256"), list(table.columns), hint)
    roles = dict(zip(table["sha256"], table["role"], strict=True))
    return rows["sha256"].map(roles).fillna("")


def check_unseen(rows: pd.DataFrame, splits: Path, purpose: str) -> None:
    """Refuses to score a model on images that it has learned from.

    Args:
        rows: Manifest rows with `sha256` that are to be scored.
        splits: The splits.csv of the run that trained the model.
        purpose: What the rows are for, as the subject of the error.

    Raises:
        UserError: If any stands in train or val there.
    """
    seen = rows.loc[stored_roles(rows, splits).isin(LEARNED_FROM), "image"]
    if len(seen):
        raise UserError(
            f"{purpose}: expected images that {splits.parent} has not learned from. "
            f"Received {len(seen)} that are in its "
            f"train or val part: {show_some(seen.to_list())}"
        )
