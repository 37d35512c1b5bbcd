"""How a column differs between groups: tests, and standardized differences.

From counts, `(groups, categories)`, or from the moments of numbers. The same functions
serve Table 1 of a manifest and the published tables that are recomputed.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from scipy.stats import (
    chi2_contingency,
    fisher_exact,
    random_table,
    ttest_ind_from_stats,
)
from scipy.stats.contingency import expected_freq

EXACT_TABLES = 1_000_000  # more of them are drawn, not counted
EXACT_GROUPS = 8  # of more groups fewer tables are counted, as all stand in memory
DRAWS = 100_000
# Tables as likely as the observed one count, and shares that are equal differ by 0;
# both differ in their last bits.
SAME = 1e-7


class Association(NamedTuple):
    """The result of one test.

    Attributes:
        test: Its name, as a table shows it.
        p_value: Two-sided; NaN where undefined.
        reason: Why it is undefined, or empty.
    """

    test: str
    p_value: float
    reason: str = ""


class Moments(NamedTuple):
    """Mean, standard deviation (n - 1) and number of the values of a group."""

    mean: float
    sd: float
    n: int


def checked_counts(counts: ArrayLike) -> NDArray[np.int64]:
    """Checks a table of counts and leaves out categories and groups of nobody."""
    table = np.asarray(counts)
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.integer) or table.min() < 0:
        raise ValueError(
            "`counts` must be whole numbers from 0, `(groups, categories)`. "
            f"Received: {table.tolist()}"
        )
    table = table[table.sum(axis=1) > 0]
    return np.asarray(table[:, table.sum(axis=0) > 0], "int64")


def expected_counts(counts: ArrayLike) -> NDArray[np.float64]:
    """What each cell would hold if group and column were independent."""
    return np.asarray(expected_freq(checked_counts(counts)))


def chi_square(counts: ArrayLike) -> Association:
    """Pearson's test without correction."""
    return _contingency("chi-square", counts)


def chi_square_yates(counts: ArrayLike) -> Association:
    """Pearson's test with the continuity correction of Yates, of 2 x 2 tables."""
    name = "chi-square, Yates"
    if checked_counts(counts).size > 4:
        return Association(name, np.nan, "more than 2 x 2")
    return _contingency(name, counts, correction=True)


def likelihood_ratio(counts: ArrayLike) -> Association:
    """The likelihood-ratio (G) test."""
    return _contingency("likelihood ratio", counts, lambda_="log-likelihood")


def _contingency(
    name: str, counts: ArrayLike, *, correction: bool = False, lambda_: str = "pearson"
) -> Association:
    table = checked_counts(counts)
    if min(table.shape) < 2:
        return Association(name, np.nan, "one value only")
    result = chi2_contingency(table, correction=correction, lambda_=lambda_)
    return Association(name, float(result.pvalue))


def fisher(counts: ArrayLike, *, seed: int = 0) -> Association:
    """Fisher's exact test; Freeman and Halton's of tables larger than 2 x 2.

    Counts every table with the same sums up to `EXACT_TABLES` of them (of many groups,
    fewer), else draws `DRAWS` with a seed, and the name says so.

    Reference:
        [Freeman and Halton, 1951](https://doi.org/10.1093/biomet/38.1-2.141); the drawn
        P is (1 + hits) / (1 + draws)
        ([Davison and Hinkley, 1997](https://doi.org/10.1017/CBO9780511802843), 4.2).
    """
    table = checked_counts(counts)
    if min(table.shape) < 2:
        return Association("Fisher, exact", np.nan, "one value only")
    if table.shape == (2, 2):
        return Association("Fisher, exact", float(fisher_exact(table).pvalue))
    limit = _log_weight(table) + SAME
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    groups = max(len(rows), EXACT_GROUPS)
    if _tables_at_most(rows, columns) * groups <= EXACT_TABLES * EXACT_GROUPS:
        weights = _log_weights(rows, columns)
        chances = np.exp(weights - weights.max())
        p_value = chances[weights <= limit].sum() / chances.sum()
        return Association("Fisher, exact", float(p_value))
    drawn = random_table(rows, columns, seed=np.random.default_rng(seed)).rvs(DRAWS)
    hits = int((_log_weight(drawn) <= limit).sum())
    name = f"Fisher, {DRAWS:,} drawn tables"
    return Association(name, (1 + hits) / (1 + DRAWS))


