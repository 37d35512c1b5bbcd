"""Measures of a model in parts of its cases: by device, sex, age band, lesion size."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import MonteCarloMethod, chi2, chi2_contingency

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import (
    check_role,
    complete_predictions,
    count_cases,
    label_counts,
    patient_predictions,
)
from usgland.evaluation.cases.thresholds import Thresholds, apply_threshold
from usgland.evaluation.performance.measures import (
    measured_cases,
    records_of,
    unit_of,
)
from usgland.evaluation.shown.names import UNITS
from usgland.evaluation.statistics.delong import delong_covariance
from usgland.evaluation.statistics.scores import check_between_0_and_1
from usgland.table_files import missing_cells

MEASURES = ("sensitivity", "specificity", "roc_auc")
COUNTS = ("n", "n_benign", "n_malignant", "n_patients", "small")
MISSING = "missing"
SMALL = 10  # patients of a label; with fewer, measures of a group say little
BANDS = 3  # tertiles, where no cut is given
WORDS_AT_MOST = 20  # groups of a column of words
RANDOM_TABLES = 9999


def parse_subgroups(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Reads `COLUMN` or `COLUMN:cut,cut`, e.g. `age_years:40,60`: column -> cuts.

    Raises:
        UserError: If a cut is no number, cuts do not ascend, or a column comes twice.
    """
    columns: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, colon, tail = text.rpartition(":") if ":" in text else (text, "", "")
        column = name.strip()
        try:
            cuts = tuple(map(float, tail.split(","))) if colon else ()
        except ValueError:
            cuts = (np.nan,)
        ascending = all(low < high for low, high in pairwise(cuts))
        if not (column and ascending and np.isfinite(cuts).all()):
            raise UserError(
                "--subgroup: expected COLUMN or COLUMN:cut,cut with ascending numbers, "
                f"e.g. age_years:40,60. Received: {text!r}"
            )
        if column in columns:
            raise UserError(
                f"--subgroup: expected each column once. Received: {column!r} twice"
            )
        columns[column] = cuts
    return columns


def group_names(values: pd.Series, cuts: tuple[float, ...] = ()) -> pd.Series:
    """The group of each case, an ordered category; without a value `missing`.

    Args:
        values: Words or numbers, as text or not.
        cuts: Where bands of numbers begin; none: a column of numbers with more than
            three different ones is cut into tertiles, other columns go by value.

    Raises:
        UserError: If cuts are given for words, or there are more than 20 words.
    """
    text = values.astype("object").where(values.notna(), "").astype(str).str.strip()
    missing = missing_cells(text)
    numbers = pd.to_numeric(text.where(~missing), errors="coerce")
    numeric = bool((numbers.notna() | missing).all()) and not missing.all()
    if cuts and not numeric:
        wrong = text[numbers.isna() & ~missing]
        received = repr(wrong.iloc[0]) if len(wrong) else "no value at all"
        raise UserError(
            f"--subgroup {values.name}: expected numbers to cut. Received: {received}"
        )
    if numeric and (cuts or numbers.nunique() > BANDS):
        names, order = _bands(numbers, cuts or _tertiles(numbers))
    else:
        names = text
        order = sorted(set(text[~missing]), key=_natural)
        if len(order) > WORDS_AT_MOST:
            raise UserError(
                f"--subgroup {values.name}: expected numbers or at most "
                f"{WORDS_AT_MOST} different words. Received: {len(order)}"
            )
    names = names.where(~missing, MISSING)
    order = [*order, MISSING] if missing.any() else order
    return pd.Series(pd.Categorical(names, order, ordered=True), index=values.index)


