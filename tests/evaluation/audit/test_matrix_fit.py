"""Matrices behind printed measures, against trying every matrix one by one."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score

from usgland.evaluation.audit.matrix_fit import (
    F1_KINDS,
    Matrix,
    fitting_f1_kinds,
    fitting_matrices,
    fitting_prevalences,
    fitting_sizes,
    matrix_measures,
)
from usgland.evaluation.audit.printed import printed_bounds

MATRICES = st.tuples(*[st.integers(0, 12)] * 4).filter(
    lambda x: x[0] + x[1] > 0 and x[2] + x[3] > 0
)
# A user's paper prints any subset of them.
OPTIONAL = st.sets(st.sampled_from(("accuracy", "kappa", "f1", "auc")))


def exact_figures(tp, fn, tn, fp):
    """A second implementation, in fractions; leaves out what is undefined."""
    n = tp + fn + tn + fp
    sensitivity, specificity = Fraction(tp, tp + fn), Fraction(tn, tn + fp)
    measures = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": Fraction(tp + tn, n),
        "auc": (sensitivity + specificity) / 2,
    }
    chance = Fraction((tp + fn) * (tp + fp) + (tn + fp) * (tn + fn), n * n)
    if chance != 1:
        measures["kappa"] = (measures["accuracy"] - chance) / (1 - chance)
    if 2 * tp + fp + fn:
        measures["f1 binary"] = Fraction(2 * tp, 2 * tp + fp + fn)
    if 2 * tp + fp + fn and 2 * tn + fp + fn:
        benign = Fraction(2 * tn, 2 * tn + fp + fn)
        measures["f1 macro"] = (measures["f1 binary"] + benign) / 2
        both = (tp + fn) * measures["f1 binary"] + (tn + fp) * benign
        measures["f1 weighted"] = both / n
    return measures


def every_matrix(malignant, benign):
    for tp in range(malignant + 1):
        for tn in range(benign + 1):
            yield Matrix(tp, malignant - tp, tn, benign - tn)


def gives(matrix, printed):
    measures = exact_figures(*matrix)
    for name, bounds in printed.items():
        kinds = [f"f1 {kind}" for kind in F1_KINDS] if name == "f1" else [name]
        values = [float(measures[kind]) for kind in kinds if kind in measures]
        if not any(bounds.low <= value <= bounds.high for value in values):
            return False
    return True


def bounds_of(texts):
    return {name: printed_bounds(text) for name, text in texts.items()}


def printed_of(matrix, names, decimals, kind="macro"):
    """The measures of a matrix as a paper prints them; undefined ones are left out."""
    measures = exact_figures(*matrix)
    texts = {}
    for name in ("sensitivity", "specificity", *sorted(names)):
        value = measures.get(f"f1 {kind}" if name == "f1" else name)
        if value is not None:
            texts[name] = f"{float(value):.{decimals}f}"
    return texts


@given(MATRICES)
def test_figures_equal_those_in_fractions_and_of_scikit_learn(matrix):
    tp, fn, tn, fp = matrix
    measures = matrix_measures(*map(np.array, matrix))
    for name, value in exact_figures(*matrix).items():
        assert float(measures[name]) == pytest.approx(float(value), abs=1e-12)
    labels = [1] * (tp + fn) + [0] * (tn + fp)
    calls = [1] * tp + [0] * fn + [0] * tn + [1] * fp
    if {0, 1} <= set(calls):  # scikit-learn gives an undefined F1 as 0
        for kind in F1_KINDS:
            expected = f1_score(labels, calls, average=kind)
            assert measures[f"f1 {kind}"] == pytest.approx(expected)
        assert measures["kappa"] == pytest.approx(cohen_kappa_score(labels, calls))
        assert measures["auc"] == pytest.approx(balanced_accuracy_score(labels, calls))


@settings(max_examples=60, deadline=None)
@given(MATRICES, OPTIONAL, st.integers(1, 3))
def test_fitting_matrices_are_those_found_one_by_one(matrix, names, decimals):
    malignant, benign = matrix[0] + matrix[1], matrix[2] + matrix[3]
    printed = bounds_of(printed_of(matrix, names, decimals))
    expected = {
        matrix for matrix in every_matrix(malignant, benign) if gives(matrix, printed)
    }
    matrices = fitting_matrices(printed, malignant, benign)
    assert set(matrices) == expected
    assert len(matrices) == len(expected)


@settings(max_examples=100, deadline=None)
@given(MATRICES, OPTIONAL, st.integers(1, 4), st.sampled_from(F1_KINDS))
def test_figures_of_a_true_matrix_are_always_possible(matrix, names, decimals, kind):
    malignant, benign = matrix[0] + matrix[1], matrix[2] + matrix[3]
    printed = bounds_of(printed_of(matrix, names, decimals, kind))
    matrices = fitting_matrices(printed, malignant, benign)
    assert Matrix(*matrix) in matrices
    assert (malignant, benign) in fitting_sizes([printed], 24)
    if "f1" in printed:
        assert kind in fitting_f1_kinds(printed["f1"], matrices)
    prevalences = fitting_prevalences(printed)
    assert prevalences is not None
    share = malignant / (malignant + benign)
    assert prevalences.low <= share <= prevalences.high


@pytest.mark.parametrize("decimals", [1, 2])
def test_fitting_sizes_are_those_found_one_by_one(decimals):
    rows = [
        bounds_of(printed_of(matrix, {"accuracy", "f1"}, decimals))
        for matrix in ((3, 1, 5, 2), (2, 2, 6, 1))
    ]
    expected = [
        (malignant, benign)
        for malignant in range(1, 10)
        for benign in range(1, 10)
        if all(
            any(gives(matrix, row) for matrix in every_matrix(malignant, benign))
            for row in rows
        )
    ]
    assert fitting_sizes(rows, 9) == expected
    assert (4, 7) in expected


def test_a_share_that_no_count_gives_has_no_matrix():
    # 0.65 of 21 patients: 13/21 = 0.619 and 14/21 = 0.667.
    printed = bounds_of({"sensitivity": "0.80", "specificity": "0.65"})
    assert fitting_matrices(printed, 20, 21) == []
    assert fitting_f1_kinds(printed_bounds("0.7"), []) == ()


def test_prevalences_are_those_of_the_accuracy_by_hand():
    # accuracy = p * 0.9 + (1 - p) * 0.5 = 0.7 at p = 1/2, give or take the decimals.
    texts = {"sensitivity": "0.9000", "specificity": "0.5000", "accuracy": "0.7000"}
    prevalences = fitting_prevalences(bounds_of(texts))
    assert prevalences is not None
    assert prevalences.low == pytest.approx(0.5, abs=6e-4)
    assert prevalences.high == pytest.approx(0.5, abs=6e-4)


def test_an_accuracy_outside_sensitivity_and_specificity_fits_no_prevalence():
    texts = {"sensitivity": "0.80", "specificity": "0.70", "accuracy": "0.85"}
    assert fitting_prevalences(bounds_of(texts)) is None
    assert fitting_sizes([bounds_of(texts)], 60) == []


def test_what_is_excluded_at_any_prevalence_is_not_found_on_a_fine_grid():
    # Naive second look at the ResNet101 row of Table 2 of the paper.
    texts = {
        "sensitivity": "0.8012",
        "specificity": "0.8229",
        "accuracy": "0.8117",
        "kappa": "0.6459",
        "f1": "0.8115",
    }
    printed = bounds_of(texts)
    assert fitting_prevalences(printed) is None
    p = np.linspace(0.001, 0.999, 2001)[:, None, None]
    s = np.linspace(*printed["sensitivity"], 7)[:, None]
    t = np.linspace(*printed["specificity"], 7)
    measures = matrix_measures(
        *np.broadcast_arrays(p * s, p * (1 - s), (1 - p) * t, (1 - p) * (1 - t))
    )
    accuracy = np.abs(measures["accuracy"] - 0.8117) < 1.5e-4
    kappa = np.abs(measures["kappa"] - 0.6459) < 1.5e-4
    assert accuracy.any()
    assert not (accuracy & kappa).any()


def test_prevalences_need_both_shares():
    with pytest.raises(ValueError, match="needs sensitivity and.*Received: accuracy"):
        fitting_prevalences({"accuracy": printed_bounds("0.5")})
    with pytest.raises(ValueError, match="Received: nothing"):
        fitting_prevalences({})


def test_a_limit_takes_all_counts_on_its_side():
    printed = bounds_of({"sensitivity": ">0.79", "specificity": "<0.3"})
    counts = {(matrix.tp, matrix.tn) for matrix in fitting_matrices(printed, 5, 5)}
    assert counts == {(4, 0), (4, 1), (5, 0), (5, 1)}
    beyond = bounds_of({"sensitivity": "97.2", "specificity": "0.5"})  # no percent sign
    assert fitting_matrices(beyond, 5, 5) == []
    assert fitting_prevalences(printed) is not None
