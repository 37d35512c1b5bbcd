"""The model sheet: what whoever uses an exported model must know, beside the graph.

It holds counts and measures, no patient.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

import usgland
from usgland.config import Config
from usgland.files import write_json
from usgland.serving.interface.versions import MODEL_SHEET

ROLES = ("train", "val", "test")
MEASURES = ("roc_auc", "sensitivity", "specificity")  # on test patients


def make_sheet(
    config: Config,
    rows: pd.DataFrame,
    threshold: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What is known of a run's model.

    The rows are its images, with patient_id, role, label and synthetic; the threshold
    is the operating point, as `threshold.json` holds it; the metrics are metrics.json.

    Returns:
        inputs; operating_point: probability, and how it was chosen; form: one dict a
        column, with column, kind, role, words, unit, low and high; trained_on: source,
        synthetic, and patients, images and malignant_patients by role; test: patients,
        images, and the measures of `MEASURES` per patient, with value, low, high and
        level; None where it was never scored.
    """
    form = config.clinical.used() if config.model.inputs != "image" else {}
    source = config.data.manifest
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "usgland": usgland.__version__,
        "tensorflow": tf.__version__,
        "inputs": config.model.inputs,
        "labels": ["benign", "malignant"],
        "operating_point": {
            "probability": float(threshold["threshold"]),
            "rule": _rule(threshold),
        },
        "form": [
            {
                "column": name,
                "kind": column.kind,
                "role": column.role,
                "words": column.choices(),
                "unit": column.unit,
                "low": column.low,
                "high": column.high,
            }
            for name, column in form.items()
        ],
        "trained_on": {
            # A path may tell more than anybody wants to publish: the name must do.
            "source": "phantoms" if source is None else source.resolve().parent.name,
            "synthetic": bool((rows["synthetic"] == "1").any()),
            "patients": _counts(rows.drop_duplicates("patient_id")),
            "images": _counts(rows),
            "malignant_patients": _counts(
                rows[rows["label"] == 1].drop_duplicates("patient_id")
            ),
        },
        "test": None if metrics is None else _test(metrics),
    }


def write_sheet(version: Path, sheet: Mapping[str, Any]) -> None:
    """Writes it into the folder of a version."""
    path = version / MODEL_SHEET
    path.parent.mkdir(exist_ok=True)
    write_json(path, dict(sheet))


def _rule(threshold: Mapping[str, Any]) -> str:
    """How the operating point was chosen, in words."""
    method = threshold.get("method")
    rules = {
        "youden": "largest sensitivity + specificity - 1 (Youden)",
        "half": "fixed at one half",
        "sensitivity": f"sensitivity of at least {threshold.get('target')}",
        "specificity": f"specificity of at least {threshold.get('target')}",
        "cost": f"least cost, a missed cancer counting {threshold.get('cost_ratio')} "
        "false alarms",
    }
    rule = rules.get(str(method), "unknown")
    if method == "half":
        return rule
    # The word for images that networks had not learned from.
    word = "out-of-fold" if threshold.get("role") == "out_of_fold" else "validation"
    return (
        f"{rule}, on {threshold.get('n_images')} {word} images of "
        f"{threshold.get('n_patients')} patients"
    )


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {role: int((rows["role"] == role).sum()) for role in ROLES}


def _test(metrics: Mapping[str, Any]) -> dict[str, Any]:
    patient, level = metrics["patient"], metrics["confidence_level"]
    sheet = {"patients": patient["n"], "images": metrics["image"]["n"]}
    for name in MEASURES:
        measure = patient["figures"][name]
        bounds = {key: measure.get(key) for key in ("value", "low", "high")}
        sheet[name] = {**bounds, "level": level}
    return sheet
