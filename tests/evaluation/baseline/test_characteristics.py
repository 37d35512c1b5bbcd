"""Table 1 against the package tableone, SciPy, R and hand arithmetic."""

import csv
import io
import itertools
import json
import re
from pathlib import Path

import docx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console
from scipy import stats

from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.evaluation.baseline.characteristics import table_from_counts, table_one
from usgland.evaluation.baseline.characteristics_text import table_one_document
from usgland.evaluation.shown.terminal import show
from usgland.evaluation.statistics.association import chi_square, fisher
from usgland.schema import ClinicalSettings

REFERENCE = Path(__file__).parents[2] / "reference"
# Made by scripts/tableone_reference.py and scripts/fisher_reference.py.
TABLEONE = json.loads((REFERENCE / "tableone.json").read_text())
FISHER = json.loads((REFERENCE / "fisher.json").read_text())
ROWS = pd.DataFrame(TABLEONE["rows"])


def first_lines(found):
    return {line.name: line for line in found.lines if line.test or line.reason}


def test_p_values_and_mean_differences_are_those_of_tableone():
    columns = ["age", "size", "sex", "shape"]
    # tableone corrects 2 x 2 tables by Yates and takes Welch's test.
    found = table_one(ROWS, "label", columns, medians=["size"], tests={"sex": "yates"})
    lines = first_lines(found)
    for name, expected in TABLEONE["found"].items():
        if name == "size":  # tableone: Kruskal-Wallis, without continuity correction
            known = [
                ROWS["size"][ROWS["label"] == g].astype(float)
                for g in ("benign", "malignant")
            ]
            assert lines[name].p_value == stats.mannwhitneyu(*known).pvalue
            assert lines[name].p_value == pytest.approx(expected["p_value"], rel=0.01)
        else:
            assert lines[name].p_value == pytest.approx(expected["p_value"], abs=1e-9)
        assert lines[name].smd == pytest.approx(expected["smd"], abs=6e-4)
    assert [lines[name].test for name in columns] == [
        "Welch",
        "Mann-Whitney",
        "chi-square, Yates",
        "chi-square",
    ]
    assert found.sizes == (80, 40)


def test_counts_are_of_the_patients_known_and_the_missing_are_named():
    rows = pd.DataFrame(
        {
            "label": ["a", "a", "a", "b", "b"],
            "sex": ["f", "m", "", "f", "f"],
            "empty": [""] * 5,
        }
    )
    found = table_one(rows, "label", ["sex", "empty"])
    female, male, empty = found.lines
    assert female.cells == ("1 (50.0%)", "2 (100.0%)")
    assert male.cells == ("1 (50.0%)", "0 (0.0%)")
    assert female.missing == (1, 0)
    assert empty.reason == "no value"
    assert female.test == "Fisher, exact"  # expected counts below 5


def test_a_skewed_number_is_shown_by_its_median_and_compared_by_ranks():
    rng = np.random.default_rng(0)
    values = np.exp(2 * rng.normal(size=60)).round(4)
    rows = pd.DataFrame({"label": ["a", "b"] * 30, "size": values.astype(str)})
    (line,) = table_one(rows, "label", ["size"]).lines
    assert line.test == "Mann-Whitney, exact"
    low, middle, high = np.quantile(values[::2], [0.25, 0.5, 0.75])
    assert line.cells[0] == f"{middle:.3g} [{low:.3g} to {high:.3g}]"
    (forced,) = table_one(rows, "label", ["size"], tests={"size": "student"}).lines
    assert forced.test == "Student" and "±" in forced.cells[0]
    expected = stats.ttest_ind(values[::2], values[1::2]).pvalue
    assert forced.p_value == pytest.approx(expected)


def test_three_groups_are_compared_by_scipys_tests():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"label": list("abc") * 20, "age": rng.normal(50, 9, 60)})
    rows["age"] = rows["age"].round(1).astype(str)
    (line,) = table_one(rows, "label", ["age"]).lines
    values = [rows["age"][rows["label"] == g].astype(float) for g in "abc"]
    assert line.test == "ANOVA"
    assert line.p_value == pytest.approx(stats.f_oneway(*values).pvalue)
    assert np.isnan(line.smd)
    (ranks,) = table_one(rows, "label", ["age"], medians=["age"]).lines
    assert ranks.p_value == pytest.approx(stats.kruskal(*values).pvalue)


