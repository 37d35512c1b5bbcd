"""What `usgland audit` finds in the paper, and how it shows and writes it."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from usgland.cli.main import cli
from usgland.evaluation.audit import find_all
from usgland.evaluation.audit_file import paper_path, read_audit_file
from usgland.evaluation.audit_rows import Finding

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audited():
    return find_all(read_audit_file(paper_path()))


@pytest.fixture(scope="module")
def paper(audited):
    return [Finding(**one) for one in audited["findings"]]


@pytest.fixture(scope="module")
def by_place(paper):
    return {(one.kind, one.where): one for one in paper}


def test_the_readers_were_scored_on_20_and_20(by_place):
    found = by_place["cases", "readers, all rows"]
    assert not found.fits
    assert "cannot be obtained from the stated 20 malignant + 21 benign" in found.text
    assert "are 20 malignant + 20 benign" in found.text
    # Table 3: 0.85 and 0.30 of 20 are 17 and 6; Table 5: 0.90 and 0.75 are 18 and 15.
    assert "Table 3, Doctor 1: sensitivity 17/20, specificity 6/20" in found.tried
    assert "Table 5, Doctor 3: sensitivity 18/20, specificity 15/20" in found.tried


def test_the_model_was_scored_on_images(by_place):
    found = by_place["cases", "Tables 3 and 5, DL model"]
    assert not found.fits
    assert "36 malignant + 36 benign, which is more than the 41 patients" in found.text
    assert found.tried[-1].endswith("sensitivity 35/36, specificity 34/36")


def test_each_auc_but_one_is_the_balanced_accuracy_of_one_point(by_place):
    found = by_place["auc", "AUC"]
    assert found.text.startswith("6 of 7 AUCs equal (sensitivity + specificity) / 2")
    assert "Tables 3 and 5, DL model: 0.9583" in found.tried
    # (0.8 + 0.6) / 2 = 0.7, as printed for the accuracy, but not for the AUC.
    assert "AUC 0.7250" in by_place["auc", "Table 5, Doctor 2"].text


def test_resnet101_fits_no_matrix_at_any_prevalence(by_place):
    found = by_place["matrix", "Table 2, Resnet101"]
    assert (
        "cannot be obtained from one confusion matrix at any prevalence" in found.text
    )


def test_squeezenet_fits_60_and_60(by_place):
    # 58/60 = 0.96667 and 53/60 = 0.88333, cut to 0.9666 and 0.8833.
    found = by_place["matrix", "Table 2, SqueezeNet 1_1"]
    assert found.fits
    assert "sensitivity 58/60, specificity 53/60" in found.tried


def test_f1_is_of_two_kinds(by_place):
    found = by_place["f1", "F1"]
    assert not found.fits
    # 17/20 and 6/20: (34/51 + 12/29) / 2 = 0.540; 16/20 and 12/20: 32/44 = 0.727.
    assert "Table 3, Doctor 1: macro or weighted" in found.tried
    assert "Table 5, Doctor 2: binary" in found.tried


@pytest.mark.parametrize(
    ("where", "sum_of"),
    [
        ("Table 4, training set, Cystic degeneration", "40 + 20 = 60 of 66"),
        ("Table 4, testing set, Gender (M/F)", "9 + 11 = 20 of 21"),
    ],
)
def test_two_rows_of_table_4_do_not_sum_to_n(by_place, where, sum_of):
    assert sum_of in by_place["sum", where].text


def test_only_these_two_rows_do_not_sum_to_n(paper):
    assert sum(one.kind == "sum" and not one.fits for one in paper) == 2


def test_no_p_value_of_table_4_comes_from_its_counts_and_means(paper, by_place):
    found = [one for one in paper if one.kind == "p_value"]
    assert len(found) == 1 + 28
    assert not any(one.fits for one in found)
    summary = by_place["p_value", "All tables"]
    assert summary.text.startswith("none of the 28 printed P values")
    assert "testing set, Age (year): P 0.019, and Student 0.01" in summary.tried[1]
    # 19.49 apart, pooled SD 24.78: t = 2.517 of 39 degrees of freedom, P = 0.016.
    age = recomputed_age(by_place)
    assert age == pytest.approx(0.016, abs=5e-4)


def recomputed_age(by_place):
    text = by_place["p_value", "Table 4, testing set, Age (year)"].tried[0]
    low, high = map(float, text.removeprefix("Student ").split(" to "))
    return (low + high) / 2


def test_the_capsule_of_the_test_set_is_below_a_millionth(by_place):
    found = by_place["p_value", "Table 4, testing set, Capsule"]
    assert found.text == "P 0.187 cannot be obtained from the counts"
    assert found.tried[0] == "chi-square 6e-07"
    assert "Fisher, exact 2e-07" in found.tried


def test_the_help_of_clinical_data_is_not_significant_by_any_pairing(by_place):
    # Doctor 3: 30 and then 33 of 40 right; at best 3 cases differ, P = 2 / 2**3.
    where = "Results: Table 5, Doctor 3 against Table 3, Doctor 3, accuracy"
    found = by_place["comparison", where]
    assert not found.fits
    assert found.tried[0].startswith("McNemar, exact, over all pairings: P 0.250 to")


def test_predictive_values_are_those_of_bayes_by_hand(audited):
    found = {(one["row"], one["prevalence"]): one for one in audited["predictive"]}
    model = found["Tables 3 and 5, DL model", 0.15]
    assert model["ppv"] == pytest.approx(
        0.1458 / (0.1458 + 0.0476)
    )  # .15 .972; .85 .056
    assert model["npv"] == pytest.approx(0.8024 / (0.8024 + 0.0042))


def test_the_words_stay_neutral(paper):
    texts = " ".join(" ".join((one.text, *one.tried)) for one in paper)
    for word in ("fraud", "fake", "false", "impossible", "fabricat", "error"):
        assert word not in texts.lower()


def call(*arguments, code=0):
    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["audit", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


def test_the_command_shows_findings_first_in_80_columns():
    lines = call().stdout.splitlines()
    assert lines[0].startswith("Zhang et al.")
    assert "45 findings in 74 checks" in lines[0]
    assert max(map(len, lines)) <= 80
    starts = [line.split(".")[0] for line in lines if line[:1].isdigit()]
    assert starts == [str(number) for number in range(1, 46)]
    (agreeing,) = [at for at, line in enumerate(lines) if "Nothing against" in line]
    assert agreeing > max(at for at, line in enumerate(lines) if line[:3] == "45.")


def printed_lines(text):
    return [line.rstrip() for line in text.splitlines()]


def test_the_documentation_shows_what_the_command_prints():
    text = (ROOT / "docs" / "audit.md").read_text()
    shown = text.split("## The paper")[1].split("```")[1].strip("\n")
    printed = printed_lines(call().stdout)
    missing = [one for one in printed_lines(shown) if one not in printed]
    assert missing == []


def test_the_example_of_the_documentation_is_a_file(tmp_path):
    text = (ROOT / "docs" / "audit.md").read_text()
    path = tmp_path / "example.yaml"
    path.write_text(text.split("```yaml")[1].split("```")[0])
    assert "A paper: 1 finding in 6 checks" in call(path).stdout


def test_json_and_markdown_are_written_and_not_overwritten(tmp_path):
    done = call("--output", tmp_path / "out")
    assert "Wrote" in done.stdout
    record = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert sum(not one["fits"] for one in record["findings"]) > 30
    assert {"kind", "where", "fits", "text", "tried"} == set(record["findings"][0])
    assert len(record["predictive"]) == 11 * 3
    text = (tmp_path / "out" / "audit.md").read_text()
    assert "1. **readers, all rows**: Cannot be obtained" in text
    assert "| Table 5, Doctor 3 | 0.388 / 0.977 |" in text
    again = call("--output", tmp_path / "out", code=1)
    assert "is not overwritten. Received" in again.stderr
    assert len(again.stderr.splitlines()) == 1
    call("--output", tmp_path / "out", "--overwrite")
    (tmp_path / "out" / "audit.json").unlink()
    assert "audit.md, which exists" in call("--output", tmp_path / "out", code=1).stderr


def test_undefined_predictive_values_are_null(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(
        "title: A paper\nprevalences: [0.5]\ncases: {x: {}}\n"
        'rows: {A: {cases: x, sensitivity: "0.0", specificity: "1.0"}}\n'
    )
    assert "- / 0.500" in call(path, "--output", tmp_path).stdout
    record = json.loads((tmp_path / "audit.json").read_text())
    assert record["predictive"][0]["ppv"] is None


def test_a_file_of_markup_is_shown_as_it_is(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text('title: "A [bold]paper[/bold]"\n')
    assert "A [bold]paper[/bold]" in call(path).stdout


def test_a_bad_file_is_one_line(tmp_path):
    done = call(tmp_path / "none.yaml", code=1)
    assert "expected a readable YAML file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.network
def test_an_installed_package_audits_the_paper(tmp_path):
    """Built and installed elsewhere, run far from the checkout."""
    source = tmp_path / "source"
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in [*ROOT.glob("usgland/**/*.py"), ROOT / "configs" / "audit_paper.yaml"]:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--no-deps", source]
    subprocess.run(pip, check=True, timeout=300)
    # The packages that it needs are those of this environment, after its own.
    own = next((tmp_path / "venv").glob("lib/*/site-packages"))
    (own / "shared.pth").write_text(sysconfig.get_path("purelib"))
    command = "from usgland.cli.main import cli; cli(['audit'])"
    done = subprocess.run(
        [python, "-P", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "45 findings in 74 checks" in done.stdout
