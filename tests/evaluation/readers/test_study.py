import csv
import io
import json

import docx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console
from scipy.stats import beta, norm, t
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from usgland.cli.main import cli
from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.readers.readings import read_readers
from usgland.evaluation.readers.study import study_readers
from usgland.evaluation.readers.study_tables import study_document, study_title
from usgland.evaluation.shown.terminal import show
from usgland.evaluation.statistics import bootstrap
from usgland.steps.readers import make_reader_study


def study_markdown(study):
    return study_document(study).markdown()


FAST = EvaluationSettings(bootstrap_resamples=30, seed=1)
# Of Tables 3 and 5 of the paper: malignant and benign cases called right, of 20 each;
# then accuracy as printed there, F1 as printed there, and which F1 that is.
PAPER = [
    ("doctor 1", "without", 17, 6, 0.575, 0.540, "f1_macro"),
    ("doctor 2", "without", 14, 12, 0.650, 0.649, "f1_macro"),
    ("doctor 3", "without", 15, 15, 0.750, 0.750, "f1"),
    ("doctor 2", "with", 16, 12, 0.700, 0.727, "f1"),
    ("doctor 3", "with", 18, 15, 0.825, 0.824, "f1_macro"),
]


@pytest.fixture
def paper_calls(tmp_path):
    """Calls that give the paper's counts: the pairing is ours."""
    counts = {(name, clinical): (m, b) for name, clinical, m, b, *_ in PAPER}
    counts["doctor 1", "with"] = (13, 12)
    rows = []
    for (reader, clinical), (malignant, benign) in counts.items():
        calls = [1] * malignant + [0] * (20 - malignant) + [0] * benign
        calls += [1] * (20 - benign)
        rows += [
            (reader, f"p{case}", clinical, call, int(case < 20))
            for case, call in enumerate(calls)
        ]
    columns = ["reader", "patient_id", "clinical", "call", "label"]
    path = tmp_path / "paper.csv"
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


@pytest.fixture
def calls_on_run(run, tmp_path):
    """Three readers' grades on the test patients of the run, 1 to 5."""
    rows = pd.read_csv(run / "predictions.csv")
    rows = rows[rows["role"] == "test"].drop_duplicates("patient_id")
    random = np.random.default_rng(5)
    tables = []
    for reader in ("r1", "r2", "r3"):
        for clinical in ("without", "with"):
            grade = 2 + 1.5 * rows["label"] + random.normal(0, 1, len(rows))
            tables.append(
                rows[["patient_id"]].assign(
                    reader=reader,
                    clinical=clinical,
                    score=grade.round().clip(1, 5).astype(int),
                )
            )
    path = tmp_path / "calls.csv"
    pd.concat(tables).to_csv(path, index=False)
    return path


@pytest.fixture
def study(run, calls_on_run):
    return make_reader_study(
        calls_on_run, predictions=run, settings=FAST, malignant_from=3, docx=True
    )[0]


def row_of(study, condition, name):
    (row,) = (one for one in study["tables"][condition] if one["name"] == name)
    return row


@pytest.mark.parametrize(
    ("name", "clinical", "m", "b", "accuracy", "f1", "kind"), PAPER
)
def test_tables_3_and_5_come_out_of_their_counts(
    paper_calls, name, clinical, m, b, accuracy, f1, kind
):
    study = study_readers(read_readers(paper_calls), None, FAST)
    measures = row_of(study, clinical, name)["figures"]
    assert measures["sensitivity"]["value"] == pytest.approx(m / 20)
    assert measures["specificity"]["value"] == pytest.approx(b / 20)
    assert measures["accuracy"]["value"] == pytest.approx(accuracy, abs=1e-9)
    assert measures[kind]["value"] == pytest.approx(f1, abs=6e-4)
    # The "AUC" of the paper's Figure 4, 0.5750 for doctor 1.
    assert measures["balanced_accuracy"]["value"] == pytest.approx(accuracy)


def test_f1_is_that_of_scikit_learn(run, study, calls_on_run):
    calls = pd.read_csv(calls_on_run).query("reader == 'r2' and clinical == 'with'")
    labels = pd.read_csv(run / "predictions.csv").drop_duplicates("patient_id")
    labels = labels.set_index("patient_id")["label"][calls["patient_id"]].to_numpy()
    measures = row_of(study, "with", "r2")["figures"]
    said = (calls["score"] >= 3).astype(int)
    assert measures["f1"]["value"] == pytest.approx(f1_score(labels, said))
    macro = f1_score(labels, said, average="macro")
    assert measures["f1_macro"]["value"] == pytest.approx(macro)


