"""Which confusion matrices can give printed measures, for given numbers of cases.

The test of means that cannot be (GRIM), carried over to confusion matrices: with few
cases few values of a share exist. Where the number is not known, or none fits, every
prevalence is tried at once, by bounds that hold for any number of cases.

Reference:
    [Brown and Heathers, 2017](https://doi.org/10.1177/1948550616673876)
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from usgland.evaluation.audit.printed import Bounds

F1_KINDS = ("binary", "macro", "weighted")
CELLS = 100_000  # of the odds of being malignant
LARGEST_LOG_ODDS = 9.0  # a prevalence of 0.013% to 99.987%
# Parts of the printed sensitivity and specificity, where few cells are left.
PARTS = 16
FEW_CELLS = 2_000
ANY = Bounds(0.0, 1.0)  # of a share that is not printed


class Matrix(NamedTuple):
    """The counts of one confusion matrix."""

    tp: int
    fn: int
    tn: int
    fp: int


def matrix_measures(
    tp: NDArray, fn: NDArray, tn: NDArray, fp: NDArray
) -> dict[str, NDArray[np.float64]]:
    """Every measure that is checked, F1 by its kind as `f1 macro`.

    Counts have any shape and cases of both classes; values have the same shape, NaN
    where undefined. The AUC is the area under the two lines from the corners to the one
    point: the balanced accuracy.
    """
    tp, fn, tn, fp = (np.asarray(counts, "float64") for counts in (tp, fn, tn, fp))
    malignant, benign = tp + fn, tn + fp
    n = malignant + benign
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = malignant * (tp + fp) + benign * (tn + fn)
        f1, f1_benign = 2 * tp / (2 * tp + fp + fn), 2 * tn / (2 * tn + fp + fn)
        return {
            "sensitivity": tp / malignant,
            "specificity": tn / benign,
            "accuracy": (tp + tn) / n,
            "auc": (tp / malignant + tn / benign) / 2,
            "kappa": ((tp + tn) * n - chance) / (n * n - chance),
            "f1 binary": f1,
            "f1 macro": (f1 + f1_benign) / 2,
            "f1 weighted": (malignant * f1 + benign * f1_benign) / n,
        }


def fitting_counts(cases: int, share: Bounds) -> range:
    """The counts of `cases` whose share may be printed so."""
    low, high = max(0.0, share.low), min(1.0, share.high)  # a limit has no other end
    if low > high:
        return range(0)
    first, last = int(np.ceil(low * cases)), int(np.floor(high * cases))
    return range(first, last + 1)


def fitting_matrices(
    printed: Mapping[str, Bounds], malignant: int, benign: int
) -> list[Matrix]:
    """All matrices of these numbers of cases, at least 1, that give every measure.

    `printed` is measure -> bounds. F1 may be of any of `F1_KINDS`; the AUC is that of
    one point of the curve.
    """
    tp = np.array(fitting_counts(malignant, printed.get("sensitivity", ANY)), int)
    tn = np.array(fitting_counts(benign, printed.get("specificity", ANY)), int)
    tp, tn = (counts.ravel() for counts in np.meshgrid(tp, tn, indexing="ij"))
    fits = _give(printed, tp, malignant - tp, tn, benign - tn)
    return [
        Matrix(int(a), malignant - int(a), int(b), benign - int(b))
        for a, b in zip(tp[fits], tn[fits], strict=True)
    ]


def _give(
    printed: Mapping[str, Bounds], tp: NDArray, fn: NDArray, tn: NDArray, fp: NDArray
) -> NDArray[np.bool_]:
    """Whether each matrix gives every printed measure."""
    measures = matrix_measures(tp, fn, tn, fp)
    fits = np.full(measures["accuracy"].shape, True)
    for name, bounds in printed.items():
        reached = [_within(measures[kind], bounds) for kind in _kinds(name)]
        fits &= np.any(reached, axis=0)
    return fits


def _kinds(name: str) -> list[str]:
    return [f"f1 {kind}" for kind in F1_KINDS] if name == "f1" else [name]


def fitting_f1_kinds(f1: Bounds, matrices: Iterable[Matrix]) -> tuple[str, ...]:
    """The kinds of F1 that any of the matrices gives as printed."""
    arrays = [np.array(counts) for counts in zip(*matrices, strict=True)]
    if not arrays:
        return ()
    measures = matrix_measures(*arrays)
    return tuple(kind for kind in F1_KINDS if _within(measures[f"f1 {kind}"], f1).any())


def fitting_sizes(
    rows: Sequence[Mapping[str, Bounds]], largest: int
) -> list[tuple[int, int]]:
    """Numbers of malignant and benign cases for which every row has a matrix.

    Rows are of the same cases; either number is at most `largest`.
    """
    fits = np.full((largest + 1, largest + 1), True)
    fits[0] = fits[:, 0] = False
    for row in rows:
        fits &= _fitting_grid(row, largest)
    return [(int(malignant), int(benign)) for malignant, benign in np.argwhere(fits)]


def _fitting_grid(printed: Mapping[str, Bounds], largest: int) -> NDArray[np.bool_]:
    """Whether a matrix fits, `(malignant, benign)`; all numbers of benign at once."""
    specificity = printed.get("specificity", ANY)
    pairs = [
        (cases, tn)
        for cases in range(1, largest + 1)
        for tn in fitting_counts(cases, specificity)
    ]
    benign, tn = np.array(pairs, int).reshape(-1, 2).T
    fits = np.full((largest + 1, largest + 1), False)
    for malignant in range(1, largest + 1):
        counts = fitting_counts(malignant, printed.get("sensitivity", ANY))
        tp = np.array(counts, int).reshape(-1, 1)
        matches = _give(printed, tp, malignant - tp, tn, benign - tn)
        fits[malignant, benign[matches.any(axis=0)]] = True
    return fits


def fitting_prevalences(printed: Mapping[str, Bounds]) -> Bounds | None:
    """Prevalences at which one confusion matrix of any size may give the measures.

    Looks at every odds of being malignant in turn, with bounds of each measure that
    hold for all of a small cell of odds and all of the printed sensitivity and
    specificity, and again in smaller parts of these where few cells are left. None is
    proof that no matrix fits; a range is where none was excluded.

    Args:
        printed: Measure -> bounds; sensitivity and specificity among them.

    Reference:
        For odds o, sensitivity s and specificity t, the measures are
        2 (s + t - 1) / (s + t + (1 - t) / o + (1 - s) o) for kappa and
        2 s / (1 + s + (1 - t) / o) for F1; all grow with s and with t.
    """
    if not {"sensitivity", "specificity"} <= set(printed):
        raise ValueError(
            "`printed` needs sensitivity and specificity. Received: "
            f"{', '.join(printed) or 'nothing'}"
        )
    edges = np.exp(np.linspace(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS, CELLS + 1))
    low_odds, high_odds = edges[:-1], edges[1:]
    for parts in (1, PARTS):
        fits = np.full(len(low_odds), False)
        for box in _boxes(printed["sensitivity"], printed["specificity"], parts):
            fits |= _may_give(printed, box, low_odds, high_odds)
        low_odds, high_odds = low_odds[fits], high_odds[fits]
        if not fits.any():
            return None
        if len(low_odds) > FEW_CELLS:
            break
    lowest, highest = low_odds.min(), high_odds.max()
    return Bounds(float(lowest / (1 + lowest)), float(highest / (1 + highest)))


def _boxes(
    sensitivity: Bounds, specificity: Bounds, parts: int
) -> list[tuple[Bounds, Bounds]]:
    """Cuts what the two may be into `parts` squared boxes that meet at their edges."""

    def cut(share: Bounds) -> list[Bounds]:
        low, high = np.clip(share, 0, 1)
        ends = np.linspace(low, high, parts + 1).tolist()
        return [Bounds(a, b) for a, b in pairwise(ends)]

    return list(product(cut(sensitivity), cut(specificity)))


def _may_give(
    printed: Mapping[str, Bounds],
    box: tuple[Bounds, Bounds],
    low_odds: NDArray,
    high_odds: NDArray,
) -> NDArray[np.bool_]:
    """Whether no measure is out of reach, in each cell of odds."""
    low = _cell_bounds(box[0].low, box[1].low, low_odds, high_odds, upper=False)
    high = _cell_bounds(box[0].high, box[1].high, low_odds, high_odds, upper=True)
    fits = np.full(len(low_odds), True)
    for name, bounds in printed.items():
        reached = [
            np.asarray(low[kind] <= bounds.high) & np.asarray(high[kind] >= bounds.low)
            for kind in _kinds(name)
        ]
        fits &= np.any(reached, axis=0)
    return fits


def _cell_bounds(
    sensitivity: float,
    specificity: float,
    low_odds: NDArray,
    high_odds: NDArray,
    *,
    upper: bool,
) -> dict[str, NDArray | float]:
    """The lower or upper bound of every measure in every cell of odds."""
    missed, false = 1 - sensitivity, 1 - specificity
    # What a measure falls with is taken at its largest for a lower bound.
    grows, falls = (high_odds, low_odds) if upper else (low_odds, high_odds)
    ends = [odds / (1 + odds) for odds in (low_odds, high_odds)]
    choose = np.maximum if upper else np.minimum
    youden = sensitivity + specificity - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        # Each term at its own end of the cell: wider than the truth, never narrower.
        shrinks = false / grows + missed * falls
        widens = false / falls + missed * grows
        spread = shrinks if youden >= 0 else widens
        kappa = 2 * youden / (sensitivity + specificity + spread)
        f1 = 2 * sensitivity / (1 + sensitivity + false / grows)
        f1_benign = 2 * specificity / (1 + specificity + missed * falls)
        weighted = [p * f1 + (1 - p) * f1_benign for p in ends]
    accuracy = [p * sensitivity + (1 - p) * specificity for p in ends]
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": choose(*accuracy),
        "auc": (sensitivity + specificity) / 2,
        "kappa": kappa,
        "f1 binary": f1,
        "f1 macro": (f1 + f1_benign) / 2,
        "f1 weighted": choose(*weighted),
    }


def _within(values: NDArray, bounds: Bounds) -> NDArray[np.bool_]:
    return np.asarray((values >= bounds.low) & (values <= bounds.high))
