"""What networks say of whom they have not learned from, gathered to choose by.

Where nobody is held back, this is all that may calibrate a model or place its
threshold: the role `OUT_OF_FOLD` is given here and nowhere else, after a look at whom
each network has learned from.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from usgland.evaluation.cases.predictions import OUT_OF_FOLD

TIES = ("image", "patient_id", "group_id", "sha256")  # what is never in two roles


class Said(NamedTuple):
    """One network of several.

    Attributes:
        predictions: What it says, one row an image, uncalibrated: image, patient_id,
            role, label, logit, probability. Rows of other roles than test are left out.
        splits: Whom it knows, as its splits.csv has it: image, patient_id, role and,
            where known, group_id and sha256.
    """

    predictions: pd.DataFrame
    splits: pd.DataFrame


def gather_out_of_fold(
    networks: Mapping[str, Said], tested: pd.DataFrame
) -> pd.DataFrame:
    """Pools the test rows of several networks, none of which has learned from its own.

    Args:
        networks: Name -> what it says, and whom it has learned from.
        tested: The rows of `Said.splits` on which the model is tested that is chosen
            for: nobody of them may have a say.

    Returns:
        The rows with the role `OUT_OF_FOLD`, and the name of the network as `fold`.

    Raises:
        ValueError: If a network has learned from, or chosen by, an image that it is
            asked about, its patient, group or bytes; if the model is tested on one of
            these; if a network does not know the image; or if two speak of one.
    """
    tables = []
    for name, (predictions, splits) in networks.items():
        rows = predictions[predictions["role"] == "test"]
        known = splits.set_index("image")
        strangers = sorted(set(rows["image"]) - set(known.index))
        if strangers:
            raise ValueError(
                f"Expected images of the splits of the network {name}. Received: "
                f"{strangers[0]}"
            )
        asked = known.loc[rows["image"]].reset_index()
        learned = splits[splits["role"].isin(["train", "val"])]
        _refuse_ties(asked, learned, f"that the network {name} has not learned from")
        _refuse_ties(asked, tested, "on which the model is not tested")
        tables.append(rows.assign(role=OUT_OF_FOLD, fold=name))
    pooled = pd.concat(tables, ignore_index=True)
    twice = pooled.loc[pooled["image"].duplicated(), "image"]
    if len(twice):
        raise ValueError(
            f"Expected each image of one network. Received: {twice.iloc[0]} of two"
        )
    return pooled


def _refuse_ties(rows: pd.DataFrame, others: pd.DataFrame, expected: str) -> None:
    for tie in TIES:
        if tie not in rows or tie not in others:
            continue
        shared = rows[tie].isin(set(others[tie]) - {""})
        if shared.any():
            raise ValueError(
                f"Expected images {expected}. Received: "
                f"{rows.loc[shared, 'image'].iloc[0]}, by its {tie}"
            )
