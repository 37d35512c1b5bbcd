import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usgland.config import DataSettings, SplitSettings
from usgland.data.draws import find_components
from usgland.data.manifest import load_manifest
from usgland.data.splits import (
    check_splits,
    draw_rounds,
    fold_names,
    fold_roles,
    make_folds,
    make_splits,
    splits_table,
)
from usgland.errors import UserError


def patients(benign, malignant, seed=0):
    """Rows of patients with one to four images each, none of them related."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(benign + malignant):
        for shot in range(rng.integers(1, 5)):
            image = f"P{number:03d}_{shot}.png"
            records.append((image, f"P{number:03d}", int(number >= benign)))
    rows = pd.DataFrame(records, columns=["image", "patient_id", "label"])
    return rows.assign(
        group_id=rows["patient_id"],
        sha256=rows["image"],
        csv_row=range(2, len(rows) + 2),
    )


def count_patients(rows, column="role"):
    """Patients of each part and class."""
    once = rows.drop_duplicates("patient_id")
    return pd.crosstab(once[column], once["label"])


def assert_nothing_is_shared(rows, column="role"):
    used = rows[rows[column] != "unused"] if column == "role" else rows
    for tie in ("patient_id", "group_id", "sha256"):
        assert used.groupby(tie)[column].nunique().max() == 1


@st.composite
def related_rows(draw):
    """Patients of both classes, some in common groups or with common images."""
    rows = patients(draw(st.integers(8, 30)), draw(st.integers(8, 30)))
    names = sorted(set(rows["patient_id"]))
    for _ in range(draw(st.integers(0, 6))):
        pair = draw(st.tuples(st.sampled_from(names), st.sampled_from(names)))
        column = draw(st.sampled_from(["group_id", "sha256"]))
        for name in pair:
            where = rows.index[rows["patient_id"] == name]
            rows.loc[where if column == "group_id" else where[:1], column] = pair[0]
    return rows


@settings(max_examples=15, deadline=None)
@given(related_rows(), st.integers(0, 9))
def test_no_draw_puts_relatives_into_two_parts(rows, seed):
    choice = SplitSettings(seed=seed, folds=3)
    try:
        assert_nothing_is_shared(make_splits(rows, choice))
        folded = make_folds(rows, choice)
        assert_nothing_is_shared(folded, "fold")
        for fold in range(3):
            round_rows = fold_roles(folded, fold, choice)
            assert_nothing_is_shared(round_rows)
            assert set(round_rows["image"][round_rows["role"] == "test"]) == set(
                folded["image"][folded["fold"] == fold]
            )
    except UserError as error:
        # Too few components for a class in every part; never a shared patient.
        assert "expected benign and malignant images" in str(error)
        assert "expected one part" not in str(error)
        _, counts = find_components(rows)
        assert (counts[:, 2:] > 0).sum(axis=0).min() < 8


def test_shares_of_patients_are_as_asked_in_each_class():
    patient_counts = count_patients(make_splits(patients(100, 60), SplitSettings()))
    assert patient_counts.loc["test"].to_list() == [20, 12]
    assert patient_counts.loc["val"].to_list() == [15, 9]
    assert patient_counts.loc["train"].to_list() == [65, 39]


def test_shares_of_images_are_roughly_as_asked():
    rows = make_splits(patients(100, 60), SplitSettings())
    share = rows["role"].value_counts(normalize=True)
    assert share.to_dict() == pytest.approx(
        {"train": 0.65, "val": 0.15, "test": 0.2}, abs=0.03
    )


def test_small_sets_keep_both_classes_in_every_part():
    for seed in range(10):
        rows = make_splits(patients(3, 3), SplitSettings(seed=seed))
        assert (count_patients(rows).loc[["train", "val", "test"]] == 1).all(axis=None)


def test_the_draw_does_not_depend_on_the_order_of_the_rows():
    rows = patients(40, 30)
    shuffled = rows.sample(frac=1, random_state=1)
    for make, column in ((make_splits, "role"), (make_folds, "fold")):
        drawn, drawn_again = (
            make(rows, SplitSettings()),
            make(shuffled, SplitSettings()),
        )
        assert drawn_again["image"].equals(shuffled["image"])
        together = drawn.merge(drawn_again, on="image")
        assert together[f"{column}_x"].equals(together[f"{column}_y"])


def test_a_seed_gives_one_draw_and_another_seed_another():
    rows = patients(40, 30)
    roles = [make_splits(rows, SplitSettings(seed=s))["role"] for s in (0, 0, 1)]
    assert roles[0].equals(roles[1])
    assert not roles[0].equals(roles[2])


def test_folds_have_equal_shares_of_each_class():
    for seed in range(5):
        rows = make_folds(patients(98, 52), SplitSettings(seed=seed))
        patient_counts = count_patients(rows, "fold")
        assert patient_counts.index.to_list() == [0, 1, 2, 3, 4]
        assert patient_counts[0].isin([19, 20]).all()
        assert patient_counts[1].isin([10, 11]).all()
        images = rows["fold"].value_counts(normalize=True)
        assert np.abs(images - 0.2).max() < 0.03


def test_validation_of_a_fold_is_its_own_draw_of_the_rest():
    choice = SplitSettings()
    rows = make_folds(patients(100, 50), choice)
    rounds = [fold_roles(rows, fold, choice) for fold in range(5)]
    for round_rows in rounds:
        patient_counts = count_patients(round_rows)
        assert patient_counts.loc["val"].to_list() == [12, 6]
        assert patient_counts.loc["test"].to_list() == [20, 10]
    again = fold_roles(rows, 0, choice)
    assert again["role"].equals(rounds[0]["role"])
    assert not again["role"].equals(fold_roles(rows, 0, SplitSettings(seed=1))["role"])


def test_a_fold_that_is_not_there_is_a_misuse():
    rows = make_folds(patients(20, 20), SplitSettings())
    with pytest.raises(ValueError, match=r"one of \[0, 1, 2, 3, 4\]. Received: 5"):
        fold_roles(rows, 5, SplitSettings())


def test_the_paper_draws_as_many_patients_of_each_class():
    choice = SplitSettings(protocol="balanced")
    rows = make_splits(patients(178, 88), choice)
    patient_counts = count_patients(rows)
    assert patient_counts.loc["test"].to_list() == [21, 20]
    assert (patient_counts.loc["train"] + patient_counts.loc["val"]).to_list() == [
        66,
        66,
    ]
    assert patient_counts.loc["val"].to_list() == [10, 10]  # 0.15 of 66
    assert patient_counts.loc["unused"].to_list() == [91, 2]
    assert len(splits_table(rows)) == len(rows)


def test_the_paper_needs_its_number_of_patients():
    with pytest.raises(UserError, match="Received: 178 benign and 80 malignant"):
        make_splits(patients(178, 80), SplitSettings(protocol="balanced"))


def by_patient(rows, name, words):
    """Adds a column that repeats the words over the patients."""
    number = rows["patient_id"].str[1:].astype(int)
    return rows.assign(**{name: [words[one % len(words)] for one in number]})


def test_a_given_split_is_followed():
    rows = by_patient(patients(12, 12), "split", ["train", "valid", "testing"])
    patient_counts = make_splits(rows, SplitSettings(protocol="balanced"))
    words = {"train": "train", "valid": "val", "testing": "test"}
    assert patient_counts["role"].to_list() == [words[word] for word in rows["split"]]


def test_validation_is_drawn_where_a_given_split_has_none():
    rows = by_patient(patients(40, 40), "split", ["train", "test"])
    patient_counts = make_splits(rows, SplitSettings())
    assert (patient_counts["role"] == "test").equals(rows["split"] == "test")
    assert count_patients(patient_counts).loc["val"].to_list() == [3, 3]
    assert_nothing_is_shared(patient_counts)


def test_an_empty_split_column_is_none():
    rows = patients(20, 20)
    empty = rows.assign(split="")
    patient_counts = make_splits(empty, SplitSettings())["role"]
    assert patient_counts.equals(make_splits(rows, SplitSettings())["role"])


def test_given_folds_are_followed_and_the_first_tests():
    rows = by_patient(patients(12, 12), "fold", ["1", "2", "3"])
    folded = make_folds(rows, SplitSettings(folds=5))
    assert folded["fold"].to_list() == [int(word) - 1 for word in rows["fold"]]
    roles = make_splits(rows, SplitSettings())["role"]
    assert (roles == "test").equals(rows["fold"] == "1")


def test_a_patient_in_two_given_roles_is_an_error():
    rows = patients(12, 12)
    rows = by_patient(rows, "split", ["train", "val", "test"])
    first = rows.index[rows["patient_id"] == "P000"]
    rows.loc[first[-1], "split"] = "test"
    with pytest.raises(
        UserError,
        match=r"^Split: row 2: patient 'P000': expected one part. Received: "
        r"test \(row 5\) and train \(rows 2, 3, 4\)$",
    ):
        make_splits(rows, SplitSettings())


def test_a_conflict_does_not_hide_behind_a_drawn_validation():
    rows = by_patient(patients(12, 12), "split", ["train", "test"])
    rows.loc[rows["patient_id"].isin(["P001", "P002"]), "group_id"] = "G"
    with pytest.raises(UserError, match=r"The column `split`: .*group 'G'"):
        make_splits(rows, SplitSettings())


def test_groups_and_identical_images_in_two_given_roles_are_all_told():
    rows = by_patient(patients(12, 12), "split", ["train", "val", "test"])
    rows.loc[rows["patient_id"].isin(["P000", "P001"]), "group_id"] = "G"
    twins = [rows.index[rows["patient_id"] == name][0] for name in ("P003", "P005")]
    rows.loc[twins, "sha256"] = "same"
    with pytest.raises(UserError, match="Split: 2 problems") as error:
        make_splits(rows, SplitSettings())
    assert "group 'G': expected one part. Received: train (" in str(error.value)
    assert "identical images: expected one part. Received: test (" in str(error.value)


def test_a_patient_in_two_given_folds_is_an_error():
    rows = by_patient(patients(12, 12), "fold", ["0", "1"])
    rows.loc[0, "fold"] = "1"
    message = r"Folds: row 2: patient 'P000': .*: fold 0 \(.*\) and fold 1 \(row 2\)"
    with pytest.raises(UserError, match=message):
        make_folds(rows, SplitSettings())


def test_a_fold_without_a_class_is_an_error():
    with pytest.raises(
        UserError, match=r"fold .: expected .* 0 malignant; lower split"
    ):
        make_folds(patients(20, 4), SplitSettings())


def test_an_earlier_split_is_followed_to_the_letter(tmp_path):
    choice = SplitSettings(seed=5)
    rows = make_folds(make_splits(patients(20, 20), choice), choice)
    path = tmp_path / "splits.csv"
    splits_table(rows).to_csv(path, index=False)
    plain = patients(20, 20).sample(frac=1, random_state=0)
    follow = SplitSettings(file=path)
    for column, make in (("role", make_splits), ("fold", make_folds)):
        patient_counts = make(plain, follow).set_index("image")[column]
        assert patient_counts.to_dict() == rows.set_index("image")[column].to_dict()


def test_a_file_without_roles_is_refused(tmp_path):
    rows = make_folds(patients(20, 20), SplitSettings())
    path = tmp_path / "splits.csv"
    splits_table(rows).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"expected train, val or test. Received: ''"):
        make_splits(rows, SplitSettings(file=path))


def test_the_table_has_its_columns_even_without_folds():
    table = splits_table(make_splits(patients(10, 10), SplitSettings()))
    columns = ["image", "patient_id", "group_id", "label", "role", "fold", "sha256"]
    assert table.columns.to_list() == columns
    assert set(table["fold"]) == {""}


def test_a_part_without_a_class_is_an_error():
    message = (
        "Split: val: expected benign and malignant images. "
        r"Received: \d+ benign and 0 malignant; add patients"
    )
    with pytest.raises(UserError, match=message):
        make_splits(patients(20, 2), SplitSettings())


def test_one_class_alone_is_an_error_of_every_part():
    with pytest.raises(UserError, match=r"3 problems:(\n.* and 0 malignant; .*){3}"):
        make_splits(patients(20, 0), SplitSettings())


def test_no_validation_patients_are_an_error_that_tells_how_to_do_without(tmp_path):
    rows = by_patient(patients(20, 20), "split", ["train", "test"])
    roles = make_splits(rows, SplitSettings())["role"]
    path = tmp_path / "splits.csv"
    splits_table(rows.assign(role=roles.replace("val", "train"))).to_csv(path)
    message = r"val: .* Received: 0 benign and 0 malignant.*split.val_fraction=0 does"
    with pytest.raises(UserError, match=message):
        make_splits(rows, SplitSettings(file=path))


@pytest.mark.parametrize("protocol", ["fractions", "balanced"])
def test_where_nobody_is_held_back_all_that_do_not_test_train(protocol):
    quotas = {"balanced_train_per_class": 9, "balanced_test_benign": 4}
    settings = SplitSettings(
        val_fraction=0, protocol=protocol, balanced_test_malignant=4, **quotas
    )
    rows = make_splits(patients(20, 20), settings)
    assert "val" not in set(rows["role"]) and {"train", "test"} <= set(rows["role"])
    folds = make_folds(patients(20, 20), SplitSettings())
    roles = fold_roles(folds, 2, settings)["role"]
    assert set(roles[folds["fold"] == 2]) == {"test"}
    assert set(roles[folds["fold"] != 2]) == {"train"}


def test_who_is_given_as_val_trains_where_nobody_is_held_back():
    rows = by_patient(patients(20, 20), "split", ["train", "val", "test"])
    roles = make_splits(rows, SplitSettings(val_fraction=0))["role"]
    assert roles.equals(rows["split"].replace("val", "train").rename("role"))
    rows.loc[rows["split"] == "val", "group_id"] = "same"
    rows.loc[rows["split"] == "test", "group_id"] = "same"
    with pytest.raises(UserError, match="same"):
        make_splits(rows, SplitSettings(val_fraction=0))


def test_rounds_ask_once_about_everybody_who_trains_and_nobody_else():
    rows = make_splits(patients(20, 20), SplitSettings(val_fraction=0))
    rounds = draw_rounds(rows, SplitSettings(val_fraction=0), 3)
    asked = []
    for table in rounds:
        learning, held_out = set(), set()
        for patient, before, role in zip(
            rows["patient_id"], rows["role"], table["role"], strict=True
        ):
            assert (before == "test") == (role == "unused")
            (learning if role == "train" else held_out).add(patient)
        held_out -= set(rows.loc[rows["role"] == "test", "patient_id"])
        assert not learning & held_out
        asked += held_out
    assert sorted(asked) == sorted(set(rows.loc[rows["role"] == "train", "patient_id"]))


def test_rounds_of_too_few_patients_are_an_error():
    rows = make_splits(patients(20, 2), SplitSettings(val_fraction=0))
    with pytest.raises(UserError, match="round 1, .*; add patients, or hold some back"):
        draw_rounds(rows, SplitSettings(val_fraction=0), 3)


def test_rounds_leave_out_an_image_without_a_lesion_of_whom_they_ask_about():
    rows = make_splits(patients(20, 20), SplitSettings(val_fraction=0))
    healthy = rows[rows["role"] == "train"].iloc[:3].assign(label=-1)
    healthy = healthy.assign(image=[f"healthy{n}.png" for n in range(3)], sha256="")
    both = pd.concat([rows, healthy], ignore_index=True)
    for table in draw_rounds(both, SplitSettings(val_fraction=0), 3):
        role = table.drop_duplicates("patient_id").set_index("patient_id")["role"]
        for _, image in table.iloc[len(rows) :].iterrows():
            expected = "train" if role[image["patient_id"]] == "train" else "unused"
            assert image["role"] == expected


def test_a_test_part_can_be_done_without():
    rows = make_splits(patients(20, 20), SplitSettings(test_fraction=0))
    assert set(rows["role"]) == {"train", "val"}
    given_rows = by_patient(patients(20, 20), "split", ["train"])
    with pytest.raises(UserError, match=r"test: .*split.test_fraction=0"):
        make_splits(given_rows, SplitSettings())
    rows = make_splits(given_rows, SplitSettings(test_fraction=0))
    assert set(rows["role"]) == {"train", "val"}


def test_fractions_must_leave_patients_to_train():
    choice = SplitSettings(test_fraction=0.5, val_fraction=0.5)
    with pytest.raises(UserError, match=r"below 1. Received: 0\.5 \+ 0\.5"):
        make_splits(patients(20, 20), choice)


def test_unused_rows_are_in_nobodys_way():
    rows = by_patient(patients(12, 12), "role", ["train", "val", "test"])
    rows.loc[0, "role"] = "unused"
    check_splits(rows)


def test_unlabelled_rows_cannot_be_split():
    rows = patients(5, 5).assign(label=-1)
    with pytest.raises(ValueError, match=r"`label` must be 0 or 1, .* Received: {-1}"):
        make_splits(rows, SplitSettings())


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("busi", {"where": {"keep": 1}, "ignore_labels": ["normal"]}),
        ("breast_usg", {"ignore_labels": ["normal"]}),
    ],
)
def test_public_data_split_evenly(shared, name, choice):
    path = shared / "data" / name / "manifest.csv"
    if not path.exists():
        pytest.skip(f"needs the public data set {name} in ../shared/data")
    rows = load_manifest(path, DataSettings(**choice))
    folded = make_folds(rows, SplitSettings())
    assert_nothing_is_shared(folded, "fold")
    patient_counts = count_patients(folded, "fold")
    assert (patient_counts.max() - patient_counts.min()).max() <= 2
    assert_nothing_is_shared(make_splits(rows, SplitSettings()))


def test_a_fold_that_nobody_is_left_for_is_named():
    pairs = {"patient_id": ["1", "1", "2", "2"], "label": [0, 1, 0, 1]}
    rows = pd.DataFrame({"image": list("abcd"), **pairs, "csv_row": range(2, 6)})
    message = r"fold \d: .* Received: 0 benign and 0 malignant; lower split.folds"
    with pytest.raises(UserError, match=message):
        make_folds(rows, SplitSettings(folds=3))


def with_normals(rows):
    """Rows, and beside them an image without a lesion of each of six patients.

    Four are nobody else; one is patient P000, one in a group with P012.
    """
    without = pd.DataFrame(
        {
            "image": [f"N{number}.png" for number in range(6)],
            "patient_id": ["N0", "N1", "N2", "N3", "P000", "N5"],
            "label": -1,
        }
    )
    without = without.assign(group_id=without["patient_id"], sha256=without["image"])
    without.loc[5, "group_id"] = "P012"
    table = pd.concat([without[:3], rows, without[3:]], ignore_index=True)
    return table.assign(csv_row=range(2, len(table) + 2))


def test_images_without_a_lesion_train_or_are_unused_and_change_no_other_role():
    rows = patients(12, 10)
    table = with_normals(rows)
    for seed in range(8):
        settings_ = SplitSettings(seed=seed)
        alone, roles = make_splits(rows, settings_), make_splits(table, settings_)
        lesions = roles[roles["label"] >= 0]
        assert lesions["role"].to_list() == alone["role"].to_list()
        normals = roles[roles["label"] < 0].set_index("patient_id")["role"]
        assert set(normals[["N0", "N1", "N2", "N3"]]) == {"train"}
        role_of = lesions.drop_duplicates("patient_id").set_index("patient_id")["role"]
        for name, tied in (("P000", "P000"), ("N5", "P012")):
            expected = "train" if role_of[tied] == "train" else "unused"
            assert normals[name] == expected
        assert_nothing_is_shared(roles)


def test_images_without_a_lesion_are_in_no_fold_but_that_of_their_patient():
    rows = patients(12, 10)
    folds = make_folds(with_normals(rows), SplitSettings())
    alone = make_folds(rows, SplitSettings())
    lesions = folds[folds["label"] >= 0]
    assert lesions["fold"].to_list() == alone["fold"].to_list()
    normals = folds[folds["label"] < 0].set_index("patient_id")["fold"]
    fold_of = lesions.drop_duplicates("patient_id").set_index("patient_id")["fold"]
    assert normals["P000"] == fold_of["P000"] and normals["N5"] == fold_of["P012"]
    assert set(normals[["N0", "N1", "N2", "N3"]]) == {-1}
    for fold in range(5):
        roles = fold_roles(folds, fold, SplitSettings())
        normal = roles[roles["label"] < 0].set_index("patient_id")["role"]
        assert set(normal) <= {"train", "unused"} and normal["N0"] == "train"
        assert (normal["P000"] == "unused") >= (fold_of["P000"] == fold)
        assert_nothing_is_shared(roles)


def test_a_splits_file_with_images_without_a_lesion_is_followed(tmp_path):
    rows = with_normals(patients(12, 10))
    for make, column in ((make_splits, "role"), (make_folds, "fold")):
        made = make(rows, SplitSettings(seed=3))
        path = tmp_path / f"{column}.csv"
        splits_table(made).to_csv(path, index=False)
        again = make(rows, SplitSettings(file=path))
        assert again[column].to_list() == made[column].to_list()


def test_an_image_without_a_lesion_that_was_meant_to_test_is_unused():
    rows = with_normals(patients(6, 6)).assign(split="train")
    tested = rows["patient_id"].isin(["P000", "P001", "P010", "P011", "N1"])
    rows.loc[tested, "split"] = "test"
    rows.loc[rows["patient_id"] == "N2", "split"] = ""
    rows.loc[rows["patient_id"] == "N5", ["group_id", "split"]] = ["N5", "val"]
    roles = make_splits(rows, SplitSettings(val_fraction=0.3)).set_index("image")[
        "role"
    ]
    normals = roles[[f"N{number}.png" for number in range(6)]].to_list()
    assert normals == ["train", "unused", "train", "train", "unused", "unused"]


def test_labels_that_mean_nothing_to_a_split_are_misuse():
    with pytest.raises(ValueError, match=r"or -1 without a lesion. Received: \{2\}"):
        make_splits(patients(6, 6).assign(label=2), SplitSettings())


def of_three_sites(rows):
    """Rows whose patients are, by turns, of North, South and the east."""
    number = rows["patient_id"].replace("N5", "P012").str[1:].astype(int)
    return rows.assign(site=number.map(lambda n: ("North", "South", "east")[n % 3]))


def test_sites_are_folds_and_the_images_without_a_lesion_of_a_site_stay_with_it():
    rows = of_three_sites(with_normals(patients(12, 10)))
    rows.loc[rows["site"].eq("South") & rows.index.to_series().mod(2).eq(0), "site"] = (
        " south"
    )
    by_site = SplitSettings(by="site")
    folds = make_folds(rows, by_site)
    names = folds["site"].str.strip().str.casefold()
    assert dict(zip(names, folds["fold"], strict=True)) == {
        "east": 0,
        "north": 1,
        "south": 2,
    }
    assert list(fold_names(folds, by_site).values())[:2] == ["site east", "site North"]
    roles = fold_roles(folds, 0, by_site)
    east = roles[roles["site"] == "east"]
    assert set(east.loc[east["label"] >= 0, "role"]) == {"test"}
    assert set(east.loc[east["label"] < 0, "role"]) == {"unused"}
    assert "test" not in set(roles.loc[roles["site"] != "east", "role"])


def test_a_run_by_sites_is_followed(tmp_path):
    rows = of_three_sites(with_normals(patients(12, 10)))
    made = make_folds(rows, SplitSettings(by="site"))
    splits_table(made).to_csv(tmp_path / "splits.csv", index=False)
    settings_ = SplitSettings(by="site", file=tmp_path / "splits.csv")
    assert make_folds(rows, settings_)["fold"].to_list() == made["fold"].to_list()


def test_drawn_folds_of_a_file_are_not_called_sites(tmp_path):
    rows = of_three_sites(patients(12, 10))
    drawn = make_folds(rows, SplitSettings(folds=3))
    splits_table(drawn).to_csv(tmp_path / "splits.csv", index=False)
    settings_ = SplitSettings(by="site", file=tmp_path / "splits.csv")
    with pytest.raises(
        UserError, match="expected a fold for each site .* Received: 3 folds that part"
    ):
        make_folds(rows, settings_)


def test_what_makes_no_sites_is_named():
    rows = of_three_sites(patients(12, 10))
    by_site = SplitSettings(by="site")
    with pytest.raises(
        UserError, match="expected the column `site` .the nearest is `S"
    ):
        make_folds(rows.rename(columns={"site": "Site"}), by_site)
    with pytest.raises(UserError, match="two values or more, .* Received: 'A' alone"):
        make_folds(rows.assign(site="A"), by_site)
    with pytest.raises(UserError, match="site`: row 2: expected a site. Received: '.'"):
        make_folds(rows.assign(site=["?", *rows["site"][1:]]), by_site)
    benign = rows["site"].where(rows["label"] == 1, "West")
    with pytest.raises(
        UserError, match="site West: .* and 0 malignant; leave the rows"
    ):
        make_folds(rows.assign(site=benign), by_site)
    parted = rows["site"].to_list()
    first = rows.index[rows["patient_id"].duplicated()][0]
    parted[first] = "North" if parted[first] != "North" else "South"
    with pytest.raises(UserError, match=r"patient 'P\d+': .*site \w+ \(row.*and site"):
        make_folds(rows.assign(site=parted), by_site)
