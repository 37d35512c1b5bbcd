import numpy as np
import pandas as pd
import pytest

from usgland.errors import UserError
from usgland.evaluation.readers.readings import read_readers, reader_unit

CASES = ("a", "b", "c", "d")
MODEL = pd.DataFrame({"case": CASES, "patient_id": CASES, "label": [0, 0, 1, 1]})


@pytest.fixture
def rows():
    """Two readers, four patients, without and with clinical data."""
    return pd.DataFrame(
        [
            (reader, case, clinical, "malignant" if case in "cd" else "benign")
            for reader in ("r2", "r1")
            for clinical in ("with", "without")
            for case in CASES
        ],
        columns=["reader", "patient_id", "clinical", "call"],
    )


@pytest.fixture
def write(tmp_path):
    def write(rows):
        path = tmp_path / "readers.csv"
        rows.to_csv(path, index=False)
        return path

    return write


def refused(path, match, cases=MODEL, **options):
    with pytest.raises(UserError, match=match):
        read_readers(path, cases, **options)


def test_calls_stand_by_reader_and_in_the_order_of_the_models_cases(rows, write):
    rows.loc[0, "call"] = "malignant"  # r2 on a, with
    turned = MODEL.iloc[::-1].reset_index(drop=True)
    readings = read_readers(write(rows.sample(frac=1, random_state=0)), turned)
    assert readings.unit == "patient"
    assert readings.readers == ["r1", "r2"]
    assert readings.conditions == ["without", "with"]
    assert readings.calls["without"].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert readings.calls["with"].tolist() == [[1, 1, 0, 0], [1, 1, 0, 1]]
    assert readings.scores is None
    assert readings.dropped == []
    assert not readings.synthetic


def test_words_of_either_kind_are_read(rows, write):
    rows["aided"] = rows.pop("clinical").map({"with": "Yes", "without": "no"})
    rows["call"] = rows["call"].map({"benign": "0", "malignant": " Malignant "})
    readings = read_readers(write(rows), MODEL)
    assert readings.calls["with"].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_without_the_column_no_clinical_data_were_shown(rows, write):
    rows = rows[rows["clinical"] == "with"].drop(columns="clinical")
    assert read_readers(write(rows), MODEL).conditions == ["without"]


def test_scores_become_calls_from_the_score_that_is_given(rows, write):
    rows["score"] = rows.pop("call").map({"benign": 2, "malignant": 4})
    path = write(rows)
    readings = read_readers(path, MODEL, malignant_from=4)
    assert readings.calls["with"].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
    assert readings.scores["with"].tolist() == [[2, 2, 4, 4], [2, 2, 4, 4]]
    refused(path, "Received: scores only; add --malignant-from")


def test_calls_beside_scores_leave_no_room_for_a_cut(rows, write):
    rows["score"] = 1
    refused(write(rows), "leave the option or the column out", malignant_from=3)


def test_labels_of_the_file_serve_without_a_model(rows, write):
    path = write(rows)
    refused(path, "expected a column label, or --predictions", None)
    rows["label"] = rows["patient_id"].map({"a": 0, "b": 0, "c": 1, "d": 1})
    readings = read_readers(write(rows))
    assert readings.cases["label"].tolist() == [0, 0, 1, 1]
    rows.loc[15, "label"] = 0
    refused(write(rows), "row 17: `label` of d: expected 1, as in an earlier row", None)