@pytest.mark.parametrize("one", FISHER, ids=lambda one: str(one["table"])[:20])
def test_fishers_test_of_any_size_is_that_of_r(one):
    found = fisher(np.array(one["table"]))
    assert found.test == "Fisher, exact"
    assert found.p_value == pytest.approx(one["p_value"], rel=1e-6)


def test_drawn_tables_are_near_the_exact_p(monkeypatch):
    table = np.array(FISHER[4]["table"])
    monkeypatch.setattr("usgland.evaluation.statistics.association.EXACT_TABLES", 0)
    found = fisher(table, seed=1)
    assert "drawn tables" in found.test
    assert found.p_value == pytest.approx(FISHER[4]["p_value"], abs=0.002)
    assert fisher(table, seed=1) == found


def test_chi_square_is_scipys():
    table = np.array([[10, 20], [20, 15]])
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert chi_square(table).p_value == pytest.approx(expected)
    assert chi_square(np.array([[3, 0], [4, 0]])).reason == "one value only"


def test_printed_counts_and_moments_get_the_same_tests():
    # Shape and age of the training set, Table 4 of the paper.
    found = table_from_counts(
        ["benign", "malignant"],
        [66, 66],
        {
            "shape": {"round": [64, 31], "not round": [2, 35]},
            "cystic": {"yes": [40, 47], "no": [20, 19]},
        },
        {"age": [(46.17, 23.83), (46.62, 28.38)]},
    )
    lines = first_lines(found)
    table = np.array([[64, 2], [31, 35]])
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert lines["shape"].p_value == pytest.approx(expected)
    welch = stats.ttest_ind_from_stats(46.17, 23.83, 66, 46.62, 28.38, 66, False)
    assert lines["age"].p_value == pytest.approx(welch.pvalue)
    assert lines["cystic"].missing == (6, 0)
    # 1 degree of freedom: the difference of two shares in pooled deviations.
    p, q = 64 / 66, 31 / 66
    smd = abs(p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert lines["shape"].smd == pytest.approx(smd)


def test_the_texts_hold_every_line_and_mark_phantoms():
    found = table_one(ROWS, "label", ["age", "sex"])
    out = io.StringIO()
    document = table_one_document(found, synthetic=True)
    show(document, Console(file=out, width=80))
    assert "SYNTHETIC" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80
    text = document.markdown()
    assert text.startswith("**SYNTHETIC")
    assert "| Sex |  |  |" in text
    assert "| &emsp;f | " in text and "| &emsp;m | " in text
    assert "benign<br>n = 80" in text and "Counted: patients" in text
    real = table_one_document(found, synthetic=False)
    latex = real.latex()
    assert r"\%" in latex and r"$\pm$" in latex and "SYNTHETIC" not in latex
    rows = list(csv.DictReader(io.StringIO(real.csv())))
    assert [row["word"] for row in rows] == ["", "f", "m"]
    assert float(rows[0]["p_value"]) == found.lines[0].p_value


def test_misuse_is_named():
    with pytest.raises(ValueError, match="two groups or more"):
        table_one(ROWS.assign(label="x"), "label", ["age"])
    with pytest.raises(ValueError, match="Received: 'z'"):
        table_one(ROWS, "label", ["age"], tests={"age": "z"})


# The command.


def call(*arguments, code=0):
    done = CliRunner().invoke(cli, ["table1", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout if code == 0 else done.stderr.strip()


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.csv"
    lines = ["image,patient_id,label,age,sex,device,frame"]
    rng = np.random.default_rng(0)
    for number in range(30):
        label = ("benign", "malignant")[number % 2]
        age, sex = rng.integers(20, 80), "mf"[number % 3 == 0]
        for shot in range(1 + number % 2):
            frame = f"{number}.png,P{number},{label},{age},{sex},A,{shot}"
            lines.append(frame.replace(".png", f"_{shot}.png"))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_manifest_of_images_counts_patients(manifest, tmp_path):
    stdout = call(manifest, "--output", tmp_path / "out", "--docx")
    assert (tmp_path / "out" / "table1.docx").exists()
    assert "Counted: patients" in stdout and "n = 15" in stdout.replace("\n", "")
    rows = list(
        csv.DictReader(io.StringIO((tmp_path / "out" / "table1.csv").read_text()))
    )
    # `frame` differs within a patient: it describes images, and the reader is told.
    told = "frame, which differs within a patient (patient P1, rows 3, "
    assert told + "4, and 14 more)" in " ".join(stdout.split())
    assert {row["column"] for row in rows} == {"age", "sex", "device"}
    assert (tmp_path / "out" / "table1.tex").exists()
    line = call(manifest, "--output", tmp_path / "out", code=1)
    assert "no earlier Table 1" in line and "Add --overwrite" in line
    call(manifest, "--output", tmp_path / "out", "--overwrite")


def test_table_one_of_a_workbook_is_that_of_the_csv(manifest):
    workbook = manifest.with_suffix(".xlsx")
    pd.read_csv(manifest).to_excel(workbook, index=False)
    assert call(workbook) == call(manifest)


def test_ages_of_a_manifest_may_have_decimal_commas(tmp_path):
    lines = ["image;patient_id;label;age;signs"]
    for number in range(30):
        label, signs = ("benign", "malignant")[number % 2], ("1,2", "1")[number % 3 > 1]
        lines.append(f"{number}.png;P{number};{label};{20 + number % 20},5;{signs}")
    commas = tmp_path / "commas.csv"
    commas.write_text("\n".join(lines).replace("P4;benign;24,5", "P4;benign;n/a"))
    points = tmp_path / "points.csv"
    points.write_text(commas.read_text().replace(",5;", ".5;"))
    assert call(commas) == call(points)
    rows = pd.read_csv(commas, sep=";", decimal=",", dtype={"signs": str})
    line = table_one(rows, "label", ["age"]).lines[0]
    stdout = call(commas)
    assert line.test == "Welch" and line.cells[0] in " ".join(stdout.split())
    # Few that differ may be codes, of two signs in a cell: they stay words.
    assert "1,2" in stdout


def test_a_mistyped_value_of_one_patient_does_not_vanish_unseen(manifest):
    lines = manifest.read_text().splitlines()
    assert ",m," in lines[2]
    lines[2] = lines[2].replace(",m,", ",f,")
    manifest.write_text("\n".join(lines) + "\n")
    stdout = " ".join(call(manifest).split())
    assert (
        "sex, which differs within a patient (patient P1, rows 3, 4); frame," in stdout
    )
    line = call(manifest, "--columns", "age,sex", code=1)
    assert "patient 'P1': sex: expected one value" in line


def test_the_first_value_known_stands_for_a_patient(manifest):
    lines = manifest.read_text().splitlines()
    lines[2] = ",".join([*lines[2].split(",")[:3], "", *lines[2].split(",")[4:]])
    manifest.write_text("\n".join(lines) + "\n")
    assert "missing" not in call(manifest, "--columns", "age")


def test_columns_groups_and_tests_can_be_chosen(manifest):
    stdout = call(
        *(manifest, "--by", "sex", "--columns", "age"),
        *("--test", "age=student", "--median", "age"),
    )
    assert "Student" in stdout and "device" not in stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--columns", "agee"), "expected the column `agee` (the nearest is `age`)"),
        (("--columns", "frame"), "patient 'P1': frame: expected one value. Received"),
        (("--columns", "age,label"), "each column once, and without `label`, which"),
        (("--columns", "age,age"), "each column once, and without `label`, which"),
        (("--by", "device"), "`device`: expected two groups of patients or more"),
        (("--test", "age=t"), "--test: expected COLUMN= and one of chi-square"),
        (("--test", "x=fisher"), "--test: expected a column of the table, one of age"),
        (("--median", "x"), "--median: expected a column of the table, one of age"),
        (("--test", "age=fisher"), "--test age: expected one of welch, student, mann"),
        (("--test", "sex=welch"), "--test sex: expected one of chi-square, yates, f"),
        (
            ("--median", "sex"),
            "--median: expected a column of numbers. Received: 'sex'",
        ),
    ],
)
def test_what_makes_no_table_is_named(manifest, arguments, expected):
    assert expected in call(manifest, *arguments, code=1)


def test_a_published_table_is_read_from_yaml(tmp_path):
    path = tmp_path / "counts.yaml"
    path.write_text(
        "groups: [benign, malignant]\nn: [66, 66]\n"
        "counts: {gender: {male: [41, 35], female: [25, 31]}}\n"
        "moments: {age: [[46.2, 23.8], [46.6, 28.4]]}\n"
    )
    stdout = call("--from-counts", path)
    assert "chi-square" in stdout and "46.2 ± 23.8" in stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("groups: [a, b]\nn: [5]\n", "expected n of 2 groups, not of 1"),
        ("groups: [a, b]\nn: [5, 5]\ncounts: {x: {y: [6, 1]}}\n", "sum to 5 or fewer"),
        ("groups: [a, b]\nn: [5, 5]\ncounts: {x: {y: [1]}}\n", "x, y: expected 2"),
        ("groups: [a, b]\nn: [5, 5]\nmoments: {x: [[1, 2]]}\n", "2 pairs of mean"),
        ("groups: [a, b]\nn: [5, 5]\ncuonts: {}\n", "unknown setting `cuonts`"),
    ],
)
def test_a_published_table_that_cannot_be_is_one_line(tmp_path, text, expected):
    path = tmp_path / "counts.yaml"
    path.write_text(text)
    line = call("--from-counts", path, code=1)
    assert expected in line and "\n" not in line


