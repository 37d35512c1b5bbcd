"""Do subgroups differ: calibration in each, interaction, and adjusted differences."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import chi2, norm

from usgland.evaluation.performance.subgroups import MISSING, group_names
from usgland.evaluation.statistics.logistic_model import LogisticModel, fit_logistic
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_cases,
    checked_patients,
    checked_scores,
)
from usgland.evaluation.statistics.site_measures import several_sites

CALIBRATION = ("slope", "intercept_in_the_large", "observed_over_expected")
SHARES = {"sensitivity": 1, "specificity": 0}


def subgroup_calibration(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    cuts: Sequence[float] = (),
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Calibration in each subgroup, and whether the subgroups differ in it.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in (0, 1).
        groups: `(cases,)`: words or numbers, empty or NaN where missing.
        cuts: Where bands of numbers begin, as for `subgroups`.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        One row a group and measure (slope, intercept_in_the_large,
        observed_over_expected): group, measure, n, malignant, value, low, high,
        p_interaction (whether the groups, without `missing`, may have one value: Wald's
        test of a logistic regression with the group; NaN for the ratio) and reason.

    Raises:
        UserError: As `subgroups`.
        ValueError: If the arrays do not fit, or a probability is 0 or 1.

    Reference:
        Each group: as `several_sites`. Interaction: slopes by the product of group and
        logit, intercepts by the group with the logit as offset.

    Example:
        >>> import numpy as np
        >>> import usgland.evaluation as ev
        >>> rng = np.random.default_rng(0)
        >>> logits, device = rng.normal(0, 1.5, 400), np.repeat(["A", "B"], 200)
        >>> right = logits + np.where(device == "A", 0, 1)
        >>> labels = rng.uniform(size=400) < 1 / (1 + np.exp(-right))
        >>> table = ev.subgroup_calibration(labels, 1 / (1 + np.exp(-logits)), device)
        >>> large = table[table["measure"] == "intercept_in_the_large"]
        >>> large[["group", "value", "low", "high"]].round(2)
          group  value   low  high
        1     A  -0.30 -0.62  0.03
        4     B   1.05  0.71  1.39
        >>> f"{large['p_interaction'].iloc[0]:.0e}"
        '2e-08'
    """
    labels, probabilities = checked_cases(labels, probabilities)
    names = _names(groups, cuts, len(labels))
    ids = checked_patients(patient_ids, len(labels))
    sites = several_sites(
        labels, probabilities, names.astype(str), patient_ids=ids, level=level
    ).sites
    table = sites[sites["measure"].isin(CALIBRATION)].rename(columns={"site": "group"})
    tests = _interactions(labels, logit(probabilities), names, ids)
    table = table.assign(p_interaction=table["measure"].map(tests))
    order = {str(name): place for place, name in enumerate(names.cat.categories)}
    table = table.sort_values("group", key=lambda x: x.map(order), kind="stable")
    columns = ["group", "measure", "n", "malignant", "value", "low", "high"]
    return table[[*columns, "p_interaction", "reason"]].reset_index(drop=True)


