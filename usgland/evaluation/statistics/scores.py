"""Measures of a binary classifier: of its calls, and of its probabilities.

Every measure is computed from counts that may carry leading dimensions, so that
thousands of resamples cost little more than one.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

LACKING = {"no benign case": 0, "no malignant case": 1}
NO_BENIGN, NO_MALIGNANT = LACKING
# Why a measure is not defined, in the order in which a reason is looked for; the
# measures in the order in which tables show them.
UNDEFINED: dict[str, tuple[str, ...]] = {
    "sensitivity": (NO_MALIGNANT,),
    "specificity": (NO_BENIGN,),
    "ppv": ("no case is called malignant",),
    "npv": ("no case is called benign",),
    "accuracy": (),
    "balanced_accuracy": (*LACKING,),
    "f1": ("no case is malignant or called so",),
    "f1_macro": ("one of the labels is in no case and in no decision",),
    "cohen_kappa": ("all cases have one label and one decision",),
    "mcc": (*LACKING, "all cases get one decision"),
    "jaccard": ("no case is malignant or called so",),
    "positive_likelihood_ratio": (*LACKING, "no benign case is called malignant"),
    "negative_likelihood_ratio": (*LACKING, "no benign case is called benign"),
    "roc_auc": (*LACKING,),
    "average_precision": (NO_MALIGNANT,),
    "brier": (),
}
MEASURES = tuple(UNDEFINED)
# Those that need probabilities, not only decisions.
OF_PROBABILITIES = ("roc_auc", "average_precision", "brier")


def confusion(labels: ArrayLike, predictions: ArrayLike) -> NDArray[np.int64]:
    """Counts cases by label and decision.

    Returns:
        `[[tn, fp], [fn, tp]]`: rows are labels, columns predictions.

    Raises:
        ValueError: As `kinds_of_cases`.
    """
    return np.bincount(kinds_of_cases(labels, predictions), minlength=4).reshape(2, 2)


def score(
    labels: ArrayLike,
    probabilities: ArrayLike,
    threshold: ArrayLike,
    names: Sequence[str] = MEASURES,
) -> dict[str, float]:
    """Computes measures of one set of cases, each of `names`; arguments as `measures`.

    Returns:
        Name -> value, NaN where undefined; `undefined_reason` says why.

    Reference:
        Jaccard, accuracy and F1: equations 1 to 3 of the paper, F1 of the malignant
        class; macro F1 is the mean over both. Kappa: [Cohen,
        1960](https://doi.org/10.1177/001316446002000104). MCC: [Matthews,
        1975](https://doi.org/10.1016/0005-2795(75)90109-9). Brier score: [Brier,
        1950](https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2).
    """
    if unknown := [name for name in names if name not in MEASURES]:
        raise ValueError(f"Expected names of {list(MEASURES)}. Received: {unknown}")
    labels, probabilities = checked_cases(labels, probabilities)
    calls = probabilities >= np.asarray(threshold, "float64")
    measures = measures_of_counts(confusion(labels, calls).reshape(1, 4))
    if set(names) & set(OF_PROBABILITIES):
        once = np.ones((1, len(labels)))
        measures |= measures_of_probabilities(labels, probabilities, once)
    return {name: float(measures[name][0]) for name in names}


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, ties counting one half.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        scores: `(cases,)`, higher is more suspicious: probabilities, logits or grades.

    Returns:
        In [0, 1]; NaN where there is one label only.

    Raises:
        ValueError: If the two differ in length, a label is not 0 or 1, or a score is
            not finite.

    Reference:
        [Hanley and McNeil, 1982](https://doi.org/10.1148/radiology.143.1.7063747):
        the share of pairs of a malignant and a benign case that are ranked right.

    Example:
        Of 2 * 3 pairs 4 are ranked right and 1 is a tie.

        >>> import usgland.evaluation as ev
        >>> ev.roc_auc([0, 0, 0, 1, 1], [0.1, 0.4, 0.8, 0.4, 0.9])
        0.75
    """
    labels, scores = checked_scores(labels, scores)
    return float(weighted_auc(labels, scores, np.ones((1, len(labels))))[0])