PUBLISHED = (
    "groups: [a, b]\nn: [9, 9]\ncounts: {sex: {m: [7, 3], f: [2, 6]}}\n"
    "moments: {age: [[46.2, 23.8], [56.6, 8.4]]}\n"
)


def test_the_tests_of_published_counts_can_be_chosen(tmp_path):
    path = tmp_path / "counts.yaml"
    path.write_text(PUBLISHED)
    assert "Fisher" in call("--from-counts", path)
    chosen = call("--from-counts", path, "--test", "sex=yates", "--test", "age=student")
    assert f"{stats.chi2_contingency([[7, 2], [3, 6]]).pvalue:.3f}" in chosen
    age = stats.ttest_ind_from_stats(46.2, 23.8, 9, 56.6, 8.4, 9).pvalue
    assert f"{age:.3f}" in chosen and "Student" in chosen


def test_a_test_of_two_groups_is_not_taken_for_three():
    rows = pd.DataFrame({"label": list("abc") * 9, "x": [str(n) for n in range(27)]})
    with pytest.raises(UserError, match="expected two groups for student.*3 groups"):
        table_one(rows, "label", ["x"], tests={"x": "student"})


def test_what_published_counts_do_not_know_is_named(tmp_path):
    path = tmp_path / "counts.yaml"
    path.write_text(PUBLISHED)
    line = call("--from-counts", path, "--test", "age=mann-whitney", code=1)
    assert "expected welch or student, as ranks need the values" in line
    line = call("--from-counts", path, "--test", "bmi=welch", code=1)
    assert "one of sex, age. Received: 'bmi'" in line
    assert "Expected no --by" in call("--from-counts", path, "--by", "sex", code=2)


