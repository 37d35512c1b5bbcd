import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from usgland.evaluation.statistics.agreement import cohen_kappa
from usgland.evaluation.statistics.graded_agreement import (
    gwet_agreement,
    intraclass_correlation,
    weighted_kappa,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "agreement.json"
CASES = json.loads(REFERENCE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=["complete", "unbalanced"])
@pytest.mark.parametrize("weights", ["identity", "linear", "quadratic"])
def test_gwets_coefficients_are_those_of_irrcac(case, weights):
    grades = np.array(case["grades"], float)
    result = gwet_agreement(grades, weights=weights)
    value, error, low, high = case["gwet"][weights]
    assert result.value == pytest.approx(value, abs=1e-8)
    assert result.standard_error == pytest.approx(error, abs=1e-8)
    assert (result.low, result.high) == pytest.approx((low, high), abs=1e-7)


@pytest.mark.parametrize("form", ["agreement", "consistency"])
def test_intraclass_correlations_are_those_of_pingouin(form):
    result = intraclass_correlation(CASES[0]["grades"], form=form)
    value, low, high = CASES[0]["icc"][form]
    assert result.value == pytest.approx(value, abs=1e-9)
    # pingouin rounds its bounds.
    assert (round(result.low, 2), round(result.high, 2)) == (low, high)


def test_shrout_and_fleiss_have_the_values_that_they_print():
    # Their Table 2 and 4: ICC(2,1) is .29, ICC(3,1) is .71.
    judges = [[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4]]
    judges.append([8, 2, 8, 6, 9, 7])
    assert round(intraclass_correlation(judges).value, 2) == 0.29
    assert round(intraclass_correlation(judges, form="consistency").value, 2) == 0.71


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_weighted_kappa_is_that_of_scikit_learn(weights):
    a, b = np.array(CASES[0]["grades"][:2])
    result = weighted_kappa(a, b, weights=weights)
    assert result.value == pytest.approx(cohen_kappa_score(a, b, weights=weights))
    assert result.low < result.value < result.high


def test_the_jackknife_is_near_the_closed_form_of_kappa():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 2, 200)
    b = np.where(rng.uniform(size=200) < 0.8, a, 1 - a)
    result = weighted_kappa(a, b, weights="identity")
    closed = cohen_kappa(a, b)
    assert result.value == pytest.approx(closed.kappa)
    assert result.standard_error == pytest.approx(closed.standard_error, rel=0.03)


def test_copies_of_a_case_do_not_narrow_a_patients_interval():
    grades = np.array(CASES[0]["grades"], float)
    ids = np.repeat(np.arange(40), 2)
    for function in (gwet_agreement, lambda g, **o: weighted_kappa(*g[:2], **o)):
        once = function(grades)
        twice = function(np.repeat(grades, 2, axis=1), patient_ids=ids)
        assert twice.standard_error == pytest.approx(once.standard_error, rel=0.01)


def test_cases_that_one_reader_lacks_count_where_they_can():
    a = [1, 2, 3, np.nan, 5, 4]
    b = [1, 2, 2, 4, np.nan, 4]
    assert weighted_kappa(a, b).cases == 4
    assert gwet_agreement([a, b]).cases == 4
    assert intraclass_correlation([a, b]).cases == 4


def test_grades_that_nobody_gave_count_where_they_could_be_given():
    calls = np.zeros((3, 12))
    assert "are the same" in gwet_agreement(calls).reason
    known = gwet_agreement(calls, grades_possible=(0, 1))
    assert (known.value, known.reason) == (1.0, "its variance is 0")
    # AC2 by hand: no 2 was given, chance is that of three grades.
    grades = np.array([[1, 1, 3, 3], [1, 3, 3, 3]], float)
    result = gwet_agreement(grades, weights="linear", grades_possible=(1, 2, 3))
    shares, weights = np.array([3, 0, 5]) / 8, np.array([1, 0.5, 0])
    total = sum(weights[abs(i - j)] for i in range(3) for j in range(3))
    chance = total / 6 * (shares * (1 - shares)).sum()
    assert result.value == pytest.approx((0.75 - chance) / (1 - chance))


