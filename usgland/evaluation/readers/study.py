"""A reader study: readers without and with clinical data, and against the model."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.predictions import count_cases
from usgland.evaluation.readers.averages import average_readers
from usgland.evaluation.readers.model_beside import ModelCases
from usgland.evaluation.readers.reading_time import study_spent
from usgland.evaluation.readers.readings import Readings
from usgland.evaluation.statistics.agreement import (
    Agreement,
    cohen_kappa,
    fleiss_kappa,
)
from usgland.evaluation.statistics.bootstrap import PatientDraws, draw_patients
from usgland.evaluation.statistics.families import holm
from usgland.evaluation.statistics.graded_agreement import (
    gwet_agreement,
    intraclass_correlation,
    weighted_kappa,
)
from usgland.evaluation.statistics.measured_cases import MeasuredCases
from usgland.evaluation.statistics.reclassification import reclassification
from usgland.evaluation.statistics.scores import confusion
from usgland.evaluation.statistics.share_tests import (
    SHARES,
    ShareTest,
    mcnemar_test,
    unpaired_shares,
)

MODEL = "Model"
GRADES = 10  # different ones, at most, for coefficients of grades
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

    With a `model_unit` other than the readers', `image` or `patient`, readers and model
    are compared as if their cases were independent, which they are not.

    Returns:
        synthetic, confidence_level, unit, n, n_benign, n_malignant, n_patients,
        readers, conditions, aided, dropped, complete; model (None, or unit, n, role,
        threshold, source); `tables`: condition -> one row a reader, then the model;
        `tests`; `agreement`: condition -> pairs and all; `graded`: one dict a condition
        and coefficient, of AC1 and of grades weighted kappa, AC2 and ICC;
        `reclassified`: one dict a reader, where there are two conditions; `spent`: as
        `study_spent` gives it; `averages`: as
        `average_readers` gives them.
    """
    cases = readings.cases
    unit = model_unit or readings.unit
    against = None if model is None else model.by_unit[unit]
    if against is not None and unit == readings.unit:
        # In the readers' order, without the cases that were dropped.
        against = against.set_index("case").loc[cases["case"]].reset_index()
    about = None
    if model is not None and against is not None:
        about = {"unit": unit, "n": len(against), "role": model.role}
        about |= {"threshold": model.threshold, "source": str(model.source)}
    return {
        "synthetic": readings.synthetic or (model is not None and model.synthetic),
        "confidence_level": settings.confidence_level,
        "unit": readings.unit,
        **count_cases(cases),
        "readers": readings.readers,
        "conditions": readings.conditions,
        "aided": readings.aided,
        "dropped": readings.dropped,
        "complete": readings.complete,
        "model": about,
        "tables": _tables(readings, unit, against, settings),
        "tests": _tests(readings, unit, against, settings.confidence_level),
        "agreement": _agreement(readings, settings.confidence_level),
        "graded": _graded(readings, settings.confidence_level),
        "reclassified": _reclassified(readings, settings.confidence_level),
        "spent": study_spent(readings, level=settings.confidence_level),
        "averages": average_readers(
            readings,
            against if unit == readings.unit else None,
            level=settings.confidence_level,
        ),
    }


def _tables(
    readings: Readings,
    unit: str,
    against: pd.DataFrame | None,
    settings: EvaluationSettings,
) -> dict[str, list[dict[str, Any]]]:
    draws = _draws(readings.cases, settings)
    about = readings.unit, readings.cases
    last = []
    if against is not None:
        said = against["prediction"].to_numpy()
        own = _draws(against, settings)
        last = [_row(MODEL, unit, against, said, own, settings)]
    tables = {}
    for condition in readings.conditions:
        pairs = zip(readings.readers, readings.calls[condition], strict=True)
        rows = [_row(name, *about, calls, draws, settings) for name, calls in pairs]
        tables[condition] = rows + last
    return tables


def _draws(cases: pd.DataFrame, settings: EvaluationSettings) -> PatientDraws:
    return draw_patients(
        cases["patient_id"].astype(str),
        resamples=settings.bootstrap_resamples,
        seed=settings.seed,
    )


