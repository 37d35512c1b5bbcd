"""How well probabilities are kept: reliability curve, calibration error and slope.

Not to be confused with `calibration`, which changes them; this only looks.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.config import EvaluationSettings
from usgland.evaluation.performance.measures import Unit
from usgland.evaluation.statistics.bootstrap import (
    Interval,
    no_interval,
    percentile_interval,
)
from usgland.evaluation.statistics.intervals import proportion_interval
from usgland.evaluation.statistics.measured_cases import Measure
from usgland.evaluation.statistics.recalibration import recalibration
from usgland.evaluation.statistics.scores import checked_cases

BINS = 10  # at most
CASES_A_BIN = 10  # at least, of equal-count bins; of fewer, a share says little
SIMULATIONS = 1000
ARRAYS = 4  # of the size of the weights that `recalibration` holds at a time
SEPARATED = "the logits separate the labels, so the slope has no bound"


def assess_calibration(unit: Unit, settings: EvaluationSettings) -> dict[str, Any]:
    """Everything that this module knows of one set of predictions.

    Args:
        unit: The cases.
        settings: Level and seed.

    Returns:
        n, malignant_share, mean_probability, curve (see `reliability_curve`),
        ece_equal_count and ece_equal_width (value, bins, if_calibrated), slope and
        intercept_in_the_large (value, low, high, method, reason,
        undefined_resamples).
    """
    labels = unit.rows["label"].to_numpy()
    probabilities = unit.rows["probability"].to_numpy("float64")
    edges = equal_count_edges(probabilities)
    widths = np.linspace(0, 1, BINS + 1)
    return {
        "n": len(labels),
        "malignant_share": float(labels.mean()),
        "mean_probability": float(probabilities.mean()),
        "curve": reliability_curve(
            labels, probabilities, edges, level=settings.confidence_level
        ),
        "ece_equal_count": _error(labels, probabilities, edges, settings.seed),
        "ece_equal_width": _error(labels, probabilities, widths, settings.seed),
        **_recalibration(unit, settings),
    }


def equal_count_edges(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Edges of bins of as equal a number of cases as ties allow, `(bins + 1,)`.

    Ten bins, or fewer so that ten cases fall in each; equal probabilities share one.
    """
    probabilities = np.asarray(probabilities, "float64")
    bins = int(np.clip(len(probabilities) // CASES_A_BIN, 1, BINS))
    return np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)))


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, edges: ArrayLike, *, level: float
) -> list[dict[str, Any]]:
    """The share of malignant cases beside the mean probability, bin by bin.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        edges: `(bins + 1,)`, ascending; a bin holds its upper edge, the first one
            also its lower.
        level: Of the Wilson intervals, which take cases for independent.

    Returns:
        One dict a bin that holds cases: n, malignant, mean_probability, share, low,
        high.
    """
    labels, probabilities = checked_cases(labels, probabilities)
    bins = _bins(probabilities, edges)
    curve = []
    for number in np.unique(bins):
        inside = bins == number
        malignant, n = int(labels[inside].sum()), int(inside.sum())
        interval = proportion_interval(malignant, n, level=level)
        curve.append(
            {
                "n": n,
                "malignant": malignant,
                "mean_probability": float(probabilities[inside].mean()),
                "share": malignant / n,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return curve


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, edges: ArrayLike | None = None
) -> float:
    """Mean distance of share and mean probability over bins, weighted by their cases.

    0 is best. It is never below 0, so chance alone raises it, the more so the fewer
    the cases.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in [0, 1].
        edges: `(bins + 1,)`, ascending; a bin holds its upper edge, the first one
            also its lower. None for ten bins of equally many cases, or fewer so that
            ten cases fall in each.

    Returns:
        In [0, 1].

    Raises:
        ValueError: As `score`.

    Reference:
        [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602), section 3,
        with P(malignant) in place of the confidence of the winning class.

    Example:
        Ten cases at 0.2 of which 3 are malignant, ten at 0.7 of which 6 are.

        >>> import usgland.evaluation as ev
        >>> labels = [1] * 3 + [0] * 7 + [1] * 6 + [0] * 4
        >>> probabilities = [0.2] * 10 + [0.7] * 10
        >>> round(ev.expected_calibration_error(labels, probabilities), 6)
        0.1
    """
    labels, probabilities = checked_cases(labels, probabilities)
    if edges is None:
        edges = equal_count_edges(probabilities)
    return float(_errors(labels[None], probabilities, edges)[0])


def _recalibration(
    unit: Unit, settings: EvaluationSettings
) -> dict[str, dict[str, Any]]:
    labels = unit.rows["label"].to_numpy()
    logits = unit.rows["logit"].to_numpy("float64")
    values = recalibration(labels, logits, np.ones((1, len(labels))))
    chunks = [
        recalibration(labels, logits, drawn[:, unit.draws.patient])
        for drawn in unit.draws.chunks(ARRAYS)
    ]
    resampled = np.concatenate(chunks, axis=1) if chunks else np.empty((2, 0))
    measures = {}
    names = ("slope", "intercept_in_the_large")
    for name, (value,), draws in zip(names, values, resampled, strict=True):
        interval = _interval(draws, settings)
        if not np.isfinite(value):
            reason = "undefined" if np.isnan(value) else SEPARATED
            value, interval = np.nan, no_interval(reason, interval.undefined)
        measures[name] = Measure.of(value, interval).record()
    return measures


def _interval(values: NDArray, settings: EvaluationSettings) -> Interval:
    """A percentile interval, if it is not of resamples that are separated."""
    level = settings.confidence_level
    infinite, finite = np.isinf(values), values[np.isfinite(values)]
    if infinite.any():
        undefined = int(np.isnan(values).sum())
        most = max((values == np.inf).sum(), (values == -np.inf).sum())
        # Half of what a bound leaves outside: then the bound itself is finite.
        if most > (1 - level) / 4 * len(values) or not len(finite):
            count = f"{infinite.sum()} of {len(values)} resamples"
            return no_interval(f"the labels are separated in {count}", undefined)
        # So few lie outside both bounds, wherever they are.
        values = np.clip(values, finite.min(), finite.max())
    return percentile_interval(values, level=level, seed=settings.seed)


def _bins(probabilities: NDArray, edges: ArrayLike) -> NDArray[np.int64]:
    return np.searchsorted(np.asarray(edges)[1:-1], probabilities)


def _errors(labels: NDArray, probabilities: NDArray, edges: ArrayLike) -> NDArray:
    """The calibration error of several labellings, `(sets, cases)` -> `(sets,)`."""
    bins = _bins(probabilities, edges)
    gaps = (labels - probabilities) @ np.eye(bins.max() + 1)[bins]
    return np.abs(gaps).sum(axis=1) / len(probabilities)


def _error(
    labels: NDArray, probabilities: NDArray, edges: NDArray, seed: int
) -> dict[str, Any]:
    """The error, and its mean where labels are drawn from the probabilities.

    No interval: the error of a resample is on average above that of the sample, so
    the percentile interval may not even hold the value.
    """
    uniform = np.random.default_rng(seed).uniform(size=(SIMULATIONS, len(labels)))
    ideal = _errors(uniform < probabilities, probabilities, edges)
    return {
        "value": expected_calibration_error(labels, probabilities, edges),
        "bins": len(np.unique(_bins(probabilities, edges))),
        "if_calibrated": float(ideal.mean()),
    }
