"""How much an image adds to what the form says: one weight, that may be none at all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special

# Penalties on the squared weight, beside the mean log loss of a patient; the last
# leaves no weight.
PENALTIES = (*np.logspace(-4, 1, 11), np.inf)


class OffsetWeight(NamedTuple):
    """What the image's logit is multiplied with, and how that was chosen.

    Attributes:
        weight: Of the standardized logit, in [0, 1].
        mean: Of the logits that it was fitted on.
        deviation: Likewise.
        penalty: The one chosen.
        losses: Mean log loss of a held-out patient at each of `PENALTIES`.
    """

    weight: float
    mean: float
    deviation: float
    penalty: float
    losses: Sequence[float]


def fit_offset_weight(
    offsets: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    patient_ids: np.ndarray,
    folds: np.ndarray,
) -> OffsetWeight:
    """Fits the image's weight beside an offset, with a ridge penalty.

    The penalty is the largest whose loss is no more than one standard error above the
    least. Loss and error are of patients in folds that the weight was not fitted on;
    the error is that of the difference, patient by patient: what is hard for both says
    nothing about either. Every patient has one voice, however many images there are.

    Args:
        offsets: Logits of the form, `(images,)`, by a model that has not learned from
            them.
        logits: The same of the image.
        labels: 0 or 1.
        patient_ids: Whose they are.
        folds: The fold of each patient.

    Reference:
        The rule: Breiman et al., Classification and Regression Trees, 1984, 3.4.3.
    """
    mean, deviation = _moments(logits, patient_ids)
    scores = (logits - mean) / deviation
    columns = (offsets, scores, labels, patient_ids)
    losses = []
    for fold in np.unique(folds):
        learned = [column[folds != fold] for column in columns]
        offset, score, label, patient = (column[folds == fold] for column in columns)
        weights = np.array([_fit(penalty, *learned) for penalty in PENALTIES])
        logit = offset[:, None] + score[:, None] * weights
        losses.append(_per_patient(_log_loss(logit, label[:, None]), patient))
    held_out = np.concatenate(losses)  # `(patients, penalties)`
    means = held_out.mean(axis=0)
    best = len(means) - 1 - np.argmin(means[::-1])  # of equal ones the largest
    excess = held_out - held_out[:, [best]]
    errors = excess.std(axis=0, ddof=1) / np.sqrt(len(excess))
    chosen = np.flatnonzero(excess.mean(axis=0) <= errors)[-1]
    penalty = float(PENALTIES[chosen])
    weight = _fit(penalty, *columns)
    return OffsetWeight(weight, mean, deviation, penalty, means.tolist())


def _moments(values: np.ndarray, patient_ids: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, every patient once; of equal values 1 is the one."""
    voices = _voices(patient_ids)
    mean = float(np.average(values, weights=voices))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=voices)))
    return mean, deviation if deviation > 0 else 1.0


def _fit(
    penalty: float,
    offsets: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    patient_ids: np.ndarray,
) -> float:
    """The weight in [0, 1] of the least penalized loss, which is convex in it."""
    if np.isinf(penalty):
        return 0.0
    voices = _voices(patient_ids)

    def slope(weight: float) -> float:
        excess = scipy.special.expit(offsets + weight * scores) - labels
        return float(np.average(excess * scores, weights=voices) + 2 * penalty * weight)

    if slope(0.0) >= 0:
        return 0.0
    return 1.0 if slope(1.0) <= 0 else float(scipy.optimize.brentq(slope, 0.0, 1.0))


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, logits) - labels * logits


def _per_patient(values: np.ndarray, patient_ids: np.ndarray) -> np.ndarray:
    """The mean of the rows of each patient."""
    _, patient, images = np.unique(patient_ids, return_inverse=True, return_counts=True)
    sums = np.zeros((len(images), values.shape[1]))
    np.add.at(sums, patient, values)
    return sums / images[:, None]


def _voices(patient_ids: np.ndarray) -> np.ndarray:
    """One over the number of images of a row's patient."""
    _, patient, images = np.unique(patient_ids, return_inverse=True, return_counts=True)
    return 1 / images[patient]
