"""Logistic regression by maximum likelihood, with the covariance of its coefficients.

No penalty, as its standard errors are wanted; patients with several cases are counted
as patients by a sandwich.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from usgland.evaluation.statistics.scores import checked_patients

STEPS = 100  # of Newton's method, at most; it takes about 8
CONVERGED = 1e-10
# Of a linear predictor: P(malignant) within 1e-11 of 0 or 1, as where labels separate.
FARTHEST = 25.0


class LogisticModel(NamedTuple):
    """A fitted logistic regression.

    Attributes:
        coefficients: `(columns,)`; NaN where there is no maximum.
        covariance: `(columns, columns)`: of the inverse information, or where patients
            have several cases, the sandwich of their summed scores; NaN of one patient.
        log_likelihood: At the maximum.
        reason: Why something is NaN; otherwise empty.
    """

    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_likelihood: float
    reason: str


def fit_logistic(
    design: ArrayLike,
    labels: ArrayLike,
    *,
    offset: ArrayLike = 0.0,
    patient_ids: ArrayLike | None = None,
    start: ArrayLike | None = None,
) -> LogisticModel:
    """Fits labels on the columns of a design by Newton's method.

    Args:
        design: `(cases, columns)`, with a column of ones where an intercept is wanted.
        labels: `(cases,)`, 0 or 1.
        offset: `(cases,)`: added to the linear predictor as it is.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        start: `(columns,)`: where the search begins; None for zeros.

    Reference:
        Sandwich of clusters: as `clustered_covariance`.
    """
    x, y = np.asarray(design, "float64"), np.asarray(labels, "float64")
    columns = x.shape[1]
    shift = np.broadcast_to(np.asarray(offset, "float64"), y.shape)
    none = np.full(columns, np.nan), np.full((columns, columns), np.nan), np.nan
    # That of x, whose singular values the triangle has.
    if np.linalg.matrix_rank(np.linalg.qr(x, mode="r")) < columns:
        return LogisticModel(*none, "the columns depend on each other")
    beta = np.zeros(columns) if start is None else np.asarray(start, "float64")
    best = _log_likelihood(x @ beta + shift, y)
    for _ in range(STEPS):
        chance = expit(x @ beta + shift)
        information = x.T @ (x * (chance * (1 - chance))[:, None])
        try:
            step = np.linalg.solve(information, x.T @ (y - chance))
        except np.linalg.LinAlgError:
            return LogisticModel(*none, "the labels are separated")
        # Halved until it gains: from 0 a full step may overshoot.
        for _ in range(STEPS):
            reached = _log_likelihood(x @ (beta + step) + shift, y)
            if reached >= best - 1e-12 * abs(best):
                break
            step = step / 2
        beta, best = beta + step, reached
        if np.abs(x @ beta + shift).max() > FARTHEST + np.abs(shift).max():
            return LogisticModel(*none, "the labels are separated")
        if np.abs(step).max() <= CONVERGED * (1 + np.abs(beta).max()):
            break
    else:
        return LogisticModel(*none, "the labels are separated")
    chance = expit(x @ beta + shift)
    inverse = np.linalg.inv(x.T @ (x * (chance * (1 - chance))[:, None]))
    if patient_ids is None:
        return LogisticModel(beta, inverse, best, "")
    ids = checked_patients(patient_ids, len(y))
    patients = len(np.unique(ids))
    if patients < len(y):
        if patients < 2:
            return LogisticModel(beta, none[1], best, "one patient only")
        inverse = clustered_covariance(inverse, x * (y - chance)[:, None], ids)
    return LogisticModel(beta, inverse, best, "")


def clustered_covariance(
    inverse: NDArray, scores: NDArray, patient_ids: ArrayLike
) -> NDArray[np.float64]:
    """The sandwich of the scores of cases, `(cases, columns)`, summed by patient.

    `inverse` is that of the information; there are two patients or more.

    Reference:
        [Liang and Zeger, 1986](https://doi.org/10.1093/biomet/73.1.13), with the factor
        patients / (patients - 1).
    """
    _, patient = np.unique(patient_ids, return_inverse=True)
    patients = int(patient.max()) + 1
    sums = np.zeros((patients, scores.shape[1]))
    np.add.at(sums, patient, scores)
    return np.asarray(inverse @ (sums.T @ sums) @ inverse * patients / (patients - 1))


def _log_likelihood(predictor: NDArray, labels: NDArray) -> float:
    return -float(np.logaddexp(0, (1 - 2 * labels) * predictor).sum())
