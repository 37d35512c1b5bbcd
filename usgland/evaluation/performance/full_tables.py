"""Tables of `evaluate --full`: parts of the ROC curve, calibration in subgroups."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.special import expit

from usgland.config import EvaluationSettings
from usgland.evaluation.performance.measures import Unit
from usgland.evaluation.performance.subgroup_models import (
    CALIBRATION,
    subgroup_calibration,
)
from usgland.evaluation.shown import text
from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.statistics.roc_regions import partial_auc, sensitivity_at

SPECIFICITIES = (0.9, 0.95)
REGIONS = {
    "sensitivity_at": (sensitivity_at, "Sensitivity at a specificity of {:g}"),
    "partial_auc": (partial_auc, "Partial AUC, specificity {:g} or more"),
}
HEADS = ("slope", "in the large", "observed / expected")


def regions_document(
    units: Mapping[str, Unit], settings: EvaluationSettings, *, synthetic: bool
) -> Document:
    """What high specificities leave, a column a unit."""
    records: list[dict[str, Any]] = []
    lines = []
    drawn = {"resamples": settings.bootstrap_resamples, "seed": settings.seed}
    for name, (measure, words) in REGIONS.items():
        for specificity in SPECIFICITIES:
            made = [
                measure(
                    unit.rows["label"],
                    unit.rows["logit"],
                    specificity=specificity,
                    patient_ids=unit.rows["patient_id"].astype(str),
                    level=settings.confidence_level,
                    **(drawn if measure is sensitivity_at else {}),
                ).record()
                for unit in units.values()
            ]
            lines.append((words.format(specificity), *map(text.format_measure, made)))
            records += [
                {"unit": unit, "figure": name, "specificity": specificity} | result
                for unit, result in zip(units, made, strict=True)
            ]
    note = (
        "The partial AUC is standardized: 1 is the best, 0.5 that of chance. How "
        "intervals are made stands in the CSV."
    )
    heads = ("", *(f"per {unit}" for unit in units))
    title = "Where the specificity is high"
    columns = ("unit", "figure", "specificity", "value", "low", "high", "method")
    return Document(
        (Table(heads, (rows(lines),), title, (note,)),),
        synthetic,
        columns=columns,
        records=tuple(records),
    )


def group_calibration_document(
    predictions: pd.DataFrame,
    columns: Mapping[str, Sequence[float]],
    settings: EvaluationSettings,
    *,
    synthetic: bool,
) -> Document:
    """Calibration in the groups of each column, of all rows.

    `predictions` have label, logit, patient_id and the columns, each with its cuts.
    """
    tables, records = [], []
    for column, cuts in columns.items():
        table = subgroup_calibration(
            predictions["label"],
            expit(predictions["logit"]),
            predictions[column],
            cuts=cuts,
            patient_ids=predictions["patient_id"].astype(str),
            level=settings.confidence_level,
        )
        lines = []
        for group, own in table.groupby("group", sort=False):
            cells: dict[str, dict[str, Any]] = {
                str(row["measure"]): {str(name): row[name] for name in own.columns}
                for row in own.to_dict("records")
            }
            measured = [text.format_measure(cells[name]) for name in CALIBRATION]
            size = f"{own['n'].iloc[0]} ({own['malignant'].iloc[0]})"
            lines.append((str(group), size, *measured))
        tests = table.drop_duplicates("measure").set_index("measure")["p_interaction"]
        shown = (
            f"{words} P {text.format_p(tests[name])}"
            for name, words in zip(CALIBRATION, HEADS, strict=True)
            if tests[name] == tests[name]
        )
        note = f"Do the groups differ: {'; '.join(shown) or 'no test'}. A patient's "
        note += "rows are kept together."
        heads = ("", "n (malignant)", *HEADS)
        title = f"Calibration by {column}"
        tables.append(Table(heads, (rows(lines),), title, (note,)))
        records += [{"column": column} | row for row in table.to_dict("records")]
    names = ("column", "group", "measure", "n", "malignant", "value", "low", "high")
    return Document(
        tuple(tables),
        synthetic,
        columns=(*names, "p_interaction", "reason"),
        records=tuple(records),
    )
