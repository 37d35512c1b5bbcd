"""The measures of one unit, image or patient, and of every operating point."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.predictions import (
    check_role,
    count_cases,
    patient_predictions,
)
from usgland.evaluation.cases.thresholds import Thresholds, apply_threshold
from usgland.evaluation.statistics.bootstrap import PatientDraws, draw_patients
from usgland.evaluation.statistics.measured_cases import Measure, MeasuredCases
from usgland.evaluation.statistics.scores import MEASURES, OF_PROBABILITIES, confusion

OF_CALLS = tuple(name for name in MEASURES if name not in OF_PROBABILITIES)


class Unit(NamedTuple):
    """Predictions by image or by patient, and the draws of their patients.

    Attributes:
        rows: One row a case: patient_id, label, probability, logit.
        draws: Made once, for all that is computed of these rows.
    """

    rows: pd.DataFrame
    draws: PatientDraws


def units_of(rows: pd.DataFrame, settings: EvaluationSettings) -> dict[str, Unit]:
    """Gathers predictions of one role, one row an image, by `image` and `patient`."""
    return {
        "image": unit_of(rows, settings),
        "patient": unit_of(patient_predictions(rows), settings),
    }


def unit_of(rows: pd.DataFrame, settings: EvaluationSettings) -> Unit:
    """Cases of one unit, one row each, with draws of their patients."""
    ids = rows["patient_id"].to_numpy().astype(str)
    resamples, seed = settings.bootstrap_resamples, settings.seed
    return Unit(rows, draw_patients(ids, resamples=resamples, seed=seed))


def metrics_of(
    rows: pd.DataFrame,
    thresholds: Thresholds,
    settings: EvaluationSettings,
    *,
    synthetic: bool,
    units: Mapping[str, Unit] | None = None,
) -> dict[str, Any]:
    """Every measure with its interval, per image and per patient; writes nothing.

    `units` is what `units_of` makes of the rows, where that was done before.

    Returns:
        synthetic, role, threshold (a number, or fold -> number), operating_point (its
        method and aim; None where the file does not say), chosen_on, confidence_level,
        and for each of `image` and `patient` what `unit_metrics` gives. points: one
        dict a further operating point, see `point_metrics`; points_missing: those of
        the settings that the run did not choose.

    Raises:
        ValueError: If there are no rows, or rows of several roles.
    """
    role = check_role(rows)
    units = units or units_of(rows, settings)
    points = [point_metrics(units, point, settings) for point in thresholds.further]
    chosen = thresholds.chosen
    shown = {point["method"] for point in (*points, chosen or {"method": None})}
    return {
        "synthetic": synthetic,
        "role": role,
        "threshold": thresholds.value,
        "operating_point": chosen,
        "chosen_on": thresholds.chosen_on,
        "confidence_level": settings.confidence_level,
        **{
            name: unit_metrics(unit, thresholds, settings)
            for name, unit in units.items()
        },
        "points": points,
        "points_missing": [
            method
            for method in dict.fromkeys(settings.further_points)
            if method not in shown
        ],
    }


def unit_metrics(
    unit: Unit,
    thresholds: Thresholds,
    settings: EvaluationSettings,
    names: Sequence[str] = MEASURES,
) -> dict[str, Any]:
    """Counts, and measures with their intervals, at one operating point.

    Returns:
        n, n_benign, n_malignant, n_patients, confusion `[[tn, fp], [fn, tp]]`,
        figures: name -> value, low, high, method, reason, undefined_resamples, NaN
        where undefined, and prevalences: a number as text -> ppv and npv, likewise.
    """
    rows = apply_threshold(unit.rows, thresholds)
    cases = measured_cases(rows, unit.draws, settings, names)
    labels = rows["label"].to_numpy()
    return {
        **count_cases(rows),
        "confusion": confusion(labels, rows["prediction"]).tolist(),
        "figures": records_of(cases.measures()),
        "prevalences": {
            f"{prevalence:g}": records_of(cases.predictive_values(prevalence))
            for prevalence in settings.prevalences
        },
    }


def point_metrics(
    units: Mapping[str, Unit], point: Thresholds, settings: EvaluationSettings
) -> dict[str, Any]:
    """The measures at one of `Thresholds.further`, per image and per patient.

    Returns:
        method, what it aimed at, threshold (a number, or fold -> number), and image
        and patient: as `unit_metrics`, without the measures of probabilities, which
        are the same at every point.
    """
    return {
        **(point.chosen or {}),
        "threshold": point.value,
        **{
            name: unit_metrics(unit, point, settings, OF_CALLS)
            for name, unit in units.items()
        },
    }


def measured_cases(
    rows: pd.DataFrame,
    draws: PatientDraws,
    settings: EvaluationSettings,
    names: Sequence[str] = MEASURES,
) -> MeasuredCases:
    """Cases whose measures have the intervals of the settings.

    `rows` have one a case: label, probability and threshold; `names` are of `MEASURES`.
    """
    return MeasuredCases(
        rows["label"].to_numpy(),
        rows["probability"].to_numpy("float64"),
        rows["threshold"].to_numpy(),
        draws,
        names,
        level=settings.confidence_level,
        proportions=settings.proportion_interval,
        bootstrap=settings.bootstrap,
    )


def records_of(measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    return {name: measure.record() for name, measure in measures.items()}
