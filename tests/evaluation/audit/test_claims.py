"""Bounds of McNemar's P, against every pairing of two readers' results."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, chi2, chi2_contingency, fisher_exact

from usgland.evaluation.audit.claims import (
    Right,
    audit_comparisons,
    format_range,
    format_small,
    mcnemar_bounds,
)
from usgland.evaluation.audit.printed import Bounds
from usgland.evaluation.audit.published_file import AuditFile
from usgland.evaluation.audit.rows import audit_rows


def every_call(right, cases):
    """All ways in which `right` of `cases` can be called right."""
    for calls in product((0, 1), repeat=cases):
        if sum(calls) == right:
            yield np.array(calls)


def p_of(x, y, kind):
    only_x, only_y = int((x > y).sum()), int((y > x).sum())
    if only_x + only_y == 0:
        return 1.0
    if kind == "exact":
        return binomtest(only_x, only_x + only_y).pvalue
    # As R's mcnemar.test, whose correction does not reach below 0.
    less = min(1, abs(only_x - only_y)) if kind.endswith("corrected") else 0
    return chi2.sf((abs(only_x - only_y) - less) ** 2 / (only_x + only_y), 1)


@pytest.mark.parametrize("kind", ["exact", "chi-square", "chi-square, corrected"])
@pytest.mark.parametrize(
    ("a", "b", "cases"),
    [
        ((3,), (1,), (5,)),
        ((5,), (5,), (5,)),
        ((0,), (4,), (4,)),
        ((2, 3), (3, 1), (3, 4)),
        ((4, 0), (1, 3), (4, 3)),
    ],
)
def test_bounds_are_those_of_all_pairings(a, b, cases, kind):
    values = []
    for x in product(*map(every_call, a, cases)):
        for y in product(*map(every_call, b, cases)):
            values.append(p_of(np.concatenate(x), np.concatenate(y), kind))
    bounds = mcnemar_bounds(
        [Right(*counts) for counts in zip(a, cases, strict=True)],
        [Right(*counts) for counts in zip(b, cases, strict=True)],
        kind=kind,
    )
    assert bounds == pytest.approx((min(values), max(values)))


def test_readers_on_other_cases_are_named():
    with pytest.raises(ValueError, match=r"Received: \(3, 5\) and \(3, 6\)"):
        mcnemar_bounds([Right(3, 5)], [Right(3, 6)])
    with pytest.raises(ValueError, match=r"Received: \(7, 5\) and \(3, 5\)"):
        mcnemar_bounds([Right(7, 5)], [Right(3, 5)])


def comparison(p, other_cases="same", measure="sensitivity"):
    """Two rows, of 20 + 20 cases each: sensitivity 18/20 against 9/20."""
    size = {"malignant": 20, "benign": 20}
    file = AuditFile.model_validate(
        {
            "title": "A paper",
            "cases": {"same": size, "other": size},
            "rows": {
                "A": {"cases": "same", "sensitivity": "0.90", "specificity": "0.50"},
                "B": {
                    "cases": other_cases,
                    "sensitivity": "0.45",
                    "specificity": "0.55",
                },
            },
            "comparisons": [{"a": "A", "b": "B", "figure": measure, "p": p}],
        }
    )
    (finding,) = audit_comparisons(file, audit_rows(file)[1])
    return finding


def test_a_p_within_the_bounds_can_be_obtained():
    # 9 more of 20 are right: 9 to 11 differ one way and 0 to 2 the other.
    low, high = binomtest(0, 9).pvalue, binomtest(2, 13).pvalue
    finding = comparison("0.012")
    assert low < 0.012 < high
    assert finding.fits
    assert "18/20 against 9/20 by McNemar, exact" in finding.text
    assert f"P {low:.3g} to {high:.3g}" in finding.tried[0]


def test_a_p_beyond_the_bounds_of_every_test_cannot_be_obtained():
    finding = comparison("0.25")
    assert not finding.fits
    assert finding.text == "P 0.25 cannot be obtained from 18/20 against 9/20"
    assert len(finding.tried) == 6


def test_a_p_of_the_corrected_test_alone_is_found():
    # Of 20 cases one reader has all right, the other 14: they differ in 6, one way.
    size = {"malignant": 20, "benign": 20}
    row = {"cases": "x", "sensitivity": "1.00", "specificity": "0.5"}
    file = AuditFile.model_validate(
        {
            "title": "A paper",
            "cases": {"x": size},
            "rows": {"A": row, "B": row | {"sensitivity": "0.70"}},
            # R: mcnemar.test(matrix(c(14, 0, 6, 0), 2)), 5 ** 2 / 6 on 1 df
            "comparisons": [
                {"a": "A", "b": "B", "figure": "sensitivity", "p": "0.04123"}
            ],
        }
    )
    (finding,) = audit_comparisons(file, audit_rows(file)[1])
    assert finding.text.endswith("by McNemar, chi-square, corrected, over all pairings")


def test_rows_of_other_cases_are_compared_unpaired():
    finding = comparison("0.002", other_cases="other")
    table = [[18, 2], [9, 11]]
    assert finding.fits
    assert "on different cases" in finding.text
    assert not any("McNemar" in text for text in finding.tried)
    assert f"chi-square: P {chi2_contingency(table, correction=False).pvalue:.3g}" in (
        finding.tried
    )
    assert f"Fisher, exact: P {fisher_exact(table).pvalue:.3g}" in finding.tried


def test_accuracy_counts_both_classes():
    assert "28/40 against 20/40" in comparison("0.2", measure="accuracy").text
    assert "10/20 against 11/20" in comparison("0.9", measure="specificity").text


def test_a_comparison_of_a_row_without_a_matrix_says_so():
    file = AuditFile.model_validate(
        {
            "title": "A paper",
            "largest": 10,
            "cases": {"x": {}},
            "rows": {
                "A": {"cases": "x", "sensitivity": "0.123456", "specificity": "0.5"},
                "B": {"cases": "x", "sensitivity": "0.5", "specificity": "0.5"},
            },
            "comparisons": [
                {"a": "A", "b": "B", "figure": "accuracy", "p": "0.1", "where": "Text"}
            ],
        }
    )
    (finding,) = audit_comparisons(file, audit_rows(file)[1])
    assert finding.where == "Text: A against B, accuracy"
    assert finding.text == "P 0.1 cannot be checked: no matrix for A"
    assert finding.fits


def test_a_comparison_that_too_many_matrices_fit_says_so():
    size = {"malignant": 1000, "benign": 1000}
    row = {"cases": "x", "sensitivity": "0.90", "specificity": "0.8"}
    compared = {"a": "A", "b": "B", "p": "0.03"}
    file = AuditFile.model_validate(
        {
            "title": "A paper",
            "cases": {"x": size},
            "rows": {"A": row, "B": row | {"sensitivity": "0.85"}},
            "comparisons": [
                compared | {"figure": "accuracy"},
                compared | {"figure": "sensitivity"},
            ],
        }
    )
    both, alone = audit_comparisons(file, audit_rows(file)[1])
    assert both.fits and "was not checked: more than 2,000 pairs" in both.text
    assert alone.tried[0].startswith("McNemar, exact, over all pairings: P ")


def test_small_p_values_show_their_size():
    shown = [format_small(p) for p in (0.25, 0.01614, 0.00096, 0.0004, 2e-10, 0)]
    assert shown == ["0.250", "0.0161", "0.00096", "4e-04", "2e-10", "0.000"]
    assert format_range(Bounds(0.01614, 0.01613)) == "0.0161"
    assert format_range(Bounds(0.01614, 0.25)) == "0.0161 to 0.250"
