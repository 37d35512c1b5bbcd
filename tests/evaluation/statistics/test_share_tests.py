import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from usgland.evaluation.statistics.families import holm
from usgland.evaluation.statistics.share_tests import mcnemar_test, unpaired_shares

CASES = st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=40)


def test_mcnemar_agrees_with_its_sum_of_binomial_terms():
    # 9 cases that only b called right, 2 that only a did, 5 both, 4 neither.
    right_a = np.r_[np.zeros(9), np.ones(2), np.ones(5), np.zeros(4)]
    right_b = np.r_[np.ones(9), np.zeros(2), np.ones(5), np.zeros(4)]
    found = mcnemar_test(np.ones(20, int), right_a, right_b, measure="sensitivity")
    assert (found.only_a, found.only_b) == (2, 9)
    assert found.difference == pytest.approx(-7 / 20)
    assert found.p_value == pytest.approx(2 * binom.cdf(2, 11, 0.5))


def test_fishers_tea_is_judged_as_he_did():
    """Fisher, The Design of Experiments, 1935: 3 of 4 against 1 of 4, 34 of 70."""
    labels = np.ones(4, int)
    found = unpaired_shares(
        (labels, [1, 1, 1, 0]), (labels, [1, 0, 0, 0]), measure="sensitivity"
    )
    assert found.p_value == pytest.approx(34 / 70)
    assert found.method == "Fisher, exact, unpaired; interval: Newcombe, unpaired"
    assert found.only_a is None


@given(CASES)
def test_accuracy_counts_what_sensitivity_and_specificity_count(rows):
    labels, a, b = np.array(rows).T
    both = mcnemar_test(labels, a, b, measure="accuracy")
    parts = [
        mcnemar_test(labels, a, b, measure=name)
        for name, label in (("sensitivity", 1), ("specificity", 0))
        if (labels == label).any()
    ]
    assert both.only_a == sum(part.only_a for part in parts)
    assert both.only_b == sum(part.only_b for part in parts)
    assert both.a == pytest.approx((a == labels).mean())
    turned = mcnemar_test(labels, b, a, measure="accuracy")
    assert turned.p_value == pytest.approx(both.p_value)
    assert turned.difference == pytest.approx(-both.difference)


def test_readers_who_call_alike_have_a_p_of_one():
    assert mcnemar_test([0, 1], [1, 1], [1, 1], measure="accuracy").p_value == 1


def test_what_cannot_be_compared_is_named():
    with pytest.raises(ValueError, match="`measure` must be one of .* Received: 'f1'"):
        mcnemar_test([0, 1], [0, 1], [0, 1], measure="f1")
    with pytest.raises(ValueError, match=r"Received: 'accuracy', shapes \(2,\) and"):
        mcnemar_test([0, 1], [0, 1], [0], measure="accuracy")
    with pytest.raises(ValueError, match="sensitivity needs cases of label 1"):
        mcnemar_test([0, 0], [0, 1], [0, 1], measure="sensitivity")
    with pytest.raises(ValueError, match=r"one entry a case, 2. Received: shape \(1,"):
        mcnemar_test([0, 1], [0, 1], [0, 1], patient_ids=[1])


def test_holm_raises_the_least_most_and_never_turns_the_order():
    # By hand: 0.01 * 4, 0.02 * 3, then 0.03 * 2 = 0.06 and 0.04 * 1, kept at 0.06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]) == pytest.approx([1, 1])