def test_the_interval_of_a_share_is_wilsons(paper_calls):
    """Wilson's formula by hand, 17 of 20."""
    study = study_readers(read_readers(paper_calls), None, FAST)
    found = row_of(study, "without", "doctor 1")["figures"]["sensitivity"]
    n, share, z = 20, 0.85, 1.959963984540054
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * 0.15 / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert [found["low"], found["high"]] == pytest.approx(
        [middle - half, middle + half]
    )


def test_readers_without_a_model_are_compared_with_themselves(paper_calls):
    study = study_readers(read_readers(paper_calls), None, FAST)
    assert study["model"] is None
    assert {test["question"] for test in study["tests"]} == {
        "with against without clinical data"
    }
    assert [row["name"] for row in study["tables"]["with"]] == [
        "doctor 1",
        "doctor 2",
        "doctor 3",
    ]
    # Calls alone have no curve; what one point has is named for what it is.
    assert "roc_auc" not in study["averages"]
    assert 'its "AUC" is the balanced accuracy' in study_markdown(study)
    assert not study["synthetic"]


def test_a_reader_against_himself_changes_by_what_the_counts_say(paper_calls):
    study = study_readers(read_readers(paper_calls), None, FAST)
    (test,) = (
        one
        for one in study["tests"]
        if one["reader"] == "doctor 1" and one["figure"] == "specificity"
    )
    # 12 of 20 with, 6 of 20 without, the six among the twelve: 2 * 0.5 ** 6.
    assert (test["only_a"], test["only_b"]) == (6, 0)
    assert test["p_value"] == pytest.approx(2 * 0.5**6)
    # The other two did not change: their P is 1, and Holm multiplies the least by 3.
    assert test["p_holm"] == pytest.approx(6 * 0.5**6)


def test_a_study_against_a_run_holds_all_parts(study):
    assert study["synthetic"]
    assert study["unit"] == study["model"]["unit"] == "patient"
    assert list(study["averages"]) == [
        "roc_auc",
        "balanced_accuracy",
        "sensitivity",
        "specificity",
    ]
    for part in study["averages"].values():
        assert "with clinical data against the model" in part
        assert "with against without clinical data" in part
    assert len(study["agreement"]["with"]["pairs"]) == 3
    assert len(study["tests"]) == 3 * 3 * 3


def test_another_unit_is_compared_unpaired_and_said_so(run, calls_on_run):
    study, written = make_reader_study(
        calls_on_run,
        predictions=run,
        settings=FAST,
        malignant_from=3,
        unit="image",
    )
    tests = [test for test in study["tests"] if "the model" in test["question"]]
    assert {test["method"] for test in tests} == {
        "z, clustered by patient, unpaired; interval: normal, likewise"
    }
    assert all(test["n_a"] < test["n_b"] for test in tests)
    assert "UNPAIRED: readers judged patients, the model images" in study_markdown(
        study
    )
    assert "model" not in study["averages"]["roc_auc"]
    assert written[-1].name == "readers.json"


def test_files_say_what_is_undefined_and_mark_what_is_synthetic(
    run, calls_on_run, study
):
    folder = run / "readers"
    assert sorted(path.name for path in folder.iterdir()) == [
        "readers.csv",
        "readers.docx",
        "readers.json",
        "readers.md",
        "readers.png",
        "readers_overview.png",
    ]
    stored = json.loads((folder / "readers.json").read_text())
    assert "Infinity" not in (folder / "readers.json").read_text()
    assert stored["readers"] == ["r1", "r2", "r3"]
    word = docx.Document(str(folder / "readers.docx"))
    assert word.paragraphs[0].text.startswith("SYNTHETIC DATA")
    assert [row.cells[0].text for row in word.tables[0].rows] == [
        *("Reader", "r1", "r2", "r3", "Model"),
    ]
    text = (folder / "readers.md").read_text()
    assert text.startswith("**SYNTHETIC DATA")
    assert study_title(study) in text
    rows = list(csv.DictReader(io.StringIO(study_document(study).csv())))
    assert {row["synthetic"] for row in rows} == {"true"}
    assert {row["part"] for row in rows} == {
        "figures",
        "tests",
        "agreement",
        "average reader",
    }
    assert "nan" not in study_document(study).csv()
    # What was read back from JSON prints the same.
    assert study_markdown(stored) == text


def test_an_earlier_study_is_not_overwritten(run, calls_on_run, study):
    with pytest.raises(
        UserError, match="study. Received: .*readers.json, which exists. Add"
    ):
        make_reader_study(calls_on_run, predictions=run, malignant_from=3)