def test_every_problem_is_named_at_once_with_its_line(rows, write):
    rows["label"] = rows["patient_id"].map({"a": 0, "b": 0, "c": 1, "d": 1})
    rows.loc[0, "call"] = "maybe"
    rows.loc[1, "clinical"] = "some"
    rows.loc[2, "patient_id"] = "z"
    rows.loc[3, "label"] = 0
    rows.loc[5, "reader"] = " "
    rows.loc[7, "patient_id"] = "c"
    with pytest.raises(UserError) as error:
        read_readers(write(rows), MODEL)
    lines = str(error.value).split("\n")
    assert "6 problems" in lines[0] or "7 problems" in lines[0]
    text = "\n".join(lines[1:])
    assert "row 2: `call`: expected benign or malignant, or 0 or 1. " in text
    assert "row 3: `clinical`: expected with or without. Received: 'some'" in text
    assert "row 4: expected a case that the predictions have. Received: z" in text
    assert "row 5: `label` of d: expected 1, as in the predictions. Rec" in text
    assert "row 7: `reader`: expected a value. Received: ''" in text
    assert "row 9: expected one call of each reader, case and condition" in text
    assert "again (first in row 8)" in text


def test_a_score_that_is_no_number_is_named(rows, write):
    rows["score"] = ["high", "inf"] + ["1"] * 14
    refused(write(rows), "row 2: `score`: expected a finite number. Received: 'high'")


def test_skipped_cases_are_an_error_unless_they_are_dropped(rows, write):
    rows = rows.drop(index=[0, 13])  # r2 on a, with; r1 on b, without
    path = write(rows)
    with pytest.raises(UserError, match="2 problems") as error:
        read_readers(path, MODEL)
    assert "of r2 on all 4 cases, with clinical data. Received: none on a." in str(
        error.value
    )
    assert "of r1 on all 4 cases, without clinical data. Received: none on b" in str(
        error.value
    )
    assert "--skipped drop-case" in str(error.value)
    refused(path, "malignant cases .* Received: 2 .* 2 dropped", skipped="drop-case")
    labels = MODEL.assign(label=[1, 0, 1, 0])
    kept = read_readers(path, labels, skipped="drop-case")
    assert kept.dropped == ["a", "b"]
    assert kept.cases["case"].tolist() == ["c", "d"]
    assert kept.calls["with"].shape == (2, 2)


def test_each_reader_may_count_on_the_cases_they_read(rows, write):
    path = write(rows.drop(index=[0, 13]))  # r2 on a, with; r1 on b, without
    known = pd.concat([MODEL, MODEL.tail(1).assign(case="e")])
    kept = read_readers(path, known, skipped="own-cases")
    assert kept.dropped == ["e"] and not kept.complete
    assert kept.cases["case"].tolist() == list(CASES)
    assert np.argwhere(np.isnan(kept.calls["with"])).tolist() == [[1, 0]]
    assert np.argwhere(np.isnan(kept.calls["without"])).tolist() == [[0, 1]]
    whole = read_readers(write(rows), MODEL, skipped="own-cases")
    assert whole.complete and whole.calls["with"].dtype == "int64"
    empty = rows.assign(call=rows["call"].where(~rows.index.isin([0, 13]), ""))
    same = read_readers(write(empty), known, skipped="own-cases")
    assert np.array_equal(same.calls["with"], kept.calls["with"], equal_nan=True)
    refused(write(empty), "row 2: `call`: expected benign or malignant")
    only = rows.drop(index=[2, 3])  # r2 has no malignant case with clinical data
    match = "cases of r2, with clinical data. Received: none that is malignant"
    refused(write(only), match, skipped="own-cases")


def test_a_cell_too_many_is_an_error_with_its_row(tmp_path):
    # A decimal comma: the 3 was read as the score, the rest as not there.
    for head in ("reader,patient_id,label,score", "reader,patient_id,label,score,"):
        path = tmp_path / "readers.csv"
        path.write_text(f"{head}\nA,p1,0,1\nA,p2,1,3,5\n".replace("0,1\n", "0,1,\n"))
        with pytest.raises(UserError, match="row 3: expected 4 cells. Received: 5"):
            read_readers(path, malignant_from=4)


