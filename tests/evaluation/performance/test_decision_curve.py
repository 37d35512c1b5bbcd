import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usgland.config import EvaluationSettings
from usgland.evaluation.performance.decision_curve import decision_curve, net_benefit
from usgland.evaluation.performance.measures import unit_of

SETTINGS = EvaluationSettings(bootstrap_resamples=60, seed=2)


def naive(labels, probabilities, threshold, prevalence=None):
    """Case by case, with a weight that gives malignant cases their prevalence."""
    n1 = sum(labels)
    n0 = len(labels) - n1
    share = n1 / len(labels) if prevalence is None else prevalence
    benefit = 0.0
    for label, probability in zip(labels, probabilities, strict=True):
        if probability >= threshold and label == 1:
            benefit += share / n1
        elif probability >= threshold:
            benefit -= (1 - share) / n0 * threshold / (1 - threshold)
    return benefit


def drawn(seed, n=40):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, n - 2)]
    probabilities = rng.uniform(size=n).round(2)
    ids = [f"p{i // 2}" for i in range(n)]
    return pd.DataFrame(
        {"patient_id": ids, "label": labels, "probability": probabilities}
    )


@pytest.mark.parametrize("prevalence", [None, 0.1, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_net_benefit_agrees_with_a_naive_count(seed, prevalence):
    rows = drawn(seed)
    curve = decision_curve(unit_of(rows, SETTINGS), SETTINGS, prevalence)
    expected = [
        naive(rows["label"], rows["probability"], threshold, prevalence)
        for threshold in curve["threshold"]
    ]
    np.testing.assert_allclose(curve["model"], expected, atol=1e-12)
    everybody = [
        naive(rows["label"], np.ones(40), threshold, prevalence)
        for threshold in curve["threshold"]
    ]
    np.testing.assert_allclose(curve["treat_all"], everybody, atol=1e-12)
    assert set(curve["treat_none"]) == {0}


def test_net_benefit_by_hand():
    # Of 10 cases 4 are malignant; from 0.2 on, 3 of them and 2 others are called.
    labels = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    probabilities = [0.9, 0.5, 0.2, 0.1, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1]
    found = net_benefit(labels, probabilities, [0.2])
    assert found[0] == pytest.approx(3 / 10 - 2 / 10 * 0.2 / 0.8)
    found = net_benefit(labels, probabilities, [0.2], prevalence=0.1)
    assert found[0] == pytest.approx(0.1 * 3 / 4 - 0.9 * 2 / 6 * 0.25)


def test_the_band_is_that_of_patients_drawn_with_all_images():
    rows = drawn(9)
    curve = decision_curve(unit_of(rows, SETTINGS), SETTINGS)
    # One by one: the patients of each resample, as `resample_patients` draws them.
    ids = sorted(set(rows["patient_id"]))
    choices = np.random.default_rng(2).integers(0, len(ids), (60, len(ids)))
    at = curve["threshold"].index(0.3)
    values = []
    for chosen in choices:
        parts = [rows[rows["patient_id"] == ids[one]] for one in chosen]
        sample = pd.concat(parts)
        values.append(naive(sample["label"], sample["probability"], 0.3))
    low, high = np.quantile(values, [0.025, 0.975])
    assert curve["low"][at] == pytest.approx(low)
    assert curve["high"][at] == pytest.approx(high)
    assert curve["method"].startswith("percentile bootstrap over patients, 60")


def test_no_resamples_no_band():
    settings = EvaluationSettings(bootstrap_resamples=0)
    curve = decision_curve(unit_of(drawn(1), settings), settings)
    assert np.isnan(curve["low"]).all() and np.isnan(curve["high"]).all()
    assert curve["method"] == "none: 0 bootstrap resamples asked for"


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 500), prevalence=st.floats(0.01, 0.99))
def test_net_benefit_has_its_bounds_and_no_order(seed, prevalence):
    rows = drawn(seed, 12)
    labels, probabilities = rows["label"].to_numpy(), rows["probability"].to_numpy()
    thresholds = [0.05, 0.3, 0.5, 0.9]
    found = net_benefit(labels, probabilities, thresholds, prevalence=prevalence)
    assert (found <= prevalence + 1e-12).all()
    order = np.random.default_rng(seed).permutation(12)
    again = net_benefit(
        labels[order], probabilities[order], thresholds, prevalence=prevalence
    )
    np.testing.assert_allclose(found, again)
    own = net_benefit(labels, probabilities, thresholds)
    given_own = (
        net_benefit(labels, probabilities, thresholds, prevalence=float(labels.mean()))
        if 0 < labels.mean() < 1
        else own
    )
    np.testing.assert_allclose(own, given_own, atol=1e-12)


def test_one_label_alone_has_no_net_benefit_at_another_prevalence():
    assert np.isnan(net_benefit([1, 1], [0.2, 0.8], [0.5], prevalence=0.3)).all()
    assert net_benefit([1, 1], [0.2, 0.8], [0.5])[0] == 0.5


def test_what_is_out_of_range_is_named():
    with pytest.raises(
        ValueError, match=r"`thresholds` must be in \(0, 1\). Received: 0.5 to 1"
    ):
        net_benefit([0, 1], [0.1, 0.2], [0.5, 1.0])
    with pytest.raises(ValueError, match=r"`prevalence` must be in .* Received: 0"):
        net_benefit([0, 1], [0.1, 0.2], [0.5], prevalence=0.0)
