"""Sums, P values and repetitions of published tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, fisher_exact, ttest_ind_from_stats

from usgland.evaluation.audit.published_file import AuditFile, TableRow
from usgland.evaluation.audit.published_tables import audit_tables, recomputed


def findings(rows, n=(10, 12), **others):
    table = {"groups": ["A", "B"], "n": list(n), "rows": rows}
    published = {"title": "A paper", "tables": {"T": table}, **others}
    return audit_tables(AuditFile.model_validate(published))


def test_counts_that_do_not_sum_to_n_are_named():
    checked = findings({"Sex": {"counts": [[4, 5], [6, 6]]}})
    assert [finding.text for finding in checked] == [
        "the counts do not sum to n: A: 4 + 5 = 9 of 10"
    ]
    assert not checked[0].fits


def test_counts_that_sum_to_n_agree():
    (finding,) = findings({"Sex": {"counts": [[5, 5], [6, 6]]}})
    assert finding.fits


@pytest.mark.parametrize(
    ("p", "test"),
    [
        (chi2_contingency([[2, 8], [9, 3]], correction=False).pvalue, "chi-square"),
        (chi2_contingency([[2, 8], [9, 3]]).pvalue, "chi-square, Yates"),
        (fisher_exact([[2, 8], [9, 3]]).pvalue, "Fisher, exact"),
    ],
)
def test_the_test_behind_a_p_value_is_named(p, test):
    checked = findings({"Sex": {"counts": [[2, 8], [9, 3]], "p": f"{p:.4f}"}})
    assert checked[-1].fits
    assert checked[-1].text == f"P {p:.4f} is that of {test}"


def test_a_p_value_of_no_test_is_a_finding_with_all_that_was_tried():
    sums, p_value = findings({"Sex": {"counts": [[2, 8], [9, 3]], "p": "0.700"}})
    assert sums.fits and not p_value.fits
    assert p_value.text == "P 0.700 cannot be obtained from the counts"
    assert [text.rpartition(" ")[0] for text in p_value.tried] == [
        "chi-square",
        "chi-square, Yates",
        "Fisher, exact",
        "likelihood ratio",
    ]


def test_several_p_values_are_summed_up_with_the_nearest():
    rows = {
        "Sex": {"counts": [[2, 8], [9, 3]], "p": "0.700"},
        "Side": {"counts": [[5, 5], [6, 6]], "p": "0.990"},
    }
    summary = next(
        finding for finding in findings(rows) if finding.where == "All tables"
    )
    assert summary.text.startswith("none of the 2 printed P values")
    assert summary.tried[-1] == ("the closest: T, Side, chi-square 1.000 against 0.990")
    rows["Side"]["p"] = "1.000"
    summary = next(
        finding for finding in findings(rows) if finding.where == "All tables"
    )
    assert summary.text.startswith("1 of the 2 printed P values")


def test_counts_of_one_value_cannot_be_checked():
    checked = findings({"Sex": {"counts": [[10, 0], [12, 0]], "p": "0.5"}})
    assert checked[-1].fits
    assert checked[-1].text == "P 0.5 cannot be checked from what is printed"


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(-5, 5), st.floats(0.5, 4), st.integers(3, 30)),
    st.tuples(st.floats(-5, 5), st.floats(0.5, 4), st.integers(3, 30)),
)
def test_the_p_value_of_true_moments_is_among_those_of_printed_ones(a, b):
    texts = [[f"{mean:.2f}", f"{sd:.2f}"] for mean, sd, _ in (a, b)]
    row = TableRow.model_validate({"moments": texts})
    tests = recomputed(row, (a[2], b[2]), "rounded")
    for name, equal in (("Student", True), ("Welch", False)):
        p = ttest_ind_from_stats(*a, *b, equal_var=equal).pvalue
        assert tests[name].low - 1e-6 <= p <= tests[name].high + 1e-6


def test_moments_of_equal_means_reach_a_p_of_1():
    row = TableRow.model_validate({"moments": [["1.0", "2.0"], ["1.0", "2.0"]]})
    assert recomputed(row, (9, 9), "either")["Student"].high == 1


def test_moments_of_three_groups_are_not_compared():
    row = TableRow.model_validate({"moments": [["1.0", "2.0"]] * 3})
    assert recomputed(row, (9, 9, 9), "either") == {}


def test_what_is_printed_twice_is_compared_to_its_decimals():
    repeated = {
        "AUC": {"Abstract": "0.8025", "Text": "0.8250"},
        "Share": {"Abstract": "97.2%", "Table": "0.972"},
        "n": {"Abstract": "173", "Text": "176"},
    }
    file = AuditFile.model_validate({"title": "A paper", "repeated": repeated})
    by_place = {finding.where: finding for finding in audit_tables(file)}
    assert not by_place["AUC"].fits and not by_place["n"].fits
    assert by_place["Share"].fits
    assert (
        by_place["AUC"].text == "differs between places: Abstract: 0.8025; Text: 0.8250"
    )


def test_larger_tables_are_recomputed_too():
    counts = [[43, 0, 1, 18, 4], [44, 2, 0, 20, 0]]
    tests = recomputed(TableRow.model_validate({"counts": counts}), (66, 66), "either")
    assert set(tests) == {"chi-square", "Fisher, exact", "likelihood ratio"}
    expected = chi2_contingency(np.array(counts)).pvalue
    assert tests["chi-square"].low == pytest.approx(expected)
