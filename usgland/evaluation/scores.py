"""Figures of merit of a binary classifier, and their bootstrap intervals.

Every figure is computed from counts that may carry leading dimensions, so that
thousands of resamples cost little more than one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# In the order in which tables show them.
FIGURES = (
    "sensitivity",
    "specificity",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "cohen_kappa",
    "jaccard",
    "roc_auc",
)
# Weights held at a time for the AUC of resamples, 32 MB.
CHUNK = 4_000_000


class Interval(NamedTuple):
    """Bounds of a figure; NaN where the resamples can give none.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        method: How it was made, or why there is none.
        undefined: Resamples left out because the figure was not defined in them.
    """

    low: float
    high: float
    method: str
    undefined: int


def confusion(labels: ArrayLike, predictions: ArrayLike) -> NDArray[np.int64]:
    """Counts cases by label and decision.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        predictions: `(cases,)`, likewise.

    Returns:
        `[[tn, fp], [fn, tp]]`: rows are labels, columns predictions.

    Raises:
        ValueError: If the two differ in length or hold anything but 0 and 1.
    """
    kinds = _kinds(labels, predictions)
    return np.bincount(kinds, minlength=4).reshape(2, 2)


def score(
    labels: ArrayLike, probabilities: ArrayLike, threshold: ArrayLike
) -> dict[str, float]:
    """Computes every figure of `FIGURES` for one set of cases.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in [0, 1].
        threshold: P(malignant) from which a case is called malignant; one for all,
            or `(cases,)`, as in cross-validation.

    Returns:
        Name -> value. NaN where undefined: sensitivity without malignant cases,
        specificity without benign ones, balanced accuracy and AUC without either,
        F1 and Jaccard where nothing is malignant nor called so, kappa where all
        cases have one label and one prediction.

    Raises:
        ValueError: If the arguments differ in length or are out of range.

    Reference:
        Jaccard, accuracy and F1: equations 1 to 3 of the paper, F1 of the malignant
        class. Kappa: [Cohen, 1960](https://doi.org/10.1177/001316446002000104).
    """
    labels, probabilities = _checked(labels, probabilities)
    predictions = probabilities >= np.asarray(threshold, "float64")
    counts = confusion(labels, predictions).reshape(1, 4)
    figures = figures_of_counts(counts)
    once = np.ones((1, len(labels)))
    figures["roc_auc"] = weighted_auc(labels, probabilities, once)
    return {name: float(figures[name][0]) for name in FIGURES}


def figures_of_counts(counts: NDArray) -> dict[str, NDArray[np.float64]]:
    """All figures but the AUC.

    Args:
        counts: `(sets, 4)`: tn, fp, fn, tp of each set of cases.

    Returns:
        Name -> `(sets,)`; NaN where undefined, see `score`.
    """
    tn, fp, fn, tp = np.asarray(counts, "float64").T
    n, malignant, benign = tn + fp + fn + tp, tp + fn, tn + fp
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = tp / malignant, tn / benign
        observed = (tp + tn) / n
        # By whole numbers: a chance of exactly 1 must give 0 / 0.
        chance = malignant * (tp + fp) + benign * (tn + fn)
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "accuracy": observed,
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "f1": 2 * tp / (2 * tp + fp + fn),
            "cohen_kappa": ((tp + tn) * n - chance) / (n * n - chance),
            "jaccard": tp / (tp + fp + fn),
        }


def weighted_auc(
    labels: NDArray, probabilities: NDArray, weights: NDArray
) -> NDArray[np.float64]:
    """Area under the ROC curve, for many weightings of the same cases at once.

    The share of pairs of a malignant and a benign case in which the malignant one
    has the higher probability, ties counting one half; by mid-ranks.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`.
        weights: `(sets, cases)`: how often each case stands in each set.

    Returns:
        `(sets,)`; NaN where a set lacks one class.
    """
    order = np.argsort(probabilities, kind="stable")
    malignant = labels[order] == 1
    ordered = probabilities[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    weights = weights[:, order]
    benign = np.add.reduceat(weights * ~malignant, starts, axis=1)
    positive = np.add.reduceat(weights * malignant, starts, axis=1)
    below = np.cumsum(benign, axis=1) - benign / 2
    pairs = positive.sum(axis=1) * benign.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (positive * below).sum(axis=1) / pairs


def resample_patients(patients: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Draws patients with replacement, as many as there are.

    Two sets of predictions of the same patients, resampled with the same seed, are
    resampled alike.

    Returns:
        `(resamples, patients)`: how often each patient was drawn.
    """
    drawn = np.random.default_rng(seed).integers(0, patients, (resamples, patients))
    drawn += patients * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * patients)
    return counts.reshape(resamples, patients)


def bootstrap_figures(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    patient_ids: ArrayLike,
    *,
    resamples: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Every figure in every resample of patients, each with all images.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        threshold: One, or `(cases,)`.
        patient_ids: `(cases,)`: who each case belongs to.
        resamples: How many.
        seed: Of the draw.

    Returns:
        Name -> `(resamples,)`; NaN where undefined, see `score`.
    """
    labels, probabilities = _checked(labels, probabilities)
    kinds = _kinds(labels, probabilities >= np.asarray(threshold, "float64"))
    # Sorted by np.unique: the order of the rows has no say in the draw.
    ids, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    drawn = resample_patients(len(ids), resamples, seed)
    counts = np.zeros((len(ids), 4))
    np.add.at(counts, (patient, kinds), 1)
    figures = figures_of_counts(drawn @ counts)
    step = max(1, CHUNK // len(labels))
    chunks = [
        weighted_auc(labels, probabilities, drawn[start : start + step][:, patient])
        for start in range(0, resamples, step)
    ]
    figures["roc_auc"] = np.concatenate(chunks) if chunks else np.empty(0)
    return figures


def percentile_interval(values: NDArray, *, level: float, seed: int) -> Interval:
    """The percentile bootstrap interval of one figure.

    It has no bounds where no resample differs from another: of 21 patients called
    right, every resample has a sensitivity of 1, which is no evidence that the next
    patient will be.

    Args:
        values: `(resamples,)`, NaN where undefined, which are left out and counted.
        level: Confidence level in (0, 1).
        seed: Of the draw, for the record.
    """
    if not len(values):
        return Interval(np.nan, np.nan, "none: 0 bootstrap resamples asked for", 0)
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(defined):
        return Interval(np.nan, np.nan, "none: undefined in every resample", undefined)
    if np.ptp(defined) == 0:
        reason = f"none: the same value in all {len(defined)} resamples"
        return Interval(np.nan, np.nan, reason, undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    method = f"percentile bootstrap over patients, {len(values)} resamples, seed {seed}"
    return Interval(float(low), float(high), method, undefined)


def _checked(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, "float64")
    if labels.shape != probabilities.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            "`labels` and `probabilities` must be of one length, not 0. "
            f"Received: shapes {labels.shape} and {probabilities.shape}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(
            "`probabilities` must be in [0, 1]. "
            f"Received: {probabilities.min()} to {probabilities.max()}"
        )
    return labels, probabilities


def _kinds(labels: ArrayLike, predictions: ArrayLike) -> NDArray[np.int64]:
    """0 true negative, 1 false positive, 2 false negative, 3 true positive."""
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            "`labels` and `predictions` must be of one length. "
            f"Received: shapes {labels.shape} and {predictions.shape}"
        )
    for name, values in (("labels", labels), ("predictions", predictions)):
        if not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"`{name}` must be 0 or 1. Received: {np.unique(values)[:5].tolist()}"
            )
    return 2 * labels.astype("int64") + predictions.astype("int64")