def measures_of_counts(counts: NDArray) -> dict[str, NDArray[np.float64]]:
    """All measures of decisions.

    Args:
        counts: `(sets, 4)`: tn, fp, fn, tp of each set of cases.

    Returns:
        Name -> `(sets,)`; NaN where undefined.
    """
    tn, fp, fn, tp = np.asarray(counts, "float64").T
    n, malignant, benign = tn + fp + fn + tp, tp + fn, tn + fp
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = tp / malignant, tn / benign
        # By whole numbers: a chance of exactly 1 must give 0 / 0.
        chance = malignant * (tp + fp) + benign * (tn + fn)
        f1, f1_benign = 2 * tp / (2 * tp + fp + fn), 2 * tn / (2 * tn + fp + fn)
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        # A ratio with 0 below it has no value to put into a table.
        positive = np.where(fp > 0, sensitivity / (1 - specificity), np.nan)
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "accuracy": (tp + tn) / n,
            "f1_macro": (f1 + f1_benign) / 2,
            "mcc": (tp * tn - fp * fn) / np.sqrt(product),
            "positive_likelihood_ratio": positive,
            "negative_likelihood_ratio": np.where(
                tn > 0, (1 - sensitivity) / specificity, np.nan
            ),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "f1": f1,
            "cohen_kappa": ((tp + tn) * n - chance) / (n * n - chance),
            "jaccard": tp / (tp + fp + fn),
        }


