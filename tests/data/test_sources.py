import pandas as pd
import pytest

from usgland.data.sources import check_unseen, stored_roles
from usgland.errors import UserError

ROWS = pd.DataFrame({"image": ["new.png", "b.png", "c.png"], "sha256": ["9", "2", "3"]})


@pytest.fixture
def splits(tmp_path):
    path = tmp_path / "run" / "splits.csv"
    path.parent.mkdir()
    path.write_text("image,role,sha256\nx.png,train,1\ny.png,val,2\nz.png,test,3\n")
    return path


def test_an_image_is_known_by_its_bytes_not_by_its_name(splits):
    assert stored_roles(ROWS, splits).to_list() == ["", "val", "test"]


def test_what_a_run_has_learned_from_may_not_score_it(splits):
    check_unseen(ROWS[ROWS["image"] != "b.png"], splits, "test.csv")
    with pytest.raises(
        UserError, match=r"test.csv: expected images that .*run has not .* 1 .*: b.png$"
    ):
        check_unseen(ROWS, splits, "test.csv")


def test_a_split_without_digests_knows_no_images(splits):
    splits.write_text("image,role\nx.png,train\n")
    with pytest.raises(UserError, match="expected the column `sha256`.*Fit the run"):
        stored_roles(ROWS, splits)
