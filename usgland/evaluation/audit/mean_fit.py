"""Whether printed measures can be means over several evaluations of the same cases.

The mean sensitivity of k evaluations of m malignant cases is a count of k * m. Two
counts do not fix the mean of a measure that is no straight line of them, such as F1;
what it can be is bounded by a linear program over all confusion matrices.
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from usgland.evaluation.audit.matrix_fit import (
    ANY,
    F1_KINDS,
    fitting_counts,
    matrix_measures,
)
from usgland.evaluation.audit.printed import Bounds

REPEATS = range(2, 11)  # evaluations
MATRICES = 20_000  # of one number of cases, at most: each is an unknown of the program
TRIED = 100  # pairs of counts, at most: of coarse figures there are many


class Sums(NamedTuple):
    """What was called right in all evaluations together."""

    malignant: int  # of repeats * malignant cases
    benign: int


def can_be_tried(malignant: int, benign: int) -> bool:
    """Whether the confusion matrices of so many cases are few enough."""
    return (malignant + 1) * (benign + 1) <= MATRICES


def fitting_sums(
    printed: Mapping[str, Bounds], malignant: int, benign: int, repeats: int
) -> Sums | None:
    """Counts whose means may be printed so; None where none can.

    `printed` is measure -> bounds, as for `matrix_fit.fitting_matrices`. Evaluations
    are mixed in any proportion here, so that what is None is excluded, and what is not
    is possible but for the number of evaluations.
    """
    for sums in islice(_sums(printed, malignant, benign, repeats), TRIED):
        if _can_be_mixed(printed, malignant, benign, repeats, sums):
            return sums
    return None


def _sums(
    printed: Mapping[str, Bounds], malignant: int, benign: int, repeats: int
) -> Iterator[Sums]:
    """The counts that give sensitivity, specificity and accuracy."""
    accuracy = printed.get("accuracy", ANY)
    cases = repeats * (malignant + benign)
    sides = (
        fitting_counts(repeats * malignant, printed.get("sensitivity", ANY)),
        fitting_counts(repeats * benign, printed.get("specificity", ANY)),
    )
    for right, right_benign in product(*sides):
        if accuracy.low <= (right + right_benign) / cases <= accuracy.high:
            yield Sums(right, right_benign)


def _can_be_mixed(
    printed: Mapping[str, Bounds],
    malignant: int,
    benign: int,
    repeats: int,
    sums: Sums,
) -> bool:
    """Whether some mixture of matrices has these means, kappa and one kind of F1."""
    bounded = [name for name in ("kappa", "f1") if name in printed]
    if not bounded:
        return True
    tp, tn = (
        grid.ravel()
        for grid in np.meshgrid(range(malignant + 1), range(benign + 1), indexing="ij")
    )
    measures = matrix_measures(tp, malignant - tp, tn, benign - tn)
    means = np.array([1, sums.malignant / repeats, sums.benign / repeats])
    for kind in F1_KINDS if "f1" in printed else F1_KINDS[:1]:
        lines = [measures[f"f1 {kind}" if x == "f1" else x] for x in bounded]
        ends = [printed[name] for name in bounded]
        program = linprog(
            np.zeros(len(tp)),
            A_eq=np.vstack([np.ones(len(tp)), tp, tn]),
            b_eq=means,
            A_ub=np.vstack([line for row in lines for line in (row, -row)]),
            b_ub=[end for pair in ends for end in (pair.high, -pair.low)],
            method="highs",
        )
        if program.status == 0:
            return True
    return False


def chance_of_a_fit(
    printed: Mapping[str, Bounds], malignant: int, benign: int, repeats: int
) -> float:
    """How often figures of so many decimals have fitting counts by chance.

    As if the last decimals of sensitivity and specificity fell anywhere: the share of
    all numbers that a count of so many cases can be printed as. What the other
    measures exclude is not counted, so it is never too low.
    """
    chance = 1.0
    for name, cases in (("sensitivity", malignant), ("specificity", benign)):
        low, high = np.clip(printed.get(name, ANY), 0, 1)
        chance *= min(1.0, float(high - low) * (repeats * cases + 1))
    return chance
