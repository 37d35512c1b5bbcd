"""Standardized mean differences, by hand and in every order of the categories."""

from itertools import permutations

import numpy as np
import pytest

from usgland.evaluation.statistics.association import Moments, category_smd, number_smd


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
