"""Several models on the same cases: every pair, per image and per patient."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import (
    check_role,
    complete_predictions,
    count_cases,
    have_phantoms,
)
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.comparison.alignment import align_cases, cases_of_models
from usgland.evaluation.shown.names import UNITS
from usgland.evaluation.statistics import auc_tests, share_tests
from usgland.evaluation.statistics.families import corrected_resampled_test, holm
from usgland.evaluation.statistics.intervals import CALLED
from usgland.evaluation.statistics.paired_tests import (
    average_precision_test,
    net_benefit_test,
    predictive_value_test,
)
from usgland.evaluation.statistics.scores import roc_auc

TESTS = ("delong", "permutation")
FURTHER = ("ppv", "npv", "average_precision", "net_benefit")
RESULT = ("difference", "low", "high", "p_value", "method", "reason")  # of every test
# Of the table that `compare_models` gives.
COLUMNS = ["a", "b", "measure", "value_a", "value_b", *RESULT]
COLUMNS.insert(COLUMNS.index("method"), "holm")


class Choices(NamedTuple):
    """How models are compared.

    Attributes:
        units: Of `UNITS`.
        reference: Compare each model with this one alone; None: every pair.
        paired: Whether the models are compared on the same cases.
        test: `"delong"` or `"permutation"`, of the AUC.
        margin: Of non-inferiority of the first of a pair, and of equivalence, in AUC
            and shares; None: not asked.
        also: Further measures of paired cases, of `FURTHER`.
        acting_from: P(malignant) from which somebody would act, for the net benefit.
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
    also: Sequence[str] = ()
    acting_from: float | None = None


def compare_models(
    predictions: Mapping[str, pd.DataFrame],
    thresholds: float | Mapping[str, float] | None = None,
    *,
    unit: str = "patient",
    reference: str | None = None,
    paired: bool = True,
    test: str = "delong",
    margin: float | None = None,
    level: float = 0.95,
    seed: int = 0,
    also: Sequence[str] = (),
    acting_from: float | None = None,
) -> pd.DataFrame:
    """Compares models by AUC, sensitivity, specificity and accuracy.

    Args:
        predictions: Name -> predictions of one role, as `read_predictions` gives them,
            or a table of one's own with image (for that unit), patient_id, label and
            probability.
        thresholds: P(malignant) from which a case is called malignant: one for all
            models, or name -> threshold; None: only the AUC is compared.
        unit: `"patient"`, by `patient_predictions`, or `"image"`.
        reference: Compare each model with this one alone; None: every pair.
        paired: Whether the models are compared on the same cases, which are matched
            by their names.
        test: `"delong"` or `"permutation"`, of the AUC.
        margin: Of non-inferiority of a to b, and of equivalence, in AUC and shares;
            None: not asked.
        level: Confidence level in (0, 1).
        seed: Of drawn permutations.
        also: Further measures of paired cases: `"ppv"`, `"npv"` (with thresholds),
            `"average_precision"` and `"net_benefit"`.
        acting_from: P(malignant) from which somebody would act, for the net benefit.

    Returns:
        One row a pair and measure: a, b, measure, value_a, value_b, difference (a - b),
        low, high, p_value, holm (adjusted over all rows), method and reason; with a
        margin also non_inferior (None where that cannot be said) and p_margin, and
        equivalent and p_equivalence by two one-sided tests.

    Raises:
        UserError: If the models' cases differ and are to be paired, or a model is
            missing a class.
        ValueError: If an option is unknown, or a table lacks a column.

    Reference:
        As `delong_test`, `mcnemar_test` and `holm`.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> cases = {"patient_id": list("abcdefgh"), "label": [0, 0, 0, 0, 1, 1, 1, 1]}
        >>> new = [0.1, 0.3, 0.4, 0.6, 0.5, 0.7, 0.8, 0.9]
        >>> old = [0.2, 0.6, 0.1, 0.5, 0.3, 0.4, 0.9, 0.7]
        >>> models = {
        ...     "new": pd.DataFrame({**cases, "probability": new}),
        ...     "old": pd.DataFrame({**cases, "probability": old}),
        ... }
        >>> table = ev.compare_models(models, 0.45)
        >>> table[["measure", "value_a", "value_b", "p_value", "holm"]].round(3)
               measure  value_a  value_b  p_value  holm
        0      roc_auc    0.938     0.75    0.268   1.0
        1  sensitivity    1.000     0.50    0.500   1.0
        2  specificity    0.750     0.50    1.000   1.0
        3     accuracy    0.875     0.50    0.250   1.0
    """
    if unit not in UNITS or test not in TESTS:
        raise ValueError(
            f"`unit` must be one of {UNITS}, `test` of {TESTS}. "
            f"Received: {unit!r} and {test!r}"
        )
    tables = {name: complete_predictions(rows) for name, rows in predictions.items()}
    if isinstance(thresholds, Mapping) and set(tables) - set(thresholds):
        raise ValueError(
            "`thresholds` must be of every model. Received: none of "
            f"{', '.join(sorted(set(tables) - set(thresholds)))}"
        )
    points: dict[str, Thresholds | None] = {}
    for name, rows in tables.items():
        check_role(rows)
        if unit == "image" and "image" not in predictions[name]:
            raise ValueError(
                "Predictions compared by image must have the column image. Received: "
                f"none in {name!r}"
            )
        threshold = thresholds[name] if isinstance(thresholds, Mapping) else thresholds
        points[name] = None if threshold is None else Thresholds.at(threshold)
    _check_further(also, acting_from, paired=paired)
    choices = Choices(
        (unit,), reference, paired, test, margin, level, seed, also, acting_from
    )
    pairs = compare_tables(tables, points, choices)[unit]["pairs"]
    table = pd.DataFrame(pairs).rename(columns={"figure": "measure"})[COLUMNS]
    if margin is not None:
        judged = [pair["non_inferiority"] or {} for pair in pairs]
        table["non_inferior"] = [judgement.get("shown") for judgement in judged]
        table["p_margin"] = [judgement.get("p_value") for judgement in judged]
        alike = [pair["equivalence"] or {} for pair in pairs]
        table["equivalent"] = [judgement.get("shown") for judgement in alike]
        table["p_equivalence"] = [judgement.get("p_value") for judgement in alike]
    return table