def test_moments_of_three_groups_say_why_they_have_no_p():
    found = table_from_counts("abc", [9, 9, 9], {}, {"age": [(1.0, 2.0)] * 3})
    assert found.lines[0].reason == "more than two groups"


def test_a_variable_has_a_line_with_its_unit_and_its_test_and_categories_below():
    rows = pd.DataFrame(
        {
            "label": ["a", "b"] * 10,
            "sex": ["f", "f", "m", "m", ""] * 4,
            "age_years": [str(40 + number) for number in range(19)] + [""],
            "lesion_side": ["left", "right"] * 10,
        }
    )
    found = table_one(rows, "label", ["sex", "age_years", "lesion_side"])
    document = table_one_document(
        found, synthetic=False, names=ClinicalSettings().shown_names()
    )
    (table,) = document.blocks
    assert table.heads == ("", "a\nn = 10", "b\nn = 10", "P", "SMD")
    first = {row.cells[0]: row for row in table.rows()}
    assert [(row.cells[0], row.indent) for row in table.rows()] == [
        ("Sex", 0),
        ("f", 1),
        ("m", 1),
        ("missing", 1),
        ("Age, years", 0),
        ("missing", 1),
        ("Lesion side", 0),
        ("left", 1),
        ("right", 1),
    ]
    assert first["Sex"].cells == ("Sex", "", "", "1.000ᵃ", "0.00")
    assert first["f"].cells == ("f", "4 (50.0%)", "4 (50.0%)", "", "")
    age = first["Age, years"].cells
    assert age[1] == "49.00 ± 6.06" and age[3].endswith("ᵇ")
    assert table.footnote == "ᵃ Fisher, exact; ᵇ Welch; ᶜ chi-square"
    missing = [row.cells[1:3] for row in table.rows() if row.cells[0] == "missing"]
    assert missing == [("2", "2"), ("0", "1")]
    # The CSV keeps the columns' own names, a record a category, and a column of tests.
    records = list(csv.DictReader(io.StringIO(document.csv())))
    tests = [row["test"] for row in records]
    assert tests == ["Fisher, exact", "", "Welch", "chi-square", ""]
    assert [(row["column"], row["word"], row["missing b"]) for row in records] == [
        ("sex", "f", "2"),
        ("sex", "m", "2"),
        ("age_years", "", "1"),
        ("lesion_side", "left", "0"),
        ("lesion_side", "right", "0"),
    ]


