"""The clinical schema: what a form may hold, and what it may not."""

import pytest
import yaml

from usgland.config import load_config
from usgland.errors import UserError
from usgland.schema import TABLE_4, ClinicalColumn, ClinicalSettings

AGE = "{kind: number, role: demographic, unit: years, low: 1, high: 110}"


def settings_of(*overrides):
    return load_config(None, overrides).clinical


def test_the_default_schema_is_table_4_of_the_paper():
    rows = [
        "gender",
        "age",
        "bmi",
        "smoking",
        "drinking",
        "location",
        "distribution",
        "shape",
        "capsule",
        "regularity",
        "margin",
        "density",
        "cystic",
        "calcification",
    ]
    assert len(TABLE_4) == 14
    for row, name in zip(rows, TABLE_4, strict=True):
        assert name.startswith(row)
    assert TABLE_4["density"].choices() == [
        "low",
        "middle",
        "high",
        "mixture",
        "cystic",
    ]
    assert [n for n, c in TABLE_4.items() if c.role == "demographic"] == [
        "gender",
        "age_years",
        "bmi_kg_m2",
        "smoking",
        "drinking",
    ]


def test_the_second_schema_names_no_column_that_knows_the_label(request):
    path = request.config.rootpath / "configs" / "breast_usg.yaml"
    config = load_config(path)
    assert config.model.inputs == "both"
    assert not config.clinical.has_indicator("age")
    assert len(config.clinical.used()) == 17
    assert len(yaml.safe_load(path.read_text())["clinical"]["columns"]) == 17


def test_roles_and_columns_can_be_left_out():
    assert set(settings_of("clinical.roles=[demographic]").used()) == {
        "gender",
        "age_years",
        "bmi_kg_m2",
        "smoking",
        "drinking",
    }
    used = settings_of("clinical.leave_out=[gender, margin]").used()
    assert "gender" not in used and "margin" not in used and len(used) == 12


def test_the_indicator_of_a_column_goes_before_that_of_all():
    column = ClinicalColumn(
        kind="number", role="demographic", low=0, high=9, indicator=True
    )
    settings = ClinicalSettings(
        columns={"a": column, "b": column.model_copy(update={"indicator": None})},
        missing_indicator=False,
    )
    assert settings.has_indicator("a")
    assert not settings.has_indicator("b")


@pytest.mark.parametrize(
    "name",
    ["birads", "bi_rads", "diagnosis", "histology_code", "verification", "mask_area"],
)
def test_a_column_that_knows_the_label_is_refused_unless_forced(name):
    override = f"clinical.columns={{{name}: {AGE}}}"
    with pytest.raises(UserError, match=f"'{name}' would give the label away"):
        settings_of(override)
    forced = settings_of(override, f"clinical.allow_leaks=[{name}]")
    assert set(forced.used()) == {name}


def test_a_column_of_the_file_that_knows_the_label_is_refused_under_another_name():
    both = ["model.inputs=both", "data.columns.shape=BIRADS"]
    with pytest.raises(UserError, match="`BIRADS` would give the label away"):
        load_config(None, both)
    load_config(None, [*both, "clinical.allow_leaks=[shape]"])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("{kind: number, role: demographic}", "a number needs `low` below `high`"),
        ("{kind: number, role: demographic, low: 5, high: 5}", "`low` below `high`"),
        ("{kind: category, role: image_read, words: [a]}", "two `words` or more"),
        ("{kind: category, role: image_read, words: [a, b], low: 1}", "no unit, low"),
        ("{kind: yes_no, role: image_read, words: [a, b]}", "has its own words"),
        ("{kind: category, role: image_read, words: {a: [x], b: [x]}}", "listed twice"),
        (
            "{kind: category, role: image_read, words: {a: [X], b: [x]}}",
            "'x' stands for two",
        ),
        ("{kind: colour, role: image_read}", "expected 'number', 'category' or"),
        ("{kind: yes_no, role: other}", "expected 'demographic' or 'image_read'"),
        ("{kind: yes_no, role: image_read, wrods: []}", "unknown setting"),
    ],
)
def test_a_column_that_makes_no_sense_is_one_line(column, expected):
    with pytest.raises(UserError, match=expected) as caught:
        settings_of(f"clinical.columns={{finding: {column}}}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["clinical.leave_out=[wieght]"], "no column 'wieght' among gender, age_years"),
        (["clinical.columns={Age: " + AGE + "}"], "clinical.columns"),
        (
            ["model.inputs=both", "clinical.roles=[]"],
            "model.inputs=both needs a column of the form",
        ),
        (["model.inputs=both", "augmentation.mixup=0.2"], "mixup needs model.inputs"),
        (["augmentation.mixup=0.2"], "mixup needs model.lesion_head=false"),
        (
            ["model.inputs=both", "data.columns={shape: x, margin: x}"],
            "two columns of the form read `x`",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other_are_one_line(overrides, expected):
    with pytest.raises(UserError, match=expected) as caught:
        load_config(None, overrides)
    assert "\n" not in str(caught.value)


def test_a_schema_that_names_a_column_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(f"clinical:\n  columns:\n    age: {AGE}\n    age: {AGE}\n")
    with pytest.raises(UserError, match="a key twice among age, age"):
        load_config(path)


def test_tables_call_a_column_by_words_and_its_unit():
    names = ClinicalSettings().shown_names()
    assert names["age_years"] == "Age, years"
    assert names["bmi_kg_m2"] == "BMI, kg/m2"
    assert names["cystic_degeneration"] == "Cystic degeneration"
