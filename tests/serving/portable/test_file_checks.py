"""What makes a converted file unfit, by cases counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from usgland.errors import UserError
from usgland.serving.portable.file_checks import (
    ALL,
    ONE,
    check_files,
    check_validation,
    compare_answers,
    median_milliseconds,
    roc_auc,
    sort_out,
)

LABELS = np.array([0, 0, 0, 1, 1])
EXPECTED = np.array([-3.0, -2.0, 0.5, 0.0, 2.0])


def compare(received, *, quantized=True):
    logits = np.array(received)
    probabilities = 1 / (1 + np.exp(-logits))
    return compare_answers(LABELS, EXPECTED, logits, probabilities, quantized=quantized)


def test_the_auc_is_that_of_scikit_learn_with_ties():
    logits = np.random.default_rng(0).integers(0, 9, 60)
    labels = np.random.default_rng(1).integers(0, 2, 60)
    assert roc_auc(labels, logits) == pytest.approx(roc_auc_score(labels, logits))
    assert math.isnan(roc_auc(labels, np.full(60, np.nan)))


def test_a_file_that_ranks_a_pair_the_other_way_round_is_refused():
    # One of the 6 pairs is wrong at first, then two: -1 goes below -2.
    assert compare(EXPECTED)["roc_auc"] == pytest.approx(5 / 6)
    worse = compare([-3.0, -0.5, 0.5, -1.0, 2.0])
    assert worse["roc_auc_change"] == pytest.approx(-1 / 6)
    assert worse["refused"] == "loses 0.1667 of the AUC, more than 0.005"


def test_a_file_that_ranks_better_is_kept():
    better = compare([-3.0, -2.0, -0.5, 0.0, 2.0])
    assert better["roc_auc_change"] == pytest.approx(1 / 6)
    assert better["refused"] is None
    # The one logit that moved: from P = 1 / (1 + e^-0.5) to 1 / (1 + e^0.5).
    assert better["max_difference"] == pytest.approx(0.6224593 - 0.3775407)


def test_only_a_rounded_file_may_differ_from_the_run():
    received = EXPECTED + 0.001  # of P: a quarter of that at most
    assert compare(received)["refused"] is None
    reason = compare(received, quantized=False)["refused"]
    assert reason == "differs by 0.00025 in probability, more than 0.0001"
    assert compare(EXPECTED + 0.0003, quantized=False)["refused"] is None


def test_the_probability_that_the_file_gives_is_compared():
    rounded = np.round(256 / (1 + np.exp(-EXPECTED))) / 256
    compared = compare_answers(LABELS, EXPECTED, EXPECTED, rounded, quantized=False)
    assert compared["refused"].startswith("differs by 0.00")
    assert compared["roc_auc_change"] == 0


def test_a_logit_that_is_no_number_is_refused():
    compared = compare([np.nan, -2.0, 0.5, 0.0, 2.0])
    assert compared["refused"] == "gives a logit that is no number"
    assert math.isnan(compared["roc_auc"])


def test_refused_files_are_left_out_unless_forced():
    files = {
        "a": {"refused": None, "runs": True},
        "b": {"refused": "loses all", "runs": True},
    }
    left_out = "b, which loses all. --force writes it all the same"
    assert sort_out(files, force=False) == ({"a"}, left_out)
    assert sort_out(files, force=True) == ({"a", "b"}, "")
    assert sort_out({"a": files["a"]}, force=False) == ({"a"}, "")
    files["b"] = {"refused": "the runtime cannot run", "runs": False}
    for force in (False, True):
        left_out = "b, which the runtime cannot run"
        assert sort_out(files, force=force) == ({"a"}, left_out)


@pytest.mark.parametrize(
    ("labels", "received"),
    [([], "none"), ([0, 0, 0], "3 benign and 0 malignant"), ([1], "0 benign and 1")],
)
def test_a_validation_part_without_both_classes_cannot_judge(labels, received):
    rows = pd.DataFrame({"label": labels})
    with pytest.raises(UserError, match=f"--format onnx: .* Received: {received}"):
        check_validation(rows, "onnx")
    check_validation(pd.DataFrame({"label": [0, 1]}), "onnx")


def test_every_runner_is_asked_equally_often_and_in_turns():
    asked = []
    runners = {name: lambda case, n=name: asked.append((n, case)) for name in "ab"}
    milliseconds = median_milliseconds(runners, [7, 8, 9])
    assert set(milliseconds) == {"a", "b"}
    assert asked[:6] == [("a", 7), ("b", 7), ("a", 8), ("b", 8), ("a", 9), ("b", 9)]
    assert len(asked) == 2 * 65


def test_the_table_holds_what_each_file_says():
    def raise_error(case):
        raise RuntimeError("failed to\nprepare")

    cases = [{"number": np.array([logit])} for logit in EXPECTED]

    def make_runner(content, threads):
        assert threads >= 1
        if content == b"broken":
            return raise_error
        sign = -1 if content == b"bad" else 1

        def run(case):
            logit = sign * float(case["number"][0])
            return logit, 1 / (1 + math.exp(-logit))

        return run

    checked = check_files(
        make_runner,
        {"model.onnx": b"good", "int8.tflite": b"bad", "x": b"broken"},
        make_runner(b"good", 1),
        cases,
        LABELS,
        EXPECTED,
    )
    assert checked["run"]["roc_auc"] == pytest.approx(5 / 6)
    good, bad = checked["files"]["model.onnx"], checked["files"]["int8.tflite"]
    assert (good["bytes"], good["max_difference"], good["refused"]) == (4, 0.0, None)
    assert bad["roc_auc"] == pytest.approx(1 / 6)
    assert bad["refused"].startswith("loses 0.6667 of the AUC")
    broken = checked["files"]["x"]
    assert broken["refused"] == "the runtime cannot run: failed to prepare"
    assert math.isnan(broken["roc_auc"]) and math.isnan(broken[ONE])
    assert min(good[ONE], good[ALL], checked["run"][ALL]) > 0