def _row(
    name: str,
    unit: str,
    cases: pd.DataFrame,
    calls: NDArray,
    draws: PatientDraws,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    read = ~np.isnan(calls)
    if not read.all():
        cases, calls = cases[read], calls[read].astype("int64")
        draws = _draws(cases, settings)
    labels = cases["label"].to_numpy()
    measured = MeasuredCases(
        labels,
        calls,
        0.5,  # parts calls of 0 from those of 1
        draws,
        MEASURES,
        level=settings.confidence_level,
        proportions=settings.proportion_interval,
        bootstrap=settings.bootstrap,
    )
    return {
        "name": name,
        "unit": unit,
        "n": len(cases),
        "confusion": confusion(labels, calls).tolist(),
        "figures": {
            measure: result.record() for measure, result in measured.measures().items()
        },
    }


def _tests(
    readings: Readings, unit: str, against: pd.DataFrame | None, level: float
) -> list[dict[str, Any]]:
    """Each reader with against without, and against the model; P adjusted by Holm.

    A family is one question and one measure, over the readers.
    """
    labels = readings.cases["label"].to_numpy()
    ids = readings.cases["patient_id"].to_numpy()
    tests: list[dict[str, Any]] = []

    def paired(measure: str, a: NDArray, b: NDArray) -> ShareTest:
        """On the cases that both have read; unpaired if there are none of them."""
        both, called = _read_by_all(a, b)
        own, label = labels[both], SHARES[measure]
        if not (own == label).any() and (label is not None or not len(own)):
            return unpaired(measure, a, (labels, b, ids))
        return mcnemar_test(
            own, *called, measure=measure, patient_ids=ids[both], level=level
        )

    def unpaired(
        measure: str, calls: NDArray, others: tuple[NDArray, NDArray, NDArray]
    ) -> ShareTest:
        (own, (a,)), (other, (b,)) = _read_by_all(calls), _read_by_all(others[1])
        return unpaired_shares(
            (labels[own], a),
            (others[0][other], b),
            measure=measure,
            patient_ids=(ids[own], others[2][other]),
            level=level,
        )

    for measure in SHARES:
        if len(readings.conditions) == 2:
            pairs = zip(readings.calls["with"], readings.calls["without"], strict=True)
            results = [paired(measure, a, b) for a, b in pairs]
            question = "with against without clinical data"
            tests += _family(question, measure, readings.readers, results)
        if against is None:
            continue
        true, said = against["label"].to_numpy(), against["prediction"].to_numpy()
        for condition in readings.conditions:
            results = [
                paired(measure, calls, said)
                if unit == readings.unit
                else unpaired(
                    measure, calls, (true, said, against["patient_id"].to_numpy())
                )
                for calls in readings.calls[condition]
            ]
            question = f"{condition} clinical data against the model"
            tests += _family(question, measure, readings.readers, results)
    return tests


def _read_by_all(*calls: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which cases none of these readings lacks, and their calls of them."""
    stacked = np.stack(calls)
    both = np.asarray(~np.isnan(stacked).any(axis=0))
    return both, stacked[:, both].astype("int64")


def _family(
    question: str, measure: str, readers: list[str], results: list[ShareTest]
) -> list[dict[str, Any]]:
    """Tests of one question and measure, one a reader, as files have them."""
    adjusted = holm([result.p_value for result in results])
    return [
        {
            "question": question,
            "figure": measure,
            "reader": reader,
            **{
                key: value.item() if isinstance(value, np.generic) else value
                for key, value in result._asdict().items()
            },
            "p_holm": float(p_holm),
        }
        for reader, result, p_holm in zip(readers, results, adjusted, strict=True)
    ]


def _agreement(readings: Readings, level: float) -> dict[str, Any]:
    agreement = {}
    names = readings.readers
    ids = readings.cases["patient_id"].astype(str).to_numpy()

    def agreed(kappa: Callable[..., Agreement], calls: NDArray) -> dict[str, Any]:
        """On the cases that all of these readers have read."""
        both, said = _read_by_all(*calls)
        result = kappa(said, patient_ids=ids[both], level=level)
        return {"cases": int(both.sum()), **result._asdict()}

    for condition in readings.conditions:
        calls = readings.calls[condition]
        pairs = [
            {
                "readers": [names[a], names[b]],
                **agreed(
                    lambda said, **rest: cohen_kappa(*said, **rest), calls[[a, b]]
                ),
            }
            for a, b in itertools.combinations(range(len(names)), 2)
        ]
        every = agreed(fleiss_kappa, calls) if len(names) > 1 else None
        agreement[condition] = {"pairs": pairs, "all": every}
    return agreement


def _graded(readings: Readings, level: float) -> list[dict[str, Any]]:
    """Coefficients beside kappa: of calls AC1, of grades those that know distance."""
    names = readings.readers
    rows: list[dict[str, Any]] = []
    if len(names) < 2:
        return rows
    ids = readings.cases["patient_id"].astype(str).to_numpy()
    options: dict[str, Any] = {"patient_ids": ids, "level": level}
    # Of the whole study, so that its conditions have the same grades.
    values = np.unique(list((readings.scores or {}).values()))
    values = values[~np.isnan(values)]
    for condition in readings.conditions:
        parts = [
            (
                "all",
                "AC1 of calls",
                gwet_agreement(
                    readings.calls[condition], grades_possible=(0, 1), **options
                ),
            )
        ]
        if readings.scores is not None:
            grades = readings.scores[condition]
            few = len(values) <= GRADES
            for a, b in itertools.combinations(range(len(names)), 2) if few else ():
                who = f"{names[a]} and {names[b]}"
                kappa = weighted_kappa(grades[a], grades[b], **options)
                parts.append((who, "weighted kappa", kappa))
            if few:
                ac2 = gwet_agreement(
                    grades, weights="quadratic", grades_possible=values, **options
                )
                parts.append(("all", "AC2 of grades", ac2))
            parts.append(("all", "ICC", intraclass_correlation(grades, level=level)))
        rows += [
            {"condition": condition, "readers": who, "figure": figure, **x._asdict()}
            for who, figure, x in parts
        ]
    return rows


def _reclassified(readings: Readings, level: float) -> list[dict[str, Any]]:
    """Each reader's net reclassification by clinical data."""
    if len(readings.conditions) < 2:
        return []
    labels = readings.cases["label"].to_numpy()
    ids = readings.cases["patient_id"].to_numpy()
    rows = []
    pairs = zip(readings.calls["without"], readings.calls["with"], strict=True)
    for name, calls in zip(readings.readers, pairs, strict=True):
        both, (before, after) = _read_by_all(*calls)
        if len(np.unique(labels[both])) == 2:
            result = reclassification(
                labels[both], before, after, patient_ids=ids[both], level=level
            )
            rows.append({"reader": name, **result._asdict()})
    return rows


def agreements(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of readers, and how they agree in a condition: each pair, then all."""
    for pair in part["pairs"]:
        yield " and ".join(pair["readers"]), pair
    if part["all"] is not None:
        yield "all", part["all"]
