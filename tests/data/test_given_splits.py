import numpy as np
import pandas as pd
import pytest

from usgland.data.given_splits import follow_file, is_given, read_folds, read_roles
from usgland.errors import UserError


def column(name, cells):
    return pd.DataFrame({name: cells, "csv_row": range(2, len(cells) + 2)})


def test_a_column_counts_when_any_cell_is_filled():
    assert is_given(column("split", ["", "train"]), "split")
    assert not is_given(column("split", ["", ""]), "split")
    assert not is_given(column("split", ["train"]), "fold")
    assert is_given(column("fold", [0, 1]), "fold")


def test_common_words_for_roles_are_understood():
    words = [
        "train",
        "Training",
        "val",
        "valid",
        "validation",
        "dev",
        "Test ",
        "unused",
    ]
    roles = read_roles(column("split", words), "split", "here").tolist()
    assert roles == ["train"] * 2 + ["val"] * 4 + ["test", "unused"]


def test_other_words_and_empty_cells_are_no_roles():
    rows = column("split", ["train", "", "holdout"])
    message = "here: 2 problems:\n  row 3: .* Received: ''\n  row 4: .*'holdout'"
    with pytest.raises(UserError, match=message):
        read_roles(rows, "split", "here")


def test_folds_are_numbered_from_zero_in_their_order():
    rows = column("fold", ["10", "2", "2.0", "03"])
    assert read_folds(rows, "here").tolist() == [2, 0, 0, 1]
    rows = column("fold", [f"{10**20}", "٣"])
    assert read_folds(rows, "here").tolist() == [1, 0]


def test_folds_are_whole_numbers():
    with pytest.raises(UserError, match=r"row 3: expected a whole number .*: '1.5'"):
        read_folds(column("fold", ["1", "1.5"]), "here")
    with pytest.raises(UserError, match=r"row 3: .* Received: ''"):
        read_folds(column("fold", ["1", ""]), "here")


def test_one_fold_is_too_few():
    with pytest.raises(UserError, match=r"here: expected two folds or more. .*: 3"):
        read_folds(column("fold", ["3", "3"]), "here")


ROWS = pd.DataFrame({"image": ["b", "a", "c"], "patient_id": ["2", "1", "3"]})


def follow(tmp_path, text):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    return follow_file(path, ROWS, "role")


def test_a_file_is_followed_in_the_order_of_the_rows(tmp_path):
    text = "image,patient_id,role\na,1,train\nb,2,val\nc,3,test\n"
    followed = follow(tmp_path, text)
    assert followed["role"].to_list() == ["val", "train", "test"]
    assert np.array_equal(followed["csv_row"], [3, 2, 4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,patient_id\na,1\n", "expected the column `role`.*split.file"),
        (
            "image,patient_id,role\na,1,train\nd,2,val\ne,2,val\n",
            "2 problems:\n  .* adds 2: d, e\n  .* lacks 2: b, c$",
        ),
        (
            "image,patient_id,role\na,1,train\nb,2,val\nc,3,test\nb,2,val\n",
            "row 5: b: expected each image once. Received: it again",
        ),
        (
            "image,patient_id,role\na,1,train\nb,9,val\nc,3,test\n",
            "row 3: b: expected the patient_id '2'. Received: '9'",
        ),
    ],
)
def test_a_file_of_other_data_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        follow(tmp_path, text)


def test_only_the_first_of_many_missing_images_are_listed(tmp_path):
    extra = "".join(f"x{number:02d},9,train\n" for number in range(12))
    text = "image,patient_id,role\na,1,train\nb,2,val\nc,3,test\n" + extra
    with pytest.raises(UserError, match=r"adds 12: x00, .*, x04 and 7 more$"):
        follow(tmp_path, text)
