"""DeLong's covariance of areas under ROC curves, by mid-ranks.

Of several readings of the same cases, so that they can be compared as paired data;
with patients who have several images, by Obuchowski's extension to clusters.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from usgland.evaluation.statistics.scores import checked_labels, checked_patients


class Placements(NamedTuple):
    """Where each case stands among the cases of the other label.

    Whole numbers, so that what is equal stays equal: a pair of a malignant and a
    benign case counts 2 where the malignant one has the higher score, 1 for a tie.

    Attributes:
        malignant: `(models, malignant)`: sums over the benign cases.
        benign: `(models, benign)`: sums over the malignant cases.
    """

    malignant: NDArray[np.float64]
    benign: NDArray[np.float64]


def delong_covariance(
    labels: ArrayLike, scores: ArrayLike, *, patient_ids: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas under the ROC curves of several models on the same cases.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        scores: `(models, cases)` or `(cases,)`: higher is more suspicious; any
            finite numbers, such as probabilities or a reader's grades.
        patient_ids: `(cases,)`: who each case belongs to, where patients have
            several; None where every case is independent.

    Returns:
        The areas, `(models,)`, and their covariance, `(models, models)`. The
        covariance is NaN where a label has one case (or one patient) only, and 0
        for a model that ranks every case right.

    Raises:
        ValueError: If the arguments differ in length, there is one label only, or
            a score is not finite.

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595), equations 5 and 6;
        by mid-ranks as in [Sun and Xu,
        2014](https://doi.org/10.1109/LSP.2014.2337313), algorithm 2; with
        `patient_ids` [Obuchowski, 1997](https://doi.org/10.2307/2533958).
    """
    placed = placements(labels, scores)
    return areas(placed), covariance_of_areas(placed, labels, patient_ids=patient_ids)


def placements(labels: ArrayLike, scores: ArrayLike) -> Placements:
    """Ranks each case among those of the other label, and checks the arguments."""
    labels, scores = _checked(labels, scores)
    malignant = labels == 1
    ranks = rankdata(scores, axis=1)
    among_malignant = rankdata(scores[:, malignant], axis=1)
    among_benign = rankdata(scores[:, ~malignant], axis=1)
    return Placements(
        2 * (ranks[:, malignant] - among_malignant),
        2 * (malignant.sum() - ranks[:, ~malignant] + among_benign),
    )


def areas(placed: Placements) -> NDArray[np.float64]:
    """Areas under the ROC curves, `(models,)`."""
    pairs = placed.malignant.shape[1] * placed.benign.shape[1]
    return np.asarray(placed.malignant.sum(axis=1) / (2 * pairs))


def covariance_of_areas(
    placed: Placements, labels: ArrayLike, *, patient_ids: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Covariance of areas, or of differences of areas.

    Placements may be added and subtracted: the variance of the difference of two
    models is that of the difference of their placements, and exactly 0 where the
    two rank alike.

    Returns:
        `(models, models)`.
    """
    labels = np.asarray(labels)
    ids = checked_patients(patient_ids, len(labels))
    _, patient = np.unique(ids, return_inverse=True)
    malignant, owners = _sums(placed.malignant, patient, labels == 1)
    benign, owners_of_benign = _sums(placed.benign, patient, labels == 0)
    within_malignant = _unbiased(owners.sum()) * malignant @ malignant.T
    within_benign = _unbiased(owners_of_benign.sum()) * benign @ benign.T
    # Patients who have cases of both labels tie the two parts together.
    both = _unbiased(len(owners)) * malignant @ benign.T
    pairs = placed.malignant.shape[1] * placed.benign.shape[1]
    return (within_malignant + within_benign + both + both.T) / (2 * pairs) ** 2


def has_clusters(patient_ids: ArrayLike | None) -> bool:
    """Whether any patient has several cases; otherwise the plain formulas hold."""
    ids = np.asarray([] if patient_ids is None else patient_ids)
    return len(np.unique(ids)) < len(ids)


def variance_name(clustered: bool) -> str:
    """How a variance was made, for the record."""
    return "DeLong, clustered by patient (Obuchowski)" if clustered else "DeLong"


def no_variance(variance: float, clustered: bool) -> str:
    """Why no interval can be made of a variance of 0 or NaN."""
    if variance == 0:
        return f"{variance_name(clustered)} variance is 0"
    return f"a label has one {'patient' if clustered else 'case'} only"


def _sums(
    placed: NDArray, patient: NDArray, chosen: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Deviations from the mean summed by patient, and who has such cases."""
    patients = patient.max() + 1
    deviations = placed - placed.sum(axis=1, keepdims=True) / placed.shape[1]
    sums = np.zeros((len(placed), patients))
    np.add.at(sums.T, patient[chosen], deviations.T)
    return sums, np.bincount(patient[chosen], minlength=patients) > 0


def _unbiased(patients: int) -> float:
    return patients / (patients - 1) if patients > 1 else np.nan


def _checked(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels = checked_labels(labels)
    scores = np.atleast_2d(np.asarray(scores, "float64"))
    if labels.ndim != 1 or scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ValueError(
            "`labels` must be `(cases,)`, `scores` `(models, cases)` or `(cases,)`. "
            f"Received: shapes {labels.shape} and {scores.shape}"
        )
    if sorted(np.unique(labels).tolist()) != [0, 1]:
        raise ValueError(
            "`labels` must hold 0 and 1, both of them. "
            f"Received: {np.unique(labels)[:5].tolist()}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            "`scores` must be finite numbers. "
            f"Received: {int((~np.isfinite(scores)).sum())} that are not"
        )
    return labels, scores
