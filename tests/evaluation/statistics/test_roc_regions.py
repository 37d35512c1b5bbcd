import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from usgland.evaluation.statistics.bootstrap import draw_patients
from usgland.evaluation.statistics.roc_regions import partial_auc, sensitivity_at


def draw(seed, cases=70):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, cases)
    return labels, (labels + rng.normal(size=cases)).round(1)


def by_sklearn(labels, scores, specificity):
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    best = true[false <= 1 - specificity + 1e-12].max()
    return best, roc_auc_score(labels, scores, max_fpr=1 - specificity)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("specificity", [0.5, 0.8, 0.95])
def test_values_are_those_of_scikit_learn(seed, specificity):
    labels, scores = draw(seed)
    best, area = by_sklearn(labels, scores, specificity)
    options = {"specificity": specificity, "resamples": 5}
    assert sensitivity_at(labels, scores, **options).value == pytest.approx(best)
    assert partial_auc(labels, scores, **options).value == pytest.approx(area)


def test_intervals_are_the_quantiles_of_resampled_patients():
    labels, scores = draw(7, 60)
    ids = np.arange(60) // 2
    options = {"specificity": 0.8, "patient_ids": ids, "resamples": 150, "seed": 3}
    draws = draw_patients(ids, resamples=150, seed=3)
    values = []
    for counts in next(iter(draws.chunks())):
        rows = np.repeat(np.arange(60), counts[draws.patient].astype(int))
        values.append(by_sklearn(labels[rows], scores[rows], 0.8))
    bounds = np.quantile(values, [0.025, 0.975], axis=0)
    for function, ends in zip((sensitivity_at, partial_auc), bounds.T, strict=True):
        measure = function(labels, scores, **options)
        assert (measure.low, measure.high) == pytest.approx(tuple(ends))


def test_one_label_has_no_curve():
    measure = sensitivity_at([1, 1], [0.2, 0.4], specificity=0.9)
    assert np.isnan(measure.value)
    assert measure.reason == "no benign case"


def test_a_specificity_in_percent_is_refused():
    for function in (sensitivity_at, partial_auc):
        with pytest.raises(ValueError, match=r"`specificity` must be in \(0, 1\)"):
            function([0, 1], [0.2, 0.4], specificity=95)