def test_no_word_is_broken_in_80_columns_and_word_has_the_same_cells(tmp_path):
    rows = pd.DataFrame({"label": ["benign", "malignant"] * 12})
    rows["histology"] = ["undifferentiated carcinoma", "mucoepidermoid"] * 12
    rows["cystic_degeneration"] = ["circumscribed", "heterogeneous", ""] * 8
    found = table_one(rows, "label", ["histology", "cystic_degeneration"])
    document = table_one_document(found, synthetic=True)
    out = io.StringIO()
    show(document, Console(file=out, width=80))
    assert max(map(len, out.getvalue().splitlines())) <= 80
    for word in ("undifferentiated", "mucoepidermoid", "heterogeneous", "degeneration"):
        assert word in out.getvalue()
    document.write(tmp_path / "table1", (), docx=True)
    (table,) = docx.Document(str(tmp_path / "table1.docx")).tables
    shown = [[cell.text for cell in row.cells] for row in table.rows]
    assert shown[0][1:3] == ["benign\nn = 12", "malignant\nn = 12"]
    assert [row[0] for row in shown[1:]] == [
        *("Histology", "mucoepidermoid", "undifferentiated carcinoma"),
        *("Cystic degeneration", "circumscribed", "heterogeneous", "missing"),
    ]


