import hashlib
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usgland.config import DataSettings
from usgland.data.columns import excluded_rows
from usgland.data.manifest import load_manifest
from usgland.errors import UserError
from usgland.schema import ClinicalColumn


@pytest.fixture
def folder(tmp_path):
    """A folder with the images a.png to h.png, all different."""
    rng = np.random.default_rng(0)
    for name in "abcdefgh":
        pixels = rng.integers(0, 256, (40, 48), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def write(folder, text):
    path = folder / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder, text, *, labelled=True, **settings):
    path = write(folder, text)
    return load_manifest(path, DataSettings(**settings), labelled=labelled)


def test_a_manifest_becomes_a_table(folder):
    rows = load(
        folder,
        "image,patient_id,label,age,histology,reader_1\n"
        "a.png,P1,benign,50,NA,1\n"
        "sub/../b.png,P1,Benign ,,Warthin tumour,\n"
        "c.png,P2,MALIGNANT,007,,2.0\n",
    )
    assert rows["image"].to_list() == ["a.png", "sub/../b.png", "c.png"]
    assert rows["image_path"].to_list() == [
        str(folder / name) for name in ("a.png", "b.png", "c.png")
    ]
    assert rows["label"].to_list() == [0, 0, 1]
    assert rows["label"].dtype == "int64"
    assert rows["group_id"].to_list() == ["", "", ""]
    assert rows["csv_row"].to_list() == [2, 3, 4]
    assert rows["age"].to_list() == ["50", "", "007"]
    assert rows["histology"].to_list() == ["NA", "Warthin tumour", ""]
    assert rows["reader_1"].to_list() == ["1", "", "2.0"]
    digest = hashlib.sha256((folder / "c.png").read_bytes()).hexdigest()
    assert rows["sha256"].iloc[2] == digest


def test_columns_and_label_words_can_be_mapped(folder):
    rows = load(
        folder,
        "file;case;label;diagnosis\na.png;1;x;gutartig\nb.png;2;y;bösartig\n",
        columns={
            "image": "file",
            "patient_id": "case",
            "group_id": "case",
            "label": "diagnosis",
        },
        label_words={"gutartig": 0, "Bösartig": 1},
    )
    assert rows["label"].to_list() == [0, 1]
    assert rows["group_id"].to_list() == ["1", "2"]
    assert rows["diagnosis"].to_list() == ["gutartig", "bösartig"]


@pytest.mark.parametrize("words", [("0", "1"), ("0.0", "1.0"), ("benign", "malignant")])
def test_labels_are_words_or_numbers(folder, words):
    text = f"image,patient_id,label\na.png,1,{words[0]}\nb.png,2,{words[1]}\n"
    assert load(folder, text)["label"].to_list() == [0, 1]


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0"])
def test_where_and_ignored_labels_leave_rows_out_before_they_are_checked(folder, value):
    rows = load(
        folder,
        "image,patient_id,label,keep\n"
        "a.png,1,benign,1\n"
        "none.png,,strange,0\n"
        "none.png,,Normal,1.0\n"
        "b.png,2,malignant,1.0\n",
        where={"keep": value},
        ignore_labels=["normal"],
    )
    assert rows["csv_row"].to_list() == [2, 5]
    assert rows.index.to_list() == [0, 1]


def test_a_manifest_and_its_forms_may_be_workbooks(folder):
    images = pd.DataFrame({"image": ["a.png", "b.png"], "patient_id": [7.0, 8.0]})
    images = images.assign(label=["benign", "malignant"])
    images.to_excel(folder / "manifest.xlsx", index=False)
    forms = pd.DataFrame({"patient_id": [8, 7], "age": [61.5, None]})
    forms.to_excel(folder / "forms.xlsx", index=False)
    age = ClinicalColumn(kind="number", role="demographic", low=1, high=99)
    settings = DataSettings(forms=folder / "forms.xlsx")
    rows = load_manifest(folder / "manifest.xlsx", settings, form={"age": age})
    assert rows["patient_id"].to_list() == ["7", "8"]
    np.testing.assert_array_equal(rows["age"], [np.nan, 61.5])
    images.assign(label=["benign", "odd"]).to_excel(folder / "bad.xlsx", index=False)
    with pytest.raises(UserError, match=r"bad.xlsx: row 3: .* Received: 'odd'"):
        load_manifest(folder / "bad.xlsx", DataSettings())


