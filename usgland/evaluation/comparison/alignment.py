"""The cases of several models, lined up so that they can be compared as pairs."""

from collections.abc import Mapping, Sequence

import pandas as pd

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import label_counts, patient_predictions
from usgland.evaluation.cases.thresholds import Thresholds, apply_threshold

SHOWN = 5  # cases that an error names


def cases_of_models(
    tables: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, Thresholds | None],
    unit: str,
) -> dict[str, pd.DataFrame]:
    """One table a model, one row a case (and round of a repeated cross-validation).

    The rows have `name`, of the image or patient, and, where there is a threshold,
    `prediction`.

    Raises:
        UserError: If a model is missing a class, or a fold a threshold.
    """
    cases = {}
    for name, table in tables.items():
        rows = table if unit == "image" else patient_predictions(table)
        threshold = thresholds[name]
        if threshold is not None:
            rows = apply_threshold(rows, threshold)
        benign, malignant = label_counts(rows)
        if not benign or not malignant:
            raise UserError(
                f"{name}: expected benign and malignant cases. Received: {benign} "
                f"benign and {malignant} malignant"
            )
        column = "image" if unit == "image" else "patient_id"
        cases[name] = rows.assign(name=rows[column])
    return cases


def align_cases(
    cases: Mapping[str, pd.DataFrame], unit: str
) -> dict[str, pd.DataFrame]:
    """Puts the cases of all models into one order; they must be the same.

    A case that a repeated cross-validation tested several times is paired with
    itself in the same fold.

    Raises:
        UserError: If cases, their labels or their patients differ.
    """
    repeated = any(rows["name"].duplicated().any() for rows in cases.values())
    keyed = {}
    for name, rows in cases.items():
        key = rows["name"]
        if repeated and "fold" in rows:
            fold = rows["fold"].astype(str)
            key = key + (" in fold " + fold).where(fold != "", "")
        rows = rows.assign(key=key).sort_values("key", kind="stable")
        keyed[name] = rows.reset_index(drop=True)
    (first_name, first), *others = keyed.items()
    for name, rows in keyed.items():
        if rows["key"].duplicated().any():
            twice = rows.loc[rows["key"].duplicated(), "key"].iloc[0]
            raise UserError(
                f"{name}: expected each {unit} once. Received: {twice!r} twice"
            )
    for name, rows in others:
        only_first = sorted(set(first["key"]) - set(rows["key"]))
        only_this = sorted(set(rows["key"]) - set(first["key"]))
        if only_first or only_this:
            raise UserError(
                f"Expected the same {unit}s in {first_name} and {name}. Received: "
                f"{_listed(only_first)} only in the first, {_listed(only_this)} only "
                "in the second. Add --unpaired if they are different patients"
            )
        for column in ("label", "patient_id"):
            apart = rows["key"][rows[column].to_numpy() != first[column].to_numpy()]
            if len(apart):
                raise UserError(
                    f"Expected one {column} of each {unit} in {first_name} and {name}. "
                    f"Received: two of {_listed(apart.to_list())}"
                )
    return keyed


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
