"""The model that readers are held against: its cases, its calls, what they rest on."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import patient_predictions, read_predictions
from usgland.evaluation.cases.thresholds import apply_threshold, read_thresholds
from usgland.files import read_json
from usgland.runs import ENVIRONMENT, PREDICTIONS, THRESHOLD


class ModelCases(NamedTuple):
    """A model's predictions of one role.

    Attributes:
        by_unit: `image` and `patient` -> one row a case: `case`, `patient_id`,
            `label`, `probability`, `prediction` (0 or 1).
        source: The file.
        role: Of the rows.
        threshold: P(malignant) from which a case is called malignant, in words.
        synthetic: Whether the images are phantoms.
    """

    by_unit: dict[str, pd.DataFrame]
    source: Path
    role: str
    threshold: str
    synthetic: bool


def read_model_cases(
    path: Path, *, role: str = "test", threshold: float | None = None
) -> ModelCases:
    """Reads a run's predictions, or a CSV of predictions.

    Args:
        path: A run directory, or a CSV as `read_predictions` reads it.
        role: Which rows: train, val or test.
        threshold: For a CSV that has no threshold.json beside it.

    Raises:
        UserError: If a file is missing or damaged, there is no row of that role, a
            case stands twice, or no operating point is known.
    """
    source = path / PREDICTIONS if path.is_dir() else path
    rows = read_predictions(source)
    roles = sorted(set(rows["role"]))
    rows = rows[rows["role"] == role].reset_index(drop=True)
    if rows.empty:
        raise UserError(
            f"{source}: expected rows of the role {role}. Received: only "
            f"{', '.join(roles)}. Choose with --role"
        )
    thresholds = _thresholds(source, threshold)
    by_unit = {
        "image": rows.assign(case=rows["image"]),
        "patient": patient_predictions(rows).assign(case=lambda one: one["patient_id"]),
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
    synthetic = "synthetic" in rows and bool((rows["synthetic"] == "1").any())
    synthetic |= _made_of_phantoms(source.parent / ENVIRONMENT)
    return ModelCases(by_unit, source, role, _words(thresholds), synthetic)


def _thresholds(source: Path, threshold: float | None) -> dict:
    beside = source.parent / THRESHOLD
    if threshold is not None:
        if beside.exists():
            raise UserError(
                f"--threshold: expected only where the predictions have none. "
                f"Received: {threshold}, and {beside}; leave it out"
            )
        if not 0 < threshold < 1:
            raise UserError(f"--threshold: expected in (0, 1). Received: {threshold}")
        return {"threshold": threshold}
    if not beside.exists():
        raise UserError(
            f"{source}: expected {THRESHOLD} beside it, the model's operating point. "
            "Received: none. Give the threshold that validation chose with --threshold"
        )
    return read_thresholds(beside)


def _words(thresholds: dict) -> str:
    if "folds" in thresholds:
        return "one a fold"
    return f"{thresholds['threshold']:.4f}"


def _made_of_phantoms(path: Path) -> bool:
    if not path.exists():
        return False
    environment = read_json(path)
    synthetic = environment.get("synthetic") if isinstance(environment, dict) else None
    if not isinstance(synthetic, bool):
        raise UserError(
            f"{path}: expected `synthetic`: true or false, so that no phantom passes "
            f"for a patient. Received: {synthetic!r}"
        )
    return synthetic
