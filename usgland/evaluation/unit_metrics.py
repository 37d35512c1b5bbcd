"""The figures of one unit, image or patient, and of every operating point."""

from typing import Any

import numpy as np
import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.bootstrap import (
    Interval,
    bootstrap_figures,
    jackknife_figures,
)
from usgland.evaluation.delong import has_clusters
from usgland.evaluation.intervals import (
    as_figure,
    figure_intervals,
    predictive_interval,
    resampled_interval,
)
from usgland.evaluation.operating_point import AIMS, apply_threshold, further_points
from usgland.evaluation.predictions import patient_predictions
from usgland.evaluation.scores import (
    OF_PROBABILITIES,
    confusion,
    predictive_values,
)
from usgland.evaluation.undefined import UNDEFINED, undefined_reason

# Labels, probabilities, thresholds and patients, `(cases,)` each.
Cases = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def unit_metrics(rows: pd.DataFrame, settings: EvaluationSettings) -> dict[str, Any]:
    """Counts, and every figure with its interval.

    Args:
        rows: One row a case: label, probability, threshold, prediction, patient_id.
        settings: Of the intervals, and the prevalences asked for.

    Returns:
        n, n_benign, n_malignant, n_patients, confusion, figures and prevalences, as
        `metrics_of` describes them.
    """
    labels, cases = rows["label"].to_numpy(), _cases(rows)
    figures = figure_intervals(*cases, settings)
    return {
        "n": len(rows),
        "n_benign": int((labels == 0).sum()),
        "n_malignant": int((labels == 1).sum()),
        "n_patients": int(rows["patient_id"].nunique()),
        "confusion": confusion(labels, rows["prediction"]).tolist(),
        "figures": figures,
        "prevalences": _at_prevalences(figures, cases, settings),
    }


def point_metrics(
    rows: pd.DataFrame, thresholds: dict[str, Any], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """The figures at each further operating point, per image and per patient.

    Args:
        rows: One row an image.
        thresholds: As `read_thresholds` gives it.
        settings: Of the intervals.

    Returns:
        One dict a point: method, what it aimed at, threshold (a number, or fold ->
        number), and image and patient: as `unit_metrics`, without the figures of
        probabilities, which are the same at every point.
    """
    points = []
    for point in further_points(thresholds):
        if "folds" in point:
            threshold: Any = {k: one["threshold"] for k, one in point["folds"].items()}
        else:
            threshold = point["threshold"]
        aims = {name: point[name] for name in AIMS if name in point}
        found = {"method": point["method"], **aims, "threshold": threshold}
        for unit, cases in (("image", rows), ("patient", patient_predictions(rows))):
            found[unit] = unit_metrics(apply_threshold(cases, point), settings)
            for name in OF_PROBABILITIES:
                del found[unit]["figures"][name]
        points.append(found)
    return points


def _cases(rows: pd.DataFrame) -> Cases:
    return (
        rows["label"].to_numpy(),
        rows["probability"].to_numpy(),
        rows["threshold"].to_numpy(),
        rows["patient_id"].to_numpy().astype(str),
    )


def _at_prevalences(
    figures: dict[str, dict[str, Any]],
    cases: Cases,
    settings: EvaluationSettings,
) -> dict[str, dict[str, Any]]:
    """Predictive values where other shares are malignant."""
    value = {name: figure["value"] for name, figure in figures.items()}
    lacking = [
        undefined_reason(name, cases[0], value[name])
        for name in ("sensitivity", "specificity")
    ]
    found = {}
    for prevalence in settings.prevalences:
        values = predictive_values(
            value["sensitivity"], value["specificity"], prevalence
        )
        intervals = _predictive_intervals(values, cases, prevalence, settings)
        pair = {}
        for i, name in enumerate(("ppv", "npv")):
            reason = lacking[0] or lacking[1] or UNDEFINED[name][0]
            interval = Interval(np.nan, np.nan, f"none: {reason}", 0)
            if values[i] == values[i]:
                interval = intervals[name]
            pair[name] = as_figure(float(values[i]), interval)
        found[f"{prevalence:g}"] = pair
    return found


def _predictive_intervals(
    values: tuple[np.ndarray, np.ndarray],
    cases: Cases,
    prevalence: float,
    settings: EvaluationSettings,
) -> dict[str, Interval]:
    """By the logit where cases are independent, else by bootstrap over patients.

    Of `values`, PPV and NPV, those that are not NaN.
    """
    level, seed = settings.confidence_level, settings.seed
    pairs = [(i, n) for i, n in enumerate(("ppv", "npv")) if values[i] == values[i]]
    if not pairs:
        return {}
    if not has_clusters(cases[3]):
        counts = confusion(cases[0], (cases[1] >= cases[2]).astype(int))
        return {
            name: predictive_interval(name, counts, prevalence, level=level)
            for _, name in pairs
        }
    resamples = settings.bootstrap_resamples
    drawn = bootstrap_figures(*cases, resamples=resamples, seed=seed)
    resampled = _at_prevalence(drawn, prevalence)
    left_out = None
    if settings.bootstrap == "bca":
        left_out = _at_prevalence(jackknife_figures(*cases), prevalence)
    return {
        name: resampled_interval(
            resampled[i],
            float(values[i]),
            None if left_out is None else left_out[i],
            level=level,
            seed=seed,
        )
        for i, name in pairs
    }


def _at_prevalence(
    figures: dict[str, np.ndarray], prevalence: float
) -> tuple[np.ndarray, np.ndarray]:
    return predictive_values(figures["sensitivity"], figures["specificity"], prevalence)
