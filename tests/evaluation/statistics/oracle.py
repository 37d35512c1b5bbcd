"""Cases that the tests of this room draw, and what scikit-learn says of them."""

import warnings

import numpy as np
from scipy.stats import norm
from sklearn import metrics as sklearn_metrics
from sklearn.exceptions import UndefinedMetricWarning


def draw_cases(seed, cases=60, patients=25):
    """Labels, probabilities with ties, and whose the cases are; unequal clusters."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, cases)
    noisy = np.clip(labels * 0.3 + rng.uniform(0, 0.8, cases), 0, 1)
    return labels, noisy.round(1), rng.integers(0, patients, cases).astype(str)


def sklearn_measures(labels, probabilities, threshold):
    predictions = (probabilities >= threshold).astype(int)
    return {
        "sensitivity": sklearn_metrics.recall_score(labels, predictions),
        "specificity": sklearn_metrics.recall_score(labels, predictions, pos_label=0),
        "ppv": sklearn_metrics.precision_score(labels, predictions),
        "npv": sklearn_metrics.precision_score(labels, predictions, pos_label=0),
        "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(
            labels, predictions
        ),
        "f1": sklearn_metrics.f1_score(labels, predictions),
        "f1_macro": sklearn_metrics.f1_score(labels, predictions, average="macro"),
        "mcc": sklearn_metrics.matthews_corrcoef(labels, predictions),
        "cohen_kappa": sklearn_metrics.cohen_kappa_score(labels, predictions),
        "jaccard": sklearn_metrics.jaccard_score(labels, predictions),
        "roc_auc": sklearn_metrics.roc_auc_score(labels, probabilities),
        "average_precision": sklearn_metrics.average_precision_score(
            labels, probabilities
        ),
        "brier": sklearn_metrics.brier_score_loss(labels, probabilities),
        **likelihood_ratios(labels, predictions),
    }


def likelihood_ratios(labels, predictions):
    with warnings.catch_warnings():  # where a resample has no false positive
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        positive, negative = sklearn_metrics.class_likelihood_ratios(
            labels, predictions
        )
    return {
        "positive_likelihood_ratio": positive,
        "negative_likelihood_ratio": negative,
    }


def draw_scores(seed=0, patients=60, images=1):
    """As `draw_cases`, without ties, every patient of one label and `images` cases."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(patients), images)
    labels = ids % 2
    own = np.repeat(rng.normal(size=patients), images)
    scores = labels * 1.5 + own + rng.normal(size=len(ids))
    return labels, norm.cdf(scores - 0.75), ids.astype(str)
