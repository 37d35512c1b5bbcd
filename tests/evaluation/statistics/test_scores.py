import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from tests.evaluation.statistics.oracle import draw_cases, sklearn_measures
from usgland.evaluation.statistics.roc_curves import roc_points
from usgland.evaluation.statistics.scores import (
    MEASURES,
    confusion,
    measures_of_counts,
    predictive_values,
    score,
    undefined_reason,
    weighted_auc,
)


@pytest.mark.parametrize("seed", range(5))
def test_every_figure_agrees_with_scikit_learn(seed):
    labels, probabilities, _ = draw_cases(seed)
    found = score(labels, probabilities, 0.6)
    assert tuple(found) == MEASURES
    expected = sklearn_measures(labels, probabilities, 0.6)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_case_at_the_threshold_is_called_malignant():
    assert score([1, 0], [0.3, 0.2], 0.3)["sensitivity"] == 1


def test_a_threshold_may_differ_from_case_to_case():
    found = score([1, 0, 1, 0], [0.4, 0.4, 0.6, 0.6], [0.3, 0.5, 0.5, 0.7])
    assert (found["sensitivity"], found["specificity"]) == (1, 1)


def test_the_figures_of_the_paper_come_from_35_and_34_of_36_images():
    # "97.2% ... 94.4%, 95.8%, and 95.9%", and an AUC of 0.9583: Table 5 and text.
    measures = measures_of_counts(np.array([[34, 2, 1, 35]]))
    assert measures["sensitivity"][0] == pytest.approx(35 / 36)
    assert measures["specificity"][0] == pytest.approx(34 / 36)
    printed = {
        "sensitivity": 0.972,
        "specificity": 0.944,
        "accuracy": 0.958,
        "f1": 0.959,
    }
    for name, value in printed.items():
        assert round(float(measures[name][0]), 3) == value
    assert round(float(measures["balanced_accuracy"][0]), 4) == 0.9583
    # By hand: (69/72 - 1/2) / (1/2) = 66/72; 35 / (35 + 2 + 1).
    assert measures["cohen_kappa"][0] == pytest.approx(66 / 72)
    assert measures["jaccard"][0] == pytest.approx(35 / 38)


def test_confusion_has_labels_in_rows_as_scikit_learn_has():
    labels, predictions = [0, 0, 0, 1, 1], [0, 1, 1, 1, 0]
    expected = sklearn_metrics.confusion_matrix(labels, predictions)
    assert confusion(labels, predictions).tolist() == expected.tolist()
    assert confusion([1], [1]).tolist() == [[0, 0], [0, 1]]


def undefined(measures):
    return {name for name, value in measures.items() if math.isnan(value)}


def test_one_class_leaves_undefined_what_needs_two():
    malignant = score([1, 1], [0.2, 0.9], 0.5)
    ratios = {"positive_likelihood_ratio", "negative_likelihood_ratio"}
    both = {"balanced_accuracy", "roc_auc", "mcc"} | ratios
    assert undefined(malignant) == {"specificity"} | both
    benign = score([0, 0], [0.2, 0.9], 0.5)
    assert undefined(benign) == {"sensitivity", "average_precision"} | both


@pytest.mark.parametrize(
    ("labels", "probabilities", "name", "reason"),
    [
        ([1, 1], [0.2, 0.9], "specificity", "no benign case"),
        ([0, 0], [0.2, 0.9], "roc_auc", "no malignant case"),
        ([0, 1], [0.2, 0.3], "ppv", "no case is called malignant"),
        ([0, 1], [0.8, 0.9], "npv", "no case is called benign"),
        ([0, 1], [0.2, 0.9], "positive_likelihood_ratio", "no benign case is called"),
        ([0, 1], [0.8, 0.9], "negative_likelihood_ratio", "is called benign"),
        ([0, 1], [0.8, 0.9], "mcc", "all cases get one decision"),
        ([0, 0], [0.2, 0.3], "f1", "no case is malignant or called so"),
        ([0, 0], [0.2, 0.3], "cohen_kappa", "all cases have one label and one"),
    ],
)
def test_an_undefined_figure_says_why(labels, probabilities, name, reason):
    value = score(labels, probabilities, 0.5)[name]
    assert math.isnan(value)
    assert reason in undefined_reason(name, labels, value)
    assert undefined_reason("accuracy", labels, 0.5) == ""


