"""What the audit finds in the paper, and that it finds nothing where all is true."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest
from sklearn import metrics as sklearn_metrics

from usgland.cli.main import cli
from usgland.evaluation.audit import find_all
from usgland.evaluation.audit_claims import Right, mcnemar_bounds
from usgland.evaluation.audit_file import paper_path, read_audit_file
from usgland.evaluation.matrix_fit import (
    fitting_matrices,
    fitting_prevalences,
    fitting_sizes,
)
from usgland.evaluation.printed import printed_bounds

PAPER = Path(__file__).parents[2] / "configs" / "audit_paper.yaml"


@pytest.fixture(scope="module")
def found():
    return find_all(read_audit_file(PAPER))


@pytest.fixture(scope="module")
def misfits(found):
    return [one for one in found["findings"] if not one["fits"]]


def the_one(findings, kind, where):
    (one,) = [f for f in findings if f["kind"] == kind and where in f["where"]]
    return one


# The paper.


def test_the_shipped_file_is_the_default():
    assert paper_path() == PAPER


def test_readers_were_scored_on_20_and_20_not_21_patients(misfits):
    one = the_one(misfits, "cases", "readers")
    assert "stated 20 malignant + 21 benign patients" in one["text"]
    assert "nearest numbers that give every row are 20 malignant + 20" in one["text"]
    assert "Table 5, Doctor 3: sensitivity 18/20, specificity 15/20" in one["tried"]


def test_the_model_was_scored_on_images(misfits):
    one = the_one(misfits, "cases", "model")
    assert "36 malignant + 36 benign, more than the 41 patients" in one["text"]
    assert "such as the image" in one["text"]
    assert any("35/36, specificity 34/36" in text for text in one["tried"])


def test_the_resnet_row_comes_from_no_matrix_at_any_prevalence(misfits):
    one = the_one(misfits, "matrix", "Resnet101")
    assert "one confusion matrix at any prevalence" in one["text"]


def test_each_auc_is_a_balanced_accuracy(misfits):
    one = the_one(misfits, "auc", "AUC")
    assert "the balanced accuracy of one point" in one["text"]
    assert "Tables 3 and 5, DL model: 0.9583" in one["tried"]
    # 0.7250 is printed where the point gives (0.800 + 0.600) / 2.
    assert "0.7250 cannot be" in the_one(misfits, "auc", "Doctor 2")["text"]


def test_f1_is_of_two_kinds(misfits):
    one = the_one(misfits, "f1", "F1")
    assert "Table 5, Doctor 2: binary" in one["tried"]
    assert "Table 3, Doctor 1: macro or weighted" in one["tried"]


def test_counts_that_do_not_sum_are_named(misfits):
    sums = {f["where"]: f["text"] for f in misfits if f["kind"] == "sum"}
    assert "40 + 20 = 60 of 66" in sums["Table 4, training set, Cystic degeneration"]
    assert "9 + 11 = 20 of 21" in sums["Table 4, testing set, Gender (M/F)"]
    assert len(sums) == 2


def test_none_of_the_28_p_values_is_what_the_tests_give(misfits):
    values = [f for f in misfits if f["kind"] == "p_value" and "Table 4" in f["where"]]
    assert len(values) == 28
    summary = the_one(misfits, "p_value", "All tables")
    assert summary["text"].startswith("none of the 28 printed P values")
    assert "closest: Table 4, testing set, Age (year), 0.019 against 0.016" in " ".join(
        summary["tried"]
    )
    age = the_one(values, "p_value", "testing set, Age")
    # By SciPy from the printed means: 0.016 against the printed 0.019.
    expected = stats.ttest_ind_from_stats(44.86, 22.86, 21, 64.35, 26.65, 20)
    assert round(expected.pvalue, 3) == 0.016
    assert any(text == "Student 0.0159 to 0.0162" for text in age["tried"])
    capsule = the_one(values, "p_value", "testing set, Capsule")
    table = np.array([[0, 21], [15, 5]])
    assert stats.fisher_exact(table).pvalue < 1e-6
    assert "P 0.187" in capsule["text"]
    assert any(
        re.fullmatch(r"Fisher, exact \de-\d+", text) for text in capsule["tried"]
    )


def test_claims_of_significance_are_held_against_every_pairing(misfits):
    one = the_one(misfits, "comparison", "Doctor 3 against Table 3, Doctor 3")
    assert "P <0.05 cannot be obtained from 33/40 against 30/40" in one["text"]


def test_the_wording_stays_neutral(found):
    text = json.dumps([(f["text"], f["tried"]) for f in found["findings"]]).lower()
    for word in ("fraud", "fake", "fabricat", "false", "lie ", "manipul", "wrong"):
        assert f" {word}" not in text


# The arithmetic.


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_figures_of_a_true_matrix_are_always_found_possible(m, b, tp, tn):
    tp, tn = min(tp, m), min(tn, b)
    labels = np.r_[np.ones(m), np.zeros(b)]
    calls = np.r_[np.ones(tp), np.zeros(m - tp), np.zeros(tn), np.ones(b - tn)]
    printed = {
        "sensitivity": f"{tp / m:.3f}",
        "specificity": f"{tn / b:.3f}",
        "accuracy": f"{(tp + tn) / (m + b):.3f}",
    }
    if tp + (b - tn):
        f1 = sklearn_metrics.f1_score(labels, calls)
        printed["f1"] = f"{f1:.3f}"
    bounds = {name: printed_bounds(text) for name, text in printed.items()}
    matrices = fitting_matrices(bounds, m, b)
    assert (tp, m - tp, tn, b - tn) in [tuple(one) for one in matrices]
    assert (m, b) in fitting_sizes([bounds], 30)
    possible = fitting_prevalences(bounds)
    assert possible.low - 1e-3 <= m / (m + b) <= possible.high + 1e-3


def test_matrices_are_those_that_a_loop_finds():
    bounds = {
        "sensitivity": printed_bounds("0.85"),
        "specificity": printed_bounds("0.30"),
        "kappa": printed_bounds("0.15"),
    }
    expected = []
    for tp, tn in itertools.product(range(21), range(21)):
        labels = [1] * 20 + [0] * 20
        calls = [1] * tp + [0] * (20 - tp) + [0] * tn + [1] * (20 - tn)
        kappa = sklearn_metrics.cohen_kappa_score(labels, calls)
        if all(
            bound.low <= value <= bound.high
            for bound, value in zip(
                bounds.values(), (tp / 20, tn / 20, kappa), strict=True
            )
        ):
            expected.append((tp, 20 - tp, tn, 20 - tn))
    assert [tuple(one) for one in fitting_matrices(bounds, 20, 20)] == expected
    assert expected


@pytest.mark.parametrize(("a", "b", "n"), [(5, 3, 7), (7, 7, 7), (0, 4, 6)])
def test_mcnemars_bounds_are_those_of_every_pairing(a, b, n):
    values = []
    first = [1] * a + [0] * (n - a)
    for chosen in itertools.combinations(range(n), b):
        second = [int(i in chosen) for i in range(n)]
        only_a = sum(x > y for x, y in zip(first, second, strict=True))
        only_b = sum(x < y for x, y in zip(first, second, strict=True))
        differing = only_a + only_b
        values.append(binomtest(only_a, differing).pvalue if differing else 1.0)
    found = mcnemar_bounds([Right(a, n)], [Right(b, n)])
    assert (found.low, found.high) == pytest.approx((min(values), max(values)))


@pytest.mark.parametrize(
    ("text", "rounding", "low", "high"),
    [
        ("0.85", "rounded", 0.845, 0.855),
        ("0.85", "truncated", 0.85, 0.86),
        ("0.85", "either", 0.845, 0.86),
        ("97.2%", "rounded", 0.9715, 0.9725),
        ("-0.1", "truncated", -0.2, -0.1),
    ],
)
def test_a_printed_number_stands_for_what_would_be_printed_so(
    text, rounding, low, high
):
    found = printed_bounds(text, rounding)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_what_is_no_printed_number_is_named():
    with pytest.raises(ValueError, match="expected a number as printed"):
        printed_bounds("about 0.9")
    with pytest.raises(ValueError, match="must be of the same cases"):
        mcnemar_bounds([Right(3, 5)], [Right(3, 6)])


# The command.


def call(*arguments, code=0):
    done = CliRunner().invoke(cli, ["audit", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout if code == 0 else done.stderr.strip()


def test_the_command_prints_the_findings_in_80_columns(tmp_path):
    stdout = call("--output", tmp_path)
    assert max(map(len, stdout.splitlines())) <= 80 + len(str(tmp_path))
    assert "Cannot be obtained from the stated 20 malignant + 21 benign" in stdout
    stored = json.loads((tmp_path / "audit.json").read_text())
    assert not stored["findings"][0]["fits"]
    assert (tmp_path / "audit.md").read_text().count("cannot be obtained") > 20
    assert "--overwrite to make it again" in call("--output", tmp_path, code=1)


def test_a_paper_whose_figures_agree_has_no_finding(tmp_path):
    path = tmp_path / "paper.yaml"
    path.write_text(
        "title: Ours\n"
        "cases: {test: {unit: patient, malignant: 20, benign: 20}}\n"
        "rows:\n"
        '  Reader: {cases: test, sensitivity: "0.850", specificity: "0.300",\n'
        '    accuracy: "0.575", f1: "0.667"}\n'
        "tables:\n"
        "  Table 1: {groups: [a, b], n: [24, 24], rows: {Sex: {counts: [[14, 10], "
        '[8, 16]], p: "0.082"}}}\n'
    )
    stdout = call(path)
    assert "0 findings" in stdout or "no finding" in stdout.lower()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: x\nrwos: {}\n", "unknown setting `rwos`; the nearest is `rows`"),
        (
            "title: x\ncases: {a: {}}\nrows: {r: {cases: a, sensitivity: 0.85, "
            'specificity: "0.3"}}\n',
            "expected a figure in quotes",
        ),
        (
            'title: x\nrows: {r: {cases: b, sensitivity: "0.8", specificity: "0.3"}}\n',
            "expected one of",
        ),
        ("title: x\ncases: {a: {malignant: 5}}\n", "malignant and benign, or neither"),
        (
            "title: x\ntables: {t: {groups: [a, b], n: [1], rows: {}}}\n",
            "expected n of 2 groups, not of 1",
        ),
        ("[1, 2]", "expected `key: value` settings"),
    ],
)
def test_a_file_that_cannot_be_is_one_line(tmp_path, text, expected):
    path = tmp_path / "paper.yaml"
    path.write_text(text)
    line = call(path, code=1)
    assert expected in line and "\n" not in line


def test_a_missing_file_is_one_line(tmp_path):
    assert "expected a readable YAML file" in call(tmp_path / "x.yaml", code=1)
