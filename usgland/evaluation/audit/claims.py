"""Findings about printed P values of two rows: the bounds over all pairings."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import isnan
from typing import Literal, NamedTuple, get_args

import numpy as np
from scipy.stats import binom, chi2

from usgland.evaluation.audit.area_claims import area_tests
from usgland.evaluation.audit.matrix_fit import Matrix
from usgland.evaluation.audit.printed import Bounds, printed_bounds
from usgland.evaluation.audit.published_file import AuditFile, Comparison
from usgland.evaluation.audit.rows import Finding, Fit
from usgland.evaluation.statistics.association import COUNT_TESTS

# Kinds of McNemar's test, as a finding names them.
McNemar = Literal["exact", "chi-square", "chi-square, corrected"]
PAIRS = 2_000  # of matrices; more of them bound no P
UNPAIRED = ("chi-square", "yates", "fisher")  # of `COUNT_TESTS`


class Right(NamedTuple):
    """How many of the cases of one class were called right."""

    right: int
    cases: int


def mcnemar_bounds(
    a: Sequence[Right], b: Sequence[Right], *, kind: McNemar = "exact"
) -> Bounds:
    """The smallest and largest P of McNemar's test over all pairings.

    How often two readers are right fixes how many more cases one has right, not how
    many they differ in; that lies between two bounds in each class.

    Args:
        a: Of the first reader, one element a class that the measure counts.
        b: Of the second on the same cases.
        kind: By the binomial distribution, by chi-square, which gives the smallest P,
            or by chi-square with the correction for continuity, R's default.

    Reference:
        [McNemar, 1947](https://doi.org/10.1007/BF02295996); the bounds of the
        discordant pairs are Frechet's. The correction:
        [Edwards, 1948](https://doi.org/10.1007/BF02289261).
    """
    least = most = 0  # cases that only a has right
    for first, second in zip(a, b, strict=True):
        if first.cases != second.cases or not (
            0 <= first.right <= first.cases and 0 <= second.right <= second.cases
        ):
            raise ValueError(
                "`a` and `b` must be of the same cases, with at most as many right. "
                f"Received: {tuple(first)} and {tuple(second)}"
            )
        least += max(0, first.right - second.right)
        most += min(first.right, first.cases - second.right)
    more = sum(side.right for side in a) - sum(side.right for side in b)
    only_a = np.arange(least, most + 1)
    only_b = only_a - more
    differing = only_a + only_b
    if kind == "exact":  # By the symmetry of the binomial distribution of 1/2.
        tail = binom.cdf(np.minimum(only_a, only_b), differing, 0.5)
        p_values = np.where(differing > 0, np.minimum(1.0, 2 * tail), 1.0)
    else:
        apart = np.abs(only_a - only_b)
        if kind == "chi-square, corrected":
            apart = np.maximum(apart - 1, 0)
        p_values = chi2.sf(apart**2 / np.maximum(differing, 1), 1)
    return Bounds(float(p_values.min()), float(p_values.max()))


def audit_comparisons(file: AuditFile, fits: Mapping[str, Fit]) -> list[Finding]:
    """Checks every printed P value of two rows that have matrices."""
    return [_check_p(printed, file, fits) for printed in file.comparisons]


def _check_p(printed: Comparison, file: AuditFile, fits: Mapping[str, Fit]) -> Finding:
    p, measure = printed.p, printed.figure
    where = f"{printed.where}: " if printed.where else ""
    named = "AUC" if measure == "auc" else measure
    where += f"{printed.a} against {printed.b}, {named}"
    missing = [name for name in (printed.a, printed.b) if name not in fits]
    if missing:
        text = f"P {p} cannot be checked: no matrix for {' and '.join(missing)}"
        return Finding("comparison", where, True, text)
    a, b = fits[printed.a], fits[printed.b]
    # Matrices of a row that agree in what is compared count once.
    compared = "accuracy" if measure == "auc" else measure  # of both classes, both
    sides = [{tuple(_right(compared, x)): x for x in fit} for fit in (a, b)]
    if len(sides[0]) * len(sides[1]) > PAIRS:
        text = f"P {p} was not checked: more than {PAIRS:,} pairs of matrices fit"
        return Finding("comparison", where, True, text)
    pairs = list(product(sides[0].values(), sides[1].values()))
    paired = file.rows[printed.a].cases == file.rows[printed.b].cases
    if measure == "auc":
        rows = file.rows[printed.a], file.rows[printed.b]
        tests = area_tests(rows, pairs, file.rounding, paired=paired)
    else:
        tests = _paired_tests(measure, pairs) if paired else {}
        tests |= _unpaired_tests(measure, pairs)
    bounds = printed_bounds(p, file.rounding)
    hits = [name for name, reached in tests.items() if reached.meet(bounds)]
    tried = tuple(f"{name}: P {format_range(x)}" for name, x in tests.items())
    counts = (_sum(_right(compared, fit[0])) for fit in (a, b))
    shares = " against ".join(f"{right}/{cases}" for right, cases in counts)
    if measure == "auc":
        areas = (file.rows[name].auc or "one point" for name in (printed.a, printed.b))
        shares = " against ".join(areas)
    shares += "" if paired else ", on different cases"
    text = f"P {p} cannot be obtained from {shares}"
    if hits:
        text = f"P {p} can be obtained from {shares} by {'; '.join(hits)}"
    return Finding("comparison", where, bool(hits), text, tried)


def _paired_tests(
    measure: str, pairs: Sequence[tuple[Matrix, Matrix]]
) -> dict[str, Bounds]:
    """Test -> its P values over all pairings of the same cases."""
    tests = {}
    for kind in get_args(McNemar):
        bounds = [
            mcnemar_bounds(_right(measure, x), _right(measure, y), kind=kind)
            for x, y in pairs
        ]
        tests[f"McNemar, {kind}, over all pairings"] = Bounds(
            min(pair.low for pair in bounds), max(pair.high for pair in bounds)
        )
    return tests


def _unpaired_tests(
    measure: str, pairs: Sequence[tuple[Matrix, Matrix]]
) -> dict[str, Bounds]:
    """Test -> its P values as if the cases were different ones."""
    tests = {}
    for name in UNPAIRED:
        results = [COUNT_TESTS[name](_table(measure, x, y)) for x, y in pairs]
        values = [result.p_value for result in results if not isnan(result.p_value)]
        if values:
            tests[results[0].test] = Bounds(min(values), max(values))
    return tests


def _right(measure: str, matrix: Matrix) -> list[Right]:
    classes = {
        "sensitivity": Right(matrix.tp, matrix.tp + matrix.fn),
        "specificity": Right(matrix.tn, matrix.tn + matrix.fp),
    }
    return list(classes.values()) if measure == "accuracy" else [classes[measure]]


def _table(measure: str, x: Matrix, y: Matrix) -> np.ndarray:
    sums = (_sum(_right(measure, matrix)) for matrix in (x, y))
    return np.array([[right, cases - right] for right, cases in sums])


def _sum(classes: Sequence[Right]) -> Right:
    return Right(*(sum(column) for column in zip(*classes, strict=True)))


def format_range(p: Bounds) -> str:
    """Both ends, or one number where they would be written alike."""
    low, high = format_small(p.low), format_small(p.high)
    return low if low == high else f"{low} to {high}"


def format_small(value: float) -> str:
    """Three digits; in powers of ten below 0.0005, as the size may be what matters."""
    if value >= 0.1 or value == 0:
        return f"{value:.3f}"
    return f"{value:.3g}" if value >= 0.0005 else f"{value:.0e}"
