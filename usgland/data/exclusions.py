"""Which rows of a manifest a run leaves out, and why."""

import pandas as pd

from usgland.config import DataSettings
from usgland.table_files import normalize_word

EXCLUSION = "exclusion"  # column: why a row is left out, empty if it is not
REASON = "reason"


def exclusion_reasons(rows: pd.DataFrame, settings: DataSettings) -> pd.Series:
    """Why each row is left out, "" where it is used.

    The first of these counts: the manifest's own column `exclusion`; a filter of
    `data.where` on a column that is there; a label of `data.ignore_labels`.

    Args:
        rows: The manifest under our names, `label` as text.
        settings: The filters.
    """
    reasons = pd.Series("", index=rows.index, dtype=object)
    if EXCLUSION in rows:
        reasons = rows[EXCLUSION].astype(object)
    for column, value in settings.where.items():
        if column in rows:
            wanted = normalize_word(value)
            other = pd.Series(
                [normalize_word(one) != wanted for one in rows[column]], rows.index
            )
            not_so = f"{column} is not {value} (data.where)"
            reasons = reasons.mask(other & (reasons == ""), not_so)
    ignored = {normalize_word(word) for word in settings.ignore_labels}
    unused = rows["label"].map(normalize_word).isin(list(ignored))
    named = "label " + rows["label"].astype(object) + " (data.ignore_labels)"
    return reasons.mask(unused & (reasons == ""), named)
