"""Several models on the same cases: every pair, per image and per patient."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from usgland.errors import UserError
from usgland.evaluation.comparisons import (
    delong_test,
    permutation_test,
    unpaired_delong_test,
)
from usgland.evaluation.families import corrected_resampled_test, holm
from usgland.evaluation.operating_point import apply_threshold
from usgland.evaluation.predictions import patient_predictions
from usgland.evaluation.scores import weighted_auc
from usgland.evaluation.shares import SHARES, paired_shares, unpaired_shares

UNITS = ("image", "patient")
SHOWN = 5  # cases that an error names


class Choices(NamedTuple):
    """How models are compared.

    Attributes:
        units: Of `UNITS`.
        reference: Compare each model with this one alone; None: every pair.
        paired: Whether the models are compared on the same cases.
        test: `"delong"` or `"permutation"`, of the AUC.
        margin: Of non-inferiority of the first of a pair, in AUC; None: not asked.
        level: Of intervals, in (0, 1).
        seed: Of drawn permutations.
    """

    units: Sequence[str] = UNITS
    reference: str | None = None
    paired: bool = True
    test: str = "delong"
    margin: float | None = None
    level: float = 0.95
    seed: int = 0


def compare_models(
    tables: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, dict[str, Any] | None],
    choices: Choices,
) -> dict[str, Any]:
    """Compares models by AUC, sensitivity, specificity and accuracy.

    Args:
        tables: Name -> predictions of one role, as `read_predictions` gives them.
        thresholds: Name -> what `read_thresholds` gives, or None: then only the AUC
            is compared.
        choices: How.

    Returns:
        synthetic, level, paired, test and, for each unit, n, n_benign, n_malignant and
        pairs: one dict a pair and figure: a, b, figure, value_a, value_b, difference
        (a - b), low, high, p_value, holm (adjusted over all tests of the unit), method
        and reason; of the AUC also non_inferiority and, where both models have folds,
        folds.

    Raises:
        UserError: If the models' cases differ and are to be paired, or a model is
            missing a class.
    """
    if len(tables) < 2:
        raise UserError("Expected two models or more to compare. Received: one")
    found: dict[str, Any] = {
        "synthetic": any(_is_synthetic(table) for table in tables.values()),
        "level": choices.level,
        "paired": choices.paired,
        "test": choices.test,
    }
    for unit in choices.units:
        cases = {
            name: _cases(table, thresholds[name], unit)
            for name, table in tables.items()
        }
        _check_classes(cases)
        if choices.paired:
            cases = _align(cases, unit)
        pairs = [
            one
            for a, b in _pairs(cases, choices)
            for one in _pair(a, b, cases, choices)
        ]
        adjusted = holm([one["p_value"] for one in pairs])
        for one, value in zip(pairs, adjusted, strict=True):
            one["holm"] = float(value)
        first = next(iter(cases.values()))
        found[unit] = {
            "n": len(first) if choices.paired else None,
            "n_benign": int((first["label"] == 0).sum()) if choices.paired else None,
            "n_malignant": int((first["label"] == 1).sum()) if choices.paired else None,
            "pairs": pairs,
        }
    return found


def _cases(
    table: pd.DataFrame, threshold: dict[str, Any] | None, unit: str
) -> pd.DataFrame:
    """One row a case, with `case` and, where there is a threshold, `prediction`."""
    rows = table if unit == "image" else patient_predictions(table)
    if threshold is not None:
        rows = apply_threshold(rows, threshold)
    return rows.assign(case=rows["image" if unit == "image" else "patient_id"])


def _check_classes(cases: Mapping[str, pd.DataFrame]) -> None:
    for name, rows in cases.items():
        benign, malignant = ((rows["label"] == label).sum() for label in (0, 1))
        if not benign or not malignant:
            raise UserError(
                f"{name}: expected benign and malignant cases. Received: {benign} "
                f"benign and {malignant} malignant"
            )


def _align(cases: Mapping[str, pd.DataFrame], unit: str) -> dict[str, pd.DataFrame]:
    """Puts the cases of all models into one order; they must be the same."""
    sorted_cases = {
        name: rows.sort_values("case", kind="stable").reset_index(drop=True)
        for name, rows in cases.items()
    }
    names = list(sorted_cases)
    first = sorted_cases[names[0]]
    for name in names:
        rows = sorted_cases[name]
        if rows["case"].duplicated().any():
            twice = rows.loc[rows["case"].duplicated(), "case"].iloc[0]
            raise UserError(
                f"{name}: expected each {unit} once. Received: {twice!r} twice"
            )
        only_first = sorted(set(first["case"]) - set(rows["case"]))
        only_this = sorted(set(rows["case"]) - set(first["case"]))
        if only_first or only_this:
            raise UserError(
                f"Expected the same {unit}s in {names[0]} and {name}. Received: "
                f"{_listed(only_first)} only in the first, {_listed(only_this)} only "
                "in the second. Add --unpaired if they are different patients"
            )
        for column in ("label", "patient_id"):
            apart = rows["case"][rows[column].to_numpy() != first[column].to_numpy()]
            if len(apart):
                raise UserError(
                    f"Expected one {column} of each {unit} in {names[0]} and {name}. "
                    f"Received: two of {_listed(apart.to_list())}"
                )
    return sorted_cases


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _pairs(
    cases: Mapping[str, pd.DataFrame], choices: Choices
) -> list[tuple[str, str]]:
    if choices.reference is None:
        return list(combinations(cases, 2))
    if choices.reference not in cases:
        raise UserError(
            f"--reference: expected one of {', '.join(cases)}. Received: "
            f"{choices.reference!r}"
        )
    return [(name, choices.reference) for name in cases if name != choices.reference]


def _pair(
    a: str, b: str, cases: Mapping[str, pd.DataFrame], choices: Choices
) -> list[dict[str, Any]]:
    one, other = cases[a], cases[b]
    results = [
        {"a": a, "b": b, "figure": "roc_auc"} | _compare_auc(one, other, choices)
    ]
    if "prediction" not in one or "prediction" not in other:
        return results
    for figure in SHARES:
        if choices.paired:
            share = paired_shares(
                figure,
                one["label"],
                one["prediction"],
                other["prediction"],
                patient_ids=one["patient_id"].to_numpy(),
                level=choices.level,
            )
        else:
            share = unpaired_shares(
                figure,
                (one["label"], one["prediction"]),
                (other["label"], other["prediction"]),
            )
        results.append(
            {
                "a": a,
                "b": b,
                "figure": figure,
                "value_a": share.a,
                "value_b": share.b,
                "difference": share.difference,
                "low": share.low,
                "high": share.high,
                "p_value": share.p_value,
                "only_a": share.only_a,
                "only_b": share.only_b,
                "method": share.method,
                "reason": "",
            }
        )
    return results


def _compare_auc(
    one: pd.DataFrame, other: pd.DataFrame, choices: Choices
) -> dict[str, Any]:
    options: dict[str, Any] = {"level": choices.level, "margin": choices.margin}
    if not choices.paired:
        result = unpaired_delong_test(
            (one["label"], one["logit"]),
            (other["label"], other["logit"]),
            patient_ids=(one["patient_id"], other["patient_id"]),
            **options,
        )
    else:
        three = one["label"].to_numpy(), one["logit"].to_numpy(), other["logit"]
        options["patient_ids"] = one["patient_id"].to_numpy()
        if choices.test == "permutation":
            result = permutation_test(*three, seed=choices.seed, **options)
        else:
            result = delong_test(*three, **options)
    judged = result.non_inferiority
    return {
        "value_a": result.auc_a,
        "value_b": result.auc_b,
        "difference": result.difference,
        "standard_error": result.standard_error,
        "z": result.z,
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
        "method": result.method,
        "reason": result.reason,
        "non_inferiority": None if judged is None else judged._asdict(),
        "folds": _over_folds(one, other) if choices.paired else None,
    }


def _over_folds(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any] | None:
    """The mean difference over folds; None unless both models have the same folds."""
    folds = sorted(set(one["fold"]) - {""})
    if len(folds) < 2 or list(one["fold"]) != list(other["fold"]):
        return None
    differences = []
    for fold in folds:
        inside = (one["fold"] == fold).to_numpy()
        labels, whole = one["label"].to_numpy()[inside], np.ones((1, inside.sum()))
        areas = [
            weighted_auc(labels, rows["logit"].to_numpy()[inside], whole)[0]
            for rows in (one, other)
        ]
        differences.append(areas[0] - areas[1])
    if np.isnan(differences).any():
        return None
    result = corrected_resampled_test(differences, 1 / (len(folds) - 1))
    return result._asdict()


def _is_synthetic(table: pd.DataFrame) -> bool:
    return "synthetic" in table and bool((table["synthetic"] == "1").any())
