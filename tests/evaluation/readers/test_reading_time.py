import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_1samp, ttest_rel

from usgland.errors import UserError
from usgland.evaluation.readers.reading_time import study_spent
from usgland.evaluation.readers.readings import read_readers

STATSMODELS = json.loads(
    (Path(__file__).parents[2] / "reference" / "statsmodels.json").read_text()
)["readings"]


@pytest.fixture
def written(tmp_path):
    def written(rows):
        path = tmp_path / "readers.csv"
        rows.to_csv(path, index=False)
        return path

    return written


@pytest.fixture
def timed():
    """Two readers, 20 patients, both conditions; without order."""
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "reader": np.repeat(["A", "B"], 40),
            "patient_id": [f"p{case}" for case in np.tile(np.arange(20), 4)],
            "clinical": np.tile(np.repeat(["with", "without"], 20), 2),
            "label": np.tile([0, 1], 40),
            "call": random.integers(0, 2, 80),
            "seconds": random.gamma(4, 6, 80).round(1),
        }
    )


def test_trends_are_those_of_statsmodels(written):
    # Each patient has two images, each read once by every reader.
    columns = ["reader", "patient_id", "clinical", "order", "label", "seconds", "right"]
    rows = pd.DataFrame({name: STATSMODELS[name] for name in columns})
    rows["call"] = np.where(rows["right"], rows["label"], 1 - rows["label"])
    rows["image"] = [f"i{place % 60}" for place in range(180)]
    path = written(rows.drop(columns="right"))
    spent = study_spent(read_readers(path, skipped="own-cases"), level=0.9)
    trends = {x["figure"]: x for x in spent["trends"] if x["reader"] == "all"}
    for figure, made in trends.items():
        value, error = STATSMODELS[figure]
        assert np.log(made["value"]) == pytest.approx(value, abs=1e-8)
        half = t.ppf(0.95, 29) * error
        assert np.log(made["high"]) == pytest.approx(value + half, abs=1e-8)
        assert made["p_value"] == pytest.approx(2 * t.sf(abs(value) / error, 29))
    assert len(trends) == 4


def test_mean_seconds_have_the_t_interval_and_the_paired_test(timed, written):
    rows = study_spent(read_readers(written(timed)), level=0.95)["seconds"]
    by = {(row["condition"], row["reader"]): row for row in rows}
    own = timed[timed["reader"] == "A"]
    first, second = (
        own.loc[own["clinical"] == key, "seconds"] for key in ("with", "without")
    )
    interval = ttest_1samp(first, 0).confidence_interval()
    made = by["with", "A"]
    assert [made["value"], made["low"], made["high"], made["n"]] == pytest.approx(
        [first.mean(), *interval, 20]
    )
    change = by["with less without", "A"]
    assert change["p_value"] == pytest.approx(ttest_rel(first, second).pvalue)
    assert by["with", "average reader"]["value"] == pytest.approx(
        timed.loc[timed["clinical"] == "with", "seconds"].mean()
    )


def test_times_that_are_not_known_are_left_out(timed, written):
    timed["order"] = np.tile(np.arange(1, 21), 4)
    timed["seconds"] = timed["seconds"].astype(object)
    timed.loc[[0, 1], "seconds"] = ["", "n/a"]
    spent = study_spent(read_readers(written(timed)), level=0.95)
    assert spent["seconds"][3]["n"] == 18  # A, with
    assert {row["n"] for row in spent["trends"]} == {38, 40, 78}
    timed.loc[timed["reader"] == "A", "seconds"] = ""
    spent = study_spent(read_readers(written(timed)), level=0.95)
    assert spent["seconds"][0]["reason"] and spent["seconds"][1]["reason"] == ""
    timed[["seconds", "order"]] = ""
    assert study_spent(read_readers(written(timed)), level=0.95) == {}


def test_readings_without_seconds_or_order_say_nothing_of_them(timed, written):
    path = written(timed.drop(columns="seconds"))
    assert study_spent(read_readers(path), level=0.95) == {}


@pytest.mark.parametrize(("cell", "column"), [("0", "seconds"), ("first", "order")])
def test_a_time_or_place_that_is_no_number_is_named(timed, written, cell, column):
    timed[column] = "3"
    timed.loc[4, column] = cell
    with pytest.raises(
        UserError, match=f"row 6: `{column}`: expected a number above 0.* '{cell}'"
    ):
        read_readers(written(timed))


def test_one_time_for_all_has_no_interval(timed, written):
    timed["seconds"] = 30
    rows = study_spent(read_readers(written(timed)), level=0.95)["seconds"]
    assert {row["reason"] for row in rows} == {"no variation to judge it by"}