def test_weights_are_of_the_distance_of_grades_not_of_those_that_occur():
    # No 2 or 3 was given; scikit-learn knows of them by `labels`.
    a, b = [1, 4, 5, 5, 4, 1, 1], [1, 5, 5, 4, 4, 4, 1]
    expected = cohen_kappa_score(a, b, weights="linear", labels=[1, 2, 3, 4, 5])
    assert weighted_kappa(a, b, weights="linear").value == pytest.approx(expected)


def test_the_jackknife_of_weighted_kappa_is_that_of_a_loop_over_patients():
    a, b = np.array(CASES[0]["grades"][:2])
    ids = np.arange(len(a)) // 3
    result = weighted_kappa(a, b, patient_ids=ids)
    left = np.array(
        [
            cohen_kappa_score(a[ids != own], b[ids != own], weights="quadratic")
            for own in np.unique(ids)
        ]
    )
    number = len(left)
    variance = (number - 1) / number * ((left - left.mean()) ** 2).sum()
    assert result.standard_error == pytest.approx(variance**0.5)


def test_one_patient_alone_has_a_value_and_no_interval():
    grades = [[1, 2, 3, 1], [1, 2, 2, 1]]
    results = [gwet_agreement(grades, patient_ids=["a"] * 4)]
    results.append(weighted_kappa(*grades, patient_ids=["a"] * 4))
    for result in results:
        assert 0 < result.value < 1
        assert np.isnan(result.low)
        assert result.reason == "one patient only"
    pair = weighted_kappa(*grades, patient_ids=list("aabb"))
    assert pair.reason == "two patients only"
    # Without "b" both readers gave one grade alone.
    alone = weighted_kappa([1, 1, 1, 2], [1, 1, 1, 1], patient_ids=list("aacb"))
    assert alone.reason == "undefined without one of the patients"


@pytest.mark.parametrize("form", ["agreement", "consistency"])
@pytest.mark.parametrize("scores", [[0.1, 0.7, 0.3], [1 / 3, 2 / 3, 1e3], [1, 2, 3]])
def test_readers_who_never_differ_have_no_interval_of_certainty(form, scores):
    result = intraclass_correlation([scores] * 3, form=form)
    assert result.value == 1.0
    assert np.isnan([result.low, result.high]).all()
    assert result.reason == "the readers differ in no case"


@pytest.mark.parametrize("form", ["agreement", "consistency"])
def test_cases_that_never_differ_have_no_intraclass_correlation(form):
    result = intraclass_correlation([[0.1] * 3, [0.2] * 3], form=form)
    assert np.isnan(result.value)
    assert result.reason == "all cases are the same"


def test_a_reader_who_always_scores_higher_agrees_in_order_alone():
    scores = [[1, 2, 4], [2, 3, 5]]
    result = intraclass_correlation(scores)
    assert 0 < result.low < result.value < result.high < 1
    assert intraclass_correlation(scores, form="consistency").value == 1.0


def test_what_is_not_defined_says_why():
    for result in (
        weighted_kappa([1, 1, 1], [1, 1, 1]),
        gwet_agreement(np.ones((3, 4))),
        intraclass_correlation(np.ones((3, 4))),
    ):
        assert np.isnan(result.value)
        assert "are the same" in result.reason
    for result in (
        gwet_agreement([[1, 2], [1, np.nan]]),
        intraclass_correlation([[1, 2], [1, np.nan]]),
    ):
        assert np.isnan(result.value)
        assert "fewer than two cases" in result.reason
    alike = weighted_kappa([1, 2, 3, 1], [1, 2, 3, 1])
    assert alike.value == 1.0
    assert alike.reason == "its variance is 0"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_kappa([1, 2], [1]), "must be of one length"),
        (lambda: weighted_kappa([1, 2], [1, 3], weights="cubic"), "`weights` must be"),
        (
            lambda: weighted_kappa(np.arange(101), np.arange(101)),
            "Expected 100 different grades at most.*Received: 101",
        ),
        (
            lambda: gwet_agreement([[1, 2], [1, 3]], grades_possible=(1, 2)),
            r"must hold every grade.*Received: \[3.0\]",
        ),
        (lambda: gwet_agreement([1, 2]), r"\(readers, cases\)`, of two readers"),
        (lambda: intraclass_correlation([[1], [2]], form="both"), "`form` must be"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
