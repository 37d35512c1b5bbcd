"""A reader study as tables, for who has no run: `study_readers` laid out in rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.predictions import check_role, complete_predictions
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.readers.model_beside import model_cases
from usgland.evaluation.readers.readings import Readings
from usgland.evaluation.readers.study import MEASURES, agreements, study_readers
from usgland.evaluation.statistics.scores import check_between_0_and_1

# Columns of the tables of `ReaderStudy`.
OF_MEASURES = ("value", "low", "high", "method", "reason")
OF_TESTS = ("question", "figure", "reader", "a", "b", "difference", "low", "high")
OF_TESTS_P = ("p_value", "p_holm", "method", "reason")
OF_AGREEMENT = ("kappa", "low", "high", "agreement", "malignant", "method", "reason")
OF_AVERAGES = ("scope", "value", "low", "high", "p_value", "reason")


class ReaderStudy(NamedTuple):
    """What the calls of readers tell, in four tables.

    Attributes:
        measures: One row a condition, reader (the model last) and measure: value,
            low, high, method, reason.
        tests: One row a question, measure and reader: a, b, difference, low, high,
            p_value, p_holm (adjusted over the readers), method, reason.
        agreement: One row a condition and pair of readers, and one of all: kappa, low,
            high, agreement (share of equal calls), malignant (share of such calls),
            method, reason.
        averages: One row a question, measure and scope (whether readers and cases are
            random): value, low, high, p_value, reason.
    """

    measures: pd.DataFrame
    tests: pd.DataFrame
    agreement: pd.DataFrame
    averages: pd.DataFrame

    def __repr__(self) -> str:
        rows = (f"{len(getattr(self, name))} of {name}" for name in self._fields)
        return f"ReaderStudy(rows: {', '.join(rows)})"


def reader_study(
    readings: Readings,
    model: pd.DataFrame | None = None,
    *,
    threshold: float = 0.5,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> ReaderStudy:
    """Readers with and without clinical data, among themselves and against a model.

    Args:
        readings: As `read_readers` gives them.
        model: Predictions of the same cases, of one role, as `read_predictions` gives
            them, or a table of one's own with image or patient_id (what a case is),
            label and probability; None for the readers alone.
        threshold: P(malignant) from which the model calls a case malignant.
        level: Confidence level in (0, 1).
        resamples: How often patients are drawn.
        seed: Of the draw.

    Returns:
        Four tables; those of one condition and no model have no tests.

    Raises:
        ValueError: If the model lacks a case, or has another label of it.

    Reference:
        As `measures`, `mcnemar_test`, `cohen_kappa`, `fleiss_kappa` and `mrmc`.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rows = pd.DataFrame({
        ...     "reader": ["A"] * 8 + ["B"] * 8, "patient_id": list("pqrstuvw") * 2,
        ...     "label": [0, 0, 0, 0, 1, 1, 1, 1] * 2,
        ...     "call": [0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1],
        ... })
        >>> rows.to_csv("readers.csv", index=False)
        >>> study = ev.reader_study(ev.read_readers("readers.csv"))
        >>> study
        ReaderStudy(rows: 12 of measures, 0 of tests, 2 of agreement, 9 of averages)
        >>> study.agreement[["readers", "kappa", "agreement"]].round(3)
           readers  kappa  agreement
        0  A and B    0.5       0.75
        1      all    0.5       0.75
    """
    check_between_0_and_1(level=level)
    settings = EvaluationSettings(
        confidence_level=level, bootstrap_resamples=resamples, seed=seed
    )
    against = None
    if model is not None:
        # Cases by patient need no image; each row is one then.
        rows = model if "image" in model else model.assign(image=range(len(model)))
        rows = complete_predictions(rows)
        # As the readers' table has them, in which 7 is text.
        rows = rows.astype({"image": str, "patient_id": str})
        against = model_cases(
            rows,
            Thresholds.at(threshold),
            source=Path("model"),
            role=check_role(rows),
            synthetic=False,
        )
        _check_model(readings, against.by_unit[readings.unit])
    study = study_readers(readings, against, settings)
    return ReaderStudy(
        pd.DataFrame(
            {"condition": condition, "reader": row["name"], "measure": name}
            | {key: row["figures"][name][key] for key in OF_MEASURES}
            for condition, table in study["tables"].items()
            for row in table
            for name in MEASURES
        ),
        pd.DataFrame(study["tests"], columns=[*OF_TESTS, *OF_TESTS_P]).rename(
            columns={"figure": "measure"}
        ),
        pd.DataFrame(
            {"condition": condition, "readers": names}
            | {key: agreement[key] for key in OF_AGREEMENT}
            for condition, part in study["agreement"].items()
            for names, agreement in agreements(part)
        ),
        pd.DataFrame(
            {"question": question, "measure": name}
            | {key: estimate[key] for key in OF_AVERAGES}
            for name, averages in study["averages"].items()
            for question, estimates in _questions(averages)
            for estimate in estimates
        ),
    )


def _check_model(readings: Readings, cases: pd.DataFrame) -> None:
    """Whether the model has the readers' cases, with their labels."""
    labels = cases.set_index("case")["label"]
    missing = sorted(set(readings.cases["case"]) - set(labels.index))
    if missing:
        raise ValueError(
            f"`model` must have the {readings.unit}s that readers read. Received: none "
            f"named {missing[0]!r}"
        )
    read = readings.cases.set_index("case")["label"]
    apart = read.index[read != labels[read.index]]
    if len(apart):
        raise ValueError(
            "`model` must have the labels that the readers' table has. Received: "
            f"another of {apart[0]!r}"
        )


def _questions(
    averages: dict[str, Any],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The estimates of a measure, by what they answer."""
    for condition, estimates in averages["means"].items():
        yield f"{condition} clinical data", estimates
    yield from ((key, part) for key, part in averages.items() if isinstance(part, list))
