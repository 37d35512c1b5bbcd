"""Table 1: what the groups of a study have in common, with the test of each row named.

From one row a patient, or from the counts and moments that a paper printed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f_oneway, kruskal, mannwhitneyu, skew

from usgland.errors import UserError
from usgland.evaluation.shown.text import format_p, format_percent
from usgland.evaluation.statistics import association
from usgland.evaluation.statistics.association import Association, Moments
from usgland.table_files import missing_cells, to_numbers, with_points

# A column of numbers with fewer distinct values is one of categories.
DISTINCT = 8
OF_CATEGORIES = ("chi-square", "yates", "fisher")
COMPARE_MOMENTS = {"welch": association.welch, "student": association.student}
OF_NUMBERS = (*COMPARE_MOMENTS, "mann-whitney")
TESTS = (*OF_CATEGORIES, *OF_NUMBERS)
# Where the skewness of a group passes this, median and quartiles stand for a mean.
SKEWED = 1.0
QUARTILES = (0.25, 0.5, 0.75)
EXACT_RANKS = 50  # values of a group, as in R's wilcox.test
LEAST_EXPECTED = 5.0  # of every cell, for the chi-square test (Cochran, 1954)


class Line(NamedTuple):
    """One line of the table: a column of numbers, or one word of a category.

    Attributes:
        name: The column.
        word: Of a category; "" for numbers.
        cells: One text a group.
        missing: How many are missing, one number a group.
        test: Its name, on the first line of a column; else "".
        p_value: Two-sided; NaN where undefined or not on this line.
        reason: Why it is undefined, or "".
        smd: Standardized mean difference of two groups; NaN of more.
    """

    name: str
    word: str
    cells: tuple[str, ...]
    missing: tuple[int, ...]
    test: str
    p_value: float
    reason: str
    smd: float


class TableOne(NamedTuple):
    """The table.

    Attributes:
        unit: What was counted, e.g. "patients".
        groups: Their names.
        sizes: How many are in each.
        lines: In the order of the columns.
        left_out: Columns not shown, with the reason.
    """

    unit: str
    groups: tuple[str, ...]
    sizes: tuple[int, ...]
    lines: tuple[Line, ...]
    left_out: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row a line: variable, category, a text a group, P, test and SMD."""
        heads = [
            f"{group} (n = {size})"
            for group, size in zip(self.groups, self.sizes, strict=True)
        ]
        return pd.DataFrame(
            {
                "variable": line.name,
                "category": line.word,
                **dict(zip(heads, line.cells, strict=True)),
                "missing": sum(line.missing),
                "P": line.p_value,
                "test": line.test or line.reason,
                "SMD": line.smd,
            }
            for line in self.lines
        )

    def __repr__(self) -> str:
        shown = self.frame()
        for name, show in (("P", format_p), ("SMD", "{:.2f}".format)):
            shown[name] = [show(x) if x == x else "" for x in shown[name]]
        if not shown["missing"].any():
            del shown["missing"]
        lines = shown.to_string(index=False).splitlines()
        return "\n".join(map(str.rstrip, lines))


