import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ttest_ind

from usgland.evaluation.statistics import association
from usgland.evaluation.statistics.association import (
    Moments,
    category_smd,
    chi_square,
    chi_square_yates,
    fisher,
    number_smd,
    student,
    welch,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "association.json"
CASES = json.loads(REFERENCE.read_text(encoding="utf-8"))["tables"]


@pytest.mark.parametrize("case", CASES)
def test_counts_agree_with_r(case):
    counts = np.array(case["counts"])
    assert fisher(counts).p_value == pytest.approx(case["fisher"], rel=1e-5)
    assert chi_square(counts).p_value == pytest.approx(case["chi_square"], rel=1e-5)


@pytest.mark.parametrize("case", CASES[:4])
def test_drawn_tables_agree_with_r_and_repeat(case, monkeypatch):
    monkeypatch.setattr(association, "EXACT_TABLES", 0)
    counts = np.array(case["counts"])
    found = fisher(counts, seed=3)
    assert found.test == "Fisher, 100,000 drawn tables"
    # Five standard errors of 100,000 draws.
    assert found.p_value == pytest.approx(case["fisher"], abs=5 * 0.5 / 100_000**0.5)
    assert fisher(counts, seed=3) == found


def test_yates_is_of_two_by_two_alone():
    expected = chi2_contingency([[9, 11], [11, 9]], correction=True).pvalue
    assert chi_square_yates([[9, 11], [11, 9]]).p_value == pytest.approx(expected)
    found = chi_square_yates([[1, 2, 3], [3, 2, 1]])
    assert np.isnan(found.p_value)
    assert found.reason == "more than 2 x 2"


def test_t_tests_agree_with_scipy_on_the_values():
    rng = np.random.default_rng(0)
    a, b = rng.normal(40, 10, 17), rng.normal(45, 20, 23)
    moments = [Moments(x.mean(), x.std(ddof=1), len(x)) for x in (a, b)]
    assert student(*moments).p_value == pytest.approx(ttest_ind(a, b).pvalue)
    expected = ttest_ind(a, b, equal_var=False).pvalue
    assert welch(*moments).p_value == pytest.approx(expected)


def test_what_is_undefined_has_a_reason():
    assert chi_square([[3, 0], [4, 0]]).reason == "one value only"
    assert fisher([[3, 0], [4, 0]]).reason == "one value only"
    assert student(Moments(1, 0, 3), Moments(2, 0, 3)).reason == "no variance"
    assert "fewer than two" in welch(Moments(1, 0, 1), Moments(2, 1, 3)).reason


@pytest.mark.parametrize("counts", [[1, 2], [[1.5, 2], [3, 4]], [[-1, 2], [3, 4]]])
def test_counts_must_be_whole_numbers(counts):
    with pytest.raises(ValueError, match="whole numbers from 0.* Received:"):
        chi_square(counts)


def test_two_categories_are_the_difference_of_one_share():
    # Yang and Dalton (2012), equation for a binary column.
    p, q = 0.7, 0.4
    expected = abs(p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert category_smd(np.array([[7, 3], [8, 12]])) == pytest.approx(expected)


def test_leaving_out_any_category_gives_the_same():
    # Yang and Dalton leave one category out, as its share follows from the others.
    table = np.array([[5, 9, 3, 2], [8, 2, 6, 4]])
    for order in permutations(range(4)):
        a, b = (row[list(order)][1:] / row.sum() for row in table)
        mean = sum(np.diag(one) - np.outer(one, one) for one in (a, b)) / 2
        expected = np.sqrt((a - b) @ np.linalg.inv(mean) @ (a - b))
        assert category_smd(table[:, order]) == pytest.approx(expected)


def test_a_category_of_nobody_changes_nothing():
    with_empty = np.array([[5, 0, 9], [8, 0, 2]])
    assert category_smd(with_empty) == pytest.approx(
        category_smd(with_empty[:, [0, 2]])
    )


@pytest.mark.parametrize(
    "table", [[[9, 0], [0, 7]], [[5, 4, 0, 0], [0, 0, 3, 3]], [[0, 0], [3, 4]]]
)
def test_groups_that_share_no_category_have_no_distance(table):
    assert np.isnan(category_smd(np.array(table)))


def test_equal_groups_are_0_apart():
    assert category_smd(np.array([[9, 0], [4, 0]])) == 0
    assert category_smd(np.array([[2, 4], [3, 6]])) == pytest.approx(0, abs=1e-7)


def test_numbers_are_apart_by_pooled_deviations():
    # (60 - 50) / sqrt((9 + 16) / 2)
    found = number_smd([Moments(50, 3, 10), Moments(60, 4, 20)])
    assert found == pytest.approx(10 / 12.5**0.5)
    assert np.isnan(number_smd([Moments(1, 0, 5), Moments(2, 0, 5)]))
    assert np.isnan(number_smd([Moments(1, 1, 5)] * 3))


def test_tables_of_many_groups_are_drawn_before_they_fill_the_memory():
    # 99 groups of one case each: 99^3 tables of 396 cells, 3 GB at once.
    alone = np.eye(4, dtype=int)[np.minimum(np.arange(99), 3)]
    assert association.fisher(alone).test == "Fisher, 100,000 drawn tables"