def test_options_of_a_model_need_one(paper_calls):
    with pytest.raises(UserError, match="--unit and --threshold: expected only beside"):
        make_reader_study(paper_calls, predictions=None, unit="image")


@pytest.mark.parametrize("name", ["r1", "a senior radiologist of ours"])
def test_the_terminal_shows_whole_words_and_numbers_in_80_columns(
    run, calls_on_run, name
):
    rows = pd.read_csv(calls_on_run).replace({"reader": {"r1": name}})
    rows.to_csv(calls_on_run, index=False)
    study, _ = make_reader_study(
        calls_on_run, predictions=run, settings=FAST, malignant_from=3
    )
    console = Console(width=80, record=True, file=io.StringIO())
    show(study_document(study), console)
    text = console.export_text()
    assert "SYNTHETIC" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for row in study["tables"]["without"]:
        macro = row["figures"]["f1_macro"]
        assert f"{macro['low']:.2f}-{macro['high']:.2f}" in text
    for test in study["tests"]:
        assert f"{test['p_holm']:.3f}"[:5] in text or test["p_holm"] < 0.001
    for word in ("Sensitivity", "Specificity", "Difference", "Average reader: ROC AUC"):
        assert word in text


def test_the_command_prints_and_writes(run, calls_on_run, paper_calls, tmp_path):
    command = ["readers", str(calls_on_run), "--predictions", str(run)]
    done = CliRunner().invoke(cli, [*command, "--malignant-from", "3"])
    assert done.exit_code == 0, done.output
    (line,) = (row for row in done.output.splitlines() if row.startswith("Wrote"))
    assert line.startswith(f"Wrote {run / 'readers'}: readers.png, ")
    assert line.endswith(", readers.md, readers.csv, readers.json")
    again = CliRunner().invoke(cli, [*command, "--malignant-from", "3"])
    assert again.exit_code == 1
    assert "Add --overwrite" in again.output
    alone = CliRunner().invoke(cli, ["readers", str(paper_calls)])
    assert alone.exit_code == 0, alone.output
    assert "Nothing was written; add --output DIR" in alone.output
    # One condition and one reader: a smaller study, no error.
    rows = pd.read_csv(paper_calls).query("reader == 'doctor 1' and clinical == 'with'")
    rows.to_csv(tmp_path / "one.csv", index=False)
    output = str(tmp_path / "out")
    one = CliRunner().invoke(
        cli, ["readers", str(tmp_path / "one.csv"), "--output", output]
    )
    assert one.exit_code == 0, one.output
    assert "one reader says nothing of other readers" in one.output


def test_dropped_cases_are_listed_and_leave_the_model_paired(run, calls_on_run):
    rows = pd.read_csv(calls_on_run)
    left_out = rows["patient_id"][0]
    rows.iloc[1:].to_csv(calls_on_run, index=False)
    with pytest.raises(UserError, match=f"none on {left_out}. Add the calls, or"):
        make_reader_study(calls_on_run, predictions=run, malignant_from=3)
    study, _ = make_reader_study(
        calls_on_run,
        predictions=run,
        settings=FAST,
        malignant_from=3,
        skipped="drop-case",
    )
    assert study["dropped"] == [left_out]
    assert study["n"] == study["model"]["n"] == 19
    assert f"as a reader skipped them: {left_out}" in study_markdown(study)


def wilson(right, cases, z):
    share = right / cases
    middle = (share + z**2 / (2 * cases)) / (1 + z**2 / cases)
    half = z / (1 + z**2 / cases)
    half *= (share * (1 - share) / cases + z**2 / (4 * cases**2)) ** 0.5
    return middle - half, middle + half