def test_windows_paths_are_understood(folder):
    (folder / "scans").mkdir()
    (folder / "a.png").rename(folder / "scans" / "a.png")
    rows = load(folder, "image,patient_id,label\nscans\\a.png,1,0\nb.png,2,1\n")
    assert rows["image_path"].iloc[0] == str(folder / "scans" / "a.png")


def test_masks_are_found_beside_the_manifest(folder):
    rows = load(folder, "image,patient_id,label,mask\na.png,1,0,c.png\nb.png,2,1,\n")
    assert rows["mask_path"].to_list() == [str(folder / "c.png"), ""]
    with pytest.raises(UserError, match=r"row 3: mask x.png: .* no file at"):
        load(folder, "image,patient_id,label,mask\na.png,1,0,\nb.png,2,1,x.png\n")


@pytest.mark.parametrize("empty", ["", "nan", "NaN", "None", "N/A", "Unknown", "?"])
def test_an_empty_group_ties_nobody(folder, empty):
    text = f"image,patient_id,label,group_id\na.png,1,0,g\nb.png,2,1,{empty}\n"
    assert load(folder, text)["group_id"].to_list() == ["g", ""]


def test_a_column_that_resembles_ours_is_not_passed_over(folder):
    for header, ours in (
        ("Split", "split"),
        ("Group", "group_id"),
        ("group-ID", "group_id"),
        ("FOLD", "fold"),
    ):
        text = f"image,patient_id,label,{header}\na.png,1,0,1\nb.png,2,1,2\n"
        message = f"expected the column `{ours}` under that name. Received: `{header}`"
        with pytest.raises(UserError, match=message):
            load(folder, text)
        assert len(load(folder, text, columns={ours: header})) == 2


def test_parts_that_share_a_patient_are_reported_with_the_rest(folder):
    path = write(
        folder,
        "image,patient_id,label,split,fold\n"
        "a.png,1,0,train,1\nb.png,1,0,Testing,1\nnone.png,2,1,val,2\n",
    )
    settings = DataSettings()
    with pytest.raises(UserError) as error:
        load_manifest(path, settings, parts=("split", "fold"))
    listed = str(error.value).split("\n")
    assert len(listed) == 3 and "2 problems" in listed[0]
    assert "row 2: patient '1': expected one part. Received: test (row 3)" in listed[1]
    assert "row 4" in listed[2] and "none.png" in listed[2]
    with pytest.raises(UserError, match=r"manifest.csv: row 4: [^\n]*$"):
        load_manifest(path, settings, parts=("fold",))


def test_a_mapping_to_a_mistyped_name_is_an_error(folder):
    text = "image,patient_id,label,Cluster\na.png,1,0,1\nb.png,2,1,2\n"
    with pytest.raises(UserError, match="a name like `group_id`. Received: 'grup_id'"):
        load(folder, text, columns={"grup_id": "Cluster"})


def test_new_images_need_neither_label_nor_patient(folder):
    rows = load(folder, "image\na.png\nb.png\n", labelled=False)
    assert rows["patient_id"].to_list() == ["a.png", "b.png"]
    assert rows["group_id"].to_list() == ["", ""]
    assert rows["label"].to_list() == [-1, -1]


def test_labels_of_new_images_are_read_where_they_are_given(folder):
    for empty in ("", "NA", "n/a", "unknown"):
        text = f"image,label,patient_id\na.png,benign,1\nb.png,{empty},1\nc.png,1,2\n"
        assert load(folder, text, labelled=False)["label"].to_list() == [0, -1, 1]
    with pytest.raises(UserError, match="row 2: expected a label among"):
        load(folder, "image,label\na.png,unsure\n", labelled=False)


def test_new_images_are_filtered_by_the_columns_they_have(folder):
    where = {"keep": 1, "view": "long"}
    text = "image,view\na.png,long\nb.png,short\n"
    rows = load(folder, text, labelled=False, where=where)
    assert rows["image"].to_list() == ["a.png"]


def test_new_images_may_lack_what_only_training_needs(folder):
    columns = {"label": "diagnosis", "group_id": "grp", "split": "part"}
    rows = load(folder, "image\na.png\n", labelled=False, columns=columns)
    assert rows["label"].to_list() == [-1]
    with pytest.raises(UserError, match="expected the column `age`"):
        columns = {"age_years": "age"}
        load(folder, "image\na.png\n", labelled=False, columns=columns)