def test_images_say_whose_they_are(rows, write):
    # 55 images of 20 patients were 55 patients.
    images = rows.assign(
        image=rows["patient_id"],
        label=rows["patient_id"].map(dict(zip("abcd", (1, 0, 1, 0), strict=True))),
        patient_id=rows["patient_id"].map(dict(zip("abcd", "ppqr", strict=True))),
    )
    read = read_readers(write(images))
    assert read.unit == "image"
    assert read.cases["case"].tolist() == list("abcd")
    assert read.cases["patient_id"].tolist() == list("ppqr")
    other = images.copy()
    other.loc[other.index[-1], "patient_id"] = "z"
    last, image = len(images) + 1, images["image"].iloc[-1]
    owner = images["patient_id"].iloc[-1]
    text = (
        f"row {last}: `patient_id` of {image}: expected {owner}, as in an earlier row"
    )
    refused(write(other), f"{text}. Received: z", None)
    refused(write(other), "as in the predictions. Received: ", MODEL)
    refused(write(images.assign(patient_id="")), "`patient_id`: expected a value", None)


def test_a_file_names_its_cases_by_one_column(rows, write):
    assert reader_unit(write(rows)) == "patient"
    assert reader_unit(write(rows.assign(image="x"))) == "image"
    with pytest.raises(UserError, match="Received: only reader, clinical, call"):
        reader_unit(write(rows.drop(columns="patient_id")))
    assert reader_unit(write(rows.rename(columns={"patient_id": "image"}))) == "image"


def test_columns_that_are_missing_or_contradict_each_other_are_named(rows, write):
    refused(write(rows.drop(columns="reader")), "expected the columns reader, patient")
    refused(write(rows.drop(columns="call")), "and call or score. Received: reader")
    refused(write(rows.assign(aided="no")), "Received: clinical and aided; remove one")
    refused(write(rows.iloc[:0]), "expected one row a reader and case. Received: none")


def test_rows_have_their_numbers_also_below_blank_lines(rows, write):
    rows.loc[1, "call"] = "perhaps"
    path = write(rows)
    path.write_text(path.read_text().replace("\n", "\n\n", 2))
    refused(path, "^[^ ]*: row 5: `call`: expected benign")


def test_a_spreadsheet_may_have_saved_it(rows, write, tmp_path):
    wanted = read_readers(write(rows), MODEL)
    semicolons, workbook = tmp_path / "semicolons.csv", tmp_path / "readers.xlsx"
    rows.to_csv(semicolons, sep=";", index=False, encoding="utf-8-sig")
    rows.to_excel(workbook, index=False)
    for path in (semicolons, workbook):
        assert reader_unit(path) == "patient"
        readings = read_readers(path, MODEL)
        assert readings.readers == wanted.readers
        assert np.array_equal(readings.calls["with"], wanted.calls["with"])


def test_what_becomes_of_skipped_cases_is_one_of_two_words(rows, write):
    with pytest.raises(ValueError, match="`skipped` must be one .* Received: 'eror'"):
        read_readers(write(rows), MODEL, skipped="eror")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        UserError, match="no file at .*none.csv. It holds the readers' calls"
    ):
        read_readers(tmp_path / "none.csv", MODEL)


def test_a_synthetic_reader_is_known_as_one(rows, write):
    assert read_readers(write(rows.assign(synthetic=1)), MODEL).synthetic


def test_the_patient_007_keeps_his_zeros(rows, write):
    names = {"a": "007", "b": "7", "c": "NA", "d": "d"}
    rows["patient_id"] = rows["patient_id"].map(names)
    cases = MODEL.assign(case=[*names.values()], patient_id=[*names.values()])
    assert np.array_equal(
        read_readers(write(rows), cases).calls["with"], [[0, 0, 1, 1], [0, 0, 1, 1]]
    )


@pytest.mark.parametrize("cut", [1, 99, float("inf"), float("nan")])
def test_a_cut_that_parts_no_scores_is_refused(rows, write, cut):
    path = write(rows.assign(score=[1, 5] * (len(rows) // 2)).drop(columns="call"))
    refused(
        path, "--malignant-from: expected above 1 and at most 5", malignant_from=cut
    )
