"""How long readers took, and what they learned on the way: seconds and order."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from usgland.evaluation.readers.readings import Readings
from usgland.evaluation.statistics import mrmc
from usgland.evaluation.statistics.logistic_model import (
    clustered_covariance,
    fit_logistic,
)
from usgland.evaluation.statistics.reader_estimates import estimate_means

STEP = 10  # readings, of which a trend is told
AVERAGE = "average reader"
CHANGE = "with less without"


class Ratio(NamedTuple):
    """A ratio of times or of odds, from a regression on the logarithmic scale."""

    reader: str
    figure: str
    value: float
    low: float
    high: float
    p_value: float
    n: int  # readings
    reason: str


def study_spent(readings: Readings, *, level: float) -> dict[str, Any]:
    """What the columns `seconds` and `order` tell; nothing where there is neither.

    Returns:
        `seconds`: one dict a condition and reader, then the average reader, then what
        clinical data add: condition, reader, n, value, low, high, p_value, reason.
        `trends`: one dict a reader and figure, as `Ratio`: by `order` of each, then of
        all by what there is, and by clinical data beside it.

    Reference:
        Mean seconds: jackknife over patients, of one reader with Student's t; of the
        average reader Obuchowski and Rockette's analysis of these means. Trends:
        linear regression of the logarithm of seconds and logistic regression of right
        calls, with intercepts of reader and condition, and an error clustered by
        patient ([Liang and Zeger, 1986](https://doi.org/10.1093/biomet/73.1.13)).
    """
    spent: dict[str, Any] = {}
    if "seconds" in readings.spent:
        spent["seconds"] = _seconds(readings, level)
    if readings.spent:
        spent["trends"] = [trend._asdict() for trend in _trends(readings, level)]
    return spent


def _seconds(readings: Readings, level: float) -> list[dict[str, Any]]:
    ids = readings.cases["patient_id"].astype(str)
    conditions, count = readings.conditions[::-1], len(readings.readers)
    times = np.vstack([readings.spent["seconds"][key] for key in conditions])
    values, covariance = estimate_means(times, ids)
    sizes = (~np.isnan(times)).sum(axis=1)
    own = [len(np.unique(ids[~np.isnan(row)])) - 1 for row in times]
    rows = []
    for place, condition in reversed(list(enumerate(conditions))):
        at = range(place * count, (place + 1) * count)
        for name, reader in zip(readings.readers, at, strict=True):
            variance = float(covariance[reader, reader])
            rows.append(
                {"condition": condition, "reader": name, "n": int(sizes[reader])}
                | _bounded(float(values[reader]), variance, own[reader], level)
            )
        if count > 1:
            square = covariance[np.ix_(at, at)]
            mean = mrmc.mean_of_readers(values[at], square, level=level)[0]
            rows.append(_averaged(condition, mean, int(sizes[at].sum())))
    if len(conditions) == 2:
        for reader, name in enumerate(readings.readers):
            pair = [reader, reader + count]
            square = covariance[np.ix_(pair, pair)]
            variance = float(square[0, 0] + square[1, 1] - 2 * square[0, 1])
            rows.append(
                {"condition": CHANGE, "reader": name, "n": int(sizes[pair].sum())}
                | _bounded(
                    float(values[pair[0]] - values[pair[1]]),
                    variance,
                    min(own[place] for place in pair),
                    level,
                    tested=True,
                )
            )
        if count > 1:
            _, scopes = mrmc.compare_modalities(
                values.reshape(2, count), covariance, level=level
            )
            rows.append(_averaged(CHANGE, scopes[0], int(sizes.sum())))
    return rows


def _averaged(condition: str, estimate: mrmc.Estimate, n: int) -> dict[str, Any]:
    keys = ("value", "low", "high", "p_value", "reason")
    made = {key: getattr(estimate, key) for key in keys}
    return {"condition": condition, "reader": AVERAGE, "n": n, **made}


def _bounded(
    value: float, variance: float, freedom: int, level: float, *, tested: bool = False
) -> dict[str, Any]:
    made = {"value": value, "low": np.nan, "high": np.nan, "p_value": np.nan}
    if freedom < 1 or not variance > 0:
        return {**made, "reason": "no variation to judge it by"}
    error = variance**0.5
    half = float(student.ppf((1 + level) / 2, freedom)) * error
    made |= {"low": value - half, "high": value + half}
    if tested:
        made["p_value"] = float(2 * student.sf(abs(value) / error, freedom))
    return {**made, "reason": ""}


def _trends(readings: Readings, level: float) -> list[Ratio]:
    """Of each reader, then of all with an intercept each."""
    rows = _long(readings)
    trends = []
    if "order" in rows and len(readings.readers) > 1:
        for name, own in rows.groupby("reader"):
            trends += _of_readings(own, str(name), ["order"], level)
    return trends + _of_readings(rows, "all", sorted(readings.spent), level)


def _of_readings(
    rows: pd.DataFrame, reader: str, columns: list[str], level: float
) -> list[Ratio]:
    trends = []
    if {"seconds", "order"} <= set(rows):
        known = rows.dropna(subset=["seconds", "order"])
        value, variance = _slope_of_time(known)
        trends.append(_ratio(reader, "time, order", value, variance, known, level))
    known = rows.dropna(subset=columns)
    if known.empty:
        return trends
    parts = [_intercepts(known, "reader"), known["label"].to_numpy("float64")]
    if "order" in columns:
        parts.append(known["order"].to_numpy() / STEP)
    if "seconds" in columns:
        parts.append(np.log2(known["seconds"].to_numpy()))
    names = [f"right calls, {column}" for column in columns]
    if known["condition"].nunique() == 2:
        names.append("right calls, help")
        parts.append((known["condition"] == "with").to_numpy("float64"))
    model = fit_logistic(
        np.column_stack(parts), known["right"], patient_ids=known["patient_id"]
    )
    for place, name in enumerate(names, start=-len(names)):
        value, variance = model.coefficients[place], model.covariance[place, place]
        made = _ratio(reader, name, value, variance, known, level)
        trends.append(made._replace(reason=model.reason or made.reason))
    return trends


def _slope_of_time(rows: pd.DataFrame) -> tuple[float, float]:
    """The logarithm of seconds by order, and its variance; NaN where undefined."""
    if rows.empty:
        return np.nan, np.nan
    cells = _intercepts(rows, "reader", "condition")
    x = np.column_stack([cells, rows["order"] / STEP])
    y = np.log(rows["seconds"].to_numpy())
    ids = rows["patient_id"].to_numpy()
    if np.linalg.matrix_rank(x) < x.shape[1] or len(np.unique(ids)) < 2:
        return np.nan, np.nan
    inverse = np.linalg.inv(x.T @ x)
    slopes = inverse @ x.T @ y
    rest = (y - x @ slopes)[:, None]
    return float(slopes[-1]), float(
        clustered_covariance(inverse, x * rest, ids)[-1, -1]
    )


def _ratio(
    reader: str,
    figure: str,
    value: float,
    variance: float,
    rows: pd.DataFrame,
    level: float,
) -> Ratio:
    freedom = rows["patient_id"].nunique() - 1
    if freedom < 1 or not variance > 0:
        none = (np.nan,) * 4
        return Ratio(reader, figure, *none, len(rows), "no variation to judge it by")
    error = float(variance) ** 0.5
    half = float(student.ppf((1 + level) / 2, freedom)) * error
    low, middle, high = (float(np.exp(value + x)) for x in (-half, 0, half))
    p_value = float(2 * student.sf(abs(value) / error, freedom))
    return Ratio(reader, figure, middle, low, high, p_value, len(rows), "")


def _intercepts(rows: pd.DataFrame, *columns: str) -> NDArray[np.float64]:
    """One column a reader, or a reader and condition."""
    _, cell = np.unique(rows[list(columns)].agg("\n".join, axis=1), return_inverse=True)
    return np.eye(cell.max(initial=-1) + 1)[cell]


def _long(readings: Readings) -> pd.DataFrame:
    """One row a reading that was made."""
    parts = []
    cases = readings.cases[["label", "patient_id"]].astype({"patient_id": str})
    for condition in readings.conditions:
        for place, name in enumerate(readings.readers):
            call = readings.calls[condition][place]
            own = cases.assign(reader=name, condition=condition)
            own["right"] = np.where(np.isnan(call), np.nan, call == cases["label"])
            for column, values in readings.spent.items():
                own[column] = values[condition][place]
            parts.append(own.dropna(subset=["right"]))
    return pd.concat(parts, ignore_index=True)
