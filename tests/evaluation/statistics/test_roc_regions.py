import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from scipy.stats import t as student
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
    options = {"specificity": specificity}
    made = sensitivity_at(labels, scores, resamples=5, **options)
    assert made.value == pytest.approx(best)
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
    # As far out as Student's t, which plain percentiles were not: they covered less.
    freedom = min(len(np.unique(ids[labels == label])) for label in (0, 1)) - 1
    tail = norm.cdf(-student.ppf(0.975, freedom) * (1 + 1 / freedom) ** 0.5)
    ends = np.quantile([best for best, _ in values], [tail, 1 - tail])
    measure = sensitivity_at(labels, scores, **options)
    assert measure.method.endswith(f"resamples, seed 3, t({freedom})")
    assert (measure.low, measure.high) == pytest.approx(tuple(ends))


def test_the_interval_of_a_partial_area_is_the_jackknife_of_a_loop_over_patients():
    labels, scores = draw(7, 60)
    ids = np.arange(60) // 2
    measure = partial_auc(labels, scores, specificity=0.8, patient_ids=ids)
    value = by_sklearn(labels, scores, 0.8)[1]
    left = [by_sklearn(*(x[ids != own] for x in (labels, scores)), 0.8) for own in ids]
    left = np.array(left)[::2, 1]
    error = (29 / 30 * ((left - left.mean()) ** 2).sum()) ** 0.5
    freedom = min(len(np.unique(ids[labels == label])) for label in (0, 1)) - 1
    half = student.ppf(0.975, freedom) * error / value / (1 - value)
    ends = expit(logit(value) + np.array([-half, half]))
    assert (measure.low, measure.high) == pytest.approx(tuple(ends))
    assert measure.method == f"jackknife over patients, logit, t({freedom})"


def test_a_partial_area_of_one_patient_of_a_label_has_no_interval():
    labels = np.r_[np.zeros(20, int), 1, 1, 1]
    ids = np.r_[np.arange(20), 0, 20, 21]  # of 22 patients one has both labels
    _, scores = draw(3, 23)
    measure = partial_auc(labels, scores, specificity=0.5, patient_ids=ids)
    assert measure.method.startswith("jackknife")
    alone = partial_auc([0, 0, 0, 1], [1, 2, 3, 2.5], specificity=0.5)
    assert alone.reason == "a label has one patient only"
    # Without patient 0 there is no malignant case, though two patients have one label.
    ids = [0, 0, 1, 2]
    shared = partial_auc([0, 1, 0, 0], [1, 2, 3, 1], specificity=0.5, patient_ids=ids)
    assert np.isnan(shared.low)
    assert shared.reason == "a label has one patient only"


def test_one_label_has_no_curve():
    measure = sensitivity_at([1, 1], [0.2, 0.4], specificity=0.9)
    assert np.isnan(measure.value)
    assert measure.reason == "no benign case"


def test_a_specificity_in_percent_is_refused():
    for function in (sensitivity_at, partial_auc):
        with pytest.raises(ValueError, match=r"`specificity` must be in \(0, 1\)"):
            function([0, 1], [0.2, 0.4], specificity=95)
