import json
import subprocess
import sys
import sysconfig
from itertools import combinations, product
from pathlib import Path

import docx
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest, fisher_exact, ttest_ind_from_stats

from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.evaluation.audit.claims import Right, mcnemar_bounds
from usgland.evaluation.audit.findings import audit_published, find_all
from usgland.evaluation.audit.published_file import (
    AuditFile,
    CasesStated,
    Comparison,
    MeasureRow,
    PublishedTable,
    TableRow,
    paper_path,
    read_audit_file,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def findings():
    listed = find_all(read_audit_file(paper_path()))["findings"]
    return {(finding["kind"], finding["where"]): finding for finding in listed}


def only(findings, kind, part):
    (match,) = (
        finding for (k, w), finding in findings.items() if k == kind and part in w
    )
    return match


def test_readers_were_scored_on_twenty_and_twenty(findings):
    finding = only(findings, "cases", "readers, all rows")
    assert not finding["fits"]
    assert "from the stated 20 malignant + 21 benign patients" in finding["text"]
    assert "every row are 20 malignant + 20 benign" in finding["text"]


def test_the_model_was_scored_on_images(findings):
    finding = only(findings, "cases", "DL model")
    assert "36 + 36" in finding["tried"][1]
    assert "36 benign, which is more than the 41 patients" in finding["text"]
    assert "another unit, such as images" in finding["text"]
    assert "sensitivity 35/36, specificity 34/36" in finding["tried"][-1]


def test_resnet_fits_no_matrix_at_any_prevalence(findings):
    finding = only(findings, "matrix", "Resnet101")
    assert "one confusion matrix at any prevalence" in finding["text"]
    # By hand: (1 - t) / o + (1 - s) o is at least 2 sqrt((1 - s)(1 - t)) at any odds.
    s, t = 0.8013, 0.8230  # the largest that are printed so
    largest = 2 * (s + t - 1) / (s + t + 2 * ((1 - s) * (1 - t)) ** 0.5)
    assert largest < 0.626  # against a printed 0.6459
    assert "without f1: none fits at any prevalence" in finding["tried"]


def test_f1_is_of_two_kinds(findings):
    finding = only(findings, "f1", "F1")
    assert "cannot be of one kind in all rows" in finding["text"]
    # 16/20 and 12/20: 32/44 = 0.727; 17/20 and 6/20: (34/51 + 12/29) / 2 = 0.540.
    for name in ("Table 5, Doctor 1", "Table 5, Doctor 2", "Tables 3 and 5, DL model"):
        assert f"{name}: binary" in finding["tried"]
    for name in ("Table 3, Doctor 1", "Table 3, Doctor 2", "Table 5, Doctor 3"):
        assert f"{name}: macro or weighted" in finding["tried"]


def test_aucs_are_of_one_point_but_for_one(findings):
    assert only(findings, "auc", "AUC")["text"].startswith("6 of 7 AUCs equal")
    assert "0.7250 is not" in only(findings, "auc", "Table 5, Doctor 2")["text"]


def test_counts_that_do_not_sum_are_found(findings):
    wrong = {
        w: f["text"] for (k, w), f in findings.items() if k == "sum" and not f["fits"]
    }
    assert set(wrong) == {
        "Table 4, training set, Cystic degeneration",
        "Table 4, testing set, Gender (M/F)",
    }
    assert "60 of 66" in wrong["Table 4, training set, Cystic degeneration"]
    assert "20 of 21" in wrong["Table 4, testing set, Gender (M/F)"]


def test_no_p_value_of_table_4_is_what_the_tests_give(findings):
    p_values = [finding for (k, _), finding in findings.items() if k == "p_value"]
    assert len(p_values) == 29  # with the one that counts them
    assert not any(finding["fits"] for finding in p_values)
    summary = only(findings, "p_value", "All tables")
    assert summary["text"].startswith("none of the 28 printed")
    assert "testing set, Age (year)" in summary["tried"][-1]


def test_the_closest_and_the_farthest_p_value_agree_with_scipy(findings):
    age = ttest_ind_from_stats(44.86, 22.86, 21, 64.35, 26.65, 20).pvalue
    assert f"{age:.3f}" == "0.016"
    tried = only(findings, "p_value", "testing set, Age")["tried"]
    assert tried[0] == "Student 0.0159 to 0.0162"
    assert fisher_exact([[0, 21], [15, 5]]).pvalue < 1e-6
    assert (
        "Fisher, exact 2e-07"
        in only(findings, "p_value", "testing set, Capsule")["tried"]
    )


def test_clinical_data_cannot_have_helped_significantly(findings):
    # Doctor 3: 30 to 33 of 40; at best 3 differ, and 2 / 2 ** 3 is 0.25.
    where = "Table 5, Doctor 3 against Table 3, Doctor 3, accuracy"
    tried = only(findings, "comparison", where)["tried"]
    assert "P 0.250 to" in tried[0]


def test_the_wording_is_neutral():
    findings = find_all(read_audit_file(paper_path()))
    text = json.dumps(findings).lower()
    assert "cannot be obtained from" in text
    assert not {"fraud", "fake", "fabricat", "wrong", "suspicious"} & set(text.split())


@pytest.mark.parametrize(("a", "b", "n"), [(4, 2, 5), (3, 3, 6), (5, 0, 5), (6, 1, 6)])
def test_mcnemar_bounds_agree_with_every_pairing(a, b, n):
    p_values = []
    for first, second in product(combinations(range(n), a), combinations(range(n), b)):
        only_a, only_b = len(set(first) - set(second)), len(set(second) - set(first))
        differing = only_a + only_b
        p_values.append(binomtest(only_a, differing).pvalue if differing else 1.0)
    bounds = mcnemar_bounds([Right(a, n)], [Right(b, n)])
    assert bounds == pytest.approx((min(p_values), max(p_values)))


def test_mcnemar_bounds_need_the_same_cases():
    with pytest.raises(ValueError, match="same cases.* Received: .3, 5. and .3, 6."):
        mcnemar_bounds([Right(3, 5)], [Right(3, 6)])


BAD = [
    ("titel: x", "unknown setting `titel`"),
    (
        "title: x\nrows: {r: {cases: c, sensitivity: 0.85, specificity: '1'}}",
        "in quotes",
    ),
    (
        "title: x\nrows: {r: {cases: c, sensitivity: high, specificity: '1'}}",
        "a number as printed",
    ),
    ("title: x\ncases: {c: {malignant: 3}}", "malignant and benign, or neither"),
    (
        "title: x\ncases: {c: {}}\nrows: {r: {cases: d, sensitivity: '1', "
        "specificity: '1'}}",
        "rows.r.cases: expected a name among cases (c), not d",
    ),
    (
        "title: x\ncomparisons: [{a: r, b: s, figure: accuracy, p: '0.1'}]",
        "expected names among rows, not 'r'",
    ),
    ("title: x\ntables: {t: {groups: [a, b], n: [3], rows: {}}}", "expected n of 2"),
    (
        "title: x\ntables: {t: {groups: [a, b], n: [3, 3], "
        "rows: {r: {counts: [[1]]}}}}",
        "r: expected 2 groups, not 1",
    ),
    (
        "title: x\ntables: {t: {groups: [a, b], n: [3, 3], rows: {r: {}}}}",
        "either counts, with or without percents, or moments",
    ),
    (
        "title: x\ntables: {t: {groups: [a, b], n: [3, 3], rows: "
        "{r: {counts: [[1, 2], [3]]}}}}",
        "as many counts in each group",
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_a_bad_file_gets_one_line(tmp_path, text, expected):
    path = tmp_path / "figures.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="figures.yaml") as caught:
        read_audit_file(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_prints_and_writes_and_does_not_overwrite(tmp_path):
    output = tmp_path / "out"
    done = CliRunner().invoke(cli, ["audit", "--docx", "--output", str(output)])
    assert done.exit_code == 0, done.output
    word = docx.Document(str(output / "audit.docx"))
    printed, predictive = (table.rows[0].cells for table in word.tables)
    assert [cell.text for cell in printed] == ["Printed", "Recomputed"]
    assert predictive[1].text.endswith("%")
    assert "20 malignant + 20 benign" in " ".join(done.output.split())
    assert json.loads((output / "audit.json").read_text())["title"].startswith("Zhang")
    assert "| Printed | Recomputed |" in (output / "audit.md").read_text()
    again = CliRunner().invoke(cli, ["audit", "--output", str(output)])
    assert again.exit_code == 1
    assert "Expected no earlier audit. Received: " in again.output


def test_squeezenet_fits_60_and_60(findings):
    # 58/60 = 0.96667 and 53/60 = 0.88333, cut to 0.9666 and 0.8833.
    finding = findings["matrix", "Table 2, SqueezeNet 1_1"]
    assert finding["fits"]
    assert "sensitivity 58/60, specificity 53/60" in finding["tried"]


@pytest.mark.parametrize("name", ["VGG 16", "MobileNet V2"])
def test_two_more_rows_fit_no_matrix_with_their_f1(findings, name):
    finding = only(findings, "matrix", name)
    assert "one confusion matrix at any prevalence" in finding["text"]
    (without,) = (text for text in finding["tried"] if text.startswith("without f1: "))
    assert "36 + 36" in without or "180 + 180" in without


def test_predictive_values_are_those_of_bayes_by_hand():
    audited = find_all(read_audit_file(paper_path()))
    predictive = {(row["row"], row["prevalence"]): row for row in audited["predictive"]}
    model = predictive["Tables 3 and 5, DL model", 0.15]
    assert model["ppv"] == pytest.approx(
        0.1458 / (0.1458 + 0.0476)
    )  # .15 .972; .85 .056
    assert model["npv"] == pytest.approx(0.8024 / (0.8024 + 0.0042))


def call(*arguments, code=0):
    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["audit", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


def test_findings_come_first_in_80_columns():
    lines = call().stdout.splitlines()
    assert "51 findings in 90 checks" in lines[0]
    assert max(map(len, lines)) <= 80
    starts = [line.split(".")[0] for line in lines if line[:1].isdigit()]
    assert starts == [str(number) for number in range(1, 24)]
    assert any("Nothing against 17 others" in line for line in lines)


def printed_lines(text):
    return [line.rstrip() for line in text.splitlines()]


def test_the_documentation_shows_what_the_command_prints():
    text = (ROOT / "docs" / "audit.md").read_text()
    shown = text.split("## The paper")[1].split("```")[1].strip("\n")
    printed = printed_lines(call().stdout)
    missing = [line for line in printed_lines(shown) if line not in printed]
    assert missing == []


def test_the_example_of_the_documentation_is_a_file(tmp_path):
    text = (ROOT / "docs" / "audit.md").read_text()
    path = tmp_path / "example.yaml"
    path.write_text(text.split("```yaml")[1].split("```")[0])
    assert "A paper: 1 finding in 6 checks" in call(path).stdout


def test_the_markdown_alone_is_not_overwritten_either(tmp_path):
    call("--output", tmp_path)
    (tmp_path / "audit.json").unlink()
    assert "audit.md, which exists" in call("--output", tmp_path, code=1).stderr
    call("--output", tmp_path, "--overwrite")
    assert (
        "| Table 5, Doctor 3 | 0.388 / 0.977 |" in (tmp_path / "audit.md").read_text()
    )


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
    assert "51 findings in 90 checks" in done.stdout


def test_a_notebook_gets_the_findings_as_a_table():
    found = audit_published()
    expected = find_all(read_audit_file(paper_path()))["findings"]
    assert found["text"].to_list() == [finding["text"] for finding in expected]
    assert not found["fits"].iloc[0] and found["fits"].iloc[-1]
    with pytest.raises(UserError, match="none.yaml"):
        audit_published("none.yaml")


def test_rows_of_table_2_are_shares_of_180(findings):
    finding = only(findings, "means", "Table 2")
    assert finding["text"].startswith(
        "3 of 4 rows can be means of 5 evaluations of 36 malignant + 36 benign images"
    )
    assert "9 of 20 + 20" in finding["text"]
    tried = finding["tried"]
    # By hand: 174/180 = 0.9667, 159/180 = 0.8833, 155/180 = 0.8611, 160/180 = 0.8889.
    assert tried[0].startswith(
        "Table 2, SqueezeNet 1_1: sensitivity 174/180, specificity 159/180 (sensitivity"
    )
    assert "Table 2, VGG 16: sensitivity 155/180, specificity 160/180" in tried[1]
    assert "sensitivity 135/180, specificity 154/180" in tried[2]
    assert tried[3] == "Table 2, Resnet101: cannot"
    assert "0.0029 expected" in tried[4]


def test_one_model_has_three_accuracies(findings):
    finding = only(findings, "repeated", "Accuracy of the DL model")
    assert not finding["fits"]
    three = "Table 2: 0.9250; Tables 3 and 5: 0.958; Results: 96.5%"
    assert finding["text"] == f"differs between places: {three}"
    for name in ("Sensitivity", "Specificity", "F1"):
        assert not only(findings, "repeated", f"{name} of the DL model")["fits"]


def test_claims_about_aucs_and_table_3_are_checked(findings):
    areas = [w for (k, w) in findings if k == "comparison" and w.endswith(", AUC")]
    assert len(areas) == 3
    assert all(findings["comparison", where]["fits"] for where in areas)
    of_table_3 = [
        w for (k, w) in findings if k == "comparison" and "Table 3, Doctor" in w
    ]
    assert len(of_table_3) == 6  # three against the model, three against Table 5


def test_the_template_audits_and_names_every_setting(tmp_path):
    printed = call("--template").stdout
    path = tmp_path / "mine.yaml"
    assert "mine.yaml" in call(path, "--template").stdout
    assert path.read_text() == printed
    assert "An example: 2 findings in 10 checks" in call(path).stdout
    assert "which exists" in call(path, "--template", code=1).stderr
    call(path, "--template", "--overwrite")
    settings = (
        AuditFile,
        CasesStated,
        MeasureRow,
        Comparison,
        PublishedTable,
        TableRow,
    )
    names = {name for setting in settings for name in setting.model_fields}
    assert [name for name in sorted(names) if f"{name}:" not in printed] == []


def test_a_template_is_not_an_audit(tmp_path):
    done = call("--template", "--output", tmp_path, code=2)
    assert "Expected no --output or --docx with --template" in done.stderr


def test_other_papers_are_told_as_the_documentation_tells_them(tmp_path):
    text = (ROOT / "docs" / "audit.md").read_text().split("## Three other papers")[1]
    breast, test_set, parotid = (
        part.split("```")[0] for part in text.split("```yaml")[1:]
    )
    path = tmp_path / "paper.yaml"
    path.write_text(breast)
    listed = find_all(read_audit_file(path))["findings"]
    assert [finding["fits"] for finding in listed] == [False] * 4
    for finding in listed:
        assert "means over 3 evaluations of n fit" in finding["tried"][-1]
        assert finding["tried"][-1].endswith("2e-05")
    path.write_text(test_set)
    (cases, *others) = find_all(read_audit_file(path))["findings"]
    assert "no matrix for PM1; AM1" in cases["tried"][0]
    (means,) = (finding for finding in others if finding["kind"] == "means")
    assert means["fits"]
    assert means["text"].endswith("but chance would give 3.7 such rows")
    path.write_text(parotid)
    listed = find_all(read_audit_file(path))["findings"]
    assert [finding["fits"] for finding in listed] == [False, False]
    for finding, number in zip(listed, (78, 98), strict=True):
        assert f"number that gives the row is {number}," in finding["text"]