HEADER = "image,patient_id,label\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("x.png,1,0", r"row 2: x\.png: expected an image file. Received: no file at /"),
        (",1,0", "row 2: expected the path of an image. Received: ''"),
        ("a.png,,0", "row 2: expected a patient_id. Received: ''"),
        ("a.png,nan,0", "row 2: expected a patient_id. Received: 'nan'"),
        ("a.png,NA,0\nb.png,NA,0", "2 problems:\n.*expected a patient_id.*\n.*'NA'"),
        ("a.png,not available,0", "expected a patient_id. Received: 'not available'"),
        (
            "a.png,1,normal",
            "row 2: expected a label among benign, malignant, 0, 1. Received: "
            "'normal'; map it in data.label_words or name it in data.ignore_labels",
        ),
        ("a.png,1,", "expected a label among .* Received: ''"),
        (
            "a.png,1,0\nb.png,2,1\n./a.png,1,0",
            r"row 4: \./a\.png: expected each image once. Received: the image of row 2",
        ),
        (
            "a.png,P1,0\nb.png,2,1\nc.png,P1,1",
            "row 2: patient 'P1': expected one label, or "
            r"data.allow_patients_with_two_labels=true. Received: benign \(row 2\) "
            r"and malignant \(row 4\)",
        ),
        (
            "a.png,P1,0\nb.png,p1,0",
            "row 3: expected one spelling of each patient_id. Received: 'P1', 'p1'",
        ),
        ("a.png,007,0\nb.png,7.0,0", "Received: '007', '7.0'"),
    ],
)
def test_each_problem_is_one_line_with_its_row(folder, lines, message):
    with pytest.raises(UserError, match=message) as error:
        load(folder, HEADER + lines + "\n")
    assert str(error.value).startswith(f"{folder / 'manifest.csv'}: ")
    assert ("\n" in str(error.value)) == ("problems" in message)


def test_groups_have_one_spelling_too(folder):
    text = "image,patient_id,label,group_id\na.png,1,0,G1\nb.png,2,1,g1\n"
    with pytest.raises(UserError, match="one spelling of each group_id"):
        load(folder, text)


def test_names_that_may_be_two_patients_stay_two(folder):
    rows = load(folder, HEADER + "a.png,1.1,0\nb.png,1.10,1\n")
    assert rows["patient_id"].nunique() == 2


def test_patients_with_two_labels_can_be_allowed(folder):
    text = HEADER + "a.png,P1,0\nc.png,P1,1\n"
    rows = load(folder, text, allow_patients_with_two_labels=True)
    assert rows["label"].to_list() == [0, 1]


def test_identical_files_under_two_labels_are_an_error(folder):
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    message = (
        r"row 2: expected one label for identical files. Received: benign \(row 2\) "
        r"and malignant \(row 3\)"
    )
    with pytest.raises(UserError, match=message):
        load(folder, HEADER + "a.png,1,0\nb.png,2,1\n")
    # Between patients with one label they are no error: splits keep them together.
    assert len(load(folder, HEADER + "a.png,1,0\nb.png,2,0\n")) == 2


def test_all_problems_are_told_at_once_in_the_order_of_rows(folder):
    (folder / "b.png").write_bytes(b"")
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:-30])
    (folder / "d.png").write_bytes(b"hello")
    (folder / "f.png").write_bytes((folder / "e.png").read_bytes())
    Image.new("L", (1, 1)).save(folder / "h.png")
    with pytest.raises(UserError) as error:
        load(
            folder,
            HEADER
            + "x.png,1,0\nb.png,2,0\nc.png,3,odd\nd.png,,0\ne.png,5,0\n"
            + "f.png,6,1\ng.png,5,1\nh.png,7,1\n",
        )
    lines = str(error.value).split("\n")
    assert lines[0] == f"{folder / 'manifest.csv'}: 9 problems:"
    assert [int(re.match(r"  row (\d+): ", line)[1]) for line in lines[1:]] == [
        2,
        3,
        4,
        4,
        5,
        5,
        6,
        6,
        9,
    ]
    expected = ("no file", "empty file", "PNG", "label", "PNG, JPEG", "patient_id")
    assert all(word in str(error.value) for word in expected)


