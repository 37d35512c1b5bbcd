import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from usgland.evaluation.statistics.agreement import cohen_kappa, fleiss_kappa

REFERENCE = json.loads(
    (Path(__file__).parents[2] / "reference" / "kappa.json").read_text()
)
CALLS = st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=3, max_size=30)


@pytest.mark.parametrize("case", REFERENCE["cases"])
def test_kappas_and_their_errors_are_those_of_statsmodels(case):
    calls = np.array(case["calls"])
    cohen = cohen_kappa(calls[0], calls[1], level=0.95)
    assert cohen.kappa == pytest.approx(case["cohen"], abs=1e-12)
    assert cohen.standard_error == pytest.approx(case["cohen_error"], rel=1e-9)
    assert [cohen.low, cohen.high] == pytest.approx(case["cohen_bounds"], rel=1e-9)
    fleiss = fleiss_kappa(calls, level=0.95)
    assert fleiss.kappa == pytest.approx(case["fleiss"], abs=1e-12)


@given(CALLS)
def test_cohen_is_that_of_scikit_learn_and_stays_in_its_bounds(rows):
    a, b, _ = np.array(rows).T
    found = cohen_kappa(a, b, level=0.95)
    if len(set(a) | set(b)) == 1:
        assert np.isnan(found.kappa)
        assert found.reason == "all calls are the same"
        return
    assert found.kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    assert found.agreement == pytest.approx((a == b).mean())
    assert found.malignant == pytest.approx((a.mean() + b.mean()) / 2)
    if not found.reason:
        assert -1 <= found.low <= found.kappa <= found.high <= 1


@given(CALLS)
def test_fleiss_and_its_jackknife_are_those_of_a_plain_loop(rows):
    calls = np.array(rows).T
    found = fleiss_kappa(calls, level=0.95)
    expected = plain_fleiss(calls)
    assert found.kappa == pytest.approx(expected, abs=1e-12, nan_ok=True)
    without = np.array(
        [plain_fleiss(np.delete(calls, case, 1)) for case in range(calls.shape[1])]
    )
    variance = (len(without) - 1) * without.var()
    if not found.reason:
        assert found.standard_error == pytest.approx(variance**0.5, rel=1e-6)


def plain_fleiss(calls):
    """Pair by pair, case by case."""
    readers, cases = calls.shape
    pairs = [(i, j) for i in range(readers) for j in range(readers) if i != j]
    observed = np.mean(
        [calls[i, c] == calls[j, c] for c in range(cases) for i, j in pairs]
    )
    share = calls.mean()
    chance = share**2 + (1 - share) ** 2
    return (observed - chance) / (1 - chance) if chance < 1 else np.nan


@given(CALLS)
def test_two_readers_swapped_or_two_words_swapped_agree_as_before(rows):
    a, b, _ = np.array(rows).T
    kappa = cohen_kappa(a, b, level=0.95).kappa
    for other in (
        cohen_kappa(b, a, level=0.95),
        cohen_kappa(1 - a, 1 - b, level=0.95),
    ):
        assert other.kappa == pytest.approx(kappa, abs=1e-12, nan_ok=True)


def test_full_agreement_has_no_interval_and_says_so():
    found = cohen_kappa([0, 1, 1], [0, 1, 1], level=0.95)
    assert found.kappa == 1
    assert np.isnan(found.low)
    assert "variance of kappa is 0" in found.reason


def test_fleiss_refuses_one_reader():
    with pytest.raises(
        ValueError, match=r"of two readers or more. Received: shape \(1, 2\)"
    ):
        fleiss_kappa([[0, 1]], level=0.95)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError, match="`level` must be in .* Received: 95"):
        cohen_kappa([0, 1, 1, 0], [0, 1, 0, 0], level=95)
    with pytest.raises(ValueError, match="`level` must be in .* Received: 95"):
        fleiss_kappa([[0, 1, 1], [0, 1, 0]], level=95)


def draw_calls(seed=0, patients=30, images=3):
    """Two readers who err on the same patients."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(patients), images)
    own = np.repeat(rng.normal(size=patients), images)
    calls = [own + rng.normal(size=len(ids)) > 0 for _ in range(3)]
    return np.array(calls).astype(int), ids


def test_images_of_a_patient_are_kept_together_in_both_kappas():
    calls, ids = draw_calls()
    groups = [np.flatnonzero(ids == one) for one in range(30)]
    rng = np.random.default_rng(1)
    drawn = [
        np.concatenate([groups[one] for one in rng.integers(0, 30, 30)])
        for _ in range(2000)
    ]
    for found, of, name in (
        (
            cohen_kappa(calls[0], calls[1], patient_ids=ids),
            lambda chosen: cohen_kappa_score(calls[0][chosen], calls[1][chosen]),
            "cohen",
        ),
        (
            fleiss_kappa(calls, patient_ids=ids),
            lambda chosen: fleiss_kappa(calls[:, chosen]).kappa,
            "fleiss",
        ),
    ):
        without = [of(np.flatnonzero(ids != one)) for one in range(30)]
        error = (29 * np.var(without)) ** 0.5
        assert found.standard_error == pytest.approx(error), name
        assert found.method == "jackknife over patients"
        # The bootstrap over patients, drawn here, has nearly the same error.
        draws = [of(chosen) for chosen in (drawn if name == "cohen" else drawn[:200])]
        assert found.standard_error == pytest.approx(np.std(draws), rel=0.2)
        assert found.kappa == of(np.arange(90))
    alone = cohen_kappa(calls[0], calls[1], patient_ids=np.arange(90))
    assert alone == cohen_kappa(calls[0], calls[1])
    with pytest.raises(ValueError, match="one entry a case, 90"):
        cohen_kappa(calls[0], calls[1], patient_ids=[1])
