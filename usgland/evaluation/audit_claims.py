"""Findings about printed P values of two rows: the bounds over all pairings."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from usgland.evaluation.association import chi_square, chi_square_yates, fisher
from usgland.evaluation.audit_file import AuditFile, Comparison
from usgland.evaluation.audit_rows import Finding, Fit
from usgland.evaluation.matrix_fit import Matrix
from usgland.evaluation.printed import Bounds, printed_bounds

UNPAIRED = (chi_square, chi_square_yates, fisher)


class Right(NamedTuple):
    """How many of the cases of one class were called right."""

    right: int
    cases: int


def mcnemar_bounds(a: Sequence[Right], b: Sequence[Right]) -> Bounds:
    """The smallest and largest P of McNemar's exact test over all pairings.

    How often two readers are right fixes how many more cases one has right, not how
    many they differ in; that lies between two bounds in each class.

    Args:
        a: Of the first reader, one element a class that the figure counts.
        b: Of the second on the same cases.

    Raises:
        ValueError: If the cases differ or more are right than there are.

    Reference:
        [McNemar, 1947](https://doi.org/10.1007/BF02295996), by the binomial
        distribution; the bounds of the discordant pairs are Frechet's.
    """
    least = most = 0  # cases that only a has right
    for one, other in zip(a, b, strict=True):
        if one.cases != other.cases or not (
            0 <= one.right <= one.cases and 0 <= other.right <= other.cases
        ):
            raise ValueError(
                "`a` and `b` must be of the same cases, with at most as many right. "
                f"Received: {tuple(one)} and {tuple(other)}"
            )
        least += max(0, one.right - other.right)
        most += min(one.right, one.cases - other.right)
    more = sum(one.right - other.right for one, other in zip(a, b, strict=True))
    p_values = []
    for only_a in range(least, most + 1):
        differing = 2 * only_a - more
        p_values.append(
            float(binomtest(only_a, differing).pvalue) if differing else 1.0
        )
    return Bounds(min(p_values), max(p_values))


def audit_comparisons(file: AuditFile, fits: Mapping[str, Fit]) -> list[Finding]:
    """Checks every printed P value of two rows that have matrices."""
    return [_one(one, file, fits) for one in file.comparisons]


def _one(one: Comparison, file: AuditFile, fits: Mapping[str, Fit]) -> Finding:
    where = f"{one.a} against {one.b}, {one.figure}"
    where = f"{one.where}: {where}" if one.where else where
    missing = [name for name in (one.a, one.b) if name not in fits]
    if missing:
        text = f"P {one.p} cannot be checked: no matrix for {' and '.join(missing)}"
        return Finding("comparison", where, True, text)
    a, b = fits[one.a], fits[one.b]
    pairs = list(product(a.matrices, b.matrices))
    paired = file.rows[one.a].cases == file.rows[one.b].cases
    if paired:
        bounds = [
            mcnemar_bounds(_right(one.figure, x), _right(one.figure, y))
            for x, y in pairs
        ]
        tests = {"McNemar, exact, over all pairings": _hull(bounds)}
    else:
        tests = {}
        for test in UNPAIRED:
            found = [test(_table(one.figure, x, y)) for x, y in pairs]
            values = [each.p_value for each in found if each.p_value == each.p_value]
            if values:
                tests[found[0].test] = Bounds(min(values), max(values))
    printed = printed_bounds(one.p, file.rounding)
    hits = [name for name, p in tests.items() if _overlap(p, printed)]
    tried = tuple(f"{name}: P {format_range(p)}" for name, p in tests.items())
    shares = " against ".join(_shares(one.figure, fit) for fit in (a, b))
    if not paired:
        shares += ", on different cases"
    if not hits:
        return Finding(
            "comparison",
            where,
            False,
            f"P {one.p} cannot be obtained from {shares}",
            tried,
        )
    text = f"P {one.p} can be obtained from {shares} by {'; '.join(hits)}"
    return Finding("comparison", where, True, text, tried)


def _right(figure: str, one: Matrix) -> list[Right]:
    classes = {
        "sensitivity": Right(one.tp, one.tp + one.fn),
        "specificity": Right(one.tn, one.tn + one.fp),
    }
    return list(classes.values()) if figure == "accuracy" else [classes[figure]]


def _table(figure: str, x: Matrix, y: Matrix) -> np.ndarray:
    rows = []
    for one in (x, y):
        parts = _right(figure, one)
        right, cases = (sum(column) for column in zip(*parts, strict=True))
        rows.append([right, cases - right])
    return np.array(rows)


def _shares(figure: str, fit: Fit) -> str:
    parts = _right(figure, fit.matrices[0])
    right, cases = (sum(column) for column in zip(*parts, strict=True))
    return f"{right}/{cases}"


def _hull(bounds: Sequence[Bounds]) -> Bounds:
    return Bounds(min(one.low for one in bounds), max(one.high for one in bounds))


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a.low <= b.high and b.low <= a.high


def format_range(p: Bounds) -> str:
    """`0.016`, or `0.016 to 0.019`."""
    low, high = format_small(p.low), format_small(p.high)
    return low if low == high else f"{low} to {high}"


def format_small(value: float) -> str:
    """Three figures; in powers of ten below 0.001, as the size may be what matters."""
    if value >= 0.1 or value == 0:
        return f"{value:.3f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.0e}"