def subgroups(
    predictions: pd.DataFrame,
    groups: str | ArrayLike,
    threshold: float,
    *,
    cuts: Sequence[float] = (),
    unit: str = "patient",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Sensitivity, specificity and AUC of parts of the cases, e.g. by device or age.

    A patient whose images fall into several groups, as by lesion size, stands in
    each with the images there.

    Args:
        predictions: Of one role, one row an image, as `read_predictions` gives them,
            or a table of one's own with patient_id, label and probability.
        groups: A column of `predictions`, or `(rows,)`: words or numbers, empty or
            NaN where missing.
        threshold: P(malignant) from which a case is called malignant.
        cuts: Where bands of numbers begin, ascending; none: numbers of which more
            than three differ are cut into tertiles, words go by value.
        unit: `"patient"`, by `patient_predictions`, or `"image"`.
        level: Confidence level in (0, 1).
        resamples: How often patients are drawn.
        seed: Of the draw.

    Returns:
        One row a group and measure: group, measure, value, low, high, n, n_benign,
        n_malignant, n_patients, small (fewer than 10 benign or malignant patients),
        p_groups (of patients, whether the groups may have one value in common; the
        same in every row of a measure, NaN where undefined or per image; not adjusted
        for several measures) and reason (why there is no value or interval).

    Raises:
        UserError: If cuts are asked for of words, or there are more than 20 words.
        ValueError: If a column is missing, or as `choose_threshold`.

    Reference:
        Groups are compared as in [Cochran, 1954](https://doi.org/10.2307/3001666),
        by DeLong's variances for the AUC; shares by a chi-square test whose P is of
        random tables.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> of_a, of_b = [0.1, 0.2, 0.6, 0.4, 0.7, 0.9], [0.1, 0.3, 0.4, 0.8, 0.6, 0.7]
        >>> cases = {"patient_id": range(12), "label": [0, 0, 0, 1, 1, 1] * 2}
        >>> rows = pd.DataFrame({**cases, "probability": of_a + of_b})
        >>> table = ev.subgroups(rows, ["A"] * 6 + ["B"] * 6, 0.5)
        >>> table[["group", "measure", "value", "low", "high"]].round(3)
          group      measure  value    low   high
        0     A  sensitivity  0.667  0.208  0.939
        1     A  specificity  0.667  0.208  0.939
        2     A      roc_auc  0.889  0.008  1.000
        3     B  sensitivity  1.000  0.439  1.000
        4     B  specificity  1.000  0.439  1.000
        5     B      roc_auc  1.000  0.292  1.000
    """
    if unit not in UNITS:
        raise ValueError(f"`unit` must be one of {UNITS}. Received: {unit!r}")
    rows = complete_predictions(predictions)
    check_role(rows)
    if isinstance(groups, str) and groups not in rows:
        raise ValueError(
            f"`groups` must be a column of the predictions, one of {list(rows)}, or "
            f"an array. Received: {groups!r}"
        )
    values = rows[groups] if isinstance(groups, str) else pd.Series(np.asarray(groups))
    if len(values) != len(rows):
        raise ValueError(
            f"`groups` must have one entry a row, {len(rows)}. Received: {len(values)}"
        )
    check_between_0_and_1(level=level)
    settings = EvaluationSettings(
        confidence_level=level, bootstrap_resamples=resamples, seed=seed
    )
    parts = subgroup_measures(
        rows, group_names(values, tuple(cuts)), Thresholds.at(threshold), settings
    )[unit]
    tests = parts.get("heterogeneity", {})
    return pd.DataFrame(
        {
            "group": part["group"],
            "measure": name,
            **{key: measure[key] for key in ("value", "low", "high")},
            **{key: part[key] for key in COUNTS},
            "p_groups": tests.get(name, {}).get("p_value", np.nan),
            "reason": measure["reason"],
        }
        for part in parts["groups"]
        for name, measure in part["figures"].items()
    )


def subgroup_measures(
    rows: pd.DataFrame,
    groups: pd.Series,
    thresholds: Thresholds,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """Sensitivity, specificity and AUC of each group, per image and per patient.

    `groups` is the group of each row, as `group_names` gives it. A patient whose images
    fall into several groups, as by lesion size, stands in each with the images there.

    Returns:
        shared_patients (who stand in several groups), small_below, and for each of
        `image` and `patient`: groups, a list of dicts with group, n, n_benign,
        n_malignant, n_patients, small (fewer than 10 benign or malignant patients)
        and measures as in `metrics_of`; of `patient` also heterogeneity: measure ->
        p_value, method, reason.
    """
    groups = groups.reset_index(drop=True)
    rows = rows.reset_index(drop=True)
    parts = dict(list(rows.groupby(groups, observed=True)))
    in_groups = rows["patient_id"].groupby(groups, observed=True).unique().explode()
    shared = int(in_groups[in_groups.duplicated()].nunique())
    by_image = {name: apply_threshold(part, thresholds) for name, part in parts.items()}
    by_patient = {
        name: apply_threshold(patient_predictions(part), thresholds)
        for name, part in parts.items()
    }
    small = {name: min(label_counts(p)) < SMALL for name, p in by_patient.items()}
    subgroups: dict[str, Any] = {"shared_patients": shared, "small_below": SMALL}
    for unit, tables in (("image", by_image), ("patient", by_patient)):
        measured = [
            {"group": name, "small": small[name], **_measures(table, settings)}
            for name, table in tables.items()
        ]
        subgroups[unit] = {"groups": measured}
    known = [table for name, table in by_patient.items() if name != MISSING]
    tests = _heterogeneity(known, shared, settings.seed)
    subgroups["patient"]["heterogeneity"] = tests
    return subgroups


def _measures(rows: pd.DataFrame, settings: EvaluationSettings) -> dict[str, Any]:
    cases = measured_cases(*unit_of(rows, settings), settings, MEASURES)
    return {**count_cases(rows), "figures": records_of(cases.measures())}


def _heterogeneity(
    tables: Sequence[pd.DataFrame], shared: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Whether the groups may have one value in common; patients must be independent.

    Sensitivity and specificity: chi-square of the table of groups by right and wrong,
    its P from random tables with the same margins. AUC: Cochran's Q of the areas with
    DeLong's variances. Not adjusted for several measures or columns.

    Reference:
        [Cochran, 1954](https://doi.org/10.2307/3001666).
    """
    if shared:
        reason = f"{shared} patients stand in several groups"
        return {name: _tested(np.nan, reason=reason) for name in MEASURES}
    tests = {}
    for label, name in ((1, "sensitivity"), (0, "specificity")):
        calls = [rows.loc[rows["label"] == label, "prediction"] for rows in tables]
        right = [[(own == label).sum(), (own != label).sum()] for own in calls]
        counts = np.array([pair for pair in right if sum(pair)])
        tests[name] = _chi_square(counts, seed)
    return tests | {"roc_auc": _cochran(tables)}


def _chi_square(counts: NDArray, seed: int) -> dict[str, Any]:
    if len(counts) < 2:
        return _tested(np.nan, reason="fewer than two groups with cases")
    if not counts.sum(axis=0).all():
        return _tested(1.0, "none needed: all groups have one value")
    how = MonteCarloMethod(n_resamples=RANDOM_TABLES, rng=np.random.default_rng(seed))
    p_value = float(chi2_contingency(counts, correction=False, method=how).pvalue)
    return _tested(p_value, f"chi-square, {RANDOM_TABLES} random tables, seed {seed}")


def _cochran(tables: Sequence[pd.DataFrame]) -> dict[str, Any]:
    areas, variances = [], []
    for rows in tables:
        if min(label_counts(rows)) >= 2:
            area, covariance = delong_covariance(rows["label"], rows["logit"])
            areas.append(float(area[0]))
            variances.append(float(covariance[0, 0]))
    if len(areas) < max(2, len(tables)) or not min(variances) > 0:
        return _tested(np.nan, reason="a group has no DeLong variance above 0")
    weights = 1 / np.array(variances)
    mean = np.average(areas, weights=weights)
    statistic = float(weights @ (np.array(areas) - mean) ** 2)
    freedom = len(areas) - 1
    method = f"Cochran's Q = {statistic:.2f} with DeLong variances, df {freedom}"
    return _tested(float(chi2.sf(statistic, freedom)), method)


def _tested(p_value: float, method: str = "", *, reason: str = "") -> dict[str, Any]:
    """A test as files have it, where `method` says `none:` and why in one cell."""
    method = method or f"none: {reason}"
    return {"p_value": p_value, "method": method, "reason": reason}


def _bands(numbers: pd.Series, cuts: tuple[float, ...]) -> tuple[pd.Series, list[str]]:
    """Names of bands, each of which holds its lower cut."""
    shown = [f"{cut:g}" for cut in cuts]
    inner = [f"{low} to <{high}" for low, high in pairwise(shown)]
    order = [f"<{shown[0]}", *inner, f">={shown[-1]}"]
    band = np.searchsorted(cuts, numbers.to_numpy("float64"), side="right")
    names = [order[min(place, len(cuts))] for place in band]  # NaN goes last: missing
    return pd.Series(names, index=numbers.index), order


def _tertiles(numbers: pd.Series) -> tuple[float, ...]:
    """Cuts between thirds of the cases that differ, to three digits."""
    known = numbers.dropna().to_numpy("float64")
    cuts = np.quantile(known, np.arange(1, BANDS) / BANDS)
    rounded = {float(f"{cut:.3g}") for cut in cuts}
    inside = sorted(cut for cut in rounded if known.min() < cut <= known.max())
    return tuple(inside or [float(np.median(known))])


def _natural(word: str) -> tuple[Any, ...]:
    """Sorts `grade 2` before `grade 10`."""
    parts = re.split(r"(\d+)", word.lower())
    return tuple(
        (part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts
    )
