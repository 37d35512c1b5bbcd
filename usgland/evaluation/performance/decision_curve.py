"""Net benefit: does acting on the model do more good than acting on all or none?"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from usgland.config import EvaluationSettings
from usgland.evaluation.performance.measures import Unit
from usgland.evaluation.statistics.bootstrap import percentile_interval
from usgland.evaluation.statistics.scores import checked_cases

# P(malignant) from which somebody would act, e.g. operate.
THRESHOLDS = np.arange(1, 100) / 100


def decision_curve(
    unit: Unit, settings: EvaluationSettings, prevalence: float | None = None
) -> dict[str, Any]:
    """Net benefit of the model, of acting on all and on none, with a bootstrap band.

    Prevalence and its errors are as in `net_benefit`.

    Returns:
        n, prevalence, given (whether it was), method of the band, and lists of one
        number a threshold: threshold, model, low, high, treat_all, treat_none (0).
        The band is pointwise; NaN where a bound is undefined.
    """
    rows, draws = unit
    labels = rows["label"].to_numpy()
    cases = labels, rows["probability"].to_numpy("float64")
    model = net_benefit(*cases, THRESHOLDS, prevalence=prevalence)
    drawn = _net_benefit(*cases, draws.group, draws.counts, THRESHOLDS, prevalence)
    level, seed = settings.confidence_level, settings.seed
    bounds = [
        percentile_interval(x, level=level, seed=seed, over=draws.unit) for x in drawn.T
    ]
    made = [interval.how() for interval in bounds if not interval.reason]
    used = float(labels.mean()) if prevalence is None else prevalence
    return {
        "n": len(labels),
        "prevalence": used,
        "given": prevalence is not None,
        "method": (made or [bounds[0].how()])[0],
        "threshold": THRESHOLDS.tolist(),
        "model": model.tolist(),
        "low": [interval.low for interval in bounds],
        "high": [interval.high for interval in bounds],
        "treat_all": (used - (1 - used) * THRESHOLDS / (1 - THRESHOLDS)).tolist(),
        "treat_none": [0.0] * len(THRESHOLDS),
    }


def net_benefit(
    labels: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike,
    *,
    prevalence: float | None = None,
) -> NDArray[np.float64]:
    """Net benefit of acting on cases whose probability reaches a threshold.

    In true positives a case: true positives less false positives, each of which
    weighs `threshold / (1 - threshold)`, as who acts from there on says it does.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in [0, 1].
        thresholds: `(thresholds,)`, in (0, 1); or one.
        prevalence: Share of malignant cases where the model is to be used, in (0, 1);
            None for that of the cases. Sensitivity and specificity at each threshold
            are taken as they are, probabilities are not shifted.

    Returns:
        `(thresholds,)`, at most the prevalence; NaN with a prevalence that is given
        where the cases are of one label. Acting on all has the net benefit
        `prevalence - (1 - prevalence) * threshold / (1 - threshold)`, on none 0.

    Raises:
        ValueError: If a threshold or the prevalence is not in (0, 1), or as `score`.

    Reference:
        [Vickers and Elkin, 2006](https://doi.org/10.1177/0272989X06295361).

    Example:
        At 0.2 there are 3 true and 1 false positives of 8: 3/8 - 1/8 * 0.2 / 0.8.

        >>> import usgland.evaluation as ev
        >>> labels = [1, 1, 1, 1, 0, 0, 0, 0]
        >>> probabilities = [0.9, 0.7, 0.3, 0.1, 0.4, 0.1, 0.1, 0.05]
        >>> ev.net_benefit(labels, probabilities, [0.2, 0.5])
        array([0.34375, 0.25   ])
    """
    labels, probabilities = checked_cases(labels, probabilities)
    thresholds = np.atleast_1d(np.asarray(thresholds, "float64"))
    _check_inside("thresholds", thresholds)
    if prevalence is not None:
        _check_inside("prevalence", np.asarray(prevalence))
    everybody, once = np.zeros(len(labels), int), np.ones((1, 1))
    return _net_benefit(labels, probabilities, everybody, once, thresholds, prevalence)[
        0
    ]


def _net_benefit(
    labels: NDArray,
    probabilities: NDArray,
    patient: NDArray,
    drawn: NDArray,
    thresholds: NDArray,
    prevalence: float | None,
) -> NDArray[np.float64]:
    """Of resamples, `(resamples, thresholds)`.

    `patient` is whose each case is, `drawn` how often each patient is, `(resamples,
    patients)`.
    """
    # How many of the thresholds, in their order, each case reaches; all reach 0.
    order = np.argsort(thresholds, kind="stable")
    reached = np.searchsorted(thresholds[order], probabilities, side="right")
    shape = drawn.shape[1], 2, len(thresholds) + 1
    place = np.ravel_multi_index((patient, labels, reached), shape)
    exactly = np.bincount(place, minlength=np.prod(shape)).reshape(shape)
    counts = np.cumsum(exactly[..., ::-1], axis=-1)[..., ::-1].astype("float64")
    counts[..., 1:] = counts[..., 1:][..., np.argsort(order, kind="stable")]
    benign, false = np.split(drawn @ counts[:, 0], [1], axis=1)
    malignant, true = np.split(drawn @ counts[:, 1], [1], axis=1)
    weight = thresholds / (1 - thresholds)
    if prevalence is None:
        return (true - false * weight) / (benign + malignant)
    with np.errstate(invalid="ignore"):
        sensitivity, reached = true / malignant, false / benign
    return sensitivity * prevalence - reached * (1 - prevalence) * weight


def _check_inside(name: str, values: NDArray) -> None:
    if not ((values > 0) & (values < 1)).all():
        raise ValueError(
            f"`{name}` must be in (0, 1). Received: {values.min()} to {values.max()}"
        )