def test_a_missing_column_names_those_that_are_there(folder):
    message = (
        r"expected the column `image` \(the nearest is `Image`\) and `label`\. "
        r"Received: Image, patient_id, diagnosis\. Set data\.columns"
    )
    with pytest.raises(UserError, match=message):
        load(folder, "Image,patient_id,diagnosis\na.png,1,0\n")


def test_a_mapped_column_must_be_there(folder):
    with pytest.raises(UserError, match="expected the column `grp`"):
        load(folder, HEADER + "a.png,1,0\n", columns={"group_id": "grp"})


def test_a_column_of_where_must_be_there(folder):
    with pytest.raises(UserError, match=r"`kep` \(the nearest is `keep`\).*data.where"):
        load(folder, "image,patient_id,label,keep\na.png,1,0,1\n", where={"kep": 1})


@pytest.mark.parametrize("name", ["image_path", "sha256", "role", "mask_path"])
def test_a_column_may_not_have_the_name_of_one_we_make(folder, name):
    text = f"image,patient_id,label,{name}\na.png,1,0,x\n"
    with pytest.raises(UserError, match=f"Received: `{name}`; rename it"):
        load(folder, text)


def test_such_a_column_may_be_mapped(folder):
    text = "image_path,patient_id,label\na.png,1,0\n"
    rows = load(folder, text, columns={"image": "image_path"})
    assert rows["image"].to_list() == ["a.png"]
    assert rows["image_path"].to_list() == [str(folder / "a.png")]


def test_no_rows_are_an_error(folder):
    with pytest.raises(UserError, match=r"expected a row an image. Received: no rows$"):
        load(folder, HEADER)
    with pytest.raises(UserError, match=r"no rows but those left out: label normal"):
        load(folder, HEADER + "a.png,1,normal\n", ignore_labels="normal")
    message = r"expected rows with `label` = 5 \(data.where\). Received: '0', '1'"
    with pytest.raises(UserError, match=message):
        load(folder, HEADER + "a.png,1,0\nb.png,2,1\n", where={"label": 5})


@pytest.mark.parametrize(
    ("name", "settings", "benign", "malignant"),
    [
        ("busi", {"where": {"keep": 1}, "ignore_labels": ["normal"]}, 315, 179),
        ("breast_usg", {"ignore_labels": ["normal"]}, 154, 98),
    ],
)
def test_public_data_pass(shared, name, settings, benign, malignant):
    path = shared / "data" / name / "manifest.csv"
    if not path.exists():
        pytest.skip(f"needs the public data set {name} in ../shared/data")
    rows = load_manifest(path, DataSettings(**settings))
    assert rows["label"].value_counts().to_dict() == {0: benign, 1: malignant}


def test_conflicts_in_public_data_are_found(shared):
    path = shared / "data" / "busi" / "manifest.csv"
    if not path.exists():
        pytest.skip("needs the public data set busi in ../shared/data")
    # benign_433 = malignant_145, says the README of the data set.
    with pytest.raises(UserError, match="one label for identical files") as error:
        load_manifest(path, DataSettings(ignore_labels=["normal"]))
    lines = path.read_text().splitlines()
    rows = [int(row) for row in re.findall(r"\(row (\d+)\)", str(error.value))]
    assert [lines[row - 1].split(",")[0] for row in rows] == [
        "benign_433",
        "malignant_145",
    ]


def test_rows_with_a_reason_of_their_own_are_left_out_and_told_apart(folder):
    header = "image,patient_id,label,exclusion"
    rows = [
        "a.png,P1,benign,",
        "b.png,P2,malignant,poor image",
        "c.png,P3,normal,",
        "d.png,P4,malignant,none",
        "e.png,P5,malignant,n/a",
    ]
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    settings = DataSettings(ignore_labels=("normal",))
    assert load_manifest(path, settings)["csv_row"].to_list() == [2, 5, 6]
    left_out = excluded_rows(path, settings)
    assert dict(zip(left_out["patient_id"], left_out["reason"], strict=True)) == {
        "P2": "poor image",
        "P3": "label normal (data.ignore_labels)",
    }


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(A1)", "-1+cmd|'x'!A0"])
def test_a_name_that_a_spreadsheet_would_run_is_refused(folder, name):
    text = f'image,patient_id,label\n1.png,"{name}",benign\n2.png,-7,malignant\n'
    with pytest.raises(UserError, match="row 2: expected a patient_id that no spread"):
        load(folder, text)