def test_a_level_of_90_is_that_of_every_table_and_every_test(paper_calls):
    readings = read_readers(paper_calls)
    at_90 = study_readers(
        readings, None, FAST.model_copy(update={"confidence_level": 0.9})
    )
    at_95 = study_readers(readings, None, FAST)
    z = norm.ppf(0.95)
    # Of shares Wilson's by hand: 17 of 20.
    share = row_of(at_90, "without", "doctor 1")["figures"]["sensitivity"]
    assert [share["low"], share["high"]] == pytest.approx(wilson(17, 20, z))
    # Of other measures the bootstrap's, narrower than at 95%.
    for condition in ("without", "with"):
        for row in at_90["tables"][condition]:
            for name, measure in row["figures"].items():
                wide = row_of(at_95, condition, row["name"])["figures"][name]
                assert wide["low"] <= measure["low"] < measure["high"] <= wide["high"]
                assert (wide["low"], wide["high"]) != (measure["low"], measure["high"])
    # Of tests Newcombe's by hand: 12 of 20 with, 6 of 20 without, 6 in both.
    (test,) = (
        one
        for one in at_90["tests"]
        if one["reader"] == "doctor 1" and one["figure"] == "specificity"
    )
    (a_low, a_high), (b_low, b_high) = wilson(12, 20, z), wilson(6, 20, z)
    phi = (6 * 8 - 0 * 6 - 20 / 2) / (12 * 8 * 6 * 14) ** 0.5
    below, above = (0.6 - a_low, b_high - 0.3), (a_high - 0.6, 0.3 - b_low)
    reach = [(x**2 - 2 * phi * x * y + y**2) ** 0.5 for x, y in (below, above)]
    assert [test["low"], test["high"]] == pytest.approx(
        [0.3 - reach[0], 0.3 + reach[1]]
    )
    for one, wide in zip(at_90["tests"], at_95["tests"], strict=True):
        assert wide["low"] < one["low"] <= one["high"] < wide["high"]
    # Of kappa the normal's; of the average reader t with its degrees of freedom.
    for pair in at_90["agreement"]["with"]["pairs"]:
        half = z * pair["standard_error"]
        assert pair["low"] == pytest.approx(max(-1, pair["kappa"] - half))
    mean = at_90["averages"]["sensitivity"]["means"]["without"][0]
    half = t.ppf(0.95, mean["degrees_of_freedom"]) * mean["standard_error"]
    assert mean["low"] == pytest.approx(mean["value"] - half)


def test_readers_get_the_intervals_that_the_settings_ask_for(paper_calls):
    changes = {"proportion_interval": "clopper_pearson", "bootstrap": "bca"}
    study = study_readers(
        read_readers(paper_calls), None, FAST.model_copy(update=changes)
    )
    measures = row_of(study, "without", "doctor 1")["figures"]
    assert measures["sensitivity"]["method"] == "Clopper-Pearson"
    assert measures["sensitivity"]["low"] == pytest.approx(beta.ppf(0.025, 17, 4))
    assert (
        measures["f1"]["method"] == "BCa bootstrap over patients, 30 resamples, seed 1"
    )


def test_a_measure_without_an_interval_says_why(paper_calls):
    rows = pd.read_csv(paper_calls).assign(call=lambda one: one["label"])
    rows.to_csv(paper_calls, index=False)
    study = study_readers(read_readers(paper_calls), None, FAST)
    found = row_of(study, "with", "doctor 1")["figures"]["f1"]
    assert found["value"] == 1
    assert found["reason"] == "the same value without each patient"
    assert "No interval: the same value without each patient." in study_markdown(study)
    rows = list(csv.DictReader(io.StringIO(study_document(study).csv())))
    assert f"none: {found['reason']}" in {row["method"] for row in rows}


def test_images_of_one_patient_are_kept_together_and_it_is_said_where(run, tmp_path):
    rows = pd.read_csv(run / "predictions.csv").query("role == 'test'")
    said = np.random.default_rng(0).integers(0, 2, len(rows))
    calls = pd.DataFrame({"reader": "r1", "image": rows["image"], "call": said})
    calls.to_csv(tmp_path / "images.csv", index=False)
    study, _ = make_reader_study(
        tmp_path / "images.csv", predictions=run, settings=FAST
    )
    measures = row_of(study, "without", "r1")["figures"].values()
    known = ("Wilson, clustered by patient", "jackknife over patients")
    assert all(one["method"].startswith(known) for one in measures)
    assert all(one["method"].startswith("swaps within p") for one in study["tests"])
    text = study_markdown(study)
    assert "averages and kappa keep a patient's images together" in text
    assert "; two-sided." in text and "swaps within patients, paired" in text
    assert "McNemar" not in text


def test_patients_are_drawn_once_for_all_readers_and_once_for_the_model(
    run, calls_on_run, monkeypatch
):
    draws = []
    resample = bootstrap.resample_patients

    def counted(patients, resamples, seed):
        draws.append(patients)
        return resample(patients, resamples, seed)

    monkeypatch.setattr(bootstrap, "resample_patients", counted)
    drawn = FAST.model_copy(update={"bootstrap": "bca"})
    make_reader_study(calls_on_run, predictions=run, settings=drawn, malignant_from=3)
    assert draws == [20, 20]