def predictive_values(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positive and negative predictive value where another share is malignant.

    Returns:
        Both, as many as sensitivities; NaN where nothing is called so.

    Reference:
        [Altman and Bland, 1994](https://doi.org/10.1136/bmj.309.6947.102)
    """
    check_between_0_and_1(prevalence=prevalence)
    sensitivity, specificity = np.asarray(sensitivity), np.asarray(specificity)
    tp, fn = prevalence * sensitivity, prevalence * (1 - sensitivity)
    tn, fp = (1 - prevalence) * specificity, (1 - prevalence) * (1 - specificity)
    with np.errstate(divide="ignore", invalid="ignore"):
        return tp / (tp + fp), tn / (tn + fn)


def measures_of_probabilities(
    labels: NDArray,
    probabilities: NDArray,
    weights: NDArray,
    names: Sequence[str] = OF_PROBABILITIES,
) -> dict[str, NDArray[np.float64]]:
    """The measures of `OF_PROBABILITIES`, for many weightings of the same cases.

    Args:
        labels: `(cases,)`.
        probabilities: `(cases,)`.
        weights: `(sets, cases)`: how often each case stands in each set.
        names: Those wanted; others are left out.

    Returns:
        Name -> `(sets,)`; NaN where a set lacks a label that the measure needs.

    Reference:
        Average precision as in scikit-learn: precision at each threshold, weighted by
        the recall it adds; no interpolation.
    """
    measures = {}
    if "brier" in names:
        error = (probabilities - labels) ** 2
        with np.errstate(invalid="ignore"):  # a set without cases has none
            measures["brier"] = weights @ error / weights.sum(axis=1)
    if not {"roc_auc", "average_precision"} & set(names):
        return measures
    benign, malignant = _sums_by_threshold(labels, probabilities, weights)
    if "roc_auc" in names:
        measures["roc_auc"] = _areas(benign, malignant)
    if "average_precision" in names:
        # From the highest threshold down.
        reached = np.cumsum(malignant[:, ::-1], axis=1)
        called = np.cumsum(benign[:, ::-1], axis=1)
        called += reached
        np.divide(reached, called, out=called, where=called > 0)
        called *= malignant[:, ::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            measures["average_precision"] = called.sum(axis=1) / reached[:, -1]
    return measures


def weighted_auc(
    labels: NDArray, probabilities: NDArray, weights: NDArray
) -> NDArray[np.float64]:
    """Area under the ROC curve, for many weightings of the same cases at once.

    As in `measures_of_probabilities`: `(sets,)`, NaN where a set lacks a label.
    """
    return _areas(*_sums_by_threshold(labels, probabilities, weights))


def _sums_by_threshold(
    labels: NDArray, probabilities: NDArray, weights: NDArray
) -> tuple[NDArray, NDArray]:
    """Weights of benign and malignant cases by ascending distinct probability."""
    if (probabilities[1:] < probabilities[:-1]).any():
        order = np.argsort(probabilities, kind="stable")
        labels, probabilities = labels[order], probabilities[order]
        weights = weights[:, order]
    malignant = labels == 1
    starts = np.flatnonzero(np.r_[True, probabilities[1:] != probabilities[:-1]])
    weights = np.asarray(weights, "float64")
    both = weights if len(starts) == len(labels) else None
    of_malignant = weights * malignant
    if both is None:
        both = np.add.reduceat(weights, starts, axis=1)
        of_malignant = np.add.reduceat(of_malignant, starts, axis=1)
    return both - of_malignant, of_malignant


def _areas(benign: NDArray, malignant: NDArray) -> NDArray[np.float64]:
    """Areas under ROC curves, from the sums of `_sums_by_threshold`."""
    below = np.cumsum(benign, axis=1) - benign / 2
    pairs = malignant.sum(axis=1) * benign.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((malignant * below).sum(axis=1) / pairs)


def checked_labels(values: ArrayLike, name: str = "labels") -> NDArray[np.int64]:
    """Labels or calls as whole numbers, 0 benign and 1 malignant; bool is taken, too.

    Raises:
        ValueError: If a value is anything else, such as a word or a missing one.
    """
    received = np.asarray(values)
    if received.dtype.kind in "biuf" and ((received == 0) | (received == 1)).all():
        return received.astype("int64")
    numbers = received.ravel().tolist()
    wrong = [x for x in numbers if not (isinstance(x, int | float) and x in (0, 1))]
    if wrong:
        shown = list(dict.fromkeys(map(repr, wrong)))[:5]
        hint = "; words are mapped first: labels == 'malignant'"
        raise ValueError(
            f"`{name}` must be 0 or 1. Received: {', '.join(shown)}"
            + (hint if any(isinstance(x, str) for x in wrong) else "")
        )
    return received.astype("int64")


def checked_scores(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and scores of any scale as arrays, `(cases,)`."""
    labels, scores = checked_labels(labels), np.asarray(scores, "float64")
    finite = np.isfinite(scores)
    if labels.shape != scores.shape or labels.ndim != 1 or not finite.all():
        raise ValueError(
            "`labels` and `scores` must be of one length, scores finite. Received: "
            f"shapes {labels.shape} and {scores.shape}, {(~finite).sum()} not finite"
        )
    return labels, scores


def checked_cases(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities as arrays, `(cases,)`.

    Raises:
        ValueError: If they differ in length, are empty or out of range.
    """
    labels, probabilities = checked_labels(labels), np.asarray(probabilities, "float64")
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


def checked_patients(patient_ids: ArrayLike | None, cases: int) -> NDArray:
    """Who each case belongs to, `(cases,)`; None where every case is independent."""
    ids = np.arange(cases) if patient_ids is None else np.asarray(patient_ids)
    if ids.shape != (cases,):
        raise ValueError(
            f"`patient_ids` must have one entry a case, {cases}. "
            f"Received: shape {ids.shape}"
        )
    return ids


def check_between_0_and_1(**options: float | None) -> None:
    """Refuses options, such as a confidence level, that are not in (0, 1) or None."""
    for name, value in options.items():
        if value is not None and not 0 < value < 1:
            raise ValueError(f"`{name}` must be in (0, 1). Received: {value}")


def kinds_of_cases(labels: ArrayLike, predictions: ArrayLike) -> NDArray[np.int64]:
    """0 true negative, 1 false positive, 2 false negative, 3 true positive.

    Raises:
        ValueError: If the two differ in length or hold anything but 0 and 1.
    """
    labels = checked_labels(labels)
    predictions = checked_labels(predictions, "predictions")
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            "`labels` and `predictions` must be of one length. "
            f"Received: shapes {labels.shape} and {predictions.shape}"
        )
    return 2 * labels + predictions


def undefined_reason(name: str, labels: ArrayLike, value: float) -> str:
    """Why a measure of cases with these labels is NaN; "" where it is not."""
    if value == value:
        return ""
    present = set(np.unique(np.asarray(labels)))
    for reason in UNDEFINED[name]:
        if LACKING.get(reason) not in present:
            return reason
    return "not defined"