def _check_further(
    also: Sequence[str], acting_from: float | None, *, paired: bool
) -> None:
    if set(also) - set(FURTHER):
        raise ValueError(f"`also` must be of {FURTHER}. Received: {tuple(also)}")
    if also and not paired:
        raise ValueError(
            f"`also` needs paired cases. Received: {tuple(also)}, unpaired"
        )
    if ("net_benefit" in also) != (acting_from is not None):
        raise ValueError(
            "`acting_from` must be given for net_benefit, and for it alone. Received: "
            f"{acting_from} with {tuple(also)}"
        )


def compare_tables(
    tables: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, Thresholds | None],
    choices: Choices,
) -> dict[str, Any]:
    """Compares models by AUC, sensitivity, specificity and accuracy, for files.

    `tables` are predictions of one role, as `read_predictions` gives them; without an
    operating point of both models, only their AUC is compared.

    Returns:
        synthetic, level, paired, test, reference, margin, seed, family and, for each
        unit, cases (name -> n, n_benign, n_malignant, n_patients, rounds) and pairs:
        one dict a pair and measure: a, b, figure, value_a, value_b, difference (a - b),
        low, high, p_value, holm (adjusted over all tests of the unit), method, reason
        and non_inferiority; of the AUC also standard_error, z and, where both models
        have the same folds, folds.

    Raises:
        UserError: If the models' cases differ and are to be paired, or a model is
            missing a class.
    """
    if len(tables) < 2:
        raise UserError("Expected two models or more to compare. Received: one")
    comparison: dict[str, Any] = {
        "synthetic": any(map(have_phantoms, tables.values())),
        **{
            name: choice
            for name, choice in choices._asdict().items()
            if name != "units"
        },
        "family": "all tests of a unit",
    }
    for unit in choices.units:
        cases = cases_of_models(tables, thresholds, unit)
        if choices.paired:
            cases = align_cases(cases, unit)
        rows = [
            row
            for a, b in _pairs(cases, choices)
            for row in _compare_pair(a, b, cases, choices)
        ]
        adjusted = holm([row["p_value"] for row in rows])
        for row, value in zip(rows, adjusted, strict=True):
            row["holm"] = float(value)
        counts = {name: _counts(table) for name, table in cases.items()}
        comparison[unit] = {"cases": counts, "pairs": rows}
    return comparison


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


def _compare_pair(
    a: str, b: str, cases: Mapping[str, pd.DataFrame], choices: Choices
) -> list[dict[str, Any]]:
    first, second = cases[a], cases[b]
    shared = "" if choices.paired else _shared(first, second)
    results = {"roc_auc": _compare_auc(first, second, choices)}
    if "prediction" in first and "prediction" in second:
        results |= {
            name: _compare_share(first, second, choices, name)
            for name in share_tests.SHARES
        }
    results |= _compare_further(first, second, choices)
    return [
        {"a": a, "b": b, "figure": name}
        | result
        | {"reason": "; ".join(filter(None, (result["reason"], shared)))}
        for name, result in results.items()
    ]