def table_one(
    rows: pd.DataFrame,
    by: str,
    columns: Sequence[str] | None = None,
    *,
    medians: Sequence[str] = (),
    tests: Mapping[str, str] | None = None,
    unit: str = "patients",
    seed: int = 0,
    left_out: Sequence[str] = (),
) -> TableOne:
    """Compares the groups of one column in others.

    A column is one of numbers if every value is a number and `DISTINCT` or more of
    them differ. Numbers: mean ± SD and Welch's test; median [quartiles] and
    Mann-Whitney where asked for or where the skewness of a group passes `SKEWED`, exact
    without ties and with fewer than `EXACT_RANKS` values in each group.
    Categories: counts (percent of those known); chi-square without correction where
    every expected count is `LEAST_EXPECTED` or more, else Fisher's exact test. More
    than two groups: analysis of variance and Kruskal-Wallis.

    Args:
        rows: One row a patient; NaN, None or "" where a value is missing.
        by: The column that makes the groups.
        columns: Those to compare; None for all others.
        medians: Columns of numbers to show by their median.
        tests: Column -> one of `TESTS`, where another is wanted.
        unit: What a row is.
        seed: Of Monte-Carlo draws of large tables.
        left_out: Columns to name below the table, with the reason.

    Raises:
        ValueError: If there are fewer than two groups, a test is unknown, or a column
            of numbers has a value that is none.
        UserError: If a test or a median is asked for of a column that is not shown,
            or of one of the other kind.

    Reference:
        Tests: `usgland.evaluation.statistics.association`. Standardized mean
        differences: [Yang and Dalton,
        2012](https://support.sas.com/resources/papers/proceedings12/335-2012.pdf).

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rows = pd.DataFrame({
        ...     "tumour": ["benign"] * 9 + ["malignant"] * 9,
        ...     "age": [31, 44, 52, 38, 47, 41, 36, 50, 45,
        ...             58, 63, 49, 71, 66, 55, 60, 52, 68],
        ...     "sex": ["female"] * 6 + ["male"] * 5 + ["female"] * 7,
        ... })
        >>> ev.table_one(rows, "tumour")
        variable category benign (n = 9) malignant (n = 9)      P          test  SMD
             age            42.67 ± 6.82      60.22 ± 7.45 <0.001         Welch 2.46
             sex   female      6 (66.7%)         7 (77.8%)  1.000 Fisher, exact 0.25
             sex     male      3 (33.3%)         2 (22.2%)
    """
    if columns is None:
        columns = [str(name) for name in rows.columns if name != by]
    missing = [name for name in (by, *columns) if name not in rows]
    if missing:
        raise ValueError(
            f"`by` and `columns` must be columns of the table. Received: {missing[0]!r}"
        )
    rows = rows[[by, *columns]].astype(object)
    rows = rows.where(rows.notna(), "").map(str)
    for name in columns:
        wrong = rows.loc[unreadable_numbers(rows[name]), name]
        if len(wrong):
            raise ValueError(
                f"`{name}` must be numbers, as most of its values are, or missing. "
                f"Received: {wrong.iloc[0]!r} in row {wrong.index[0]}"
            )
        rows[name] = with_points(rows[name], DISTINCT)
    groups = tuple(sorted(set(rows[by]) - {""}))
    if len(groups) < 2:
        raise ValueError(f"`by` must make two groups or more. Received: {groups}")
    wanted = dict(tests or {})
    unknown = [test for test in wanted.values() if test not in TESTS]
    if unknown:
        raise ValueError(f"`tests` must be among {TESTS}. Received: {unknown[0]!r}")
    _check_choices(columns, medians, wanted, len(groups))
    lines: list[Line] = []
    for name in columns:
        values = [rows.loc[rows[by] == group, name] for group in groups]
        numbers = pd.to_numeric(rows[name][rows[name] != ""], errors="coerce")
        test = wanted.get(name, "")
        is_number = not numbers.isna().any() and numbers.nunique() >= DISTINCT
        _check_kind(name, is_number, name in medians, test)
        if is_number:
            lines.append(_number_line(name, values, name in medians, test))
        else:
            lines += _category_lines(name, values, test, seed)
    sizes = tuple(int((rows[by] == group).sum()) for group in groups)
    return TableOne(unit, groups, sizes, tuple(lines), tuple(left_out))


def unreadable_numbers(cells: pd.Series) -> pd.Series:
    """Which cells of a column of numbers are none, bool `(rows,)`.

    A column is one of numbers if half or more of the known cells are numbers, with a
    decimal point or comma, and `DISTINCT` or more of them differ.
    """
    known = ~missing_cells(cells)
    numbers = to_numbers(cells.where(known, ""))
    readable = numbers.notna() & np.isfinite(numbers)
    if numbers[readable].nunique() < DISTINCT or 2 * readable.sum() < known.sum():
        return pd.Series(False, index=cells.index)
    return known & ~readable


def table_from_counts(
    groups: Sequence[str],
    sizes: Sequence[int],
    counts: Mapping[str, Mapping[str, Sequence[int]]],
    moments: Mapping[str, Sequence[tuple[float, float]]],
    *,
    tests: Mapping[str, str] | None = None,
    seed: int = 0,
) -> TableOne:
    """The same from what a paper printed; errors as in `table_one`.

    `counts` are column -> word -> one count a group, `moments` column -> mean and SD of
    each group, of all its members. No test can be Mann-Whitney.
    """
    wanted = dict(tests or {})
    _check_choices([*counts, *moments], (), wanted, len(groups))
    for name, test in wanted.items():
        _check_kind(name, name in moments, False, test)
        if test == "mann-whitney":
            raise UserError(
                f"--test {name}: expected welch or student, as ranks need the values. "
                "Received: mann-whitney"
            )
    lines: list[Line] = []
    for name, words in counts.items():
        table = np.array(list(words.values())).T
        missing = tuple((np.asarray(sizes) - table.sum(axis=1)).tolist())
        lines += _lines_of_counts(
            name, list(words), table, missing, wanted.get(name, ""), seed
        )
    for name, pairs in moments.items():
        known = [Moments(m, s, n) for (m, s), n in zip(pairs, sizes, strict=True)]
        compared = Association("", np.nan, "more than two groups")
        if len(known) == 2:
            compared = COMPARE_MOMENTS[wanted.get(name, "welch")](*known)
        cells = tuple(f"{group.mean:g} ± {group.sd:g}" for group in known)
        none = (0,) * len(known)
        lines.append(
            Line(name, "", cells, none, *compared, association.number_smd(known))
        )
    return TableOne("patients", tuple(groups), tuple(sizes), tuple(lines))


