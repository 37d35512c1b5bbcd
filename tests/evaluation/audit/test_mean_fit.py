from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from usgland.evaluation.audit.matrix_fit import matrix_measures
from usgland.evaluation.audit.mean_fit import (
    Sums,
    can_be_tried,
    chance_of_a_fit,
    fitting_sums,
)
from usgland.evaluation.audit.printed import printed_bounds


def means_of(runs, malignant, benign, kind):
    tp, tn = np.array(runs).T
    measures = matrix_measures(tp, malignant - tp, tn, benign - tn)
    values = {name: measures[name].mean() for name in ("sensitivity", "specificity")}
    values |= {name: measures[name].mean() for name in ("accuracy", "kappa")}
    return values | {"f1": measures[f"f1 {kind}"].mean()}


@pytest.mark.parametrize("seed", range(6))
def test_means_of_drawn_evaluations_are_never_excluded(seed):
    rng = np.random.default_rng(seed)
    repeats, malignant, benign = rng.integers(2, 8), 17, 23
    runs = np.column_stack(
        [rng.binomial(malignant, 0.85, repeats), rng.binomial(benign, 0.8, repeats)]
    )
    kind = ("binary", "macro", "weighted")[seed % 3]
    values = means_of(runs, malignant, benign, kind)
    printed = {name: printed_bounds(f"{x:.5f}") for name, x in values.items()}
    sums = Sums(int(runs[:, 0].sum()), int(runs[:, 1].sum()))
    assert fitting_sums(printed, malignant, benign, int(repeats)) == sums


def test_what_is_excluded_is_in_no_pair_of_evaluations():
    # All pairs of evaluations of 3 + 4 cases, by enumeration, and what they print.
    matrices = list(product(range(4), range(5)))
    reached = set()
    for runs in combinations_with_replacement(matrices, 2):
        values = means_of(runs, 3, 4, "macro")
        reached.add(tuple(round(values[n], 3) for n in ("sensitivity", "f1")))
    rng = np.random.default_rng(1)
    excluded = 0
    for _ in range(40):
        sensitivity, f1 = rng.integers(0, 7) / 6, rng.uniform()
        printed = {
            "sensitivity": printed_bounds(f"{sensitivity:.3f}", "rounded"),
            "f1": printed_bounds(f"{f1:.3f}", "rounded"),
        }
        if fitting_sums(printed, 3, 4, 2) is None:
            excluded += 1
            assert (round(sensitivity, 3), round(f1, 3)) not in reached
    assert excluded > 0


def test_resnet_of_table_2_fits_no_mean_of_36_and_36():
    printed = {
        name: printed_bounds(text)
        for name, text in {
            "accuracy": "0.8117",
            "kappa": "0.6459",
            "sensitivity": "0.8012",
            "specificity": "0.8229",
        }.items()
    }
    assert all(fitting_sums(printed, 36, 36, k) is None for k in range(2, 11))


def test_chance_is_how_often_random_decimals_fit():
    rng = np.random.default_rng(2)
    drawn = rng.integers(1000, 9999, (4000, 2))
    hits = 0
    for sensitivity, specificity in drawn:
        printed = {
            "sensitivity": printed_bounds(f"0.{sensitivity}"),
            "specificity": printed_bounds(f"0.{specificity}"),
        }
        hits += fitting_sums(printed, 36, 41, 10) is not None
    # 0.0541 and 0.0616 of all numbers: 13 of 4,000 expected, 5 standard errors.
    chance = chance_of_a_fit(printed, 36, 41, 10)
    assert abs(hits - 4000 * chance) < 5 * (4000 * chance) ** 0.5
    assert chance == pytest.approx(361 * 1.5e-4 * 411 * 1.5e-4, rel=1e-4)


def test_very_many_cases_are_not_tried():
    assert can_be_tried(100, 150)
    assert not can_be_tried(200, 200)
