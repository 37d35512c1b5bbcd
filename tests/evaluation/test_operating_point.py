import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from usgland.errors import UserError
from usgland.evaluation.operating_point import (
    apply_threshold,
    choose_operating_point,
    choose_threshold,
    read_thresholds,
    write_thresholds,
)


def youden(labels, probabilities, threshold):
    labels, called = np.array(labels), np.array(probabilities) >= threshold
    return called[labels == 1].mean() - called[labels == 0].mean()


@pytest.mark.parametrize("seed", range(8))
def test_youden_reaches_the_best_point_of_scikit_learns_roc_curve(seed):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 40)]
    probabilities = rng.uniform(size=42).round(seed % 3 + 1)
    false, true, _ = roc_curve(labels, probabilities)
    threshold = choose_threshold(labels, probabilities, "youden")
    assert 0 < threshold < 1
    assert youden(labels, probabilities, threshold) == pytest.approx(
        (true - false).max()
    )


def test_youden_lies_midway_between_neighbours():
    threshold = choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9], "youden")
    assert threshold == pytest.approx(0.25)


def test_of_equal_cuts_the_one_nearest_to_a_half_is_chosen():
    # Cuts at 0.15 and 0.7 both have sensitivity + specificity - 1 = 1/2.
    labels, probabilities = [0, 1, 0, 1], [0.1, 0.2, 0.6, 0.8]
    assert choose_threshold(labels, probabilities, "youden") == pytest.approx(0.7)


@pytest.mark.parametrize(
    "probabilities",
    [
        [0.3, 0.3],  # ties
        [0.0, 1.0],  # as far apart as can be
        [0.9, 0.1],  # wrong way round: best is to call all alike
        [np.nextafter(0.5, 0), 0.5],  # no number between
        [0.0, 5e-324],
    ],
)
def test_a_threshold_is_inside_0_and_1_and_as_good_as_any(probabilities):
    threshold = choose_threshold([0, 1], probabilities, "youden")
    assert 0 < threshold < 1
    reached = youden([0, 1], probabilities, threshold)
    assert reached == float(probabilities[1] > probabilities[0])


def test_half_is_half_even_of_one_class():
    assert choose_threshold([1, 1], [0.9, 0.8], "half") == 0.5


def test_youden_needs_both_classes():
    with pytest.raises(UserError, match="Received: 0 benign and 2 malignant. Change"):
        choose_threshold([1, 1], [0.9, 0.8], "youden")


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="one of .*'half'.*Received: 'best'"):
        choose_threshold([0, 1], [0.1, 0.8], "best")


def val_rows():
    return pd.DataFrame(
        {
            "patient_id": list("aabcd"),
            "role": "val",
            "label": [0, 0, 0, 1, 1],
            "probability": np.float32([0.1, 0.2, 0.7, 0.6, 0.9]),
        }
    )


def test_the_operating_point_says_what_it_was_chosen_on():
    found = choose_operating_point(val_rows(), "youden")
    assert found.pop("threshold") == pytest.approx(0.4)
    assert found == {
        "method": "youden",
        "unit": "image",
        "role": "val",
        "n_images": 5,
        "n_patients": 4,
        "sensitivity": 1.0,
        "specificity": pytest.approx(2 / 3),
    }


def test_the_operating_point_is_never_chosen_on_the_test_part():
    rows = val_rows().assign(role=["val"] * 4 + ["test"])
    with pytest.raises(ValueError, match=r"role val. Received: \['test', 'val'\]"):
        choose_operating_point(rows, "half")


def test_no_validation_images_is_said():
    with pytest.raises(UserError, match="validation images .* Received: none. Raise"):
        choose_operating_point(val_rows().iloc[:0], "half")


def test_thresholds_survive_the_file(tmp_path):
    path = tmp_path / "threshold.json"
    one = choose_operating_point(val_rows(), "youden")
    write_thresholds(path, one)
    assert read_thresholds(path) == one
    write_thresholds(path, {"folds": {"0": one, "1": one}})
    assert read_thresholds(path)["folds"]["1"] == one


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ({}, "None"),
        ([], r"\[\]"),
        ({"threshold": 0.0}, "0.0"),
        ({"threshold": 1.0}, "1.0"),
        ({"threshold": None}, "None"),
        ({"threshold": "0.5"}, "'0.5'"),
        ({"folds": {}}, "None"),
        ({"folds": {"0": {"threshold": 0.5}, "1": {"threshold": 7.0}}}, "7.0"),
        ({"folds": {"0": {}}}, "None"),
    ],
)
def test_a_file_without_usable_thresholds_is_named(tmp_path, content, received):
    path = tmp_path / "threshold.json"
    path.write_text(json.dumps(content))
    message = rf"threshold.json: expected a `threshold` in \(0, 1\).*eived: {received}"
    with pytest.raises(UserError, match=message):
        read_thresholds(path)
    with pytest.raises(UserError, match=message):
        write_thresholds(tmp_path / "threshold.json", content)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "threshold.json").write_text("{")
    with pytest.raises(UserError, match=r"Expected JSON in .*threshold.json"):
        read_thresholds(tmp_path / "threshold.json")


def test_the_threshold_itself_is_malignant_whatever_the_precision():
    rows = pd.DataFrame({"probability": [0.39, 0.4, 0.41]})
    found = apply_threshold(rows, {"threshold": 0.4})
    assert found["prediction"].tolist() == [0, 1, 1]
    assert found["threshold"].tolist() == [0.4] * 3
    # As a float32, a tenth lies above 0.1; rounded to float32, 0.1 would equal it,
    # and so would what is a little more than 0.1.
    single = pd.DataFrame({"probability": np.float32([0.1])})
    above = float(np.float32(0.1)) + 1e-12
    assert apply_threshold(single, {"threshold": above})["prediction"].tolist() == [0]


@pytest.mark.parametrize("folds", [["0", "1", "1"], [0, 1, 1]])
def test_each_fold_is_called_by_its_own_threshold(folds):
    rows = pd.DataFrame({"fold": folds, "probability": [0.5, 0.5, 0.9]}, [7, 8, 9])
    thresholds = {"folds": {"0": {"threshold": 0.4}, "1": {"threshold": 0.6}}}
    found = apply_threshold(rows, thresholds)
    assert found["prediction"].tolist() == [1, 0, 1]
    assert found["threshold"].tolist() == [0.4, 0.6, 0.6]


def test_a_fold_without_a_threshold_is_named():
    thresholds = {"folds": {"0": {"threshold": 0.4}}}
    rows = pd.DataFrame({"fold": ["0", "3"], "probability": [0.5, 0.5]})
    with pytest.raises(UserError, match="the folds 0. Received: fold '3', which has"):
        apply_threshold(rows, thresholds)
    with pytest.raises(UserError, match="Received: fold '', which has no threshold"):
        apply_threshold(rows.drop(columns="fold"), thresholds)
