import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console

from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.evaluation.planning.model_size import sample_size_mrmc
from usgland.evaluation.planning.pilot_study import read_pilot
from usgland.evaluation.planning.power import sample_size_mcnemar
from usgland.evaluation.planning.questions import (
    Assumptions,
    sample_size_document,
    sample_size_rows,
)
from usgland.evaluation.planning.sample_size import (
    sample_size_auc,
    sample_size_proportion,
)
from usgland.evaluation.shown.terminal import show
from usgland.evaluation.statistics.mrmc import Components


def test_widths_are_always_answered_for_both_intervals():
    rows = sample_size_rows(Assumptions(sensitivity=0.8, prevalence=0.25))
    assert [row["method"] for row in rows] == [
        *("Wilson", "Clopper-Pearson") * 2,
        "Hanley-McNeil",
    ]
    cases = sample_size_proportion(0.8, 0.1, level=0.95, method="wilson")
    assert (rows[0]["malignant"], rows[0]["benign"]) == (cases, None)
    assert rows[0]["patients"] == 4 * cases
    assert rows[2]["malignant"] is None
    both = sample_size_auc(0.9, 0.1, prevalence=0.25)[:2]
    assert (rows[-1]["malignant"], rows[-1]["benign"]) == both


def test_models_that_err_independently_are_the_default():
    # 0.9 against 0.8: 0.9 * 0.2 and 0.8 * 0.1 of the cases.
    [row] = sample_size_rows(Assumptions(other_sensitivity=0.8))[5:]
    expected = sample_size_mcnemar(0.18, 0.08, alpha=0.05, power=0.8)
    assert (row["malignant"], row["method"]) == (expected, "McNemar, exact")
    study = Assumptions(other_sensitivity=0.8, discordant=0.1)
    [row] = sample_size_rows(study)[5:]
    assert row["malignant"] == sample_size_mcnemar(0.1, 0.0, alpha=0.05, power=0.8)


def test_a_margin_asks_for_non_inferiority():
    study = Assumptions(
        other_sensitivity=0.9, other_specificity=0.9, other_auc=0.9, margin=0.05
    )
    rows = sample_size_rows(study)[5:]
    assert [row["question"] for row in rows] == [
        "sensitivity 0.9 not below 0.9 by 0.05",
        "specificity 0.9 not below 0.9 by 0.05",
        "AUC 0.9 not below 0.9 by 0.05",
    ]


def test_the_table_says_what_it_assumes_in_80_columns():
    shown = io.StringIO()
    study = Assumptions(other_auc=0.85, other_specificity=0.8, prevalence=0.3)
    show(sample_size_document(study), Console(file=shown, width=80))
    text = shown.getvalue()
    for words in (
        "AUC 0.9 against 0.85",
        "Prevalence 0.3; intervals at 95%",
        "two-sided alpha 0.05; power 0.8",
        "as if both erred independently",
        "Correlation of the two AUC: 0.5",
        "One independent case a patient",
    ):
        assert words in text.replace("\n", " ").replace("  ", " "), words
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"power": 0.04}, r"--power: expected more than --alpha 0.05. Received: 0.04"),
        ({"other_auc": 0.9}, r"--other-auc: expected another .* --margin .*: 0.9"),
        ({"other_sensitivity": 0.9}, r"--other-sensitivity: expected another value"),
        (
            {"other_sensitivity": 0.8, "discordant": 0.05},
            r"share in \[0.1, 0.3\], as the sensitivity is 0.9 and 0.8. Received: 0.05",
        ),
        (
            {"other_auc": 0.97, "margin": 0.05},
            r"--margin: expected more than the auc that is lost, 0.07. Received: 0.05",
        ),
    ],
)
def test_assumptions_that_contradict_each_other_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        sample_size_rows(Assumptions(**changes))


def test_the_command_prints_the_table_and_refuses_nonsense():
    done = CliRunner().invoke(cli, ["samplesize", "--prevalence", "0.2"])
    assert done.exit_code == 0
    assert "Clopper-Pearson" in done.stdout
    done = CliRunner().invoke(cli, ["samplesize", "--auc", "0.4"])
    assert done.exit_code == 2
    for wrong in (
        ("--other-auc", "0.9"),
        ("--width", "1e-7"),
        ("--other-sensitivity", "0.89999"),
    ):
        done = CliRunner().invoke(cli, ["samplesize", *wrong])
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "option", ["auc", "width", "sensitivity", "prevalence", "level", "correlation"]
)
def test_nan_is_no_number_of_a_plan(option):
    done = CliRunner().invoke(cli, ["samplesize", f"--{option}", "nan"])
    assert done.exit_code == 2
    assert "expected a finite number. Received: nan" in done.stderr