def _compare_further(
    first: pd.DataFrame, second: pd.DataFrame, choices: Choices
) -> dict[str, dict[str, Any]]:
    """The measures of `FURTHER` that are asked for."""
    labels, ids = first["label"].to_numpy(), first["patient_id"].to_numpy()
    options: dict[str, Any] = {"patient_ids": ids, "level": choices.level}
    results = {}
    for measure in choices.also:
        column = "prediction" if measure in CALLED else "probability"
        if column not in first or column not in second:
            raise UserError(
                f"Expected a threshold of both models to compare the {measure}. "
                "Received: none. Give --threshold"
            )
        pair = first[column].to_numpy(), second[column].to_numpy()
        if measure in CALLED:
            result = predictive_value_test(labels, *pair, measure=measure, **options)
        elif measure == "net_benefit":
            result = net_benefit_test(
                labels, *pair, choices.acting_from or np.nan, **options
            )
        else:
            result = average_precision_test(labels, *pair, seed=choices.seed, **options)
        record = {name: getattr(result, name) for name in RESULT}
        values = {"value_a": result.a, "value_b": result.b}
        judged = {"non_inferiority": None, "equivalence": None}
        results[measure] = values | record | judged
    return results


def _compare_share(
    first: pd.DataFrame, second: pd.DataFrame, choices: Choices, measure: str
) -> dict[str, Any]:
    paired, unpaired = share_tests.mcnemar_test, share_tests.unpaired_shares
    test = partial(paired if choices.paired else unpaired, measure=measure)
    result = _tested(test, first, second, "prediction", choices)
    apart = {"only_a": result.only_a, "only_b": result.only_b}
    return {"value_a": result.a, "value_b": result.b} | _record(result) | apart


def _compare_auc(
    first: pd.DataFrame, second: pd.DataFrame, choices: Choices
) -> dict[str, Any]:
    test: Callable[..., auc_tests.AucDifference] = auc_tests.delong_test
    if not choices.paired:
        test = auc_tests.unpaired_delong_test
    elif choices.test == "permutation":
        test = partial(auc_tests.permutation_test, seed=choices.seed)
    result = _tested(test, first, second, "logit", choices)
    return {
        "value_a": result.auc_a,
        "value_b": result.auc_b,
        **_record(result),
        "standard_error": result.standard_error,
        "z": result.z,
        "folds": _over_folds(first, second) if choices.paired else None,
    }


def _tested(
    test: Callable[..., Any],
    first: pd.DataFrame,
    second: pd.DataFrame,
    column: str,
    choices: Choices,
) -> Any:
    """The result of a test of paired or of unpaired cases."""
    both = (first, second)
    labels, values, ids = (
        [rows[name].to_numpy() for rows in both]
        for name in ("label", column, "patient_id")
    )
    options = {"level": choices.level, "margin": choices.margin}
    if choices.paired:
        return test(labels[0], *values, patient_ids=ids[0], **options)
    cases = zip(labels, values, strict=True)
    return test(*cases, patient_ids=tuple(ids), **options)


def _record(result: auc_tests.AucDifference | share_tests.ShareTest) -> dict[str, Any]:
    """What a test of two AUCs and of two shares have in common."""
    record = {name: getattr(result, name) for name in RESULT}
    judged = result.non_inferiority
    alike = result.equivalence
    return record | {
        "non_inferiority": None if judged is None else judged._asdict(),
        "equivalence": None if alike is None else alike._asdict(),
    }


def _shared(first: pd.DataFrame, second: pd.DataFrame) -> str:
    both = set(first["patient_id"]) & set(second["patient_id"])
    if not both:
        return ""
    return f"{len(both)} patient ids are in a and b, taken for different patients"


def _over_folds(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any] | None:
    """The mean difference over folds; None unless both models have the same folds.

    A fold without both classes has no AUC: it is left out, and counted.
    """
    folds = sorted(set(first["fold"]) - {""})
    if len(folds) < 2 or list(first["fold"]) != list(second["fold"]):
        return None
    cases = first["name"].nunique()
    differences, shares = [], []
    for fold in folds:
        inside = (first["fold"] == fold).to_numpy()
        areas = [
            roc_auc(rows["label"][inside], rows["logit"][inside])
            for rows in (first, second)
        ]
        if not np.isnan(areas[0]):
            differences.append(areas[0] - areas[1])
            shares.append(inside.sum() / (cases - inside.sum()))
    left_out = len(folds) - len(differences)
    if len(differences) < 2:
        return {"folds": len(differences), "left_out": left_out}
    result = corrected_resampled_test(differences, float(np.mean(shares)))
    return {**result._asdict(), "left_out": left_out}


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    """Cases once each, however often a repeated cross-validation tested them."""
    rounds = int(rows["name"].value_counts().max())
    return {**count_cases(rows.drop_duplicates("name")), "rounds": rounds}
