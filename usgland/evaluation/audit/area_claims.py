"""P values of two printed AUCs: what the numbers of cases let them be."""

from collections.abc import Sequence
from itertools import product
from math import isfinite

import numpy as np
from scipy.stats import norm

from usgland.evaluation.audit.matrix_fit import Matrix
from usgland.evaluation.audit.printed import Bounds, Rounding, printed_bounds
from usgland.evaluation.audit.published_file import MeasureRow


def area_tests(
    rows: tuple[MeasureRow, MeasureRow],
    pairs: Sequence[tuple[Matrix, Matrix]],
    rounding: Rounding,
    *,
    paired: bool,
) -> dict[str, Bounds]:
    """Test -> the P values that two rows' AUCs can have.

    DeLong's of the areas under the one point of each row, over all pairings of the
    two readings where the cases are the same; and that of the printed AUCs with
    Hanley and McNeil's standard errors, whose correlation may be anything from 0 to 1
    on the same cases.
    """
    points = [_point_p(x, y, paired=paired) for x, y in pairs]
    name = "DeLong of one point each" + (", over all pairings" if paired else "")
    tests = {name: Bounds(min(p.low for p in points), max(p.high for p in points))}
    if rows[0].auc is None or rows[1].auc is None:
        return tests
    sides = []
    for row, matrices in zip(rows, zip(*pairs, strict=True), strict=True):
        low, high = np.clip(printed_bounds(row.auc or "", rounding), 0, 1)
        sizes = {(x.tp + x.fn, x.tn + x.fp) for x in matrices}
        sides.append([(a, size) for a in {low, high} for size in sizes])
    values = [
        _p(a - b, _error(a, *m) ** 2 + _error(b, *n) ** 2 - 2 * shared)
        for (a, m), (b, n) in product(*sides)
        for shared in ((0.0, _error(a, *m) * _error(b, *n)) if paired else (0.0,))
    ]
    known = [value for value in values if isfinite(value)]
    if known:
        how = ", correlation 0 to 1" if paired else ""
        tests[f"Hanley-McNeil of the printed AUCs{how}"] = Bounds(
            min(known), max(known)
        )
    return tests


def _point_p(x: Matrix, y: Matrix, *, paired: bool) -> Bounds:
    """P of DeLong's test of two areas under one point each.

    Such an area is (sensitivity + specificity) / 2, and each class adds the variance
    of its difference in right calls over 4 (cases - 1).
    """
    difference = (_share(x.tp, x.fn) + _share(x.tn, x.fp)) / 2
    difference -= (_share(y.tp, y.fn) + _share(y.tn, y.fp)) / 2
    classes = ((x.tp, x.fn, y.tp, y.fn), (x.tn, x.fp, y.tn, y.fp))
    variances = [_variances(*counts, paired=paired) for counts in classes]
    totals = [sum(ends) for ends in product(*variances)]
    values = [_p(difference, total) for total in totals]
    return Bounds(min(values), max(values))


def _variances(
    right: int, wrong: int, other_right: int, other_wrong: int, *, paired: bool
) -> tuple[float, ...]:
    """The least and the largest of a class; one of cases that are different ones."""
    n, m = right + wrong, other_right + other_wrong
    if not paired:
        return (_binomial(right, n) + _binomial(other_right, m),)
    gap = right - other_right
    least = abs(gap)
    most = min(right, m - other_right) + min(other_right, n - right)
    # Cases that one alone has right: their share less the squared difference.
    return tuple(
        (differing / n - (gap / n) ** 2) / (4 * max(n - 1, 1))
        for differing in (least, most)
    )


def _binomial(right: int, n: int) -> float:
    share = right / n
    return share * (1 - share) / (4 * max(n - 1, 1))


def _share(right: int, wrong: int) -> float:
    return right / (right + wrong)


def _error(area: float, malignant: int, benign: int) -> float:
    """Hanley and McNeil's standard error, 1982, equation 1."""
    both, other = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (malignant - 1) * (both - area**2)
    variance += (benign - 1) * (other - area**2)
    return float(np.sqrt(max(0.0, variance) / (malignant * benign)))


def _p(difference: float, variance: float) -> float:
    if variance <= 1e-15:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * norm.sf(abs(difference) / variance**0.5))
