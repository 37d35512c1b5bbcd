"""Findings about published tables: counts, shares, moments, P values, repeats."""

from itertools import product
from math import isnan
from typing import NamedTuple

import numpy as np

from usgland.evaluation.audit.claims import format_range, format_small
from usgland.evaluation.audit.matrix_fit import fitting_counts
from usgland.evaluation.audit.mean_fit import REPEATS
from usgland.evaluation.audit.printed import Bounds, Rounding, printed_bounds
from usgland.evaluation.audit.printed_moments import check_moments
from usgland.evaluation.audit.published_file import AuditFile, PublishedTable, TableRow
from usgland.evaluation.audit.rows import Finding
from usgland.evaluation.statistics.association import COUNT_TESTS, MOMENT_TESTS, Moments

ALL = "All tables"


class Checked(NamedTuple):
    """A P value that was recomputed, and how near the nearest test came."""

    finding: Finding
    gap: float
    closest: str


def audit_tables(file: AuditFile) -> list[Finding]:
    """Checks the rows of every table, and what is printed in several places."""
    sums: list[Finding] = []
    values: list[Finding] = []
    p_values: list[Checked] = []
    for name, table in file.tables.items():
        for row_name, row in table.rows.items():
            where = f"{name}, {row_name}"
            if row.counts is not None:
                sums.append(_sum(where, table, row.counts))
            if row.percents is not None:
                values.append(_percents(where, table, row, file.rounding))
            if row.moments is not None:
                values += _moments(where, table, row, file.rounding)
            if row.p is not None:
                p_values.append(_p_value(where, table, row, row.p, file.rounding))
    repeated = [_repeated(name, places) for name, places in file.repeated.items()]
    findings = [checked.finding for checked in p_values]
    return [*sums, *values, *_summary(p_values), *findings, *repeated]


def recomputed(
    row: TableRow, n: tuple[int, ...], rounding: Rounding
) -> dict[str, Bounds]:
    """Test -> the P values that the printed counts or moments can give.

    Counts give one value. Means and standard deviations are rounded, so P is taken
    at every corner of what they can be, with the mean difference nearest to 0, too.
    Tests that are undefined or of two groups alone are left out.
    """
    if row.counts is not None:
        results = [test(np.array(row.counts)) for test in COUNT_TESTS.values()]
        return {
            result.test: Bounds(result.p_value, result.p_value)
            for result in results
            if not isnan(result.p_value)
        }
    if row.moments is None or len(n) != 2:
        return {}
    means, sds = (
        [printed_bounds(group[place], rounding) for group in row.moments]
        for place in (0, 1)
    )
    differences = [means[0].low - means[1].high, means[0].high - means[1].low]
    if differences[0] < 0 < differences[1]:
        differences.append(0.0)
    tests: dict[str, Bounds] = {}
    for test in MOMENT_TESTS.values():
        results = [
            test(Moments(d, max(0.0, s), n[0]), Moments(0.0, max(0.0, t), n[1]))
            for d, s, t in product(differences, sds[0], sds[1])
        ]
        known = [value.p_value for value in results if not isnan(value.p_value)]
        if known:
            tests[results[0].test] = Bounds(min(known), max(known))
    return tests


def _sum(
    where: str, table: PublishedTable, counts: tuple[tuple[int, ...], ...]
) -> Finding:
    wrong = [
        f"{group}: {' + '.join(map(str, row))} = {sum(row)} of {n}"
        for group, row, n in zip(table.groups, counts, table.n, strict=True)
        if sum(row) != n
    ]
    text = "the counts sum to n"
    if wrong:
        text = f"the counts do not sum to n: {'; '.join(wrong)}"
    return Finding("sum", where, not wrong, text)


def _percents(
    where: str, table: PublishedTable, row: TableRow, rounding: Rounding
) -> Finding:
    """Whether the printed shares are shares of n, or of the printed counts."""
    wrong, right = [], []
    for place, (group, n) in enumerate(zip(table.groups, table.n, strict=True)):
        texts = (row.percents or ())[place]
        counts = row.counts[place] if row.counts else [None] * len(texts)
        for text, count in zip(texts, counts, strict=True):
            bounds = printed_bounds(text, rounding)
            possible = fitting_counts(n, bounds)
            if count is not None and count not in possible:
                wrong.append(f"{group}: {text} is not {count} of {n}")
            elif not possible:
                wrong.append(f"{group}: no count of {n} is {text}")
            else:
                shown = possible[0] if count is None else count
                right.append(f"{group}: {text} is {shown}/{n}")
    if not wrong:
        return Finding("percent", where, True, "shares of n are possible", tuple(right))
    text = "shares cannot be those of n"
    tried = [*wrong]
    if row.counts is None:
        tried.append(_mean_shares(table, row, rounding))
    return Finding("percent", where, False, text, tuple(tried))