@pytest.mark.parametrize("option", ["--margin", "--discordant"])
def test_a_margin_needs_what_is_compared_with(option):
    done = CliRunner().invoke(cli, ["samplesize", option, "0.1"])
    assert done.exit_code == 1
    assert f"{option}: expected --other-sensitivity" in done.stderr
    assert "Received: n" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "a", "b", "--margin", "nan"),
        ("compare", "a", "b", "--seed", "-1"),
        ("table1", "a.csv", "--seed", "-1"),
        ("readers", "a.csv", "--malignant-from", "nan"),
        ("readers", "a.csv", "--malignant-from", "inf"),
        ("evaluate", "run", "--prevalence", "nan"),
    ],
)
def test_options_that_are_no_numbers_are_refused_without_a_traceback(
    arguments, tmp_path
):
    if arguments[0] == "evaluate":
        (tmp_path / "config.yaml").write_text("")
        arguments = ("evaluate", str(tmp_path), *arguments[2:])
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert re.search("expected a finite number|is not in the range", done.stderr)


@pytest.mark.parametrize("option", [("--parameters", "3"), ("--validation",)])
def test_a_model_of_chance_has_no_size(option):
    done = CliRunner().invoke(cli, ["samplesize", "--auc", "0.5", *option])
    assert done.exit_code == 1
    assert "--auc: expected more than 0.5 with --parameters" in done.stderr
    assert "Received: 0.5" in done.stderr


def test_an_auc_near_1_is_not_shown_as_1():
    rows = sample_size_rows(Assumptions(auc=0.9999999))
    assert "AUC 0.9999999, interval" in rows[-1]["question"]


def test_help_shows_no_range_where_there_is_none():
    done = CliRunner().invoke(cli, ["readers", "--help"])
    assert "None" not in done.stdout
    assert "--threshold FLOAT" in done.stdout


def test_a_model_of_a_form_and_its_validation_are_asked_for():
    study = Assumptions(auc=0.85, prevalence=0.4, parameters=30, validation=True)
    made, shown = sample_size_rows(study)[-2:]
    assert made["question"] == "a model of 30 parameters, AUC 0.85"
    assert made["method"] == "Riley: optimism"
    assert made["malignant"] + made["benign"] == made["patients"]
    assert shown["method"] == "Riley: slope"


@pytest.fixture
def pilot(tmp_path):
    """A study of three readers, 40 cases, as `usgland readers` writes it."""
    random, rows = np.random.default_rng(3), []
    for reader in "ABC":
        for clinical in ("without", "with"):
            for case in range(40):
                score = case % 2 + random.normal() + 0.3 * (clinical == "with")
                rows.append((reader, case, clinical, case % 2, round(score, 2)))
    columns = ["reader", "patient_id", "clinical", "label", "score"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "calls.csv", index=False)
    command = ["readers", str(tmp_path / "calls.csv"), "--malignant-from", "0.5"]
    command += ["--output", str(tmp_path / "study")]
    assert CliRunner().invoke(cli, command).exit_code == 0
    return tmp_path / "study"


def test_a_reader_study_is_planned_from_the_files_of_a_pilot(pilot):
    command = ["samplesize", "--pilot", str(pilot), "--readers", "8"]
    result = CliRunner().invoke(cli, [*command, "--difference", "0.1"])
    assert result.exit_code == 0, result.output
    study = json.loads((pilot / "readers.json").read_text())
    parts = Components(**study["averages"]["roc_auc"]["components"])
    cases = sample_size_mrmc(0.1, 8, parts, 40, pilot_readers=3)
    assert re.search(rf"\b{cases:,}\b", result.output)
    assert "as 3 readers of 40 cases in the pilot" in " ".join(result.output.split())
    lacking = CliRunner().invoke(cli, command)
    assert "--difference: expected all three" in lacking.output


def test_a_pilot_that_tells_nothing_is_named(pilot, tmp_path):
    with pytest.raises(UserError, match="--pilot: expected readers.json .* no "):
        read_pilot(tmp_path / "nothing.json")
    path = pilot / "readers.json"
    study = json.loads(path.read_text())
    path.write_text(json.dumps(study | {"complete": False}))
    with pytest.raises(UserError, match="readers of different cases in"):
        read_pilot(pilot)
    path.write_text(json.dumps(study | {"readers": ["A"]}))
    with pytest.raises(UserError, match="one reader in"):
        read_pilot(pilot)
    path.write_text("{}")
    with pytest.raises(UserError, match="--pilot: expected readers.json of"):
        read_pilot(pilot)


def test_an_area_that_few_cases_would_show_is_warned_of():
    # 2 malignant and 2 benign: no interval of so few has the width.
    few = Assumptions(auc=0.99, width=0.3)
    notes = sample_size_document(few).markdown()
    assert "do not hold for fewer than 10 cases of a label" in notes
    assert "fewer than 10" not in sample_size_document(Assumptions()).markdown()
