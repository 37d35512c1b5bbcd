import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.cases.thresholds import (
    Thresholds,
    apply_threshold,
    choose_operating_point,
    choose_points,
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


def shares(labels, probabilities, threshold):
    labels, called = np.array(labels), np.array(probabilities) >= threshold
    return called[labels == 1].mean(), 1 - called[labels == 0].mean()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("target", [0.55, 0.8, 0.95])
def test_a_fixed_sensitivity_is_reached_at_the_best_specificity(seed, target):
    # Against a search of all thresholds, one by one.
    rng = np.random.default_rng(seed)
    labels = np.r_[np.ones(20, int), np.zeros(20, int)]
    probabilities = np.clip(0.3 * labels + rng.uniform(0.01, 0.69, 40), 0, 1).round(2)
    grid = [shares(labels, probabilities, t) for t in np.arange(0.005, 1, 0.01)]
    found = choose_threshold(labels, probabilities, "sensitivity", target=target)
    best = max(spec for sens, spec in grid if round(sens * 20) >= 20 * target - 1e-9)
    assert shares(labels, probabilities, found)[1] == pytest.approx(best)
    assert shares(labels, probabilities, found)[0] >= target - 1e-9
    found = choose_threshold(labels, probabilities, "specificity", target=target)
    best = max(sens for sens, spec in grid if round(spec * 20) >= 20 * target - 1e-9)
    assert shares(labels, probabilities, found)[0] == pytest.approx(best)
    assert shares(labels, probabilities, found)[1] >= target - 1e-9


def test_seven_of_a_hundred_reach_a_target_of_007_whatever_its_floating_point():
    labels = np.r_[np.ones(100, int), 0]
    probabilities = np.r_[np.full(7, 0.9), np.full(93, 0.1), 0.5]
    assert 0.07 * 100 > 7
    found = choose_threshold(labels, probabilities, "sensitivity", target=0.07)
    assert found == pytest.approx(0.7)


def test_a_target_out_of_reach_gives_the_nearest_threshold():
    # A malignant case of probability 0 is called benign at every threshold.
    assert choose_threshold([1, 1, 0], [0.0, 0.8, 0.4], "sensitivity") < 0.4
    assert choose_threshold([1, 0, 0], [0.8, 1.0, 0.4], "specificity") > 0.8


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("ratio", "prevalence"), [(5, None), (0.2, None), (3, 0.1)])
def test_the_point_of_least_cost_has_the_least_cost_of_all(seed, ratio, prevalence):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 40)]
    probabilities = np.clip(0.3 * labels + rng.uniform(0.01, 0.69, 42), 0, 1).round(2)
    share = labels.mean() if prevalence is None else prevalence

    def cost(threshold):
        sensitivity, specificity = shares(labels, probabilities, threshold)
        return ratio * share * (1 - sensitivity) + (1 - share) * (1 - specificity)

    options = {"cost_ratio": ratio, "prevalence": prevalence}
    found = choose_threshold(labels, probabilities, "cost", **options)
    least = min(cost(threshold) for threshold in np.arange(0.005, 1, 0.01))
    assert cost(found) == pytest.approx(least)


def test_equal_costs_at_even_shares_are_youdens_index():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 50)
    probabilities = rng.uniform(size=50).round(2)
    options = {"cost_ratio": 1, "prevalence": 0.5}
    found = choose_threshold(labels, probabilities, "cost", **options)
    assert found == choose_threshold(labels, probabilities, "youden")


def test_half_is_half_even_of_one_class():
    assert choose_threshold([1, 1], [0.9, 0.8], "half") == 0.5


def test_youden_needs_both_classes():
    with pytest.raises(ValueError, match="'youden'. Received: 0 benign and 2 malig"):
        choose_threshold([1, 1], [0.9, 0.8], "youden")
    rows = val_rows().assign(label=1)
    with pytest.raises(UserError, match="Received: 0 benign and 5 malignant. Change"):
        choose_operating_point(rows, "youden", EvaluationSettings())


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
    found = choose_operating_point(val_rows(), "youden", EvaluationSettings())
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


def test_a_point_says_what_it_aimed_at():
    settings = EvaluationSettings(target_sensitivity=0.9, prevalence=0.2)
    for method, aim in {
        "sensitivity": {"target": 0.9},
        "specificity": {"target": 0.95},
        "cost": {"cost_ratio": 5.0, "prevalence": 0.2},
        "half": {},
    }.items():
        found = choose_operating_point(val_rows(), method, settings)
        chosen = Thresholds.of_content(found).chosen
        assert chosen == {"method": method, **aim}
    assert Thresholds.at(0.5).chosen is None


def test_further_points_are_chosen_beside_the_first_once_each():
    points = ("sensitivity", "youden", "half", "sensitivity")
    settings = EvaluationSettings(further_points=points)
    found = choose_points(val_rows(), settings)
    assert found.chosen == {"method": "youden"}
    methods = [point.chosen["method"] for point in found.further]
    assert methods == ["sensitivity", "half"]
    assert Thresholds.at(0.5).further == []  # of an older version


def test_youden_and_both_targets_are_shown_whatever_the_point_of_decision():
    for method in ("half", "youden"):
        found = choose_points(val_rows(), EvaluationSettings(operating_point=method))
        methods = {point.chosen["method"] for point in (found, *found.further)}
        assert methods == {method, "youden", "sensitivity", "specificity"}
        assert len(found.further) + 1 == len(methods)