def test_predictive_values_follow_bayes():
    # Altman and Bland 1994: sensitivity .90, specificity .63 at a prevalence of .25.
    ppv, npv = predictive_values(0.90, 0.63, 0.25)
    assert (round(float(ppv), 2), round(float(npv), 2)) == (0.45, 0.95)
    with pytest.raises(ValueError, match="`prevalence` must be in"):
        predictive_values(0.9, 0.6, 1.0)


def test_nothing_malignant_nor_called_so_leaves_f1_jaccard_and_kappa_undefined():
    found = undefined(score([0, 0], [0.2, 0.3], 0.5))
    assert {"f1", "jaccard", "cohen_kappa"} < found


def test_auc_counts_ties_as_one_half():
    assert score([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5)["roc_auc"] == 0.5
    # Pairs: .4 over .1 yes, .4 over .4 half, .9 over both yes: 3.5 of 4.
    assert score([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.9], 0.5)["roc_auc"] == 3.5 / 4


@pytest.mark.parametrize("seed", range(3))
def test_the_roc_curve_has_the_points_of_scikit_learn(seed):
    labels, probabilities, _ = draw_cases(seed)
    expected = sklearn_metrics.roc_curve(labels, probabilities, drop_intermediate=False)
    found = roc_points(labels, probabilities)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    area = score(labels, probabilities, 0.5)["roc_auc"]
    assert np.trapezoid(found[1], found[0]) == pytest.approx(area)


def test_the_roc_curve_of_one_class_is_refused():
    with pytest.raises(ValueError, match="0 and 1. Received: none of label 0"):
        roc_points([1, 1], [0.2, 0.9])


def test_weighted_auc_agrees_with_scikit_learn_for_every_weighting():
    labels, probabilities, _ = draw_cases(3)
    weights = np.random.default_rng(1).integers(0, 4, (20, len(labels)))
    expected = [
        sklearn_metrics.roc_auc_score(labels, probabilities, sample_weight=one)
        for one in weights
    ]
    found = weighted_auc(labels, probabilities, weights)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [0.5], "of one length, not 0. Received: shapes"),
        ([], [], "of one length, not 0. Received: shapes"),
        ([0, 1], [0.5, 1.5], r"`probabilities` must be in \[0, 1\]. Received: 0.5 to"),
        ([0, 1], [0.5, np.nan], r"`probabilities` must be in \[0, 1\]. Received"),
        ([0, 2], [0.5, 0.5], r"`labels` must be 0 or 1. Received: 2"),
        ([0, np.nan], [0.5, 0.5], r"`labels` must be 0 or 1. Received: nan"),
        ([0, None], [0.5, 0.5], r"`labels` must be 0 or 1. Received: None"),
        (
            ["benign", "malignant"],
            [0.5, 0.5],
            "Received: 'benign', 'malignant'; words are mapped first: labels == 'mal",
        ),
    ],
)
def test_score_names_arguments_it_cannot_use(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        score(labels, probabilities, 0.5)


def test_confusion_names_arguments_it_cannot_use():
    with pytest.raises(ValueError, match="`predictions` must be of one length. Rec"):
        confusion([0, 1], [1])
    with pytest.raises(ValueError, match=r"`predictions` must be 0 or 1. Received"):
        confusion([0, 1], [0.2, 0.7])


CASES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=30
)


@given(CASES)
def test_turned_labels_swap_sensitivity_and_specificity(rows):
    labels, grades = np.array(rows).T
    probabilities = grades / 10
    one = score(labels, probabilities, 0.55)
    other = score(1 - labels, 1 - probabilities, 0.45)
    for a, b in (("sensitivity", "specificity"), ("ppv", "npv")):
        assert one[a] == pytest.approx(other[b], nan_ok=True)
    for same in ("roc_auc", "mcc", "cohen_kappa", "accuracy", "brier", "f1_macro"):
        assert one[same] == pytest.approx(other[same], nan_ok=True)
    for value in one.values():
        assert np.isnan(value) or value >= -1


@given(CASES, st.integers(0, 2**31))
def test_the_order_of_rows_changes_nothing(rows, seed):
    labels, grades = np.array(rows).T
    order = np.random.default_rng(seed).permutation(len(labels))
    one = score(labels, grades / 10, 0.5)
    other = score(labels[order], grades[order] / 10, 0.5)
    assert one == pytest.approx(other, nan_ok=True)


@given(CASES)
def test_a_monotone_change_of_scores_keeps_what_ranks_alone_decide(rows):
    labels, grades = np.array(rows).T
    one = score(labels, grades / 10, 0.55)
    other = score(labels, (grades / 10) ** 3, 0.55**3)
    for name in set(MEASURES) - {"brier"}:
        assert one[name] == pytest.approx(other[name], nan_ok=True)
