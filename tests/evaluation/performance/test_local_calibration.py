import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import fit_calibration
from usgland.evaluation.performance.local_calibration import (
    calibrate_locally,
    fit_lines,
    local_calibration_document,
)


def elsewhere(patients=160, slope=0.5, shift=1.0, seed=0):
    """A model whose logits are twice too large and a logit too low elsewhere."""
    rng = np.random.default_rng(seed)
    right = rng.normal(0, 1.5, patients)
    labels = (rng.uniform(size=patients) < expit(right)).astype(int)
    logits = (right - shift) / slope
    ids = [f"P{number:03d}" for number in range(patients)]
    rows = pd.DataFrame({"image": ids, "patient_id": ids, "label": labels})
    return rows.assign(role="test", fold="", logit=logits, probability=expit(logits))


def test_the_lines_of_many_draws_are_those_of_fit_calibration():
    rows = elsewhere(60).assign(role="val")
    rng = np.random.default_rng(1)
    drawn = rng.uniform(size=(30, 60)) < 0.3
    # Of two draws one is separated, and one the wrong way round.
    labels, logits = rows["label"].to_numpy(), rows["logit"].to_numpy()
    drawn[0] = (labels == 1) == (logits > np.median(logits))
    drawn[1] = ~drawn[0]
    slopes, intercepts = fit_lines(labels, logits, drawn)
    assert slopes[1] == 0.05
    for own, slope, intercept in zip(drawn, slopes, intercepts, strict=True):
        expected = fit_calibration(rows[own], "platt")
        assert slope == pytest.approx(expected["slope"], abs=1e-4)
        assert intercept == pytest.approx(expected["intercept"], abs=1e-4)


def test_the_lines_are_those_of_scikit_learn_with_platts_targets():
    rows = elsewhere(80)
    labels, logits = rows["label"].to_numpy(), rows["logit"].to_numpy()
    [slope], [intercept] = fit_lines(labels, logits, np.ones((1, 80), bool))
    n1, n0 = labels.sum(), (1 - labels).sum()
    target = np.where(labels == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    twice = np.r_[logits, logits][:, None]
    sklearn = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    sklearn.fit(twice, np.r_[np.ones(80), np.zeros(80)], np.r_[target, 1 - target])
    assert slope == pytest.approx(sklearn.coef_[0, 0], abs=1e-4)
    assert intercept == pytest.approx(sklearn.intercept_[0], abs=1e-4)


def test_local_patients_mend_slope_and_intercept_and_threshold():
    settings = EvaluationSettings()
    bought = calibrate_locally(elsewhere(400), 0.5, 200, settings)
    assert (bought.rest, bought.draws) == (200, 200)
    before, after = bought.before.median(), bought.after.median()
    assert before["slope"] == pytest.approx(0.5, abs=0.15)
    assert after["slope"] == pytest.approx(1, abs=0.2)
    # Its threshold of 0.5 stands where P is 0.73.
    assert before["intercept_in_the_large"] > 0.5
    assert after["intercept_in_the_large"] == pytest.approx(0, abs=0.2)
    assert after["brier"] < before["brier"]
    assert after["threshold"] < 0.4 and set(bought.before["threshold"]) == {0.5}
    youden = bought.after["sensitivity"] + bought.after["specificity"]
    assert youden.median() > before["sensitivity"] + before["specificity"]


def test_the_same_seed_draws_the_same_patients():
    rows = elsewhere(60)
    first, again, other = (
        calibrate_locally(rows, 0.5, 20, EvaluationSettings(seed=seed)).after
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_images_of_a_patient_are_drawn_together():
    rows = elsewhere(40)
    several = pd.concat([rows, rows]).sample(frac=1, random_state=0)
    several["image"] = range(len(several))
    bought = calibrate_locally(several, 0.5, 20, EvaluationSettings())
    alone = calibrate_locally(rows, 0.5, 20, EvaluationSettings())
    assert bought.rest == alone.rest == 20
    pd.testing.assert_frame_equal(bought.before, alone.before)


def test_a_document_has_before_and_after():
    bought = calibrate_locally(elsewhere(60), 0.5, 20, EvaluationSettings(), site="A")
    document = local_calibration_document([bought], 0.95, synthetic=True)
    assert "A: 20 local patients with labels" in document.markdown()
    [record] = [
        record
        for record in document.records
        if (record["measure"], record["when"]) == ("brier", "after")
    ]
    assert record["low"] <= record["value"] <= record["high"]
    values = np.sort(bought.after["brier"])
    assert record["value"] == values[99]


@pytest.mark.parametrize("size", [59, 60, 80, 2])
def test_too_few_patients_are_named(size):
    rows = elsewhere(60)
    if size == 2:
        rows["label"] = (np.arange(60) == 7).astype(int)
    with pytest.raises(UserError, match=f"--local-calibration {size}: expected enough"):
        calibrate_locally(rows, 0.5, size, EvaluationSettings())