def _number_line(
    name: str, values: Sequence[pd.Series], median: bool, test: str
) -> Line:
    known = [group[group != ""].astype("float64").to_numpy() for group in values]
    missing = tuple(int((group == "").sum()) for group in values)
    skewed = any(abs(skew(group)) > SKEWED for group in known if len(group) > 2)
    by_rank = test == "mann-whitney" or (not test and (median or skewed))
    shown = _quartiles if by_rank or median else _mean
    moments = [_moments(group) for group in known]
    if min(map(len, known)) < 2:
        compared = Association("", np.nan, "fewer than two values in a group")
    elif len(known) > 2:
        several = ("Kruskal-Wallis", kruskal) if by_rank else ("ANOVA", f_oneway)
        compared = Association(several[0], float(several[1](*known).pvalue))
    elif by_rank:
        compared = _mann_whitney(*known)
    else:
        compared = COMPARE_MOMENTS[test or "welch"](*moments)
    cells = tuple(map(shown, known))
    return Line(name, "", cells, missing, *compared, association.number_smd(moments))


def _mann_whitney(a: NDArray, b: NDArray) -> Association:
    """Exact where neither group has `EXACT_RANKS` or more and no value comes twice."""
    tied = len(np.unique(np.r_[a, b])) < len(a) + len(b)
    if tied or max(len(a), len(b)) >= EXACT_RANKS:
        p_value = mannwhitneyu(a, b, method="asymptotic").pvalue
        return Association("Mann-Whitney", float(p_value))
    p_value = mannwhitneyu(a, b, method="exact").pvalue
    return Association("Mann-Whitney, exact", float(p_value))


def _quartiles(known: NDArray) -> str:
    if not len(known):
        return "none"
    return "{1:.3g} [{0:.3g} to {2:.3g}]".format(*np.quantile(known, QUARTILES))


def _mean(known: NDArray) -> str:
    moments = _moments(known)
    # The zeros of 20.00 stay: it has as many digits as 25.17.
    mean, sd = f"{moments.mean:#.4g}".rstrip("."), f"{moments.sd:#.3g}".rstrip(".")
    return f"{mean} ± {sd}" if moments.n > 1 else "none"


def _moments(values: NDArray) -> Moments:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else np.nan
    mean = float(values.mean()) if len(values) else np.nan
    return Moments(mean, deviation, len(values))


def _category_lines(
    name: str, values: Sequence[pd.Series], test: str, seed: int
) -> list[Line]:
    words = sorted(set().union(*map(set, values)) - {""})
    missing = tuple(int((group == "").sum()) for group in values)
    if not words:
        empty = ("none",) * len(values)
        return [Line(name, "", empty, missing, "", np.nan, "no value", np.nan)]
    table = np.array(
        [[int((group == word).sum()) for word in words] for group in values]
    )
    return _lines_of_counts(name, words, table, missing, test, seed)


def _lines_of_counts(
    name: str,
    words: Sequence[str],
    table: NDArray,
    missing: tuple[int, ...],
    test: str,
    seed: int,
) -> list[Line]:
    tested = *_compare_counts(table, test, seed), association.category_smd(table)
    lines = []
    for word, counts in zip(words, table.T, strict=True):
        cells = tuple(
            f"{count} ({format_percent(count / total, 1)})" if total else "0"
            for count, total in zip(counts, table.sum(axis=1), strict=True)
        )
        lines.append(Line(name, word, cells, missing, *tested))
        tested = "", np.nan, "", np.nan
    return lines


def _compare_counts(table: NDArray, test: str, seed: int) -> Association:
    compare: Mapping[str, Callable[[Any], Association]] = {
        "chi-square": association.chi_square,
        "yates": association.chi_square_yates,
        "fisher": partial(association.fisher, seed=seed),
    }
    if not table.sum(axis=1).all():
        return Association("", np.nan, "a group without a known value")
    if test:
        return compare[test](table)
    if (table.sum(axis=0) > 0).sum() < 2:
        return Association("", np.nan, "one value only")
    few = association.expected_counts(table).min() < LEAST_EXPECTED
    return compare["fisher" if few else "chi-square"](table)


def _check_choices(
    columns: Sequence[str],
    medians: Sequence[str],
    tests: Mapping[str, str],
    groups: int,
) -> None:
    """Refuses what would be passed over in silence."""
    for name, test in tests.items():
        if groups > 2 and test in OF_NUMBERS:
            raise UserError(
                f"--test {name}: expected two groups for {test}, or no --test, which "
                f"takes ANOVA or Kruskal-Wallis. Received: {groups} groups"
            )
    for option, names in (("--median", medians), ("--test", tests)):
        for name in names:
            if name not in columns:
                raise UserError(
                    f"{option}: expected a column of the table, one of "
                    f"{', '.join(columns)}. Received: {name!r}"
                )


def _check_kind(name: str, is_number: bool, median: bool, test: str) -> None:
    """Refuses a test or a median that a column of its kind does not have."""
    kind = "numbers" if is_number else "categories"
    fitting = OF_NUMBERS if is_number else OF_CATEGORIES
    if test and test not in fitting:
        raise UserError(
            f"--test {name}: expected one of {', '.join(fitting)}, for a column of "
            f"{kind}. Received: {test}"
        )
    if median and not is_number:
        raise UserError(
            f"--median: expected a column of numbers. Received: {name!r}, which is one "
            f"of categories (fewer than {DISTINCT} different numbers, or words)"
        )
