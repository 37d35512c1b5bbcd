"""The ROC curve, and how far it could lie elsewhere: a pointwise band over patients."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.statistics.bootstrap import draw_patients
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import checked_cases, checked_scores

BAND_POINTS = 101
MOST_CUTS = 1000  # of the curves that make a band
CHUNK = 200  # curves at a time


class RocPoints(NamedTuple):
    """A ROC curve, from (0, 0) to (1, 1), each `(distinct scores + 1,)`.

    Attributes:
        false_positive_rate: 1 - specificity.
        sensitivity: At the same threshold.
        threshold: The score from which, itself included, a case is called malignant;
            infinite in the first place, where none is.
    """

    false_positive_rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    threshold: NDArray[np.float64]

    def __repr__(self) -> str:
        return readable(self)


def roc_points(labels: ArrayLike, scores: ArrayLike) -> RocPoints:
    """The ROC curve: one point a distinct score, from (0, 0) to (1, 1).

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant, both among them.
        scores: `(cases,)`, higher is more suspicious: probabilities, logits or grades.

    Raises:
        ValueError: If there is one label only, or as `roc_auc`.

    Reference:
        [Fawcett, 2006](https://doi.org/10.1016/j.patrec.2005.10.010), algorithm 1.

    Example:
        >>> import usgland.evaluation as ev
        >>> curve = ev.roc_points([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        >>> curve.false_positive_rate
        array([0. , 0. , 0.5, 0.5, 1. ])
        >>> curve.sensitivity
        array([0. , 0.5, 0.5, 1. , 1. ])
        >>> curve.threshold
        array([ inf, 0.8 , 0.4 , 0.35, 0.1 ])
    """
    labels, scores = checked_scores(labels, scores)
    cuts = np.r_[np.inf, np.unique(scores)[::-1]]

    def share_reaching(label: int) -> NDArray[np.float64]:
        cases = np.sort(scores[labels == label])
        if not len(cases):
            raise ValueError(
                f"`labels` must hold 0 and 1. Received: none of label {label}"
            )
        return np.asarray(1 - np.searchsorted(cases, cuts) / len(cases))

    return RocPoints(share_reaching(0), share_reaching(1), cuts)


def roc_band(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patient_ids: ArrayLike,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The interval of the sensitivity at each false positive rate.

    Patients are drawn with replacement, each with all cases; the sensitivity between
    two points of a curve is that of the line between them.

    Returns:
        False positive rates, lower and upper bounds, `(BAND_POINTS,)` each.

    Reference:
        Pointwise, so the whole curve leaves it more often than 1 - level: [Macskassy
        et al., 2005](https://doi.org/10.1145/1102351.1102419).
    """
    labels, probabilities = checked_cases(labels, probabilities)
    draws = draw_patients(patient_ids, resamples=resamples, seed=seed)
    # Columns from the highest probability down; of very many only some, evenly.
    cuts = np.unique(probabilities)
    if len(cuts) > MOST_CUTS:
        cuts = np.unique(np.quantile(cuts, np.linspace(0, 1, MOST_CUTS + 1)[1:]))
    column = len(cuts) - 1 - np.searchsorted(cuts, probabilities)
    cells = len(cuts) * draws.groups
    benign, malignant = (
        np.bincount(place[labels == label], minlength=cells).reshape(-1, len(cuts))
        for place in [draws.group * len(cuts) + column]
        for label in (0, 1)
    )
    rates = np.linspace(0, 1, BAND_POINTS)
    curves = []
    for drawn in np.array_split(draws.counts, max(1, resamples // CHUNK)):
        false, true = (
            np.cumsum(drawn @ of.astype("float64"), axis=1)
            for of in (benign, malignant)
        )
        whole = (true[:, -1] > 0) & (false[:, -1] > 0)
        curves += [
            np.interp(rates, np.r_[0, f / f[-1]], np.r_[0, t / t[-1]])
            for f, t in zip(false[whole], true[whole], strict=True)
        ]
    if not curves:
        empty = np.full(BAND_POINTS, np.nan)
        return rates, empty, empty
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return rates, low, high
