"""The model that readers are held against: its cases, its calls, what they rest on."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import have_phantoms, patient_predictions
from usgland.evaluation.cases.thresholds import Thresholds, apply_threshold


class ModelCases(NamedTuple):
    """A model's predictions of one role."""

    # `image` and `patient` -> one row a case: `case`, `patient_id`, `label`,
    # `probability`, `prediction` (0 or 1).
    by_unit: dict[str, pd.DataFrame]
    source: Path  # the file
    role: str
    threshold: str  # P(malignant) from which a case is called malignant, in words
    synthetic: bool  # whether the images are phantoms


def model_cases(
    rows: pd.DataFrame,
    thresholds: Thresholds,
    *,
    source: Path,
    role: str,
    synthetic: bool,
) -> ModelCases:
    """Calls each image and each patient at the model's operating point.

    A case may not stand twice. That the images are phantoms, a column `synthetic` of
    "1" says as well.
    """
    patients = patient_predictions(rows)
    by_unit = {
        "image": rows.assign(case=rows["image"]),
        "patient": patients.assign(case=patients["patient_id"]),
    }
    for unit, cases in by_unit.items():
        again = cases["case"][cases["case"].duplicated()]
        if not again.empty:
            raise UserError(
                f"{source}: expected each {unit} once to hold against readers. "
                f"Received: {again.iloc[0]} in several folds"
            )
        applied = apply_threshold(cases, thresholds)
        columns = ["case", "patient_id", "label", "probability", "prediction"]
        by_unit[unit] = applied[columns].reset_index(drop=True)
    synthetic |= have_phantoms(rows)
    value = thresholds.value
    words = "one a fold" if isinstance(value, dict) else f"{value:.4f}"
    return ModelCases(by_unit, source, role, words, synthetic)