def _log_weight(tables: NDArray) -> NDArray[np.float64]:
    """Log of the probability of tables of the same sums, but for a constant."""
    return np.asarray(-gammaln(tables + 1.0).sum(axis=(-2, -1)))


def _tables_at_most(rows: NDArray, columns: NDArray) -> int:
    """An upper bound of how many tables have these sums."""
    free = len(rows) - 1
    return prod(comb(int(total) + free, free) for total in np.sort(columns)[:-1])


def _log_weights(rows: NDArray, columns: NDArray) -> NDArray[np.float64]:
    """`_log_weight` of every table with these sums, column by column."""
    left, weights = rows[None, :], np.zeros(1)  # of each table that is begun
    for total in np.sort(columns)[:-1].tolist():  # the last column is what is left
        # Each way to part a column between rows: stars, and bars between the rows.
        size = total + len(rows)
        bars = np.array(list(combinations(range(1, size), len(rows) - 1)))
        column = np.diff(bars, axis=1, prepend=0, append=size) - 1
        after = left[:, None, :] - column
        fits = (after >= 0).all(axis=2)
        weights = (weights[:, None] + _log_weight(column[:, None, :]))[fits]
        left = after[fits]
    return weights + _log_weight(left[:, None, :])


def student(a: Moments, b: Moments) -> Association:
    """Student's t test, which takes the variances to be equal."""
    return _t_test("Student", a, b, equal_var=True)


def welch(a: Moments, b: Moments) -> Association:
    """Welch's t test, which does not."""
    return _t_test("Welch", a, b, equal_var=False)


def _t_test(name: str, a: Moments, b: Moments, *, equal_var: bool) -> Association:
    if min(a.n, b.n) < 2:
        return Association(name, np.nan, "fewer than two values in a group")
    if a.sd == b.sd == 0:
        return Association(name, np.nan, "no variance")
    result = ttest_ind_from_stats(*a, *b, equal_var=equal_var)
    return Association(name, float(result.pvalue))


# Every test of counts by the name that a file or an option chooses it by.
COUNT_TESTS: dict[str, Callable[[ArrayLike], Association]] = {
    "chi-square": chi_square,
    "yates": chi_square_yates,
    "fisher": fisher,
    "likelihood-ratio": likelihood_ratio,
}
MOMENT_TESTS: dict[str, Callable[[Moments, Moments], Association]] = {
    "student": student,
    "welch": welch,
}


def number_smd(moments: Sequence[Moments]) -> float:
    """Difference of two means in pooled standard deviations.

    Reference:
        [Yang and Dalton, 2012](https://support.sas.com/resources/papers/proceedings12/335-2012.pdf),
        for numbers; categories, see `category_smd`.
    """
    if len(moments) != 2:
        return np.nan
    a, b = moments
    pooled = ((a.sd**2 + b.sd**2) / 2) ** 0.5
    return abs(a.mean - b.mean) / pooled if pooled > 0 else np.nan


def category_smd(table: NDArray) -> float:
    """Distance of two sets of shares, in their mean covariance; the same source.

    Returns:
        From 0; NaN unless there are two groups, each of somebody, and where they differ
        in what varies in neither, such as all of one against none of the other: no
        number of standard deviations parts them.
    """
    if len(table) != 2 or min(table.sum(axis=1)) == 0:
        return np.nan
    a, b = table / table.sum(axis=1, keepdims=True)
    covariances = [np.diag(share) - np.outer(share, share) for share in (a, b)]
    mean = (covariances[0] + covariances[1]) / 2
    apart = a - b
    # Shares sum to 1: the covariance has no inverse, but one on what can vary.
    inverse = np.linalg.pinv(mean, rcond=1e-10, hermitian=True)
    if np.abs(mean @ inverse @ apart - apart).max() > SAME:
        return np.nan
    return float(np.sqrt(max(apart @ inverse @ apart, 0.0)))