def adjusted_difference(
    labels: ArrayLike,
    calls: ArrayLike,
    groups: ArrayLike,
    covariates: pd.DataFrame | None = None,
    *,
    measure: str = "sensitivity",
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Differences in sensitivity or specificity between groups, adjusted for others.

    What the share of right calls would be if all these cases were of one group and
    otherwise as they are, less that if they were of the first.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        calls: `(cases,)`, 0 or 1.
        groups: `(cases,)`: words, or numbers of which few differ.
        covariates: One row a case: numbers, or words of which few differ; None for
            the plain difference.
        measure: `"sensitivity"`, of the malignant cases; or `"specificity"`.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Returns:
        One row a group but the first: group, reference, difference, low, high, p_value,
        plain (not adjusted), n, and reason. Cases that lack a value of a covariate, or
        of the group, are left out, and `n` says how many are used.

    Raises:
        UserError: As `subgroups`.
        ValueError: If the arrays do not fit, or `measure` is unknown.

    Reference:
        Marginal standardization of a logistic regression, its error by the delta
        method: [Muller and MacLehose, 2014](https://doi.org/10.1093/ije/dyu029).

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rng = np.random.default_rng(0)
        >>> size = rng.normal(20, 6, 400)
        >>> device = np.where(rng.uniform(size=400) < (size - 5) / 30, "B", "A")
        >>> right = rng.uniform(size=400) < 1 / (1 + np.exp(-(size - 15) / 4))
        >>> table = ev.adjusted_difference(
        ...     np.ones(400), right, device, pd.DataFrame({"size_mm": size})
        ... )
        >>> table[["group", "difference", "low", "high", "plain"]].round(2)
          group  difference   low  high  plain
        0     B       -0.03 -0.1  0.05   0.16
    """
    check_between_0_and_1(level=level)
    if measure not in SHARES:
        raise ValueError(
            f"`measure` must be one of {list(SHARES)}. Received: {measure!r}"
        )
    labels, calls = checked_scores(labels, calls)
    names = _names(groups, (), len(labels))
    ids = checked_patients(patient_ids, len(labels))
    others = _columns(covariates, len(labels))
    known = (names != MISSING).to_numpy() & np.isfinite(others).all(axis=1)
    own = known & (labels == SHARES[measure])
    right = (calls[own] == labels[own]).astype("int64")
    present = names[own].cat.remove_unused_categories()
    groups_there = list(present.cat.categories)
    rows: list[dict[str, Any]] = []
    dummies = np.zeros((int(own.sum()), len(groups_there) - 1))
    for column, name in enumerate(groups_there[1:]):
        dummies[:, column] = present == name
    design = np.column_stack([np.ones(own.sum()), dummies, others[own]])
    model = fit_logistic(design, right, patient_ids=ids[own])
    for place, name in enumerate(groups_there[1:], start=1):
        first, this = (
            right[(present == x).to_numpy()] for x in (groups_there[0], name)
        )
        difference, error = _standardized(model, design, place, len(groups_there))
        half = norm.ppf((1 + level) / 2) * error
        p_value = 2 * norm.sf(abs(difference) / error) if error > 0 else np.nan
        rows.append(
            {
                "group": name,
                "reference": groups_there[0],
                "difference": difference,
                "low": difference - half,
                "high": difference + half,
                "p_value": p_value,
                "plain": float(this.mean() - first.mean()),
                "n": int(own.sum()),
                "reason": model.reason,
            }
        )
    columns = ["group", "reference", "difference", "low", "high", "p_value", "plain"]
    return pd.DataFrame(rows, columns=[*columns, "n", "reason"])


def _names(groups: ArrayLike, cuts: Sequence[float], cases: int) -> pd.Series:
    values = pd.Series(np.asarray(groups), name="groups")
    if len(values) != cases:
        raise ValueError(
            f"`groups` must have one entry a case, {cases}. Received: {len(values)}"
        )
    return group_names(values, tuple(cuts))


def _columns(covariates: pd.DataFrame | None, cases: int) -> NDArray[np.float64]:
    """Covariates as numbers; words as one column a word but the first."""
    if covariates is None:
        return np.empty((cases, 0))
    if len(covariates) != cases:
        raise ValueError(
            f"`covariates` must have one row a case, {cases}. "
            f"Received: {len(covariates)}"
        )
    parts = []
    for name in covariates:
        column = covariates[name]
        if pd.api.types.is_numeric_dtype(column):
            values = column.to_numpy("float64")
            spread = np.nanstd(values)
            parts.append((values - np.nanmean(values)) / (spread if spread > 0 else 1))
            continue
        words = sorted(set(column.dropna()))
        for word in words[1:]:
            mark = (column == word).to_numpy("float64")
            parts.append(np.where(column.isna(), np.nan, mark))
    return np.column_stack(parts) if parts else np.empty((cases, 0))


def _standardized(
    model: LogisticModel, design: NDArray, place: int, groups: int
) -> tuple[float, float]:
    """The difference of two mean chances over all cases, and its standard error."""
    means, slopes = [], []
    for chosen in (place, 0):
        moved = design.copy()
        moved[:, 1:groups] = 0
        if chosen:
            moved[:, chosen] = 1
        chance = expit(moved @ model.coefficients)
        means.append(float(chance.mean()))
        slopes.append((moved * (chance * (1 - chance))[:, None]).mean(axis=0))
    slope = slopes[0] - slopes[1]
    variance = float(slope @ model.covariance @ slope)
    return means[0] - means[1], max(
        0.0, variance
    ) ** 0.5 if variance == variance else np.nan


def _interactions(
    labels: NDArray, logits: NDArray, names: pd.Series, ids: NDArray
) -> dict[str, float]:
    """Measure -> P of Wald's test that the groups have one value."""
    known = (names != MISSING).to_numpy()
    own = names[known].cat.remove_unused_categories()
    groups = list(own.cat.categories)
    if len(groups) < 2:
        return dict.fromkeys(CALIBRATION, np.nan)
    dummies = np.stack([own == name for name in groups[1:]]).T.astype("float64")
    x, y, owners = logits[known], labels[known], ids[known]
    ones = np.ones((len(y), 1))
    both = np.column_stack([ones, dummies, x, dummies * x[:, None]])
    slopes = fit_logistic(both, y, patient_ids=owners)
    shifts = fit_logistic(
        np.column_stack([ones, dummies]), y, offset=x, patient_ids=owners
    )
    last = len(groups) - 1
    return {
        "slope": _wald(slopes, range(last + 2, 2 * last + 2)),
        "intercept_in_the_large": _wald(shifts, range(1, last + 1)),
        "observed_over_expected": np.nan,
    }


def _wald(model: LogisticModel, places: range) -> float:
    if model.reason:
        return np.nan
    chosen = list(places)
    value, covariance = model.coefficients[chosen], model.covariance[chosen][:, chosen]
    return float(chi2.sf(value @ np.linalg.solve(covariance, value), len(chosen)))
