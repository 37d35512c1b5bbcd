"""The measures of one unit, image or patient, and of every operating point."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.cases.thresholds import (
    AIMS,
    apply_threshold,
    chosen_point,
    further_points,
)
from usgland.evaluation.statistics.bootstrap import (
    Interval,
    bca_interval,
    bootstrap_measures,
    jackknife_measures,
    percentile_interval,
)
from usgland.evaluation.statistics.delong import has_clusters
from usgland.evaluation.statistics.intervals import (
    RATIOS,
    auc_interval,
    predictive_interval,
    proportion_interval,
    ratio_interval,
)
from usgland.evaluation.statistics.scores import (
    MEASURES,
    OF_PROBABILITIES,
    UNDEFINED,
    checked_cases,
    confusion,
    predictive_values,
    score,
    undefined_reason,
)

# Labels, probabilities, thresholds and patients, `(cases,)` each.
Cases = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def unit_metrics(rows: pd.DataFrame, settings: EvaluationSettings) -> dict[str, Any]:
    """Counts, and every measure with its interval.

    Args:
        rows: One row a case: label, probability, threshold, prediction, patient_id.
        settings: Of the intervals, and the prevalences asked for.

    Returns:
        n, n_benign, n_malignant, n_patients, confusion, measures and prevalences, as
        `metrics_of` describes them.
    """
    labels, cases = rows["label"].to_numpy(), _cases(rows)
    measures = measure_intervals(*cases, settings)
    return {
        "n": len(rows),
        "n_benign": int((labels == 0).sum()),
        "n_malignant": int((labels == 1).sum()),
        "n_patients": int(rows["patient_id"].nunique()),
        "confusion": confusion(labels, rows["prediction"]).tolist(),
        "figures": measures,
        "prevalences": _at_prevalences(measures, cases, settings),
    }


def point_metrics(
    rows: pd.DataFrame, thresholds: dict[str, Any], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """The measures at each further operating point, per image and per patient.

    Args:
        rows: One row an image.
        thresholds: As `read_thresholds` gives it.
        settings: Of the intervals.

    Returns:
        One dict a point: method, what it aimed at, threshold (a number, or fold ->
        number), and image and patient: as `unit_metrics`, without the measures of
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
    measures: dict[str, dict[str, Any]],
    cases: Cases,
    settings: EvaluationSettings,
) -> dict[str, dict[str, Any]]:
    """Predictive values where other shares are malignant."""
    value = {name: measure["value"] for name, measure in measures.items()}
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
            pair[name] = as_measure(float(values[i]), interval)
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
    drawn = bootstrap_measures(*cases, resamples=resamples, seed=seed)
    resampled = _at_prevalence(drawn, prevalence)
    left_out = None
    if settings.bootstrap == "bca":
        left_out = _at_prevalence(jackknife_measures(*cases), prevalence)
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
    measures: dict[str, np.ndarray], prevalence: float
) -> tuple[np.ndarray, np.ndarray]:
    return predictive_values(
        measures["sensitivity"], measures["specificity"], prevalence
    )


