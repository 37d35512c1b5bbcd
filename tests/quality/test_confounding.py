import numpy as np
import pandas as pd
import pytest

from usgland.evaluation.statistics.intervals import auc_interval
from usgland.quality import confounding
from usgland.quality.confounding import find_confounders, properties_of


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(confounding, "TREES", 20)


def cases(patients=60, images=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(patients) % 2, images)
    groups = np.repeat([f"p{n}" for n in range(patients)], images)
    return rng, labels, groups


def test_a_mark_has_the_area_of_its_own_shares():
    _, labels, groups = cases()
    mark = np.zeros(len(labels))
    mark[np.flatnonzero(labels == 0)[:24]] = 1
    features = {"marks": pd.DataFrame({"mark": mark})}
    (answer,) = find_confounders(features, labels, groups)
    # Of 60 benign images 24 have it and of 60 malignant none: 0.5 + 0.4 / 2.
    assert answer.roc_auc == pytest.approx(0.7)
    assert answer.detail == "24 of 60 benign, 0 of 60 malignant"
    interval = auc_interval(labels, 1 - mark, patient_ids=groups)
    assert (answer.low, answer.high) == (interval.low, interval.high)
    assert answer.is_suspicious


def test_a_size_that_knows_the_label_is_suspicious_and_noise_is_not():
    rng, labels, groups = cases(120, 1)
    size = 400 + 200 * (labels ^ (rng.random(len(labels)) < 0.1))
    size = size + rng.integers(0, 3, len(size))
    noise = rng.normal(size=len(labels))
    features = {n: pd.DataFrame({n: v}) for n, v in (("size", size), ("noise", noise))}
    first, second = find_confounders(features, labels, groups)
    assert first.name == "size"
    assert first.roc_auc > 0.8
    assert first.is_suspicious
    assert not second.is_suspicious


def test_what_names_the_patient_predicts_nothing_of_others():
    _, labels, groups = cases(60, 4)
    # Each patient has a value of its own: by image it would know every label.
    own = pd.Series(groups).str[1:].astype(float) * 7919 % 1009
    (answer,) = find_confounders({"own": own.to_frame("own")}, labels, groups)
    assert not answer.is_suspicious


def test_words_are_categories_and_a_constant_is_not_asked():
    _, labels, groups = cases(60, 1)
    device = np.where(labels == 1, "Toshiba", "LOGIQ")
    device[:6] = "unknown"
    features = {
        "device": pd.DataFrame({"device": device}),
        "site": pd.DataFrame({"site": ["Kunming"] * len(labels)}),
    }
    (answer,) = find_confounders(features, labels, groups)
    assert answer.name == "device"
    assert answer.roc_auc > 0.9


def test_few_patients_are_not_asked():
    _, labels, groups = cases(12, 1)
    with pytest.raises(ValueError, match="10 or more of each label. Received: 6"):
        find_confounders({}, labels, groups)


def test_the_properties_of_a_table():
    rows = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b"],
            "frame_width": [10, 20, 30],
            "frame_height": [10, 10, 10],
            "native_width_px": ["5", "6", "7"],
            "Device": ["x", "x", "y"],
            "age": ["50", "", "n/a"],
            "sex": ["f", "m", ""],
            "bmi": ["20", "30", "?"],
        }
    )
    properties = properties_of(rows, ["age", "sex", "bmi"])
    assert list(properties) == [
        "frame size",
        "frame size before export",
        "Device",
        "the number of images of a patient",
        "missing `age`",
        "missing `sex` and 1 more",
        "the pattern of missing values",
    ]
    assert properties["missing `age`"]["age"].to_list() == [0, 1, 1]
    assert properties["the number of images of a patient"]["images"].to_list() == [
        2,
        2,
        1,
    ]
    assert properties["frame size"]["ratio"].to_list() == [1, 2, 3]
