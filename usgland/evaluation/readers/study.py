"""A reader study: readers without and with clinical data, and against the model."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from usgland.config import EvaluationSettings
from usgland.evaluation.readers.averages import average_readers
from usgland.evaluation.readers.model_beside import ModelCases
from usgland.evaluation.readers.readings import Readings
from usgland.evaluation.statistics.agreement import cohen_kappa, fleiss_kappa
from usgland.evaluation.statistics.bootstrap import (
    percentile_interval,
    resample_patients,
)
from usgland.evaluation.statistics.delong import has_clusters
from usgland.evaluation.statistics.families import holm
from usgland.evaluation.statistics.scores import (
    confusion,
    kinds_of_cases,
    measures_of_counts,
)
from usgland.evaluation.statistics.share_tests import (
    SHARES,
    mcnemar_test,
    unpaired_shares,
)

MODEL = "Model"
# In the order in which tables show them; the balanced accuracy is what the paper's
# "AUC" of a reader's single operating point is.
MEASURES = (
    "sensitivity",
    "specificity",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "f1_macro",
)


def study_readers(
    readings: Readings,
    model: ModelCases | None,
    settings: EvaluationSettings,
    *,
    model_unit: str | None = None,
) -> dict[str, Any]:
    """Everything that the readers' calls tell; writes nothing.

    Args:
        readings: As `read_readers` gives them.
        model: The model's cases; None for the readers alone.
        settings: Level of the intervals; resamples and seed of the bootstrap.
        model_unit: `image` or `patient`; None for the readers' unit. In another unit
            than theirs, readers and model are compared as if their cases were
            independent, which they are not.

    Returns:
        synthetic, confidence_level, unit, n, n_benign, n_malignant, n_patients,
        readers, conditions, dropped; model (None, or unit, n, role, threshold,
        source); `tables`: condition -> one row a reader, then the model; `tests`;
        `agreement`: condition -> pairs and all; `averages`: as `average_readers`
        gives them.
    """
    cases = readings.cases
    unit = model_unit or readings.unit
    against = None if model is None else model.by_unit[unit]
    if against is not None and unit == readings.unit:
        # In the readers' order, without the cases that were dropped.
        against = against.set_index("case").loc[cases["case"]].reset_index()
    return {
        "synthetic": readings.synthetic or (model is not None and model.synthetic),
        "confidence_level": settings.confidence_level,
        "unit": readings.unit,
        "n": len(cases),
        "n_benign": int((cases["label"] == 0).sum()),
        "n_malignant": int((cases["label"] == 1).sum()),
        "n_patients": int(cases["patient_id"].nunique()),
        "readers": readings.readers,
        "conditions": readings.conditions,
        "dropped": readings.dropped,
        "model": _about_model(model, unit, against),
        "tables": _tables(readings, unit, against, settings),
        "tests": _tests(readings, unit, against),
        "agreement": _agreement(readings, settings.confidence_level),
        "averages": average_readers(
            readings,
            against if unit == readings.unit else None,
            level=settings.confidence_level,
        ),
    }


def _about_model(
    model: ModelCases | None, unit: str, against: pd.DataFrame | None
) -> dict[str, Any] | None:
    if model is None or against is None:
        return None
    return {
        "unit": unit,
        "n": len(against),
        "role": model.role,
        "threshold": model.threshold,
        "source": str(model.source),
    }


def _tables(
    readings: Readings,
    unit: str,
    against: pd.DataFrame | None,
    settings: EvaluationSettings,
) -> dict[str, list[dict[str, Any]]]:
    cases = readings.cases
    last = []
    if against is not None:
        last = [_row(MODEL, unit, against, against["prediction"].to_numpy(), settings)]
    return {
        condition: [
            _row(reader, readings.unit, cases, calls, settings)
            for reader, calls in zip(
                readings.readers, readings.calls[condition], strict=True
            )
        ]
        + last
        for condition in readings.conditions
    }


def _row(
    name: str,
    unit: str,
    cases: pd.DataFrame,
    calls: NDArray,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    labels, level = cases["label"].to_numpy(), settings.confidence_level
    counts = confusion(labels, calls)
    values = _measures(counts.reshape(1, 4))
    resampled = _resampled(cases, calls, settings)
    right = np.diag(counts)
    of_label = counts.sum(axis=1)
    shares = {
        "sensitivity": (right[1], of_label[1]),
        "specificity": (right[0], of_label[0]),
        "accuracy": (right.sum(), counts.sum()),
    }
    clustered = has_clusters(cases["patient_id"].to_numpy())
    measures = {}
    for measure in MEASURES:
        if measure in shares and not clustered:
            part, whole = map(int, shares[measure])
            bounds = binomtest(part, whole).proportion_ci(level, "wilson")
            low, high, method = bounds.low, bounds.high, "Wilson"
        else:
            interval = percentile_interval(
                resampled[measure], level=level, seed=settings.seed
            )
            low, high, method = interval.low, interval.high, interval.method
        value = float(values[measure][0])
        measures[measure] = {"value": value, "low": low, "high": high, "method": method}
    return {
        "name": name,
        "unit": unit,
        "n": len(cases),
        "confusion": counts.tolist(),
        "figures": measures,
    }


def _resampled(
    cases: pd.DataFrame, calls: NDArray, settings: EvaluationSettings
) -> dict[str, NDArray[np.float64]]:
    ids, patient = np.unique(cases["patient_id"].astype(str), return_inverse=True)
    kinds = kinds_of_cases(cases["label"], calls)
    counts = np.zeros((len(ids), 4))
    np.add.at(counts, (patient, kinds), 1)
    drawn = resample_patients(len(ids), settings.bootstrap_resamples, settings.seed)
    return _measures(drawn @ counts)


def _measures(counts: NDArray) -> dict[str, NDArray[np.float64]]:
    """With the mean of the F1 of both classes; `counts` is `(sets, 4)`."""
    measures = measures_of_counts(counts)
    # With the classes swapped, true negatives are the true positives.
    of_benign = measures_of_counts(np.asarray(counts)[:, ::-1])["f1"]
    return {**measures, "f1_macro": (measures["f1"] + of_benign) / 2}


def _tests(
    readings: Readings, unit: str, against: pd.DataFrame | None
) -> list[dict[str, Any]]:
    """Each reader with against without, and against the model; P adjusted by Holm.

    A family is one question and one measure, over the readers.
    """
    labels = readings.cases["label"].to_numpy()
    ids = readings.cases["patient_id"].to_numpy()
    tests: list[dict[str, Any]] = []
    for measure in SHARES:
        if len(readings.conditions) == 2:
            pairs = zip(readings.calls["with"], readings.calls["without"], strict=True)
            found = [
                mcnemar_test(labels, a, b, patient_ids=ids, measure=measure)
                for a, b in pairs
            ]
            tests += _family("with against without clinical data", measure, found)
        if against is None:
            continue
        true, said = against["label"].to_numpy(), against["prediction"].to_numpy()
        for condition in readings.conditions:
            found = [
                mcnemar_test(labels, calls, said, patient_ids=ids, measure=measure)
                if unit == readings.unit
                else unpaired_shares(
                    (labels, calls),
                    (true, said),
                    patient_ids=(ids, against["patient_id"].to_numpy()),
                    measure=measure,
                )
                for calls in readings.calls[condition]
            ]
            question = f"{condition} clinical data against the model"
            tests += _family(question, measure, found)
    for test in tests:
        test["reader"] = readings.readers[test["reader"]]
    return tests


def _family(question: str, measure: str, found: list) -> list[dict[str, Any]]:
    adjusted = holm([one.p_value for one in found])
    return [
        {
            "question": question,
            "figure": measure,
            "reader": index,
            **{
                key: value.item() if isinstance(value, np.generic) else value
                for key, value in one._asdict().items()
            },
            "p_holm": float(adjusted[index]),
        }
        for index, one in enumerate(found)
    ]


def _agreement(readings: Readings, level: float) -> dict[str, Any]:
    found = {}
    names = readings.readers
    for condition in readings.conditions:
        calls = readings.calls[condition]
        pairs = [
            {
                "readers": [names[a], names[b]],
                **cohen_kappa(calls[a], calls[b], level=level)._asdict(),
            }
            for a in range(len(names))
            for b in range(a + 1, len(names))
        ]
        every = None
        if len(names) > 1:
            every = fleiss_kappa(calls, level=level)._asdict()
        found[condition] = {"pairs": pairs, "all": every}
    return found
