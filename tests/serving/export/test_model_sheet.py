"""What is said of a model beside its graph: right, whole, and no patient in it."""

import datetime
import json

import pandas as pd
import pytest

from usgland.config import load_config
from usgland.serving.export.model_sheet import make_sheet, write_sheet

YOUDEN = {"threshold": 0.42, "method": "youden", "n_images": 3, "n_patients": 2}
FIGURE = {"value": 0.8, "low": 0.7, "high": 0.9, "method": "DeLong", "reason": ""}
METRICS = {
    "confidence_level": 0.95,
    "image": {"n": 2},
    "patient": {
        "n": 1,
        "figures": {
            "roc_auc": FIGURE,
            "sensitivity": FIGURE,
            "specificity": {**FIGURE, "value": float("nan")},
        },
    },
}


@pytest.fixture
def rows():
    """Five patients, Mueller twice in train and Meier twice in val and test."""
    return pd.DataFrame(
        {
            "patient_id": ["Mueller", "Mueller", "Huber", "Meier", "Meier", "Wolf"],
            "image": [f"{i}.png" for i in range(6)],
            "image_path": [f"/clinic/{i}.png" for i in range(6)],
            "role": ["train", "train", "train", "val", "val", "test"],
            "label": [1, 1, 0, 1, 1, 0],
            "synthetic": "0",
        }
    )


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "clinic" / "manifest.csv"
    path.parent.mkdir()
    path.touch()
    return path


def settings(*changes):
    return load_config(None, ("model.weights=null", *changes))


def test_the_sheet_counts_patients_by_role(rows, manifest):
    config = settings(f"data.manifest={manifest}")
    sheet = make_sheet(config, rows, YOUDEN, None)
    trained = sheet["trained_on"]
    assert trained["patients"] == {"train": 2, "val": 1, "test": 1}
    assert trained["images"] == {"train": 3, "val": 2, "test": 1}
    assert trained["malignant_patients"] == {"train": 1, "val": 1, "test": 0}
    assert trained["source"] == "clinic"
    assert trained["synthetic"] is False
    assert sheet["test"] is None
    assert sheet["form"] == []
    assert sheet["labels"] == ["benign", "malignant"]
    created = datetime.datetime.fromisoformat(sheet["created"])
    assert created.tzinfo is not None


def test_phantoms_are_said_to_be_synthetic(rows):
    sheet = make_sheet(settings(), rows.assign(synthetic="1"), YOUDEN, None)
    assert sheet["trained_on"]["synthetic"] is True
    assert sheet["trained_on"]["source"] == "phantoms"


def test_no_patient_image_or_path_is_in_it(rows, manifest, tmp_path):
    config = settings(f"data.manifest={manifest}", "model.inputs=both")
    text = json.dumps(make_sheet(config, rows, YOUDEN, METRICS))
    for secret in ("Mueller", "Huber", "0.png", str(tmp_path)):
        assert secret not in text


def test_the_form_is_that_of_the_schema(rows):
    form = make_sheet(settings("model.inputs=both"), rows, YOUDEN, None)["form"]
    assert len(form) == 14  # Table 4 of the paper
    columns = {column["column"]: column for column in form}
    assert columns["age_years"] == {
        "column": "age_years",
        "kind": "number",
        "role": "demographic",
        "words": [],
        "unit": "years",
        "low": 1.0,
        "high": 110.0,
    }
    assert columns["smoking"]["words"] == ["yes", "no"]
    assert columns["shape"]["words"] == ["round", "not round"]
    assert columns["shape"]["role"] == "image_read"


@pytest.mark.parametrize(
    ("threshold", "rule"),
    [
        (
            YOUDEN,
            "largest sensitivity + specificity - 1 (Youden), on 3 validation images of "
            "2 patients",
        ),
        (
            {**YOUDEN, "role": "out_of_fold"},
            "largest sensitivity + specificity - 1 (Youden), on 3 out-of-fold images "
            "of 2 patients",
        ),
        ({**YOUDEN, "method": "half"}, "fixed at one half"),
        (
            {**YOUDEN, "method": "sensitivity", "target": 0.95},
            "sensitivity of at least 0.95, on 3 validation images of 2 patients",
        ),
        (
            {**YOUDEN, "method": "cost", "cost_ratio": 10.0},
            "least cost, a missed cancer counting 10.0 false alarms, on 3 validation "
            "images of 2 patients",
        ),
    ],
)
def test_the_operating_point_comes_with_its_rule(rows, threshold, rule):
    point = make_sheet(settings(), rows, threshold, None)["operating_point"]
    assert point == {"probability": 0.42, "rule": rule}


def test_what_is_written_has_the_figures_of_test_patients(rows, tmp_path):
    sheet = make_sheet(settings(), rows, YOUDEN, METRICS)
    write_sheet(tmp_path, {"name": "mine", "version": 3, **sheet})
    text = (tmp_path / "assets.extra" / "usgland.json").read_text()
    read = json.loads(text)
    assert (read["name"], read["version"]) == ("mine", 3)
    auc = {"value": 0.8, "low": 0.7, "high": 0.9, "level": 0.95}
    assert read["test"]["roc_auc"] == auc
    assert read["test"]["patients"] == 1
    # Undefined: null, which JSON has, and not NaN, which it has not.
    assert read["test"]["specificity"]["value"] is None
    assert "NaN" not in text
