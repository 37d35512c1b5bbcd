import json

import pandas as pd
import pytest

from usgland.errors import UserError
from usgland.steps.readers import read_model_cases


def test_a_run_gives_its_images_and_patients_at_its_operating_point(run):
    model = read_model_cases(run)
    rows = pd.read_csv(run / "predictions.csv")
    rows = rows[rows["role"] == "test"]
    images, patients = model.by_unit["image"], model.by_unit["patient"]
    assert images["case"].tolist() == rows["image"].tolist()
    assert images["prediction"].tolist() == (rows["probability"] >= 0.45).tolist()
    assert sorted(patients["case"]) == sorted(set(rows["patient_id"]))
    assert model.threshold == "0.4500"
    assert model.synthetic


def test_a_csv_alone_needs_its_threshold(run, tmp_path):
    path = tmp_path / "alone.csv"
    path.write_bytes((run / "predictions.csv").read_bytes())
    with pytest.raises(UserError, match="threshold.json beside it.* with --threshold"):
        read_model_cases(path)
    assert read_model_cases(path, threshold=0.3).threshold == "0.3000"
    assert not read_model_cases(path, threshold=0.3).synthetic
    with pytest.raises(UserError, match=r"--threshold: expected in \(0, 1\)"):
        read_model_cases(path, threshold=1.3)
    with pytest.raises(UserError, match="leave it out"):
        read_model_cases(run, threshold=0.3)


def test_a_column_of_phantoms_marks_them(run, tmp_path):
    path = tmp_path / "alone.csv"
    pd.read_csv(run / "predictions.csv").assign(synthetic=1).to_csv(path, index=False)
    assert read_model_cases(path, threshold=0.3).synthetic


def test_a_role_that_is_not_there_is_named(run):
    with pytest.raises(UserError, match="of the role train. Received: only test, val"):
        read_model_cases(run, role="train")


def test_a_case_in_several_folds_is_named(run):
    rows = pd.read_csv(run / "predictions.csv")
    pd.concat([rows.assign(fold=0), rows.assign(fold=1)]).to_csv(
        run / "predictions.csv", index=False
    )
    point = {"threshold": 0.5}
    folds = {"folds": {"0": point, "1": point}}
    (run / "threshold.json").write_text(json.dumps(folds))
    with pytest.raises(UserError, match="expected each image once .* in several folds"):
        read_model_cases(run)


def test_thresholds_by_fold_are_named_so(run):
    rows = pd.read_csv(run / "predictions.csv").assign(fold=0)
    rows.to_csv(run / "predictions.csv", index=False)
    folds = {"folds": {"0": {"threshold": 0.5}}}
    (run / "threshold.json").write_text(json.dumps(folds))
    assert read_model_cases(run).threshold == "one a fold"


def test_a_run_must_say_whether_it_is_of_phantoms(run):
    (run / "environment.json").write_text("{}")
    with pytest.raises(UserError, match="expected `synthetic`: true or false"):
        read_model_cases(run)
