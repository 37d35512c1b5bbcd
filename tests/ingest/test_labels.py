import openpyxl
import pytest

from usgland.errors import UserError
from usgland.ingest.headers import PrivateFields
from usgland.ingest.labels import compare, read_labels


def fields(patient="", accession=""):
    return PrivateFields(patient, accession, "", "", "", "")


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_labels_are_joined_by_patient_and_by_study(table):
    labels = read_labels(
        table(
            "PatientID;Accession Number;Diagnosis\n"
            "MRN 1;;benign\nmrn 2;;malignant\n471;;benign\n;A7;malignant\n9;;\n"
        )
    )
    assert labels.label_of(fields("mrn 1")) == "benign"
    assert labels.label_of(fields("mrn 1", "a7")) == "malignant"
    assert labels.label_of(fields("mrn 1"), shared=True) == ""
    assert labels.label_of(fields("00471")) == "benign"  # as a spreadsheet has it
    assert labels.label_of(fields("9")) == labels.label_of(fields()) == ""
    assert labels.words() == {"benign", "malignant"}


def test_words_that_are_no_known_labels_are_searched(table):
    labels = read_labels(table("mrn,label\n1,Dr Novak\n2,Dr Novak\n3,Benign\n"))
    assert labels.words() == {"Benign"}


def test_a_workbook_will_do(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["patient_id", "label"])
    book.active.append([471, "benign"])
    book.save(tmp_path / "labels.xlsx")
    assert read_labels(tmp_path / "labels.xlsx").label_of(fields("00471")) == "benign"


def test_zeros_are_dropped_only_where_no_other_row_has_them(table):
    labels = read_labels(table("patient_id,label\n471,benign\n00471,malignant\n"))
    assert labels.label_of(fields("00471")) == "malignant"
    assert labels.label_of(fields("0471")) == "benign"


def test_who_has_no_label_and_which_label_no_images_is_told_by_number(table):
    labels = read_labels(table("patient_id,label\n471,benign\n5,benign\n6,benign\n"))
    report = compare(labels, [fields("0471"), fields("8"), fields("", "a1")])
    assert report.without_label == ["8", "a1"]
    assert report.without_images == ["5", "6"]
    assert str(report) == "2 patients without a label, 2 labels without images"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,label\n1,benign\n", "columns `patient_id` or.*Received: id, label"),
        ("patient_id\n1\n", "and `label`. Received: patient_id"),
        ("patient_id,label\n1,\n,benign\n", "no row with an id and one"),
        ("patient_id,label\n1,benign\n01x,b\n1,malignant\n", "two labels.*rows 2, 4"),
        ("patient_id,label\n1,=cmd|x\n", "row 2: expected a label of a few plain"),
        (
            "patient_id,label\n" + "".join(f"{n},name {n}\n" for n in range(11)),
            "at most 10 different labels. Received: 11",
        ),
    ],
)
def test_a_table_that_cannot_be_joined_is_refused_without_a_value(
    table, text, expected
):
    with pytest.raises(UserError, match=expected) as error:
        read_labels(table(text))
    assert "cmd" not in str(error.value)
