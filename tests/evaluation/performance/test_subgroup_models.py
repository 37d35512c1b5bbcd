import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from usgland.evaluation.performance.subgroup_models import (
    adjusted_difference,
    subgroup_calibration,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "statsmodels.json"


@pytest.fixture(scope="module")
def cases():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))["subgroups"]


def test_interactions_are_those_of_statsmodels(cases):
    table = subgroup_calibration(
        cases["labels"], cases["probabilities"], cases["groups"]
    ).set_index(["group", "measure"])
    for name in ("slope", "intercept_in_the_large"):
        assert table.loc[("A", name), "p_interaction"] == pytest.approx(
            cases[f"p_{name}"], rel=1e-6
        )
        for group in "ABC":
            value, error = cases[name][group]
            row = table.loc[(group, name)]
            assert row["value"] == pytest.approx(value, abs=1e-7)
            assert (row["high"] - row["low"]) / 2 / 1.959964 == pytest.approx(
                error, rel=1e-5
            )
    assert table["n"].groupby("group").first().to_dict() == cases["n"]


def test_an_adjusted_difference_is_the_margin_of_statsmodels(cases):
    groups = pd.Series(cases["groups"]).replace("C", "")  # left out, as missing
    table = adjusted_difference(
        np.ones(len(groups)),
        cases["right"],
        groups,
        pd.DataFrame({"size": cases["size"]}),
    )
    value, error = cases["margin"]
    row = table.iloc[0]
    assert (row["group"], row["n"]) == ("B", cases["n"]["A"] + cases["n"]["B"])
    assert row["difference"] == pytest.approx(value, abs=1e-7)
    assert (row["high"] - row["low"]) / 2 / 1.959964 == pytest.approx(error, rel=1e-5)


def test_without_covariates_it_is_the_plain_difference():
    labels = np.zeros(60, int)
    calls = np.r_[np.zeros(25), np.ones(5), np.zeros(18), np.ones(12)]
    table = adjusted_difference(
        labels, calls, ["old"] * 30 + ["new"] * 30, measure="specificity"
    )
    assert table.loc[0, "group"] == "old"
    assert table.loc[0, "reference"] == "new"
    assert table.loc[0, "difference"] == pytest.approx(25 / 30 - 18 / 30)
    assert table.loc[0, "plain"] == pytest.approx(25 / 30 - 18 / 30)
    # A saturated model: the error is that of two independent shares.
    error = (25 / 30 * 5 / 30 / 30 + 18 / 30 * 12 / 30 / 30) ** 0.5
    assert (table.loc[0, "high"] - table.loc[0, "low"]) / 2 == pytest.approx(
        1.959964 * error, rel=1e-6
    )


def test_words_adjust_too_and_missing_values_are_left_out():
    rng = np.random.default_rng(0)
    sex = pd.Series(rng.choice(["f", "m"], 120)).mask(pd.Series(range(120)) < 10)
    right = rng.uniform(size=120) < np.where(sex == "m", 0.9, 0.6)
    groups = np.where(np.arange(120) % 2, "A", "B").astype(object)
    groups[-5:] = ""
    table = adjusted_difference(np.ones(120), right, groups, pd.DataFrame({"sex": sex}))
    assert table["n"].tolist() == [105]
    assert table["reason"].tolist() == [""]


def test_a_group_that_is_always_right_has_no_model():
    table = adjusted_difference(
        np.ones(20), np.r_[np.ones(10), [1, 0] * 5], ["A"] * 10 + ["B"] * 10
    )
    assert table.loc[0, "reason"] == "the labels are separated"
    assert np.isnan(table.loc[0, "difference"])
    assert table.loc[0, "plain"] == pytest.approx(-0.5)


def test_one_group_has_nothing_to_differ_from():
    rng = np.random.default_rng(1)
    labels, probabilities = rng.integers(0, 2, 60), rng.uniform(0.1, 0.9, 60)
    table = subgroup_calibration(labels, probabilities, ["A"] * 60)
    assert table["p_interaction"].isna().all()
    assert adjusted_difference(labels, labels, ["A"] * 60).empty


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="`groups` must have one entry a case, 2"):
        subgroup_calibration([0, 1], [0.2, 0.6], ["A"])
    with pytest.raises(ValueError, match="`measure` must be one of"):
        adjusted_difference([1], [1], ["A"], measure="accuracy")
    with pytest.raises(ValueError, match="`covariates` must have one row a case, 1"):
        adjusted_difference([1], [1], ["A"], pd.DataFrame({"x": [1, 2]}))


def test_help_is_told_from_learning_in_a_study_where_not_all_read_all():
    """One row a reading: readers, order and minutes are covariates, cases clusters."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        [
            (case, reader, aided)
            for case in range(300)
            for reader in "ABC"
            for aided in (0, 1)
        ],
        columns=["patient_id", "reader", "clinical"],
    ).sample(frac=0.7, random_state=1)  # readings that were never made
    # Readings with help come later, and readers learn.
    rows["order"] = rows["clinical"] * 100 + rng.integers(0, 200, len(rows))
    rows["minutes"] = rng.gamma(4, 0.5, len(rows)) - rows["order"] / 400
    own = rng.normal(0, 0.5, 300)[rows["patient_id"]]
    skill = rows["reader"].map({"A": -0.5, "B": 0.0, "C": 0.5})
    logits = skill + own + 0.01 * rows["order"]  # help itself does nothing
    call = (rng.uniform(size=len(rows)) < expit(logits)).astype(int)
    table = adjusted_difference(
        np.ones(len(rows)),
        call,
        rows["clinical"],
        rows[["reader", "order", "minutes"]],
        patient_ids=rows["patient_id"],
    )
    (row,) = table.to_dict("records")
    assert (row["group"], row["reference"], row["n"]) == ("1", "0", len(rows))
    assert row["plain"] > 0.12  # all of it learning
    assert row["low"] < 0 < row["high"]
    assert abs(row["difference"]) < 0.05
