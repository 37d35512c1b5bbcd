import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import chi2_contingency, norm
from scipy.stats import t as student
from sklearn.metrics import recall_score, roc_auc_score

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.cases.thresholds import Thresholds
from usgland.evaluation.performance.subgroups import (
    group_names,
    parse_subgroups,
    subgroup_measures,
    subgroups,
)
from usgland.evaluation.statistics.intervals import auc_interval

SETTINGS = EvaluationSettings(bootstrap_resamples=50, seed=1)
HALF = Thresholds.at(0.5)


def drawn(n=120, images=1, seed=0):
    """`n` patients of two devices, with their images."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n), images)
    logits = rng.normal(1.5 * (patient % 2) - 0.7, 1.2)
    return pd.DataFrame(
        {
            "image": np.arange(len(patient)).astype(str),
            "patient_id": [f"p{one}" for one in patient],
            "role": "test",
            "label": patient % 2,
            "logit": logits,
            "probability": expit(logits),
            "device": np.where(patient % 3 == 0, "A", "B"),
        }
    )


def test_a_column_and_its_cuts_are_read():
    texts = ["sex", "age_years:40,60", " size mm : 10"]
    assert parse_subgroups(texts) == {
        "sex": (),
        "age_years": (40, 60),
        "size mm": (10,),
    }


@pytest.mark.parametrize("text", ["", ":3", "age:", "age:x", "age:60,40", "age:4,nan"])
def test_what_is_no_column_with_cuts_is_named(text):
    with pytest.raises(UserError, match=r"ascending numbers, e.g. .* Received: '"):
        parse_subgroups([text])


def test_a_column_comes_once():
    with pytest.raises(UserError, match="each column once. Received: 'age' twice"):
        parse_subgroups(["age", "age:40"])


def test_numbers_are_cut_where_told_and_a_band_holds_its_lower_cut():
    values = pd.Series(["39", "40", "59.9", "60", "", "NA", None, "80"])
    found = group_names(values, (40, 60))
    assert found.tolist() == [
        "<40",
        "40 to <60",
        "40 to <60",
        ">=60",
        "missing",
        "missing",
        "missing",
        ">=60",
    ]
    assert list(found.cat.categories) == ["<40", "40 to <60", ">=60", "missing"]


def test_numbers_without_cuts_fall_into_thirds():
    found = group_names(pd.Series(np.arange(1, 91)))
    assert found.value_counts().tolist() == [30, 30, 30]
    assert list(found.cat.categories) == ["<30.7", "30.7 to <60.3", ">=60.3"]


def test_few_numbers_and_words_go_by_value_in_their_natural_order():
    assert list(group_names(pd.Series([1, 0, 1, 2])).cat.categories) == ["0", "1", "2"]
    words = pd.Series(["grade 10", "grade 2", "?", "grade 2 "])
    found = group_names(words)
    assert list(found.cat.categories) == ["grade 2", "grade 10", "missing"]
    assert found.tolist() == ["grade 10", "grade 2", "missing", "grade 2"]


def test_a_column_of_nothing_is_missing_throughout():
    assert set(group_names(pd.Series(["", None]))) == {"missing"}
    assert set(group_names(pd.Series(["#N/A", "not available", "?"]))) == {"missing"}


def test_none_is_an_answer_and_not_a_missing_one():
    found = group_names(pd.Series(["none", "some", "NA"]))
    assert found.tolist() == ["none", "some", "missing"]
    with pytest.raises(UserError, match="numbers to cut. Received: no value at all"):
        group_names(pd.Series(["", None], name="age"), (3,))


def test_words_cannot_be_cut_nor_be_too_many():
    with pytest.raises(UserError, match="sex: expected numbers to cut. .* 'f'"):
        group_names(pd.Series(["3", "f"], name="sex"), (3,))
    names = pd.Series([f"name {i}" for i in range(21)], name="id")
    with pytest.raises(UserError, match="at most 20 different words. Received: 21"):
        group_names(names)


def test_each_group_has_the_figures_of_its_cases_alone():
    rows = drawn()
    found = subgroup_measures(rows, group_names(rows["device"]), HALF, SETTINGS)
    assert found["shared_patients"] == 0
    for unit in ("image", "patient"):  # one image a patient
        for group in found[unit]["groups"]:
            own = rows[rows["device"] == group["group"]]
            called = own["probability"] >= 0.5
            measures = group["figures"]
            for name, label in (("sensitivity", 1), ("specificity", 0)):
                expected = recall_score(own["label"], called, pos_label=label)
                assert measures[name]["value"] == pytest.approx(expected)
                assert measures[name]["method"] == "Wilson"
                assert measures[name]["low"] < expected < measures[name]["high"]
            area = roc_auc_score(own["label"], own["logit"])
            assert measures["roc_auc"]["value"] == pytest.approx(area)
            interval = auc_interval(own["label"], own["logit"], level=0.95)
            assert measures["roc_auc"]["low"] == interval.low
            assert (group["n"], group["n_patients"]) == (len(own), len(own))
            assert not group["small"]


def test_images_of_a_patient_have_intervals_over_patients():
    rows = drawn(images=3)
    found = subgroup_measures(rows, group_names(rows["device"]), HALF, SETTINGS)
    measures = found["image"]["groups"][0]["figures"]
    assert measures["sensitivity"]["method"].startswith("Wilson, clustered by patient")
    assert measures["roc_auc"]["method"].startswith("DeLong, clustered by patient")
    measures = found["patient"]["groups"][0]["figures"]
    assert measures["sensitivity"]["method"] == "Wilson"


def test_fewer_than_ten_patients_of_a_label_are_small():
    rows = drawn(40)
    rows["device"] = np.where(np.arange(40) < 18, "few", "many")
    found = subgroup_measures(rows, group_names(rows["device"]), HALF, SETTINGS)
    groups = found["patient"]["groups"]
    assert [one["n_malignant"] for one in groups] == [9, 11]
    assert [one["small"] for one in groups] == [True, False]


def test_the_test_of_sensitivity_nears_the_chi_square_of_scipy():
    rows = drawn(600)
    found = subgroup_measures(rows, group_names(rows["device"]), HALF, SETTINGS)
    malignant = rows[rows["label"] == 1]
    table = pd.crosstab(malignant["device"], malignant["probability"] >= 0.5)
    expected = chi2_contingency(table, correction=False).pvalue
    one = found["patient"]["heterogeneity"]["sensitivity"]
    assert one["p_value"] == pytest.approx(expected, abs=0.04)
    assert one["method"] == "chi-square, 9999 random tables, seed 1"


def test_the_test_of_areas_is_cochrans_q_by_hand():
    rows = drawn(300)
    found = subgroup_measures(rows, group_names(rows["device"]), HALF, SETTINGS)
    areas, variances = [], []
    for group in found["patient"]["groups"]:
        area, freedom = group["figures"]["roc_auc"], group["n_malignant"]
        areas.append(area["value"])
        freedom = min(freedom, group["n_benign"]) - 1
        # Back from the logit scale of the interval.
        low, high = (np.log(x / (1 - x)) for x in (area["low"], area["high"]))
        error = (high - low) / 2 / student.ppf(0.975, freedom)
        variances.append((error * areas[-1] * (1 - areas[-1])) ** 2)
    # Of two groups Q is the squared z of their difference.
    z = (areas[0] - areas[1]) / np.sqrt(sum(variances))
    one = found["patient"]["heterogeneity"]["roc_auc"]
    assert f"Q = {z**2:.2f}" in one["method"] and "df 1" in one["method"]
    assert one["p_value"] == pytest.approx(2 * norm.sf(abs(z)), rel=1e-4)


def test_groups_that_share_patients_are_not_tested():
    rows = drawn(60, images=2)
    groups = group_names(pd.Series(np.tile(["left", "right"], 60)))
    found = subgroup_measures(rows, groups, HALF, SETTINGS)
    assert found["shared_patients"] == 60
    assert [one["n_patients"] for one in found["patient"]["groups"]] == [60, 60]
    for one in found["patient"]["heterogeneity"].values():
        assert np.isnan(one["p_value"])
        assert one["method"] == "none: 60 patients stand in several groups"


def test_what_cannot_be_tested_says_why():
    rows = drawn(40)
    one = group_names(pd.Series(["A"] * 40))
    tests = subgroup_measures(rows, one, HALF, SETTINGS)["patient"]["heterogeneity"]
    assert tests["sensitivity"]["method"] == "none: fewer than two groups with cases"
    assert tests["roc_auc"]["method"] == "none: a group has no DeLong variance above 0"
    rows["probability"], rows["logit"] = expit(4.0 * rows["label"] - 2), rows["label"]
    two = group_names(rows["device"])
    tests = subgroup_measures(rows, two, HALF, SETTINGS)["patient"]["heterogeneity"]
    assert tests["specificity"]["p_value"] == 1
    assert tests["specificity"]["method"] == "none needed: all groups have one value"


def test_a_group_of_one_label_has_no_auc_with_a_reason():
    rows = drawn(40)
    groups = group_names(rows["label"].map({0: "benign", 1: "malignant"}))
    found = subgroup_measures(rows, groups, HALF, SETTINGS)["patient"]["groups"]
    assert np.isnan(found[0]["figures"]["roc_auc"]["value"])
    assert found[0]["figures"]["sensitivity"]["method"] == "none: no malignant case"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 200))
def test_groups_divide_the_cases_whatever_their_order(seed):
    rng = np.random.default_rng(seed)
    rows = drawn(30, seed=seed)
    values = pd.Series(rng.choice([1.5, 2, 7, 30, np.nan], 30))
    groups = group_names(values)
    found = subgroup_measures(rows, groups, HALF, SETTINGS)["patient"]["groups"]
    assert sum(one["n"] for one in found) == 30
    order = rng.permutation(30)
    again = subgroup_measures(rows.iloc[order], groups.iloc[order], HALF, SETTINGS)
    for one, other in zip(found, again["patient"]["groups"], strict=True):
        assert one["group"] == other["group"]
        for name, measure in one["figures"].items():
            np.testing.assert_equal(other["figures"][name]["value"], measure["value"])


def test_a_notebook_gets_the_same_measures_as_a_table():
    rows = drawn(40)
    groups = group_names(rows["device"])
    made = subgroup_measures(rows, groups, HALF, SETTINGS)["patient"]
    options = {"resamples": SETTINGS.bootstrap_resamples, "seed": SETTINGS.seed}
    found = subgroups(rows, "device", 0.5, **options)
    own = rows[["patient_id", "label", "probability"]]
    pd.testing.assert_frame_equal(
        found, subgroups(own, rows["device"].to_list(), 0.5, **options)
    )
    rest = iter(found.to_dict("records"))
    for part in made["groups"]:
        for name, measure in part["figures"].items():
            row = next(rest)
            assert (row["group"], row["measure"]) == (part["group"], name)
            for key in ("value", "low", "high"):
                np.testing.assert_equal(row[key], measure[key])
            assert row["n"] == part["n"]
            expected = made["heterogeneity"][name]["p_value"]
            np.testing.assert_equal(row["p_groups"], expected)
    by_image = subgroups(rows, "device", 0.5, unit="image", **options)
    assert by_image["p_groups"].isna().all()


def test_what_makes_no_groups_is_named():
    rows = drawn(40)
    with pytest.raises(ValueError, match="`unit` must be one of .* Received: 'lesion'"):
        subgroups(rows, "device", 0.5, unit="lesion")
    with pytest.raises(ValueError, match="one entry a row, 40. Received: 2"):
        subgroups(rows, ["A", "B"], 0.5)