def test_one_class_leaves_out_the_further_points_that_need_two():
    settings = EvaluationSettings(operating_point="half")
    benign = val_rows()[:3]
    assert choose_points(benign, settings).further == []
    with pytest.raises(UserError, match="3 benign and 0 malignant"):
        choose_points(benign, EvaluationSettings())


def test_points_of_folds_are_those_that_every_fold_has():
    one = choose_points(val_rows(), EvaluationSettings()).content
    other = one | {"further": one["further"][1:]}
    (found,) = Thresholds.of_content({"folds": {"0": one, "1": other}}).further
    assert found.chosen == {"method": "specificity", "target": 0.95}
    rows = pd.DataFrame({"fold": ["0", "1"], "probability": [0.5, 0.99]})
    expected = one["further"][1]["threshold"]
    assert apply_threshold(rows, found)["threshold"].tolist() == [expected] * 2


def test_the_operating_point_is_never_chosen_on_the_test_part():
    rows = val_rows().assign(role=["val"] * 4 + ["test"])
    with pytest.raises(
        ValueError, match=r"role val or out_of_fold. Received: \['test', 'val'\]"
    ):
        choose_operating_point(rows, "half", EvaluationSettings())


def test_no_validation_images_is_said():
    with pytest.raises(UserError, match="validation images .* Received: none. Raise"):
        choose_operating_point(val_rows()[:0], "half", EvaluationSettings())


def test_thresholds_survive_the_file(tmp_path):
    path = tmp_path / "threshold.json"
    one = choose_points(val_rows(), EvaluationSettings())
    write_thresholds(path, one)
    assert read_thresholds(path) == one
    assert json.loads(path.read_text()) == one.content
    assert one.content["n_patients"] == one.point["n_patients"] == 4
    folds = Thresholds.of_folds({"0": one, "1": one})
    write_thresholds(path, folds)
    assert read_thresholds(path) == folds
    assert json.loads(path.read_text())["folds"]["1"] == one.content
    assert folds.value == {"0": one.value, "1": one.value}


def test_one_a_fold_is_no_threshold_of_all_cases():
    folds = Thresholds.of_folds({"0": Thresholds.at(0.4), "1": Thresholds.at(0.6)})
    with pytest.raises(ValueError, match=r"all cases. Received: one for .* folds 0, 1"):
        _ = folds.point


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
        ({"threshold": 0.5, "further": [{"threshold": 1.5}]}, "1.5"),
        ({"threshold": 0.5, "further": "youden"}, "'youden'"),
        ({"folds": {"0": {"threshold": 0.5, "further": [{}]}}}, "None"),
    ],
)
def test_a_file_without_usable_thresholds_is_named(tmp_path, content, received):
    path = tmp_path / "threshold.json"
    path.write_text(json.dumps(content))
    message = rf"threshold.json: expected a `threshold` in \(0, 1\).*eived: {received}"
    with pytest.raises(UserError, match=message):
        read_thresholds(path)


@pytest.mark.parametrize("threshold", [0.0, 1.0, 45, None])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ValueError, match=rf"in \(0, 1\).* Received: {threshold}"):
        Thresholds.at(threshold)


def test_a_further_point_without_a_method_is_named(tmp_path):
    path = tmp_path / "threshold.json"
    path.write_text('{"threshold": 0.5, "further": [{"threshold": 0.4}]}')
    with pytest.raises(UserError, match="`further`: expected a `method` .*ed: None"):
        read_thresholds(path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "threshold.json").write_text("{")
    with pytest.raises(UserError, match=r"Expected JSON in .*threshold.json"):
        read_thresholds(tmp_path / "threshold.json")


def test_the_threshold_itself_is_malignant_whatever_the_precision():
    rows = pd.DataFrame({"probability": [0.39, 0.4, 0.41]})
    found = apply_threshold(rows, Thresholds.at(0.4))
    assert found["prediction"].tolist() == [0, 1, 1]
    assert found["threshold"].tolist() == [0.4] * 3
    # As a float32, a tenth lies above 0.1; rounded to float32, 0.1 would equal it,
    # and so would what is a little more than 0.1.
    single = pd.DataFrame({"probability": np.float32([0.1])})
    above = float(np.float32(0.1)) + 1e-12
    found = apply_threshold(single, Thresholds.at(above))
    assert found["prediction"].tolist() == [0]


@pytest.mark.parametrize("folds", [["0", "1", "1"], [0, 1, 1]])
def test_each_fold_is_called_by_its_own_threshold(folds):
    rows = pd.DataFrame({"fold": folds, "probability": [0.5, 0.5, 0.9]}, [7, 8, 9])
    thresholds = Thresholds.of_content(
        {"folds": {"0": {"threshold": 0.4}, "1": {"threshold": 0.6}}}
    )
    found = apply_threshold(rows, thresholds)
    assert found["prediction"].tolist() == [1, 0, 1]
    assert found["threshold"].tolist() == [0.4, 0.6, 0.6]


def test_a_fold_without_a_threshold_is_named():
    thresholds = Thresholds.of_folds({"0": Thresholds.at(0.4)})
    rows = pd.DataFrame({"fold": ["0", "3"], "probability": [0.5, 0.5]})
    with pytest.raises(UserError, match="the folds 0. Received: fold '3', which has"):
        apply_threshold(rows, thresholds)
    with pytest.raises(UserError, match="Received: fold '', which has no threshold"):
        apply_threshold(rows.drop(columns="fold"), thresholds)
