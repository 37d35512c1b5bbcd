"""What a multi-reader analysis compares: figures of readings and their covariance."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.delong import delong_covariance
from usgland.evaluation.scores import weighted_auc

METHODS = ("delong", "jackknife")


def _mean_of(label: int) -> Callable[[NDArray, NDArray, NDArray], NDArray]:
    """Share of right calls among the cases of a label, for many weightings."""

    def share(labels: NDArray, calls: NDArray, weights: NDArray) -> NDArray:
        chosen = weights * (labels == label)
        with np.errstate(invalid="ignore"):
            return np.asarray(chosen @ (calls == label) / chosen.sum(axis=1))

    return share


# Name -> (figure of labels, one reading and weights; the label it rests on, if one).
FIGURES: dict[str, tuple[Callable[..., NDArray], int | None]] = {
    "roc_auc": (weighted_auc, None),
    "balanced_accuracy": (weighted_auc, None),  # of calls, both are one number
    "sensitivity": (_mean_of(1), 1),
    "specificity": (_mean_of(0), 0),
}


def estimate_figure(
    name: str,
    labels: ArrayLike,
    readings: ArrayLike,
    *,
    method: str,
    patient_ids: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A figure of each reading of the same cases, and their covariance due to cases.

    Args:
        name: One of `FIGURES`. The balanced accuracy is the area under the "curve"
            of one operating point.
        labels: `(cases,)`, 0 or 1, both among them.
        readings: `(readings, cases)`: scores for `roc_auc`, else calls, 0 or 1.
        method: `"delong"`, for areas; `"jackknife"`: leave out one patient at a
            time; for sensitivity and specificity of those with such cases, which
            makes it the usual s²/n.
        patient_ids: `(cases,)`: who each case belongs to, where patients have
            several; None where every case is independent.

    Returns:
        `(readings,)` and `(readings, readings)`; the covariance is NaN where one
        patient carries a label alone.

    Raises:
        ValueError: If the name or the method is unknown, DeLong's method is asked
            for what is no area, or the arguments do not fit.

    Reference:
        DeLong: see `delong_covariance`. Jackknife: Efron and Tibshirani, An
        Introduction to the Bootstrap, 1993, equation 11.5.
    """
    if name not in FIGURES:
        raise ValueError(f"`name` must be one of {list(FIGURES)}. Received: {name!r}")
    figure, label = FIGURES[name]
    if method not in METHODS or (method == "delong" and label is not None):
        raise ValueError(
            "`method` must be 'delong' (for areas) or 'jackknife'. "
            f"Received: {method!r} for {name}"
        )
    # Checks the arguments, too.
    areas, covariance = delong_covariance(labels, readings, patient_ids=patient_ids)
    labels, readings = np.asarray(labels), np.atleast_2d(np.asarray(readings))
    if name != "roc_auc" and not np.isin(readings, (0, 1)).all():
        raise ValueError(
            f"`readings` must be calls, 0 or 1, for {name}. "
            f"Received: {np.unique(readings)[:5].tolist()}"
        )
    if method == "delong":
        return areas, covariance
    whole = np.ones((1, len(labels)))
    values = np.array([figure(labels, one, whole)[0] for one in readings])
    return values, _jackknife(figure, label, labels, readings, patient_ids)


def _jackknife(
    figure: Callable[..., NDArray],
    label: int | None,
    labels: NDArray,
    readings: NDArray,
    patient_ids: ArrayLike | None,
) -> NDArray[np.float64]:
    ids = np.arange(len(labels)) if patient_ids is None else np.asarray(patient_ids)
    left_out = np.unique(ids if label is None else ids[labels == label])
    weights = (ids[None, :] != left_out[:, None]).astype("float64")
    figures = np.stack([figure(labels, one, weights) for one in readings])
    apart = figures - figures.mean(axis=1, keepdims=True)
    patients = len(left_out)
    return np.asarray((patients - 1) / patients * apart @ apart.T)
