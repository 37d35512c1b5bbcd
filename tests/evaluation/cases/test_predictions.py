import math
import re

import numpy as np
import pandas as pd
import pytest

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import (
    complete_predictions,
    patient_predictions,
    read_predictions,
)


def table():
    logit = np.array([-1.0, 2.0, 0.5])
    return pd.DataFrame(
        {
            "image": ["a.png", "b.png", "c.png"],
            "patient_id": ["007", "007", "NA"],
            "role": ["test", "test", "val"],
            "label": [0, 0, 1],
            "probability": 1 / (1 + np.exp(-logit)),
            "logit": logit,
        }
    )


def write(rows, tmp_path):
    path = tmp_path / "predictions.csv"
    rows.to_csv(path, index=False)
    return path


def test_predictions_are_read_as_they_were_written(tmp_path):
    rows = table()
    read = read_predictions(write(rows, tmp_path))
    assert read["patient_id"].tolist() == ["007", "007", "NA"]
    assert read["label"].tolist() == [0, 0, 1]
    assert read["fold"].tolist() == ["", "", ""]
    assert read["probability"].tolist() == rows["probability"].tolist()
    assert read["logit"].tolist() == rows["logit"].tolist()


def test_folds_are_words_even_where_a_spreadsheet_made_them_numbers(tmp_path):
    read = read_predictions(write(table().assign(fold=[0.0, 1.0, 10.0]), tmp_path))
    assert read["fold"].tolist() == ["0", "1", "10"]


def changed(column, values):
    return table().astype(object).assign(**{column: values})


