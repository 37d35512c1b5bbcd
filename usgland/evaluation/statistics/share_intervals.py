"""Intervals of the difference of two shares: paired or not, by case or by patient."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from usgland.evaluation.statistics.intervals import proportion_interval
from usgland.evaluation.statistics.scores import confusion

Bounds = tuple[float, float]


def newcombe_paired(
    right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], level: float
) -> Bounds:
    """Interval of the difference of two paired shares, from two Wilson intervals.

    Reference:
        [Newcombe, 1998](https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22%3C2635::AID-SIM954%3E3.0.CO;2-C),
        method 10.
    """
    (neither, only_b), (only_a, both) = confusion(right_a, right_b).tolist()
    product = (
        (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    )
    phi = 0.0
    if product > 0:
        cross = float(both * neither - only_a * only_b)
        # Continuity correction, for a positive association only.
        cross = max(cross - len(right_a) / 2, 0) if cross > 0 else cross
        phi = cross / product**0.5
    return newcombe_unpaired(right_a, right_b, level, phi=phi)


def newcombe_unpaired(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    level: float,
    *,
    phi: float = 0.0,
) -> Bounds:
    """Interval of the difference of two independent shares, from two Wilson intervals.

    Of paired ones with their correlation `phi`.

    Reference:
        [Newcombe, 1998](https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I),
        method 10.
    """
    (a, low_a, high_a), (b, low_b, high_b) = (
        (right.mean(), *proportion_interval(right.sum(), len(right), level=level)[:2])
        for right in (right_a, right_b)
    )

    def reach(of_a: float, of_b: float) -> float:
        return max(0.0, of_a**2 - 2 * phi * of_a * of_b + of_b**2) ** 0.5

    low = a - b - reach(a - low_a, high_b - b)
    return float(low), float(a - b + reach(high_a - a, b - low_b))


def clustered_variance(values: ArrayLike, patient_ids: ArrayLike) -> float:
    """Variance of a mean over cases whose patients have several of them.

    The cases are 0 or 1 for a share, -1 to 1 for a paired difference.

    Returns:
        NaN for one patient; 0 where all patients have the same mean.

    Reference:
        [Rao and Scott, 1992](https://doi.org/10.2307/2532311), equation 1; of paired
        differences as in [Obuchowski,
        1998](https://doi.org/10.1002/(SICI)1097-0258(19980715)17:13%3C1495::AID-SIM863%3E3.0.CO;2-I).
    """
    values = np.asarray(values, "float64")
    _, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    patients, cases = int(patient.max()) + 1, len(values)
    if patients < 2:
        return np.nan
    apart = np.bincount(patient, values - values.sum() / cases)
    return float(patients / (patients - 1) * (apart**2).sum() / cases**2)


def p_of_margin(
    bounds: Callable[[float], Bounds], difference: float, margin: float
) -> float:
    """One-sided P of falling behind by a margin or more, that fits an interval.

    It is below 0.025 where, and only where, the lower bound of the 95% interval is
    above -margin: P is read off the level whose bound is just there.

    Returns:
        In [0, 1]; 0 where even the widest interval stays clear of -margin; NaN
        without bounds.
    """
    side = 0 if difference > -margin else 1

    def beyond(level: float) -> float:
        return bounds(level)[side] + margin

    narrow, wide = 1e-9, 1 - 1e-9
    if np.isnan(beyond(wide)):
        return np.nan
    if beyond(narrow) * beyond(wide) >= 0:
        level = narrow if abs(difference + margin) < 1e-6 else 1.0
    else:
        level = float(brentq(beyond, narrow, wide))
    return (1 - level) / 2 if side == 0 else (1 + level) / 2
