"""The form's columns: read gently, and refused with the row where they mean nothing."""

import math
from pathlib import Path

import pandas as pd
import pytest

from usgland.data.forms import check_form_columns, join_forms, read_forms
from usgland.errors import UserError
from usgland.schema import TABLE_4, ClinicalColumn


def rows_of(**columns):
    length = len(next(iter(columns.values())))
    return pd.DataFrame(
        {
            "patient_id": [f"P{number}" for number in range(length)],
            "csv_row": range(2, length + 2),
            **columns,
        }
    )


def read(name, *cells, column=None, training=False):
    rows = rows_of(**{name: list(cells)})
    problems = read_forms(rows, {name: column or TABLE_4[name]}, training=training)
    return rows[name].to_list(), problems


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("gender", " Male ", "male"),
        ("gender", "F", "female"),
        ("shape", "not  Round", "not round"),
        ("shape", "NOT\tROUND", "not round"),
        ("capsule", "yes", "present"),
        ("smoking", "1", "yes"),
        ("smoking", "1.0", "yes"),
        ("smoking", "False", "no"),
        ("density", "Hypoechoic", "low"),
        ("age_years", "57", 57.0),
        ("age_years", " 57.5 ", 57.5),
        ("bmi_kg_m2", "23,5", 23.5),
    ],
)
def test_values_are_read_gently(name, cell, expected):
    assert read(name, cell) == ([expected], [])


@pytest.mark.parametrize("cell", ["", "n/a", "N/A", "#N/A", "nan", "unknown", "?"])
def test_a_missing_value_is_nan_or_an_empty_word(cell):
    (number,), problems = read("age_years", cell)
    assert math.isnan(number) and problems == []
    assert read("gender", cell) == ([""], [])


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("gender", "x", "gender: expected one of male, female. Received: 'x'"),
        ("age_years", "684", "expected a number from 1 to 110 years. Received: '684'"),
        ("age_years", "0.5", "expected a number from 1 to 110 years"),
        ("age_years", "57 years", "Received: '57 years'"),
        ("age_years", "1e1", "Received: '1e1'"),
        ("bmi_kg_m2", "235", "expected a number from 10 to 80 kg/m2"),
        ("age_years", "inf", "Received: 'inf'"),
        ("capsule", "-", "expected one of present, absent. Received: '-'"),
    ],
)
def test_what_means_nothing_is_named_with_its_row(name, cell, expected):
    _, [(row, text)] = read(name, cell)
    assert row == 2
    assert expected in text


def test_a_value_that_must_not_be_missing_is_named():
    column = ClinicalColumn(kind="yes_no", role="demographic", may_be_missing=False)
    _, problems = read("finding", "yes", "", column=column)
    assert problems == [(3, "finding: expected one of yes, no. Received: no value")]


def test_a_column_without_any_value_is_a_problem_in_training_alone():
    _, problems = read("gender", "", "n/a", training=True)
    assert problems == [
        (
            0,
            "gender: expected a value in some row. Received: none; name it in "
            "clinical.leave_out",
        )
    ]
    assert read("gender", "", "n/a") == (["", ""], [])


def test_a_value_that_differs_between_images_of_a_patient_is_named():
    rows = rows_of(gender=["male", "female", "male"], age_years=["50", "50", ""])
    rows["patient_id"] = "P"
    columns = {name: TABLE_4[name] for name in ("gender", "age_years")}
    problems = [text for _, text in read_forms(rows, columns, training=True)]
    assert len(problems) == 2
    assert "patient 'P': gender: expected one value for all images" in problems[0]
    assert "'female' (row 3), 'male' (rows 2, 4)" in problems[0]
    assert "50.0 (rows 2, 3), nan (row 4)" in problems[1]
    own = {"gender": TABLE_4["gender"].model_copy(update={"level": "image"})}
    rows = rows_of(gender=["male", "female"]).assign(patient_id="P")
    assert read_forms(rows, own, training=True) == []


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r"`gender` \(the nearest is `Gender`\)"):
        check_form_columns(
            rows_of(Gender=["m"]), {"gender": TABLE_4["gender"]}, Path("m.csv")
        )


def forms_of(**columns):
    return rows_of(**columns)


def test_a_table_of_patients_is_joined_to_their_images():
    rows = rows_of(image=["a", "b", "c"]).assign(patient_id=["P1", "P0", "P1"])
    joined = join_forms(rows, forms_of(gender=["m", "f"]), Path("forms.csv"))
    assert joined["image"].to_list() == ["a", "b", "c"]
    assert joined["gender"].to_list() == ["f", "m", "f"]


@pytest.mark.parametrize(
    ("patients", "forms", "expected"),
    [
        (["P0"], ["P0", "P0"], r"one form a patient. Received: a second one \(row 3\)"),
        (["P0"], ["P0", "P1"], r"Received: forms without an image \(row 3\)"),
        (["P0", "P1"], ["P0"], r"a form of every patient .* none of 1 patients: P1"),
    ],
)
def test_a_form_without_a_patient_and_the_reverse_are_named(patients, forms, expected):
    rows = rows_of(image=list("ab")[: len(patients)]).assign(patient_id=patients)
    table = forms_of(gender=["m"] * len(forms)).assign(patient_id=forms)
    with pytest.raises(UserError, match=expected):
        join_forms(rows, table, Path("forms.csv"))


def test_a_column_in_both_tables_is_named():
    rows = rows_of(gender=["m"])
    with pytest.raises(UserError, match="Received: gender in both"):
        join_forms(rows, forms_of(gender=["m"]), Path("forms.csv"))
