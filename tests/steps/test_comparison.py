"""`usgland compare`: files in, tables out, and what it refuses."""

import json

import docx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.special import expit
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from usgland.cli.main import cli
from usgland.evaluation.statistics.auc_tests import delong_test
from usgland.evaluation.statistics.share_tests import mcnemar_test


def call(*arguments, code=0):
    done = CliRunner().invoke(cli, ["compare", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout if code == 0 else done.stderr.strip()


def table_of(seed, patients=40, images=2, folds=False, shift=1.0):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), images)
    label = patient % 2
    logit = shift * label + rng.normal(size=len(patient))
    return pd.DataFrame(
        {
            "image": [f"{n}.png" for n in range(len(patient))],
            "patient_id": [f"P{n}" for n in patient],
            "role": "test",
            "fold": (patient // 2 % 4 if folds else ""),
            "label": label,
            "probability": expit(logit),
            "logit": logit,
            "synthetic": "0",
        }
    )


def write_run(folder, table, threshold=0.5):
    folder.mkdir()
    table.to_csv(folder / "predictions.csv", index=False)
    if threshold is not None:
        (folder / "threshold.json").write_text(json.dumps({"threshold": threshold}))
    return folder


@pytest.fixture
def runs(tmp_path):
    return [write_run(tmp_path / f"run{n}", table_of(n, shift=n)) for n in (1, 2, 3)]


def test_every_pair_is_compared_and_adjusted_together(runs, tmp_path):
    stdout = call(*runs, "--output", tmp_path / "out", "--docx")
    word = docx.Document(str(tmp_path / "out" / "comparison.docx"))
    assert len(word.tables) == 6  # three pairs, per image and per patient
    heads, auc, *_ = word.tables[0].rows
    assert [cell.text for cell in heads.cells][1:] == ["a", "b", "a - b", "P", "Holm"]
    assert auc.cells[0].text == "ROC AUC"
    assert max(map(len, stdout.splitlines()[:-4])) <= 80
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
    rows = stored["patient"]["pairs"]
    assert {(row["a"], row["b"]) for row in rows} == {
        ("run1", "run2"),
        ("run1", "run3"),
        ("run2", "run3"),
    }
    assert len(rows) == 3 * 4
    smallest = min(row["p_value"] for row in rows)
    assert min(row["holm"] for row in rows) == pytest.approx(
        min(1, smallest * len(rows))
    )
    first, second = table_of(1, shift=1), table_of(2, shift=2)
    labels = first.groupby("patient_id")["label"].max()
    means = [t.groupby("patient_id")["logit"].mean() for t in (first, second)]
    first = rows[0]
    assert first["value_a"] == pytest.approx(roc_auc_score(labels, means[0]))
    expected = delong_test(labels, *means)
    assert first["p_value"] == pytest.approx(expected.p_value)
    right = [(expit(m) >= 0.5) == labels for m in means]
    only = [(right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()]
    accuracy = next(row for row in rows if row["figure"] == "accuracy")
    assert accuracy["p_value"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    image = stored["image"]["pairs"][0]
    assert "clustered by patient" in image["method"]
    assert "swaps within patients" in stored["image"]["pairs"][1]["method"]
    written = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert len(written) == 24
    assert "| Sensitivity |" in (tmp_path / "out" / "comparison.md").read_text()


def test_a_reference_a_margin_and_a_unit_can_be_chosen(runs):
    stdout = call(*runs, "--reference", "run1", "--margin", 0.1, "--unit", "patient")
    assert "a = run2, b = run1" in stdout and "a = run3, b = run1" in stdout
    assert "a = run3, b = run2" not in stdout and "Per image, n" not in stdout
    assert "Non-inferiority of a by a margin of 0.1 in ROC AUC: shown" in stdout
    assert "Non-inferiority of a by a margin of 0.1 in Sensitivity: " in stdout


def test_a_permutation_can_take_the_place_of_delong(runs):
    assert "permutation within patients" in call(*runs[:2], "--test", "permutation")


def test_the_level_is_that_of_the_runs_or_the_one_asked_for(runs, tmp_path):
    def level_of(*arguments):
        call(*arguments, "--output", tmp_path / "out", "--overwrite")
        stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
        auc = stored["patient"]["pairs"][0]
        z = (auc["high"] - auc["low"]) / 2 / auc["standard_error"]
        assert stored["level"] == pytest.approx(norm.cdf(z) - norm.cdf(-z))
        return stored["level"]

    assert level_of(*runs) == 0.95
    settings = [run / "config.yaml" for run in runs]
    for path in settings[:2]:
        path.write_text("evaluation: {confidence_level: 0.9}")
    assert level_of(*runs[:2]) == 0.9
    assert level_of(runs[0], runs[2] / "predictions.csv") == 0.9
    settings[1].write_text("evaluation: {confidence_level: 0.8}")
    assert level_of(*runs[:2], "--level", 0.99) == 0.99
    line = call(*runs[:2], code=1)
    assert "Expected runs of one evaluation.confidence_level" in line
    assert "0.9 in " in line and "0.8 in " in line and line.endswith("with --level")
    assert "\n" not in line


def test_without_thresholds_only_the_auc_is_compared(tmp_path):
    paths = []
    for number in (1, 2):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        paths.append(folder / "model.csv")
        table_of(number).to_csv(paths[-1], index=False)
    stdout = call(*paths)
    assert "a = 1/model, b = 2/model" in stdout
    assert "Sensitivity" not in stdout


def test_folds_get_their_own_test(tmp_path):
    runs = [
        write_run(tmp_path / f"cv{n}", table_of(n, folds=True, shift=n), None)
        for n in (1, 2)
    ]
    assert "Over 4 folds the mean AUC difference is" in call(*runs)


def test_other_patients_are_compared_unpaired_on_demand_alone(tmp_path):
    run = write_run(tmp_path / "a", table_of(1))
    other = write_run(tmp_path / "b", table_of(2, patients=42))
    line = call(run, other, code=1)
    assert "Expected the same images in a and b" in line
    assert "80.png, 81.png, 82.png, 83.png only in the second" in line
    stdout = call(run, other, "--unpaired")
    assert "UNPAIRED" in stdout and "unpaired: the cases differ" in stdout
    stdout = " ".join(stdout.split())
    assert "Fisher, exact, unpaired; interval: Newcombe, unpaired" in stdout
    # Fisher's test would take the two images of a patient for two patients.
    assert "z, clustered by patient, unpaired" in stdout
    assert "n = 80 (40 benign, 40 malignant); b = b" in stdout
    assert "40 patient ids are in a and b, taken for different" in stdout


def test_synthetic_predictions_are_marked(tmp_path):
    runs = [
        write_run(tmp_path / f"r{n}", table_of(n).assign(synthetic="1")) for n in (1, 2)
    ]
    assert "SYNTHETIC" in call(*runs)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.assign(label=0), "expected benign and malignant cases. Received"),
        (lambda t: t.assign(label=""), "expected a label, 0 or 1, in every row"),
        (lambda t: pd.concat([t, t.head(1)]), "expected each image once"),
        (lambda t: t.assign(probability=1.5), "expected a number in [0, 1]"),
        (lambda t: t.assign(probability=np.nan), "expected a number in [0, 1]"),
        (lambda t: t.assign(role="val"), "expected rows of the role test. Received"),
        (lambda t: t.assign(label=1 - t["label"]), "Expected one label of each image"),
        (lambda t: t.drop(columns="logit"), "Received a file without logit"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path, change, expected):
    good = write_run(tmp_path / "good", table_of(1))
    bad = write_run(tmp_path / "bad", change(table_of(2)))
    line = call(good, bad, "--output", tmp_path / "out", code=1)
    assert expected in line and "\n" not in line
    assert not (tmp_path / "out").exists()


def test_runs_that_are_not_there_or_not_evaluated_are_named(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "Expected a run that was evaluated" in call(
        runs[0], tmp_path / "empty", code=1
    )
    assert "no file at" in call(runs[0], tmp_path / "missing.csv", code=1)
    assert "Expected two runs or CSV files" in call(runs[0], code=1)
    assert "Expected different models" in call(runs[0], runs[0], code=1)
    assert "--reference: expected one of run1, run2" in call(
        *runs[:2], "--reference", "run9", code=1
    )


def test_a_comparison_is_not_overwritten_unless_told(runs, tmp_path):
    out = tmp_path / "out"
    call(*runs, "--output", out)
    assert "Expected no earlier comparison" in call(*runs, "--output", out, code=1)
    call(*runs, "--output", out, "--overwrite")


def test_the_interval_of_paired_shares_is_that_of_newcombe():
    """Cavo et al. 2012: 59, 6, 16, 80; bounds as CRAN's contingencytables prints."""
    counts = (59, 6, 16, 80)
    right_a, right_b = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
    test = mcnemar_test(np.ones(161, int), right_a, right_b, measure="sensitivity")
    assert test.difference == pytest.approx(-0.0621, abs=5e-5)
    assert (test.low, test.high) == pytest.approx((-0.1186, -0.0046), abs=5e-5)


def test_rounds_of_cross_validation_are_paired_by_fold_and_add_no_patients(tmp_path):
    once, twice = [], []
    for number in (1, 2):
        table = table_of(number, folds=True, shift=number)
        again = table.assign(fold=table["fold"] + 4)
        once.append(write_run(tmp_path / f"once{number}", table))
        both = pd.concat([table, again.sample(frac=1, random_state=0)])
        twice.append(write_run(tmp_path / f"twice{number}", both))
    stored = []
    for name, runs in (("one", once), ("two", twice)):
        stdout = call(*runs, "--output", tmp_path / name)
        stored.append(json.loads((tmp_path / name / "comparison.json").read_text()))
    assert "each in 2 rounds" in " ".join(stdout.split())
    for unit in ("image", "patient"):
        of_once, of_twice = (each[unit]["pairs"] for each in stored)
        cases = stored[1][unit]["cases"]["twice1"]
        assert (cases["n"], cases["rounds"]) == (80 if unit == "image" else 40, 2)
        for first, second in zip(of_once, of_twice, strict=True):
            # The same answers a second time: no smaller P.
            assert second["difference"] == pytest.approx(first["difference"])
            assert second["p_value"] == pytest.approx(first["p_value"], rel=1e-6)
        assert of_twice[0]["folds"]["folds"] == 8
    line = call(once[0], twice[1], code=1)
    assert "0.png in fold 4" in line and "only in the second" in line


def test_folds_of_one_class_are_left_out_and_counted(tmp_path):
    tables = [table_of(n, folds=True) for n in (1, 2)]
    for table in tables:
        table["fold"] = np.where(table["label"] + table["fold"] == 1, 9, table["fold"])
    fold = tables[0].groupby("fold")["label"].nunique()
    runs = [write_run(tmp_path / f"r{n}", table) for n, table in enumerate(tables)]
    left_out = (fold < 2).sum()
    assert left_out > 0
    assert f"({left_out} left out: one class only)" in call(*runs)
    for run, table in zip(runs, tables, strict=True):
        table.assign(fold=table["label"]).to_csv(run / "predictions.csv", index=False)
    assert "No test over folds: 0 of 2 have both classes" in call(*runs)


def test_runs_whose_names_have_dots_are_told_apart(tmp_path):
    runs = [write_run(tmp_path / f"squeeze-1.{n}", table_of(n)) for n in (0, 1)]
    assert "a = squeeze-1.0, b = squeeze-1.1" in " ".join(call(*runs).split())
