"""The average reader: without against with clinical data, and against the model."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usgland.evaluation.readers.readings import Readings
from usgland.evaluation.statistics import mrmc
from usgland.evaluation.statistics.reader_estimates import estimate_measure

# Measure -> how its covariance is made, in the order in which tables show them.
METHODS = {
    "roc_auc": "delong",
    "balanced_accuracy": "delong",
    "sensitivity": "jackknife",
    "specificity": "jackknife",
}


def average_readers(
    readings: Readings, model: pd.DataFrame | None, *, level: float
) -> dict[str, Any]:
    """Means of the readers, their difference, and their distance from the model.

    The model has the same cases in the same order; None where it has not.

    Returns:
        Measure (`roc_auc` only where there are scores) -> covariance (its method),
        readers (condition -> values), means (condition -> one estimate a scope), and
        where there are both conditions or a model: components, model, and question
        -> one estimate a scope, as `Estimate` has it; null degrees of freedom with a
        P value stand for the normal distribution.
    """
    averages = {}
    for measure, method in METHODS.items():
        tables, column = readings.calls, "prediction"
        if measure == "roc_auc":
            if readings.scores is None:
                continue  # the area of a single call is the balanced accuracy
            tables, column = readings.scores, "probability"
        stacked = [tables[condition] for condition in readings.conditions]
        if model is not None:
            stacked.append(model[[column]].to_numpy().T)
        values, covariance = estimate_measure(
            measure,
            readings.cases["label"],
            np.vstack(stacked),
            method=method,
            patient_ids=readings.cases["patient_id"].astype(str),
        )
        averages[measure] = {
            "covariance": method,
            **_contrasts(readings, values, covariance, model is not None, level),
        }
    return averages


def _contrasts(
    readings: Readings,
    values: NDArray,
    covariance: NDArray,
    has_model: bool,
    level: float,
) -> dict[str, Any]:
    readers = len(readings.readers)
    places = {
        condition: list(range(index * readers, (index + 1) * readers))
        for index, condition in enumerate(readings.conditions)
    }
    answers: dict[str, Any] = {"readers": {}, "means": {}}
    for condition, at in places.items():
        answers["readers"][condition] = values[at].tolist()
        means = mrmc.mean_of_readers(
            values[at], covariance[np.ix_(at, at)], level=level
        )
        answers["means"][condition] = _records(means, lowest=0.0)
    if len(places) == 2:
        order = places["with"] + places["without"]
        parts, differences = mrmc.compare_modalities(
            values[order].reshape(2, readers),
            covariance[np.ix_(order, order)],
            level=level,
        )
        answers["components"] = parts._asdict()
        question = "with against without clinical data"
        answers[question] = _records(differences, lowest=-1.0)
    if has_model:
        answers["model"] = float(values[-1])
        for condition, at in places.items():
            order = [*at, len(values) - 1]
            distance = mrmc.compare_with_model(
                values[at], values[-1], covariance[np.ix_(order, order)], level=level
            )
            question = f"{condition} clinical data against the model"
            answers[question] = _records(distance, lowest=-1.0)
    return answers


def _records(estimates: list[mrmc.Estimate], *, lowest: float) -> list[dict[str, Any]]:
    """Bounds cut to the range of the measure, or of a difference of two."""
    records = []
    for estimate in estimates:
        if np.isinf(estimate.degrees_of_freedom):
            estimate = estimate._replace(degrees_of_freedom=np.nan)
        if not estimate.reason:
            low, high = max(lowest, estimate.low), min(1.0, estimate.high)
            estimate = estimate._replace(low=low, high=high)
        records.append(estimate._asdict())
    return records
