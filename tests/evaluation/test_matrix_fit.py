from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score

from usgland.evaluation.matrix_fit import (
    F1_KINDS,
    fitting_f1_kinds,
    fitting_matrices,
    fitting_prevalences,
    fitting_sizes,
    matrix_figures,
)
from usgland.evaluation.printed import printed_bounds, printed_value

COUNTS = st.tuples(*[st.integers(0, 25)] * 4).filter(
    lambda c: c[0] + c[1] and c[2] + c[3] and c[0] + c[3]
)


def by_scikit_learn(tp, fn, tn, fp):
    y = [1] * (tp + fn) + [0] * (tn + fp)
    p = [1] * tp + [0] * fn + [0] * tn + [1] * fp
    return {
        "kappa": cohen_kappa_score(y, p),
        **{
            f"f1 {kind}": f1_score(y, p, average=kind, zero_division=np.nan)
            for kind in F1_KINDS
        },
    }


@pytest.mark.parametrize("matrix", [(17, 3, 6, 14), (35, 1, 34, 2), (1, 4, 9, 2)])
def test_figures_agree_with_scikit_learn(matrix):
    found = matrix_figures(*(np.array(one) for one in matrix))
    for name, value in by_scikit_learn(*matrix).items():
        assert float(found[name]) == pytest.approx(value), name


def test_matrices_agree_with_a_search_of_all_of_them():
    printed = {"sensitivity": "0.667", "specificity": "0.75", "accuracy": "0.71"}
    bounds = {name: printed_bounds(text, "rounded") for name, text in printed.items()}
    for malignant, benign in product(range(1, 13), repeat=2):
        expected = [
            (tp, malignant - tp, tn, benign - tn)
            for tp in range(malignant + 1)
            for tn in range(benign + 1)
            if f"{tp / malignant:.3f}" == "0.667"
            and f"{tn / benign:.2f}" == "0.75"
            and f"{(tp + tn) / (malignant + benign):.2f}" == "0.71"
        ]
        found = fitting_matrices(bounds, malignant, benign)
        assert [tuple(one) for one in found] == expected


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.sampled_from(["macro", "binary", "weighted"]), st.integers(2, 4))
def test_figures_of_a_true_matrix_are_always_possible(matrix, kind, decimals):
    tp, fn, tn, fp = matrix
    figures = matrix_figures(*(np.array(one) for one in matrix))
    names = {"sensitivity", "specificity", "accuracy", "kappa"}
    values = {name: float(figures[name]) for name in names}
    values["f1"] = float(figures[f"f1 {kind}"])
    printed = {
        name: printed_bounds(f"{value:.{decimals}f}")
        for name, value in values.items()
        if value == value
    }
    found = fitting_matrices(printed, tp + fn, tn + fp)
    assert matrix in [tuple(one) for one in found]
    prevalence = (tp + fn) / sum(matrix)
    possible = fitting_prevalences(printed)
    assert possible is not None
    assert possible.low - 1e-3 <= prevalence <= possible.high + 1e-3
    if "f1" in printed:
        assert kind in fitting_f1_kinds(printed["f1"], found)


def test_sizes_are_those_that_every_row_shares():
    rows = [{"sensitivity": "0.500", "specificity": "0.333"}]
    rows.append({"sensitivity": "0.250", "specificity": "1.000"})
    bounds = [{k: printed_bounds(v) for k, v in row.items()} for row in rows]
    # Quarters of 4 and 8, thirds of 3, 6 and 9.
    expected = [(a, b) for a in (4, 8) for b in (3, 6, 9)]
    assert fitting_sizes(bounds, 9) == expected


def test_prevalence_follows_from_accuracy():
    # accuracy = 0.9 p + 0.6 (1 - p), so 0.63 is p = 0.1.
    printed = {"sensitivity": "0.90000", "specificity": "0.60000"}
    printed["accuracy"] = "0.63000"
    found = fitting_prevalences({k: printed_bounds(v) for k, v in printed.items()})
    assert found is not None
    assert found.low == pytest.approx(0.1, abs=2e-4)
    assert found.high == pytest.approx(0.1, abs=2e-4)


def test_no_prevalence_gives_a_kappa_above_what_the_point_can():
    # Kappa is at most 2 * 0.8 - 1 = 0.6 where both shares are 0.8.
    printed = {"sensitivity": "0.80", "specificity": "0.80", "kappa": "0.70"}
    assert (
        fitting_prevalences({k: printed_bounds(v) for k, v in printed.items()}) is None
    )


def test_prevalences_need_sensitivity_and_specificity():
    with pytest.raises(ValueError, match="needs sensitivity.* Received: kappa"):
        fitting_prevalences({"kappa": printed_bounds("0.5")})


@pytest.mark.parametrize(
    ("text", "rounding", "low", "high"),
    [
        ("0.850", "rounded", 0.8495, 0.8505),
        ("0.850", "truncated", 0.850, 0.851),
        ("0.850", "either", 0.8495, 0.851),
        ("97.2%", "rounded", 0.9715, 0.9725),
        ("-0.5", "truncated", -0.6, -0.5),
        ("46", "rounded", 45.5, 46.5),
    ],
)
def test_bounds_of_printed_numbers(text, rounding, low, high):
    assert printed_bounds(text, rounding) == pytest.approx((low, high), abs=1e-8)


def test_a_printed_side_has_one_end():
    assert printed_bounds("<0.05").hold(0.01)
    assert not printed_bounds("< 0.05").hold(0.06)
    assert printed_bounds(">0.99").hold(0.999)
    assert printed_value("<5%") == 0.05


def test_what_is_no_printed_number_is_named():
    with pytest.raises(ValueError, match="as printed.* Received: 'about 1', 'either'"):
        printed_bounds("about 1")
    with pytest.raises(ValueError, match="rounding among .* Received: '1', 'up'"):
        printed_bounds("1", "up")
