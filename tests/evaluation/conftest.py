"""A finished run with predictions drawn from known distributions; no network."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from usgland.config import Config, EvaluationSettings, dump_config


@pytest.fixture
def settings():
    """Few resamples: what is tested is not the width of the intervals."""
    return EvaluationSettings(bootstrap_resamples=40, seed=3)


@pytest.fixture
def predictions():
    """Images of 30 patients of the roles val and test, one to four a patient."""
    rng = np.random.default_rng(0)
    records = []
    for patient in range(30):
        label = patient % 2
        role = "val" if patient < 10 else "test"
        for image in range(1 + patient % 4):
            logit = rng.normal(1.4 * label - 0.7, 1.5)
            name = f"p{patient}_{image}.png"
            records.append((name, f"p{patient}", role, label, expit(logit), logit))
    columns = ["image", "patient_id", "role", "label", "probability", "logit"]
    return pd.DataFrame(records, columns=columns)


@pytest.fixture
def history():
    """Three epochs, counted from 0, as training writes them."""
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "loss": [0.7, 0.5, 0.4],
            "val_loss": [0.7, 0.6, 0.62],
            "accuracy": [0.5, 0.7, 0.9],
            "val_accuracy": [0.5, 0.6, 0.65],
        }
    )


@pytest.fixture
def run(tmp_path, settings, predictions, history, monkeypatch):
    """A run directory as `fit` and `predict` leave it, of phantoms."""
    monkeypatch.setattr("usgland.evaluation.figures.DPI", 40)  # for speed
    folder = tmp_path / "run"
    folder.mkdir()
    config = Config(evaluation=settings)
    (folder / "config.yaml").write_text(dump_config(config))
    predictions.to_csv(folder / "predictions.csv", index=False)
    history.to_csv(folder / "history.csv", index=False)
    (folder / "threshold.json").write_text(json.dumps({"threshold": 0.45}))
    environment = {
        "synthetic": True,
        "training_seconds": 61.5,
        "seconds_per_image": 0.0061,
        "model_bytes": 2_912_345,
        "parameters": 722_497,
        "kept_epoch": 1,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder
