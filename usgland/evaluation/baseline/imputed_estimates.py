"""Estimates from several imputations of missing values, by Rubin's rules."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from usgland.evaluation.baseline.missing_values import (
    IMPUTATIONS,
    checked_columns,
    impute,
)
from usgland.evaluation.statistics.logistic_model import LogisticModel, fit_logistic
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import check_between_0_and_1


class Pooled(NamedTuple):
    """An estimate over several imputations of the missing values.

    Attributes:
        value: Mean of the estimates.
        standard_error: Of it, from within and between the imputations.
        low: Lower bound.
        high: Upper bound.
        p_value: Two-sided, of the value 0.
        degrees_of_freedom: Of Student's t.
        missing_information: Share of the variance that is due to missing values.
    """

    value: float
    standard_error: float
    low: float
    high: float
    p_value: float
    degrees_of_freedom: float
    missing_information: float

    def __repr__(self) -> str:
        return readable(self)


def pool_imputations(
    estimates: ArrayLike,
    variances: ArrayLike,
    *,
    freedom: float = np.inf,
    level: float = 0.95,
) -> Pooled:
    """One estimate of those of several imputations, by Rubin's rules.

    Args:
        estimates: `(imputations,)`, two or more.
        variances: `(imputations,)`: of each estimate.
        freedom: Degrees of freedom if nothing were missing, such as cases less
            coefficients.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If there are fewer than two imputations, or a number is not finite.

    Reference:
        [Rubin, 1987](https://doi.org/10.1002/9780470316696), section 3.3; degrees of
        freedom: [Barnard and Rubin, 1999](https://doi.org/10.1093/biomet/86.4.948).

    Example:
        >>> import usgland.evaluation as ev
        >>> ev.pool_imputations([1.0, 1.2, 0.9, 1.1, 1.3], [0.04] * 5)
        Pooled(
            value=1.1,
            standard_error=0.2646,
            low=0.551,
            high=1.649,
            p_value=0.000418,
            degrees_of_freedom=21.78,
            missing_information=0.4286,
        )
    """
    check_between_0_and_1(level=level)
    values, own = np.asarray(estimates, "float64"), np.asarray(variances, "float64")
    m = len(values)
    if values.ndim != 1 or m < 2 or values.shape != own.shape:
        raise ValueError(
            "`estimates` and `variances` must be of two imputations or more, of one "
            f"length. Received: shapes {values.shape} and {own.shape}"
        )
    if not (np.isfinite(values).all() and (np.isfinite(own) & (own >= 0)).all()):
        raise ValueError(
            "`estimates` must be finite, `variances` finite and 0 or more. Received: "
            f"{values.tolist()} and {own.tolist()}"
        )
    value, within = float(values.mean()), float(own.mean())
    between = (1 + 1 / m) * float(values.var(ddof=1))
    total = within + between
    share = between / total if total > 0 else 0.0
    old = (m - 1) / share**2 if share > 0 else np.inf
    observed = np.inf
    if np.isfinite(freedom):
        observed = (freedom + 1) / (freedom + 3) * freedom * (1 - share)
    fewest = min(old, observed)
    # Without variance within there are no degrees of freedom, and no bounds.
    left = 1 / (1 / old + 1 / observed) if 0 < fewest < np.inf else fewest
    error = total**0.5
    half = float(student.ppf((1 + level) / 2, left)) * error
    p_value = float(2 * student.sf(abs(value) / error, left)) if error > 0 else np.nan
    return Pooled(value, error, value - half, value + half, p_value, float(left), share)


def imputed_logistic(
    rows: pd.DataFrame,
    labels: ArrayLike,
    columns: Sequence[str],
    *,
    imputations: int = IMPUTATIONS,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """A logistic regression of the label on a form with missing values.

    Args:
        rows: One row a patient; NaN, None or "" where a value is missing.
        labels: `(patients,)`, 0 benign or 1 malignant.
        columns: Of numbers or words.
        imputations: How often missing values are filled in.
        level: Confidence level in (0, 1).
        seed: Of the draws.

    Returns:
        One row a coefficient: term, odds_ratio, low, high, p_value, missing_information
        and reason. The ratio is of one unit of a number, or of a word against the
        first by the alphabet.

    Raises:
        ValueError: As `impute`.

    Reference:
        As `impute` and `pool_imputations`.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 2, 120)
        >>> age = (50 + 10 * labels + 8 * rng.normal(size=120)).round().astype(object)
        >>> age[::6] = ""
        >>> rows = pd.DataFrame({"age": age, "sex": rng.choice(["f", "m"], 120)})
        >>> table = ev.imputed_logistic(rows, labels, ["age", "sex"], imputations=5)
        >>> table["term"].tolist()
        ['age', 'sex m']
        >>> bool(table.loc[0, "low"] > 1)
        True
    """
    y = np.asarray(labels)
    if len(y) != len(rows):
        raise ValueError(
            f"`labels` must have one entry a row, {len(rows)}. Received: {len(y)}"
        )
    table = rows.assign(**{"": y})
    copies = impute(table, columns, by="", imputations=imputations, seed=seed)
    models: list[LogisticModel] = []
    terms: list[str] = []
    for copy in copies:
        design, terms = _design(copy, columns, copies)
        models.append(fit_logistic(design, y))
    reason = next((model.reason for model in models if model.reason), "")
    freedom = len(y) - len(terms) - 1
    lines = []
    for place, term in enumerate(terms, start=1):
        line: dict[str, Any] = {
            "term": term,
            "odds_ratio": np.nan,
            "low": np.nan,
            "high": np.nan,
        }
        line |= {"p_value": np.nan, "missing_information": np.nan, "reason": reason}
        if not reason:
            pooled = pool_imputations(
                [model.coefficients[place] for model in models],
                [model.covariance[place, place] for model in models],
                freedom=freedom,
                level=level,
            )
            ends = np.exp([pooled.value, pooled.low, pooled.high]).tolist()
            line |= dict(zip(("odds_ratio", "low", "high"), ends, strict=True))
            line |= {"p_value": pooled.p_value}
            line |= {"missing_information": pooled.missing_information}
        lines.append(line)
    return pd.DataFrame(lines)


def imputed_table_one(
    rows: pd.DataFrame,
    by: str,
    columns: Sequence[str] | None = None,
    *,
    imputations: int = IMPUTATIONS,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Table 1 of two groups with missing values filled in several times.

    Args:
        rows: One row a patient; NaN, None or "" where a value is missing.
        by: The column that makes the two groups, complete.
        columns: Of numbers or words; None for all others.
        imputations: How often missing values are filled in.
        level: Confidence level in (0, 1).
        seed: Of the draws.

    Returns:
        One row a number or word: variable, category, the mean or share of each group,
        difference (second less first), low, high, p_value and missing_information.

    Raises:
        ValueError: As `impute`, or if there are not two groups of two patients.

    Reference:
        As `impute` and `pool_imputations`, of the difference of two means or shares,
        with Welch's variance.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rows = pd.DataFrame({
        ...     "tumour": ["benign"] * 9 + ["malignant"] * 9,
        ...     "age": [31, 44, 52, 38, "", 41, 36, 50, 45,
        ...             58, 63, 49, 71, 66, "", 60, 52, 68],
        ... })
        >>> table = ev.imputed_table_one(rows, "tumour", imputations=5)
        >>> table.loc[0, "variable"], bool(table.loc[0, "p_value"] < 0.01)
        ('age', True)
    """
    columns = checked_columns(rows, by, columns)
    groups = sorted(set(map(str, rows[by])))
    if len(groups) != 2 or min(rows[by].map(str).value_counts()) < 2:
        raise ValueError(
            "`by` must make two groups of two patients or more. Received: "
            f"{rows[by].map(str).value_counts().to_dict()}"
        )
    copies = impute(rows, columns, by=by, imputations=imputations, seed=seed)
    own = [(rows[by].map(str) == group).to_numpy() for group in groups]
    lines = []
    for name in columns:
        is_number = all(pd.api.types.is_numeric_dtype(copy[name]) for copy in copies)
        words = sorted({word for copy in copies for word in copy[name]})
        for word in [""] if is_number else words:
            values = [
                copy[name].to_numpy("float64")
                if is_number
                else (copy[name] == word).to_numpy("float64")
                for copy in copies
            ]
            means = np.array([[one[part].mean() for part in own] for one in values])
            spread = [
                sum(one[part].var(ddof=1) / part.sum() for part in own)
                for one in values
            ]
            pooled = pool_imputations(
                means[:, 1] - means[:, 0],
                spread,
                freedom=len(rows) - 2,
                level=level,
            )
            lines.append(
                {
                    "variable": name,
                    "category": word,
                    **dict(zip(groups, means.mean(axis=0).tolist(), strict=True)),
                    "difference": pooled.value,
                    "low": pooled.low,
                    "high": pooled.high,
                    "p_value": pooled.p_value,
                    "missing_information": pooled.missing_information,
                }
            )
    return pd.DataFrame(lines)


def _design(
    copy: pd.DataFrame, columns: Sequence[str], copies: Sequence[pd.DataFrame]
) -> tuple[NDArray[np.float64], list[str]]:
    """Ones, numbers, and a mark for each word but the first that any copy has."""
    parts, terms = [np.ones(len(copy))], []
    for name in columns:
        if pd.api.types.is_numeric_dtype(copy[name]):
            parts.append(copy[name].to_numpy("float64"))
            terms.append(name)
            continue
        for word in sorted({word for one in copies for word in one[name]})[1:]:
            parts.append((copy[name] == word).to_numpy("float64"))
            terms.append(f"{name} {word}")
    return np.column_stack(parts), terms
