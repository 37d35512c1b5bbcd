"""How well probabilities are kept: reliability curve, calibration error and slope.

Not to be confused with `calibration`, which changes them; this only looks.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from usgland.config import EvaluationSettings
from usgland.evaluation.cases.predictions import complete_predictions
from usgland.evaluation.performance.measures import Unit, records_of, unit_of
from usgland.evaluation.performance.smooth_calibration import (
    brier_parts,
    smooth_calibration,
)
from usgland.evaluation.statistics.bootstrap import (
    PLAIN,
    jackknife_interval,
    no_interval,
)
from usgland.evaluation.statistics.intervals import proportion_interval
from usgland.evaluation.statistics.measured_cases import Measure
from usgland.evaluation.statistics.readable import readable
from usgland.evaluation.statistics.recalibration import (
    recalibration,
    recalibration_without,
)
from usgland.evaluation.statistics.scores import check_between_0_and_1, checked_cases

BINS = 10  # at most
CASES_A_BIN = 10  # at least, of equal-count bins; of fewer, a share says little
SIMULATIONS, FEWEST_SIMULATIONS = 1000, 50
DRAWN_LABELS, DRAWN_AT_ONCE = 5_000_000, 1_000_000  # of the simulations
ARRAYS = 4  # of the size of the weights that `recalibration` holds at a time
MANY = 5000  # cases, of which each fit without a patient is a step from that of all
SEPARATED = "the logits separate the labels, so the slope has no bound"


class Calibration(NamedTuple):
    """How well probabilities are kept.

    Attributes:
        measures: `slope` (1 is right, less says that probabilities are too extreme)
            and `intercept_in_the_large` (0 is right, above it says that they are too
            low), a row each: value, low, high, method, reason.
        curve: One row a bin: n, malignant, mean_probability, share, low, high.
    """

    measures: pd.DataFrame
    curve: pd.DataFrame

    def __repr__(self) -> str:
        return readable(self._replace(measures=self.measures[["value", "low", "high"]]))


def calibration(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    patient_ids: ArrayLike | None = None,
    level: float = 0.95,
) -> Calibration:
    """Calibration slope, calibration-in-the-large and the reliability curve.

    Args:
        labels: `(cases,)`, 0 benign or 1 malignant.
        probabilities: `(cases,)`, P(malignant) in (0, 1).
        patient_ids: `(cases,)`: who each case belongs to; None where every case is
            independent.
        level: Confidence level in (0, 1), of the jackknife's intervals over patients.

    Returns:
        Both measures, NaN with the reason where the labels are one, or separated by
        the probabilities; and the curve, in bins of equally many cases, with Wilson's
        intervals, which take cases for independent.

    Raises:
        ValueError: If the arrays do not fit, or a probability is 0 or 1.

    Reference:
        As `recalibration`: [Cox, 1958](https://doi.org/10.1093/biomet/45.3-4.562);
        [Van Calster et al., 2019](https://doi.org/10.1186/s12916-019-1466-7).

    Example:
        Twice the logit of what is right: of ten at 0.8 two thirds are malignant.

        >>> import usgland.evaluation as ev
        >>> labels = [1] * 20 + [0] * 10 + [1] * 10 + [0] * 20
        >>> probabilities = [0.8] * 30 + [0.2] * 30
        >>> ev.calibration(labels, probabilities)
        Calibration(
            measures=
                                    value    low   high
            slope                     0.5  0.082  0.918
            intercept_in_the_large    0.0 -0.815  0.815,
            curve=
                n  malignant  mean_probability  share    low   high
            0  30         10               0.2  0.333  0.192  0.512
            1  30         20               0.8  0.667  0.488  0.808,
        )
    """
    labels, probabilities = checked_cases(labels, probabilities)
    ids = np.arange(len(labels)) if patient_ids is None else np.asarray(patient_ids)
    rows = complete_predictions(
        pd.DataFrame({"patient_id": ids, "label": labels, "probability": probabilities})
    )
    check_between_0_and_1(level=level)
    settings = EvaluationSettings(confidence_level=level)
    edges = equal_count_edges(probabilities)
    return Calibration(
        pd.DataFrame.from_dict(
            _recalibration(unit_of(rows, settings), level),
            orient="index",
            columns=list(Measure._fields),
        ).drop(columns="undefined_resamples"),
        pd.DataFrame(reliability_curve(labels, probabilities, edges, level=level)),
    )


def assess_calibration(unit: Unit, settings: EvaluationSettings) -> dict[str, Any]:
    """Everything that this module knows of one set of predictions.

    Returns:
        n, malignant_share, mean_probability, curve (see `reliability_curve`),
        ece_equal_count and ece_equal_width (value, bins, if_calibrated), slope and
        intercept_in_the_large (value, low, high, method, reason,
        undefined_resamples); smooth (as `SmoothCalibration`, the curve as rows) and
        brier (as `BrierParts`).
    """
    labels = unit.rows["label"].to_numpy()
    probabilities = unit.rows["probability"].to_numpy("float64")
    edges, widths = equal_count_edges(probabilities), np.linspace(0, 1, BINS + 1)
    level, seed = settings.confidence_level, settings.seed
    return {
        "n": len(labels),
        "malignant_share": float(labels.mean()),
        "mean_probability": float(probabilities.mean()),
        "curve": reliability_curve(labels, probabilities, edges, level=level),
        "ece_equal_count": _error(labels, probabilities, edges, seed),
        "ece_equal_width": _error(labels, probabilities, widths, seed),
        **records_of(_recalibration(unit, level)),
        "smooth": _smooth(unit, settings),
        "brier": brier_parts(labels, probabilities)._asdict(),
    }


def _smooth(unit: Unit, settings: EvaluationSettings) -> dict[str, Any]:
    """The curve without bins, as files have it; none where probabilities are calls."""
    probabilities = unit.rows["probability"].to_numpy("float64")
    if not ((probabilities > 0) & (probabilities < 1)).all():
        unknown = dict.fromkeys(("ici", "e50", "e90", "ici_if_calibrated"), np.nan)
        reason = "a probability is 0 or 1, whose logit is not finite"
        return {"curve": [], **unknown, "method": "", "reason": reason}
    smooth = smooth_calibration(
        unit.rows["label"],
        probabilities,
        patient_ids=unit.rows["patient_id"].to_numpy().astype(str),
        level=settings.confidence_level,
        seed=settings.seed,
    )
    return smooth._asdict() | {"curve": smooth.curve.to_dict("records")}


def equal_count_edges(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Edges of bins of as equal a number of cases as ties allow, `(bins + 1,)`.

    Ten bins, or fewer so that ten cases fall in each; equal probabilities share one,
    and where they are so many that they reach over the first edge, with no others.
    """
    probabilities = np.asarray(probabilities, "float64")
    bins = int(np.clip(len(probabilities) // CASES_A_BIN, 1, BINS))
    low, *inner, high = np.quantile(probabilities, np.linspace(0, 1, bins + 1))
    return np.r_[low, np.unique(inner), high]


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, edges: ArrayLike, *, level: float
) -> list[dict[str, Any]]:
    """The share of malignant cases beside the mean probability, bin by bin.

    `edges` are as in `expected_calibration_error`; the intervals are Wilson's, which
    take cases for independent.

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
        mean = float(probabilities[inside].mean())
        counts = {"n": n, "malignant": malignant, "mean_probability": mean}
        bounds = {"low": interval.low, "high": interval.high}
        curve.append({**counts, "share": malignant / n, **bounds})
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


def _recalibration(unit: Unit, level: float) -> dict[str, Measure]:
    """Both measures, with the jackknife's intervals over patients."""
    labels, draws = unit.rows["label"].to_numpy(), unit.draws
    logits = unit.rows["logit"].to_numpy("float64")
    values = recalibration(labels, logits, np.ones((1, len(labels))))
    if len(labels) > MANY and np.isfinite(values).all():
        left_out = recalibration_without(labels, logits, draws.group)
    else:
        chunks = [
            recalibration(labels, logits, kept[:, draws.group])
            for kept in draws.all_but_one(ARRAYS)
        ]
        left_out = np.concatenate(chunks, axis=1)
    measures = {}
    names = ("slope", "intercept_in_the_large")
    for name, (value,), without in zip(names, values, left_out, strict=True):
        if np.isnan(value):
            interval = no_interval("undefined")
        elif np.isinf(value):
            value, interval = np.nan, no_interval(SEPARATED)
        elif np.isinf(without).any():
            interval = no_interval(f"without one of the patients {SEPARATED}")
        else:
            interval = jackknife_interval(
                value,
                without,
                PLAIN,
                freedom=draws.freedom(labels),
                level=level,
                over=draws.unit,
            )
        measures[name] = Measure.of(value, interval)
    return measures


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
    random, cases = np.random.default_rng(seed), len(labels)
    simulations = int(np.clip(DRAWN_LABELS // cases, FEWEST_SIMULATIONS, SIMULATIONS))
    step = max(1, DRAWN_AT_ONCE // cases)
    ideal = np.concatenate(
        [
            _errors(
                random.uniform(size=(min(step, simulations - start), cases))
                < probabilities,
                probabilities,
                edges,
            )
            for start in range(0, simulations, step)
        ]
    )
    return {
        "value": expected_calibration_error(labels, probabilities, edges),
        "bins": len(np.unique(_bins(probabilities, edges))),
        "if_calibrated": float(ideal.mean()),
    }