def test_three_groups_break_no_word_and_have_no_difference():
    rows = pd.DataFrame({"label": ["benign", "malignant", "normal"] * 12})
    rows["tissue"] = [
        "heterogeneous: predominantly fibroglandular",
        "lactating;heterogeneous: predominantly fat",
        "lactating;homogeneous: fat",
    ] * 12
    rows["mask_area"] = np.geomspace(0.00012345, 0.9, 36).round(5).astype(str)
    rows["known_of_two"] = ["a", "b", ""] * 12
    found = table_one(rows, "label", ["tissue", "mask_area", "known_of_two"])
    document = table_one_document(found, synthetic=False)
    (table,) = document.blocks
    assert table.heads[-1] == "P" and "SMD" not in document.markdown()
    tests = (
        "ᵃ Fisher, exact; ᵇ Kruskal-Wallis; ᶜ no test, a group without a known value"
    )
    if "drawn" in table.footnote:
        tests = tests.replace("exact", "100,000 drawn tables")
    assert table.footnote == tests
    assert f"- {tests}" in document.markdown()
    out = io.StringIO()
    show(document, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    words = {word for value in rows["tissue"] for word in re.split("[ ;]", value)}
    shown = {word for line in lines for word in re.split("[ ;]", line)}
    assert words <= shown
    # Quartiles stand whole, if need be below their median.
    assert any(re.search(r"\[[\d.]+-[\d.]+\] +\[[\d.]+-", line) for line in lines)


def test_no_group_is_left_out_of_a_test_that_was_asked_for():
    rows = pd.DataFrame({"label": [*"abc"] * 8, "x": ["u", "v", "", "v", "u", ""] * 4})
    for tests in ({}, {"x": "fisher"}):
        line = table_one(rows, "label", ["x"], tests=tests).lines[0]
        assert np.isnan(line.p_value)
        assert line.reason == "a group without a known value"


def test_signs_of_markup_stand_as_they_are():
    rows = pd.DataFrame({"label": ["a", "b"] * 3, "x": ["|[bold]$", "{~^\\}", ">"] * 2})
    found = table_one(rows, "label", ["x"])
    document = table_one_document(found, synthetic=False)
    assert "| &emsp;> | " in document.markdown()
    assert r"\|[bold]$" in document.markdown()
    latex = document.latex()
    assert r"\{\textasciitilde{}\textasciicircum{}\textbackslash{}\}" in latex
    assert r"[bold]\$" in latex and r"\quad $>$" in latex
    out = io.StringIO()
    show(document, Console(file=out, width=80))
    assert "[bold]" in out.getvalue()


def test_one_source_is_needed(manifest):
    assert "Expected either a MANIFEST" in call(code=2)
    assert "Expected either a MANIFEST" in call(
        manifest, "--from-counts", manifest, code=2
    )


def test_a_table_of_ones_own_may_hold_numbers_and_missing_values():
    ages = [31, 44, 52, 38, np.nan, 41, 36, 50, 45, 58, 63, 49]
    own = pd.DataFrame({"label": [0, 1] * 6, "age": ages, "sex": ["f", None, "m"] * 4})
    texts = own.astype(object).where(own.notna(), "").map(str)
    found = table_one(own, "label")
    assert found == table_one(texts, "label", ["age", "sex"])
    groups = [own.loc[own["label"] == label, "age"].dropna() for label in (0, 1)]
    assert found.lines[0].p_value == stats.ttest_ind(*groups, equal_var=False).pvalue
    frame = found.frame()
    assert frame.loc[0, ["variable", "missing"]].to_list() == ["age", 1]
    assert "missing" in repr(found).splitlines()[0]


def numbered_manifest(tmp_path, cell, notes="note"):
    """60 patients whose sizes are numbers, but for one cell."""
    lines = ["image,patient_id,label,size_mm,note"]
    for number in range(60):
        size = cell if number == 7 else f"{5 + number / 2:.1f}"
        label = ("benign", "malignant")[number % 2]
        lines.append(f"{number}.png,P{number},{label},{size},{notes} {number}")
    path = tmp_path / "numbers.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("cell", ["-", "12 mm", "inf"])
def test_a_cell_that_is_no_number_is_an_error_with_its_row(tmp_path, cell):
    # The column was left out without a word, or became 55 categories.
    for options in ((), ("--columns", "size_mm")):
        text = call(numbered_manifest(tmp_path, cell), *options, code=1)
        assert "row 9: expected a number in `size_mm`" in text
        assert f"Received: {cell!r}" in text


def test_one_decimal_comma_is_read_and_words_left_out_are_named(tmp_path):
    path = numbered_manifest(tmp_path, '"12,5"')
    text = " ".join(call(path).split())
    assert "Size mm" in text
    assert "Left out: note, which has 60 different words." in text
    rows = pd.read_csv(path).drop(columns=["image", "patient_id", "note"])
    assert [line.test for line in table_one(rows, "label").lines] == ["Welch"]
    rows.loc[7, "size_mm"] = "-"
    with pytest.raises(ValueError, match="`size_mm` must be numbers.* '-' in row 7"):
        table_one(rows, "label")


def test_words_of_one_meaning_are_one_category(tmp_path):
    path = tmp_path / "words.csv"
    lines = ["image,patient_id,label,margin"]
    words = ("Clear", " clear", "CLEAR", "blurred")
    for number in range(40):
        label = ("benign", "malignant")[number % 2]
        lines.append(f"{number}.png,P{number},{label},{words[number // 2 % 4]}")
    path.write_text("\n".join(lines))
    text = call(path)
    assert "Clear" in text and "CLEAR" not in text and "15 (75.0%)" in text


def test_mann_whitney_is_exact_without_ties_below_50_and_says_so():
    rows = pd.DataFrame({"by": ["a"] * 9 + ["b"] * 9, "x": range(18)})
    rows.loc[8, "x"], rows.loc[9, "x"] = 9, 8
    (line,) = table_one(rows, "by", medians=["x"]).lines
    assert line.test == "Mann-Whitney, exact"
    a, b = (rows.loc[rows["by"] == group, "x"].to_numpy() for group in "ab")
    assert line.p_value == pytest.approx(enumerated_mann_whitney(a, b), rel=1e-12)
    rows.loc[0, "x"] = 1  # a tie
    (tied,) = table_one(rows, "by", medians=["x"]).lines
    assert tied.test == "Mann-Whitney"
    values = np.random.default_rng(0).normal(size=80)
    a, b = values[:45], values[45:] + 0.4
    many = pd.DataFrame({"by": ["a"] * 45 + ["b"] * 35, "x": np.r_[a, b]})
    (line,) = table_one(many, "by", medians=["x"]).lines
    assert line.test == "Mann-Whitney, exact"
    assert line.p_value == stats.mannwhitneyu(a, b, method="exact").pvalue
    more = pd.concat([many, pd.DataFrame({"by": ["a"] * 5, "x": [7.1, 7.2, 8, 9, 10]})])
    assert table_one(more, "by", medians=["x"]).lines[0].test == "Mann-Whitney"


def enumerated_mann_whitney(a, b):
    """Two-sided P from all ways to choose the ranks of the first group."""
    ranks = stats.rankdata(np.r_[a, b])
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(a))]
    middle = np.mean(sums)
    reached = abs(ranks[: len(a)].sum() - middle) - 1e-9
    return np.mean(np.abs(np.array(sums) - middle) >= reached)
