"""Figures of merit of a binary classifier.

Every figure is computed from counts that may carry leading dimensions, so that
thousands of resamples cost little more than one.
"""

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
    kinds = kinds_of_cases(labels, predictions)
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
    labels, probabilities = checked_cases(labels, probabilities)
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


def roc_points(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ROC curve: one point a distinct probability, from (0, 0) to (1, 1).

    Args:
        labels: `(cases,)`, 0 or 1, both among them.
        probabilities: `(cases,)`, in [0, 1].

    Returns:
        1 - specificity and sensitivity, each `(distinct probabilities + 1,)`.

    Raises:
        ValueError: If there is one class only, or as `score`.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    cuts = np.r_[np.inf, np.unique(probabilities)[::-1]]

    def share_reaching(label: int) -> NDArray[np.float64]:
        cases = np.sort(probabilities[labels == label])
        if not len(cases):
            raise ValueError(
                f"`labels` must hold 0 and 1. Received: none of label {label}"
            )
        return np.asarray(1 - np.searchsorted(cases, cuts) / len(cases))

    return share_reaching(0), share_reaching(1)


def checked_cases(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities as arrays, `(cases,)`.

    Raises:
        ValueError: If they differ in length, are empty or out of range.
    """
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


def kinds_of_cases(labels: ArrayLike, predictions: ArrayLike) -> NDArray[np.int64]:
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