def metrics_of(
    rows: pd.DataFrame,
    thresholds: dict[str, Any],
    settings: EvaluationSettings,
    *,
    synthetic: bool,
) -> dict[str, Any]:
    """Every measure with its interval, per image and per patient; writes nothing.

    Args:
        rows: Predictions of one role, as `read_predictions` gives them.
        thresholds: As `read_thresholds` gives it; chosen per image, used for both.
        settings: Resamples, level and seed of the intervals.
        synthetic: Whether the images are phantoms, which every report shall say.

    Returns:
        synthetic, role, threshold (a number, or fold -> number), operating_point (its
        method and aim; None where the file does not say), confidence_level, and for
        each of `image` and `patient`: n, n_benign, n_malignant, n_patients,
        confusion `[[tn, fp], [fn, tp]]`, figures: name -> value, low, high, method,
        reason, undefined_resamples, NaN where undefined, and prevalences: a number
        as text -> ppv and npv, likewise. points: one dict a further operating point,
        see `point_metrics`; points_missing: those of the settings that the run's
        validation did not choose.

    Raises:
        ValueError: If there are no rows, or rows of several roles.
    """
    roles = sorted(set(rows["role"]))
    if len(roles) != 1:
        raise ValueError(f"`rows` must be of one role. Received: {roles}")
    images = apply_threshold(rows, thresholds)
    patients = apply_threshold(patient_predictions(rows), thresholds)
    if "folds" in thresholds:
        threshold: Any = {
            str(fold): one["threshold"] for fold, one in thresholds["folds"].items()
        }
    else:
        threshold = thresholds["threshold"]
    chosen, points = chosen_point(thresholds), point_metrics(rows, thresholds, settings)
    shown = {point["method"] for point in points} | {(chosen or {}).get("method")}
    return {
        "synthetic": synthetic,
        "role": roles[0],
        "threshold": threshold,
        "operating_point": chosen,
        "confidence_level": settings.confidence_level,
        "image": unit_metrics(images, settings),
        "patient": unit_metrics(patients, settings),
        "points": points,
        "points_missing": [
            one for one in dict.fromkeys(settings.further_points) if one not in shown
        ],
    }


def measure_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    patient_ids: ArrayLike,
    settings: EvaluationSettings,
) -> dict[str, dict[str, Any]]:
    """Every measure of `MEASURES` with its interval.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        threshold: One, or `(cases,)`.
        patient_ids: `(cases,)`: who each case belongs to.
        settings: Level, methods, resamples and seed.

    Returns:
        Name -> value, low, high, method, reason (why value or interval is not
        defined, else "") and undefined_resamples.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    values = score(labels, probabilities, threshold)
    clustered = has_clusters(patient_ids)
    calls = (probabilities >= np.asarray(threshold, "float64")).astype(int)
    shares = {} if clustered else _shares(labels, calls)
    cases = (labels, probabilities, threshold, patient_ids)
    level, seed = settings.confidence_level, settings.seed
    drawn = bootstrap_measures(
        *cases, resamples=settings.bootstrap_resamples, seed=seed
    )
    without = jackknife_measures(*cases) if settings.bootstrap == "bca" else None
    found = {}
    for name in MEASURES:
        reason = undefined_reason(name, labels, values[name])
        if reason:
            interval = Interval(np.nan, np.nan, f"none: {reason}", 0)
        elif name in shares:
            interval = proportion_interval(
                *shares[name], level=level, method=settings.proportion_interval
            )
        elif name == "roc_auc" and not clustered:
            interval = auc_interval(labels, probabilities, level=level)
        elif name in RATIOS and not clustered:
            interval = ratio_interval(name, confusion(labels, calls), level=level)
        else:
            left_out = None if without is None else without[name]
            interval = resampled_interval(
                drawn[name], values[name], left_out, level=level, seed=seed
            )
        found[name] = as_measure(values[name], interval)
    return found


def as_measure(value: float, interval: Interval) -> dict[str, Any]:
    """A measure as `metrics.json` has it; see `measure_intervals`."""
    return {
        "value": float(value),
        "low": interval.low,
        "high": interval.high,
        "method": interval.method,
        "reason": interval.method.partition("none: ")[2],
        "undefined_resamples": interval.undefined,
    }


def resampled_interval(
    values: np.ndarray,
    value: float,
    left_out: np.ndarray | None,
    *,
    level: float,
    seed: int,
) -> Interval:
    """The BCa interval where the jackknife is given, else that of percentiles.

    Args:
        values: `(resamples,)`, NaN where undefined.
        value: The measure itself.
        left_out: `(patients,)`: the measure without each patient, or None.
        level: Confidence level in (0, 1).
        seed: Of the draw, for the record.
    """
    if left_out is None:
        return percentile_interval(values, level=level, seed=seed)
    return bca_interval(values, value, left_out, level=level, seed=seed)


def _shares(labels: np.ndarray, calls: np.ndarray) -> dict[str, tuple[int, int]]:
    """Figures that are shares of cases: how many, of how many."""
    (tn, fp), (fn, tp) = confusion(labels, calls).tolist()
    return {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "accuracy": (tp + tn, len(labels)),
    }
