"""The figures of one unit, image or patient, and of every operating point."""

from typing import Any

import numpy as np
import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.bootstrap import bootstrap_figures, percentile_interval
from usgland.evaluation.intervals import figure_intervals
from usgland.evaluation.operating_point import (
    apply_threshold,
    further_point,
    point_names,
)
from usgland.evaluation.predictions import patient_predictions
from usgland.evaluation.scores import confusion, predictive_values

# Labels, probabilities, thresholds and patients, `(cases,)` each.
Cases = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# Shown for a further point; those of probabilities are the same at every point.
POINT_FIGURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


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
        One dict a point: method, threshold (a number, or fold -> number), image and
        patient: name -> figure, for the names of `POINT_FIGURES`, and confusion.
    """
    points = []
    for name in point_names(thresholds):
        point = further_point(thresholds, name)
        threshold: Any = point.get("threshold")
        if "folds" in point:
            threshold = {k: one["threshold"] for k, one in point["folds"].items()}
        found: dict[str, Any] = {"method": name, "threshold": threshold}
        units = {"image": rows, "patient": patient_predictions(rows)}
        for unit, cases in units.items():
            called = apply_threshold(cases, point)
            figures = figure_intervals(*_cases(called), settings)
            found[unit] = {one: figures[one] for one in POINT_FIGURES} | {
                "confusion": confusion(called["label"], called["prediction"]).tolist()
            }
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
    """Predictive values where other shares are malignant; bootstrap over patients."""
    if not settings.prevalences:
        return {}
    drawn = bootstrap_figures(
        *cases, resamples=settings.bootstrap_resamples, seed=settings.seed
    )
    found = {}
    for prevalence in settings.prevalences:
        values, resampled = (
            predictive_values(one["sensitivity"], one["specificity"], prevalence)
            for one in (
                {name: figure["value"] for name, figure in figures.items()},
                drawn,
            )
        )
        pair = {}
        for name, value, draws in zip(("ppv", "npv"), values, resampled, strict=True):
            interval = percentile_interval(
                draws, level=settings.confidence_level, seed=settings.seed
            )
            reason = "" if value == value else "no case is called so"
            pair[name] = {
                "value": float(value),
                "low": interval.low,
                "high": interval.high,
                "method": interval.method,
                "reason": reason,
                "undefined_resamples": interval.undefined,
            }
        found[f"{prevalence:g}"] = pair
    return found
