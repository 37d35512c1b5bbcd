"""`usgland evaluate` and `compare` of tables that no run wrote."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.special import expit
from sklearn.metrics import confusion_matrix, roc_auc_score

from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_scored
from usgland.evaluation.statistics.auc_tests import delong_test
from usgland.evaluation.statistics.intervals import clustered_proportion


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(40), 2)
    labels = ids % 2
    own = np.repeat(rng.normal(size=40), 2)
    probabilities = expit(2.0 * labels - 1 + own + rng.normal(size=80))
    return pd.DataFrame(
        {"patient_id": ids, "label": labels, "probability": probabilities.round(4)}
    )


def call(*arguments, code=0):
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def evaluated(path, tmp_path, *arguments):
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    call("evaluate", path, "--output", out, *arguments)
    return json.loads((out / "metrics.json").read_text()), out


def test_a_table_needs_labels_and_probabilities_only(rows, tmp_path):
    path = tmp_path / "any.csv"
    rows[["label", "probability"]].to_csv(path, index=False)
    metrics, out = evaluated(path, tmp_path, "--threshold", "0.4")
    part = metrics["image"]
    assert part["confusion"] == (
        confusion_matrix(rows["label"], rows["probability"] >= 0.4).tolist()
    )
    area = roc_auc_score(rows["label"], rows["probability"])
    assert part["figures"]["roc_auc"]["value"] == pytest.approx(area)
    assert part["figures"]["sensitivity"]["method"] == "Wilson"
    assert metrics["threshold"] == 0.4
    files = {file.name for file in out.iterdir()}
    assert {"roc.png", "metrics.md", "calibration.csv", "decision_curve.png"} <= files
    text = call("evaluate", path)
    assert "Every row counts as a patient." in text
    assert "No --threshold was given: 0.5" in text
    assert "no earlier evaluation" in call("evaluate", path, "--output", out, code=1)


def test_what_is_assumed_of_a_table_is_said(rows, tmp_path):
    path = tmp_path / "any.csv"
    rows.to_csv(path, index=False)
    text = call("evaluate", path)
    assert "per image, n = 80" in text and "both labels" not in text
    rows.loc[[0, 3], "label"] = 1 - rows.loc[[0, 3], "label"]
    rows.loc[[4, 5, 6], "probability"] = [0.0, 1.0, 1.0]
    rows.to_csv(path, index=False)
    text = call("evaluate", path)
    assert "Patients with rows of both labels: 2. Per patient they count as" in text
    assert "Probabilities of 0 or 1: 3." in text
    assert "1e-06 from there" in text


def test_rows_that_are_patients_have_one_column(rows, tmp_path):
    path = tmp_path / "any.csv"
    rows[::2].to_csv(path, index=False)
    text = call("evaluate", path, "--full")
    assert "per patient, n = 40" in text
    assert "40 patients, one row each." in text
    assert "per image" not in text and "both units" not in text


def test_full_tables_have_parts_of_the_curve_and_calibration_of_groups(rows, tmp_path):
    path, out = tmp_path / "any.csv", tmp_path / "out"
    rows = rows.assign(size=[str(n % 7 + 0.5).replace(".", ",") for n in range(80)])
    rows.to_csv(path, index=False)
    text = call("evaluate", path, "--full", "--subgroup", "size:3", "--output", out)
    assert "ICI, of a" in text and "Where the specificity is high" in text
    written = (out / "roc_regions.md").read_text()
    assert "| Sensitivity at a specificity of 0.95 |" in written
    assert "Calibration by size" in text
    table = pd.read_csv(out / "roc_regions.csv")
    row = table[(table["figure"] == "partial_auc") & (table["specificity"] == 0.9)]
    by_image = row.set_index("unit").loc["image"]
    area = roc_auc_score(rows["label"], rows["probability"], max_fpr=0.1)
    assert by_image["value"] == pytest.approx(area)
    assert by_image["low"] < area < by_image["high"]
    groups = pd.read_csv(out / "subgroup_calibration.csv")
    large = groups[groups["measure"] == "observed_over_expected"].set_index("group")
    assert large["n"].sum() == 80
    first = rows[[float(size.replace(",", ".")) < 3 for size in rows["size"]]]
    ratio = first["label"].sum() / first["probability"].sum()
    assert large["value"].iloc[0] == pytest.approx(ratio)


def test_every_way_to_write_it_says_the_same(rows, tmp_path):
    words = rows.assign(label=rows["label"].map({0: "Benign", 1: "malignant"}))
    paths = [tmp_path / name for name in ("a.csv", "b.csv", "c.xlsx")]
    rows.to_csv(paths[0], index=False)
    words.to_csv(paths[1], index=False, sep=";", decimal=",")
    words.to_excel(paths[2], index=False)
    first, *others = (evaluated(path, tmp_path)[0] for path in paths)
    assert all(other == first for other in others)
    assert first["patient"]["n"] == 40
    right = rows["probability"][rows["label"] == 1] >= 0.5
    bounds = clustered_proportion(right, rows["patient_id"][rows["label"] == 1])
    assert first["image"]["figures"]["sensitivity"]["low"] == pytest.approx(bounds.low)


def test_calls_are_one_operating_point_without_calibration(rows, tmp_path):
    path = tmp_path / "calls.csv"
    rows["probability"] = (rows["probability"] >= 0.5).astype(int)
    rows.to_csv(path, index=False)
    metrics, out = evaluated(path, tmp_path)
    figures = metrics["image"]["figures"]
    assert figures["roc_auc"]["value"] == pytest.approx(
        figures["balanced_accuracy"]["value"]
    )
    assert metrics["calibration"] == {} and metrics["decision_curve"] == []
    assert not (out / "calibration.md").exists()
    text = call("evaluate", path, "--full")
    assert "The table holds calls" in text
    # Not true of patients: of a mean of several calls there are several thresholds.
    assert "A patient's probability is made of several calls" in text
    rows.drop_duplicates("patient_id").to_csv(path, index=False)
    assert "several calls" not in call("evaluate", path)
    # A patient is called as most of its images are; at a tie malignant.
    majority = rows.groupby("patient_id")["probability"].mean() >= 0.5
    labels = rows.groupby("patient_id")["label"].max()
    assert metrics["patient"]["confusion"] == (
        confusion_matrix(labels, majority).tolist()
    )


def test_a_column_of_the_table_makes_subgroups(rows, tmp_path):
    path = tmp_path / "any.csv"
    rows.assign(device=rows["patient_id"] % 3).to_csv(path, index=False)
    text = call("evaluate", path, "--subgroup", "device")
    assert "By device, per patient" in text
    text = call("evaluate", path, "--subgroup", "devise", code=1)
    assert "`devise` (the nearest is `device`)" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="label"), "expected the column `label`"),
        (lambda rows: rows.assign(probability=1.2), r"a number in \[0, 1\]"),
        (lambda rows: rows.assign(label="maybe"), "0 .benign. or 1 .malignant."),
        (lambda rows: rows.assign(patient_id=""), "`patient_id`: expected a value"),
        (lambda rows: rows[:0], "one row a case. Received: no rows"),
    ],
)
def test_what_cannot_be_scored_is_named(rows, tmp_path, change, message):
    path = tmp_path / "any.csv"
    change(rows).to_csv(path, index=False)
    with pytest.raises(UserError, match=message):
        read_scored(path)


def test_one_label_is_nothing_to_score(rows, tmp_path):
    path = tmp_path / "any.csv"
    rows[rows["label"] == 1].to_csv(path, index=False)
    assert "expected benign and malignant cases. Received: 40 of label 1" in (
        call("evaluate", path, code=1)
    )


def test_options_of_a_run_and_of_a_table_are_told_apart(rows, tmp_path):
    path = tmp_path / "any.csv"
    rows.to_csv(path, index=False)
    text = call("evaluate", path, "--manifest", path, code=2)
    assert "Expected no --manifest" in text
    text = call("evaluate", tmp_path, "--threshold", "0.3", code=2)
    assert "Expected --threshold and --output only of a CSV" in text
    assert "no file at" in call("evaluate", tmp_path / "none.csv", code=1)
    assert "Expected a run directory" in call("evaluate", tmp_path, code=1)


def test_tables_are_compared_by_their_rows(rows, tmp_path):
    other = rows.assign(probability=rows["probability"].to_numpy()[::-1].copy())
    columns = ["label", "probability"]
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, table in zip(paths, (rows, other), strict=True):
        table[columns].to_csv(path, index=False)
    call("compare", *paths, "--threshold", "0.5", "--output", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    expected = delong_test(rows["label"], rows["probability"], other["probability"])
    assert set(table["unit"]) == {"patient"}  # the two tables would be one
    area = table[table["figure"] == "roc_auc"].iloc[0]
    assert area["p_value"] == pytest.approx(expected.p_value)
    assert "sensitivity" in set(table["figure"])


def test_what_a_comparison_assumed_and_left_out_is_said(rows, tmp_path):
    rows["patient_id"] = rows["patient_id"].astype(str)
    calls = rows.assign(probability=(rows["probability"] >= 0.5).astype(int))
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, table in zip(paths, (rows, calls), strict=True):
        table[["patient_id", "label", "probability"]].to_csv(path, index=False)
    text = call("compare", *paths)
    assert "b: calls, no probabilities. The AUC of one operating point" in text
    assert "accuracy need --threshold" in text
    assert "the first row of each table is taken for the same case" in text
    assert "Every row counts" not in text
    for path, table in zip(paths, (rows, calls), strict=True):
        images = [f"{number}.png" for number in range(80)]
        table.drop(columns="patient_id").assign(image=images).to_csv(path, index=False)
    text = call("compare", *paths, "--threshold", "0.5")
    assert "Every row counts as a patient" in text and "the first row" not in text
    assert "need --threshold" not in text and "Per image" not in text


def test_a_column_of_patients_that_is_not_read_is_refused(rows, tmp_path):
    # As if each row were a patient: intervals far too narrow, said in the last line.
    path = tmp_path / "any.csv"
    rows.rename(columns={"patient_id": "Patient ID"}).to_csv(path, index=False)
    match = "expected the column patient_id so written. Received: 'Patient ID'"
    assert match in call("evaluate", path, code=1)
    other = tmp_path / "other.csv"
    rows.to_csv(other, index=False)
    assert match in call("compare", other, path, code=1)
    readers = rows.assign(reader="A", call=rows["label"], image=rows.index)
    readers = readers.rename(columns={"patient_id": "PatientId"})
    readers.to_csv(path, index=False)
    assert "Received: 'PatientId'; rename it" in call("readers", path, code=1)
