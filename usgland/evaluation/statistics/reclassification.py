"""Net reclassification of cases by help, as of a reader with a model: NRI, IDI."""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.evaluation.statistics.intervals import normal_bounds
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.scores import (
    check_between_0_and_1,
    checked_patients,
    checked_scores,
)
from usgland.evaluation.statistics.share_intervals import clustered_variance

CAVEAT = (
    "Of calls the NRI is the change in sensitivity plus that in specificity, whatever "
    "either costs; of probabilities both NRI and IDI can rise with a useless marker "
    "(Hilden and Gerds 2014). Report sensitivity, specificity and net benefit beside it"
)


class Reclassification(NamedTuple):
    """How many cases move the right way, less those that move the wrong way.

    Attributes:
        nri: Of malignant cases plus of benign ones, from -2 to 2.
        low: Lower bound.
        high: Upper bound.
        malignant: Share of malignant cases that rise, less that of those that fall.
        benign: Share of benign cases that fall, less that of those that rise.
        idi: Mean rise of malignant cases less that of benign ones; of calls it is the
            NRI.
        idi_low: Lower bound.
        idi_high: Upper bound.
        caveat: What is to be said beside it.
    """

    nri: float
    low: float
    high: float
    malignant: float
    benign: float
    idi: float
    idi_low: float
    idi_high: float
    caveat: str

    def __repr__(self) -> str:
        return readable(self)


def reclassification(
    labels: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> Reclassification:
    """Net reclassification improvement and integrated discrimination improvement.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant, both among them.
        before: `(cases,)`: calls or probabilities, such as a reader's alone.
        after: `(cases,)`: with help, in the same order.
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: If the arrays do not fit, or there is one label only.

    Reference:
        [Pencina et al., 2008](https://doi.org/10.1002/sim.2929), the NRI of calls or
        without categories; intervals from the variance of a paired mean in each label.
        What speaks against both: [Hilden and Gerds,
        2014](https://doi.org/10.1002/sim.5804).

    Example:
        >>> import usgland.evaluation as ev
        >>> labels = [1] * 10 + [0] * 10
        >>> alone = [1] * 5 + [0] * 5 + [0] * 6 + [1] * 4
        >>> aided = [1] * 8 + [0] * 2 + [0] * 7 + [1] * 3
        >>> result = ev.reclassification(labels, alone, aided)
        >>> round(result.nri, 2), round(result.malignant, 2), round(result.benign, 2)
        (0.4, 0.3, 0.1)
    """
    check_between_0_and_1(level=level)
    y, first = checked_scores(labels, before)
    _, second = checked_scores(labels, after)
    ids = checked_patients(patient_ids, len(y))
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"`labels` must hold 0 and 1, both. Received: {np.unique(y).tolist()}"
        )
    rise = second - first
    nri, nri_variance, parts = _sum_of_means(np.sign(rise), y, ids)
    idi, idi_variance, _ = _sum_of_means(rise, y, ids)
    low, high = normal_bounds(nri, nri_variance, level, lowest=-2.0)
    if high == 1.0:  # cut for shares; this is a sum of two
        high = min(2.0, 2 * nri - low)
    return Reclassification(
        nri, low, high, *parts, idi, *normal_bounds(idi, idi_variance, level), CAVEAT
    )


def _sum_of_means(
    rise: NDArray, labels: NDArray, ids: NDArray
) -> tuple[float, float, tuple[float, float]]:
    """The mean of malignant cases less that of benign ones, and its variance."""
    parts, variance = [], 0.0
    for label, sign in ((1, 1.0), (0, -1.0)):
        own = labels == label
        parts.append(sign * float(rise[own].mean()) + 0.0)  # no -0
        variance += clustered_variance(rise[own], ids[own])
    return sum(parts) + 0.0, variance, (parts[0], parts[1])