@pytest.fixture
def unbalanced(tmp_path):
    """Four readers, 40 patients, of whom each reads two thirds, in both conditions."""
    random, rows = np.random.default_rng(4), []
    for reader in "ABCD":
        for clinical in ("without", "with"):
            for case in range(40):
                if random.uniform() < 2 / 3:
                    score = 2 + 2 * (case % 2) + random.integers(-1, 2)
                    rows.append((reader, f"p{case:02}", clinical, case % 2, score))
    columns = ["reader", "patient_id", "clinical", "label", "score"]
    rows = pd.DataFrame(rows, columns=columns)
    path = tmp_path / "unbalanced.csv"
    rows.to_csv(path, index=False)
    return path, rows.assign(call=(rows["score"] >= 3).astype(int))


def test_readers_of_different_cases_are_each_measured_and_compared_on_theirs(
    unbalanced,
):
    path, rows = unbalanced
    readings = read_readers(path, malignant_from=3, skipped="own-cases")
    study = study_readers(readings, None, FAST)
    own = rows[(rows["reader"] == "B") & (rows["clinical"] == "with")]
    right = (own["call"] == own["label"])[own["label"] == 1]
    row = row_of(study, "with", "B")
    assert row["n"] == len(own)
    assert row["figures"]["sensitivity"]["value"] == pytest.approx(right.mean())
    # Both conditions, on the cases that B read in both.
    both = own.merge(
        rows[(rows["reader"] == "B") & (rows["clinical"] == "without")],
        on=["patient_id", "label"],
    )
    (test,) = (
        x for x in study["tests"] if x["reader"] == "B" and x["figure"] == "accuracy"
    )
    assert test["n_a"] == len(both)
    only = (both["call_x"] == both["label"]) & (both["call_y"] != both["label"])
    assert test["only_a"] == only.sum()
    # Two readers, on the cases that both read.
    other = rows[(rows["reader"] == "A") & (rows["clinical"] == "with")]
    pair = other.merge(own, on="patient_id")
    kappa = study["agreement"]["with"]["pairs"][0]
    assert kappa["cases"] == len(pair)
    assert kappa["kappa"] == pytest.approx(
        cohen_kappa_score(pair["call_x"], pair["call_y"])
    )
    # The average of what each reader reached on their cases.
    areas = [
        roc_auc_score(part["label"], part["score"])
        for _, part in rows[rows["clinical"] == "with"].groupby("reader")
    ]
    mean = study["averages"]["roc_auc"]["means"]["with"][0]
    assert mean["value"] == pytest.approx(np.mean(areas))
    text = study_markdown(study)
    assert "Readers read different cases" in text and "| Cases |" in text


def test_readers_who_share_no_case_have_no_kappa_and_unpaired_tests(tmp_path):
    # A reads the first half without and the second with; B the other way round.
    rows = [
        (
            reader,
            f"p{case}",
            "with" if (case < 20) == (reader == "B") else "without",
            case % 2,
            int((case + shift) % 3 > 0),
        )
        for reader, shift in (("A", 0), ("B", 1))
        for case in range(40)
    ]
    columns = ["reader", "patient_id", "clinical", "label", "call"]
    path = tmp_path / "halves.csv"
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    study, _ = make_reader_study(
        path, skipped="own-cases", settings=FAST, predictions=None
    )
    assert {test["method"] for test in study["tests"]} == {
        "Fisher, exact, unpaired; interval: Newcombe, unpaired"
    }
    kappa = study["agreement"]["with"]["pairs"][0]
    assert kappa["reason"] == "no case that all have read"
    assert "10 and 10" in study_markdown(study)
    difference = study["averages"]["sensitivity"]
    assert difference["components"]["covariance_same_modality"] == 0


def test_the_command_shows_reading_time_and_learning(paper_calls):
    rows = pd.read_csv(paper_calls)
    random = np.random.default_rng(2)
    rows["seconds"] = random.gamma(4, 6, len(rows)).round(1)
    rows["order"] = np.tile(np.arange(1, 41), 6)
    rows.to_csv(paper_calls, index=False)
    result = CliRunner().invoke(cli, ["readers", str(paper_calls)])
    assert result.exit_code == 0, result.output
    for words in ("Reading time", "with less without", "Learning and time", "twice"):
        assert words in result.output


def test_readers_who_were_aided_otherwise_are_not_said_to_have_had_the_form(
    paper_calls,
):
    before = study_markdown(make_reader_study(paper_calls, predictions=None)[0])
    assert "`aided`" not in before
    text = paper_calls.read_text().replace("clinical", "aided", 1)
    paper_calls.write_text(text)
    after = study_markdown(make_reader_study(paper_calls, predictions=None)[0])
    assert "The file says `aided`: read `clinical data` as the aid" in after