BAD = {
    "missing columns": (
        table().drop(columns=["label", "logit"]),
        "expected the columns image, .* Received a file without label, logit",
    ),
    "no rows": (table().iloc[:0], "expected one row an image. Received: no rows"),
    "empty patient": (
        changed("patient_id", ["p", " ", "q"]),
        r"`patient_id`: expected a value. Received: '' \(row 3\)",
    ),
    "empty image": (changed("image", ["", "b", "c"]), r"`image`: expected a value"),
    "role": (
        changed("role", ["test", "test", "training"]),
        r"`role`: expected train, val or test. Received: 'training' \(row 4\)",
    ),
    "label -1": (
        changed("label", [-1, -1, 1]),
        r"expected a label, 0 or 1, .* 2 of 3 rows without one \(rows 2, 3\)",
    ),
    "label empty": (
        changed("label", [0, "", 1]),
        r".* 1 of 3 rows without one \(row 3\)",
    ),
    "label word": (
        changed("label", ["benign", 0, 1]),
        r"`label`: expected 0 \(benign\) or 1 \(malignant\). Received: 'benign'",
    ),
    "probability NaN": (
        changed("probability", [0.3, "nan", 0.6]),
        r"`probability`: expected a number in \[0, 1\]. Received: 'nan' \(row 3\)",
    ),
    "probability empty": (
        changed("probability", [0.3, "", 0.6]),
        r"`probability`: .* Received: '' \(row 3\)",
    ),
    "probability high": (
        changed("probability", [0.3, 0.9, 62]),
        r"`probability`: .* Received: '62.0' \(row 4\)",
    ),
    "logit infinite": (
        changed("logit", [-1, "inf", 0.5]),
        r"`logit`: expected a finite number. Received: 'inf' \(row 3\)",
    ),
    "logit of another": (
        changed("logit", [1, 2, 0.5]),
        r"`logit`: expected the logit of `probability`. Received: '1.0' \(row 2\)",
    ),
    "duplicate": (
        changed("image", ["a", "b", "a"]),
        r"`image`: expected each image once .*Received: 'a' \(rows 2, 4\)",
    ),
    "two roles": (
        changed("patient_id", ["p", "q", "p"]),
        r"`patient_id`: expected each patient in one role .*'p' \(rows 2, 4\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_rows_that_cannot_be_used_are_named(tmp_path, name):
    rows, message = BAD[name]
    path = write(rows, tmp_path)
    with pytest.raises(UserError, match=f"{re.escape(str(path))}: {message}") as caught:
        read_predictions(path)
    assert "\n" not in str(caught.value)


def test_many_bad_rows_are_counted_not_listed(tmp_path):
    rows = pd.concat([table()] * 3, ignore_index=True)
    with pytest.raises(UserError, match=r"\(rows 2, 3, 4, 5, 6 and 4 more\)"):
        read_predictions(write(rows, tmp_path))


def test_an_image_may_stand_in_several_folds(tmp_path):
    rows = pd.concat([table().assign(fold=0), table().assign(fold=1, role="train")])
    assert len(read_predictions(write(rows, tmp_path))) == 6


def test_a_missing_file_says_what_writes_it(tmp_path):
    with pytest.raises(UserError, match="Received: .*none.csv. `usgland predict` wri"):
        read_predictions(tmp_path / "none.csv")


@pytest.mark.parametrize("content", [b"", b'a,b\n1,2,3\n"', b"\xff\xfe\x00", None])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    path = tmp_path / "predictions.csv"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"\.csv: expected a .*Received: "):
        read_predictions(path)


def test_rows_have_their_numbers_also_below_blank_lines(tmp_path):
    path = write(changed("role", ["test", "test", "both"]), tmp_path)
    path.write_text(path.read_text().replace("\n", "\n\n", 2))
    with pytest.raises(UserError, match=r"Received: 'both' \(row 6\)"):
        read_predictions(path)


def test_a_spreadsheet_may_have_saved_them(tmp_path):
    wanted = read_predictions(write(table(), tmp_path))
    path = tmp_path / "other.csv"
    table().to_csv(path, sep=";", decimal=",", index=False, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(read_predictions(path), wanted)
    table().to_excel(tmp_path / "other.xlsx", index=False)
    read = read_predictions(tmp_path / "other.xlsx")
    pd.testing.assert_frame_equal(read, wanted)


def test_a_line_cut_short_is_named(tmp_path):
    path = write(table(), tmp_path)
    path.write_text(path.read_text() + "d.png,p9,test,1\n")
    with pytest.raises(UserError, match=r"row 5: expected 6 cells. Received: 4"):
        read_predictions(path)


def test_a_patient_has_the_mean_of_its_logits():
    read = patient_predictions(table())
    assert read["patient_id"].tolist() == ["007", "NA"]
    assert read["images"].tolist() == [2, 1]
    assert read["label"].tolist() == [0, 1]
    assert read["role"].tolist() == ["test", "val"]
    assert read["fold"].tolist() == ["", ""]
    assert read["logit"].tolist() == [0.5, 0.5]
    # By hand: (-1 + 2) / 2 = 0.5. The mean of probabilities would be 0.575.
    assert read["probability"][0] == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_a_patient_with_one_malignant_image_counts_as_malignant():
    read = patient_predictions(table().assign(label=[0, 1, 0]))
    assert read["label"].tolist() == [1, 0]


def test_single_precision_logits_are_averaged_in_double_precision():
    rows = table().astype({"logit": "float32"})
    assert patient_predictions(rows)["logit"].dtype == "float64"


def test_a_patient_without_a_label_is_gathered_and_no_other_label_passes():
    """`predict` writes -1 where a manifest has no label."""
    rows = pd.DataFrame({"patient_id": ["a", "a", "b"], "logit": [2.0, 0.0, 1.0]})
    patients = patient_predictions(rows.assign(label=[-1, -1, 0]))
    assert patients["label"].tolist() == [-1, 0]
    with pytest.raises(ValueError, match="must be 0 or 1. Received: 2"):
        patient_predictions(rows.assign(label=[-1, 2, 0]))


def test_a_table_of_ones_own_gets_what_it_lacks():
    bare = pd.DataFrame({"patient_id": ["a", "b"], "label": [True, False]})
    found = complete_predictions(bare.assign(probability=[0.8, 0.5]))
    assert found["logit"].to_list() == pytest.approx([np.log(4), 0])
    assert found["label"].to_list() == [1, 0]
    assert found.loc[0, ["role", "fold", "image"]].to_list() == ["test", "", ""]
    found = complete_predictions(bare.assign(logit=[np.log(4), 0]))
    assert found["probability"].to_list() == pytest.approx([0.8, 0.5])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"patient_id": ["a"], "label": [1]}, "Received: none named probability"),
        ({"label": [1], "logit": [0.0]}, "Received: none named patient_id"),
        (
            {"patient_id": ["a"], "label": [1], "probability": [1.0]},
            "finite logits, .* Received: a probability of 0 or 1",
        ),
        (
            {"patient_id": ["a"], "label": ["malignant"], "logit": [1.0]},
            "`labels` must be 0 or 1. Received: 'malignant'; words are mapped first",
        ),
    ],
)
def test_a_table_of_ones_own_that_cannot_be_used_is_named(columns, message):
    with pytest.raises(ValueError, match=message):
        patient_predictions(pd.DataFrame(columns))