def _mean_shares(table: PublishedTable, row: TableRow, rounding: Rounding) -> str:
    """The fewest evaluations whose mean shares are printed so."""
    sides = [
        (n, printed_bounds(text, rounding))
        for n, texts in zip(table.n, row.percents or (), strict=True)
        for text in texts
    ]
    for repeats in REPEATS:
        if all(fitting_counts(repeats * n, bounds) for n, bounds in sides):
            chance = 1.0
            for n, (low, high) in sides:
                chance *= min(1.0, (high - low) * (repeats * n + 1))
            return (
                f"means over {repeats} evaluations of n fit; by chance so many shares "
                f"of so many decimals do with a probability of {format_small(chance)}"
            )
    return f"means over {REPEATS[0]} to {REPEATS[-1]} evaluations of n: none fits"


def _moments(
    where: str, table: PublishedTable, row: TableRow, rounding: Rounding
) -> list[Finding]:
    """What the printed means and SDs cannot be of n values, and what is unusual."""
    if row.step is None and row.range == (None, None):
        return []
    wrong, unusual = [], []
    for group, n, printed in zip(table.groups, table.n, row.moments or (), strict=True):
        impossible, odd = check_moments(
            printed, n, step=row.step, limits=row.range, rounding=rounding
        )
        wrong += [f"{group}: {text}" for text in impossible]
        unusual += [f"{group}: {text}" for text in odd]
    if wrong:
        text = "means and SDs cannot be those of n such values"
        return [Finding("moments", where, False, text, (*wrong, *unusual))]
    if unusual:
        text = "SDs are large for values with a limit"
        return [Finding("moments", where, False, text, tuple(unusual))]
    return [Finding("moments", where, True, "means and SDs of n values are possible")]


def _p_value(
    where: str, table: PublishedTable, row: TableRow, p: str, rounding: Rounding
) -> Checked:
    tests = recomputed(row, table.n, rounding)
    printed = printed_bounds(p, rounding)
    texts = [f"{name} {format_range(bounds)}" for name, bounds in tests.items()]
    if row.moments is not None:
        texts.append("Mann-Whitney needs the values themselves")
    gaps = {
        name: max(bounds.low - printed.high, printed.low - bounds.high, 0.0)
        for name, bounds in tests.items()
    }
    hits = [name for name, gap in gaps.items() if gap == 0]
    if not tests:
        text = f"P {p} cannot be checked from what is printed"
        finding = Finding("p_value", where, True, text, tuple(texts))
        return Checked(finding, float("inf"), "")
    source = "counts" if row.counts is not None else "means and SDs"
    text = f"P {p} cannot be obtained from the {source}"
    if hits:
        text = f"P {p} is that of {'; '.join(hits)}"
    finding = Finding("p_value", where, bool(hits), text, tuple(texts))
    closest = min(gaps, key=lambda name: gaps[name])
    near = f"{where}, {closest} {format_range(tests[closest])} against {p}"
    return Checked(finding, gaps[closest], near)


def _summary(checked: list[Checked]) -> list[Finding]:
    """How many of the P values fit, before they are listed."""
    known = [value for value in checked if value.closest]
    misfits = [value for value in known if not value.finding.fits]
    if len(known) < 2 or not misfits:
        return []
    many = len(known) - len(misfits) or "none"
    text = (
        f"{many} of the {len(known)} printed P values can be obtained from the printed "
        "counts, means and SDs by the tests tried"
    )
    nearest = min(misfits, key=lambda value: value.gap)
    tried = (
        "of counts: chi-square without and with Yates, Fisher, likelihood ratio",
        "of means and SDs, for every value that is printed so: Student, Welch",
        f"the closest: {nearest.closest}",
    )
    return [Finding("p_value", ALL, False, text, tried)]


def _repeated(name: str, places: dict[str, str]) -> Finding:
    texts = tuple(f"{place}: {text}" for place, text in places.items())
    bounds = [printed_bounds(text) for text in places.values()]
    same = max(each.low for each in bounds) <= min(each.high for each in bounds)
    text = "agrees" if same else f"differs between places: {'; '.join(texts)}"
    return Finding("repeated", name, same, text, texts if same else ())
