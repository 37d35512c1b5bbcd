"""Calibration: fitted once on validation, written down, then only applied.

It changes what a logit is worth, never which of two cases is the more suspicious:
`calibrated logit = slope * logit + intercept` with a slope above 0.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import (
    CHOOSING,
    describe_validation,
    parts_of_folds,
)
from usgland.files import read_json, write_json

METHODS = ("none", "temperature", "platt")
# What a run without calibration.json has: older ones, and those of other programs.
UNCALIBRATED: dict[str, Any] = {"method": "none", "slope": 1.0, "intercept": 0.0}
# A slope of 1/20 says that the logits are worth next to nothing; one of 20, that they
# differ by next to nothing. A temperature is 1 / slope and has the same bounds.
SLOPE_BOUNDS = (0.05, 20.0)
POLISHING = 5  # steps, each of which doubles the digits
TOO_FLAT = (
    "slope held at its lower bound of 0.05: on validation the logits say little of "
    "the label, or the wrong way round"
)
TOO_STEEP = (
    "slope held at its upper bound of 20: the logits of validation differ too little"
)


def fit_calibration(rows: pd.DataFrame, method: str) -> dict[str, Any]:
    """Fits what a logit is worth on validation images, or out of fold; says on which.

    By maximum likelihood, with Platt's targets for both methods: (n1 + 1) / (n1 + 2)
    for each of n1 malignant images and 1 / (n0 + 2) for each of n0 benign ones. With
    0 and 1 instead, a validation part that the network separates, which is common
    where it is small, would want an infinite slope: 20 of 20 called right are no
    evidence for a probability above 21/22. So, too, the log loss may rise a little.

    Args:
        rows: Predictions, one row an image: patient_id, role, label, logit.
        method: `"temperature"`: `logit / T`, with no intercept, so that 0 stays 0;
            `"platt"`: with an intercept; `"none"`: the logits as they are.

    Returns:
        What `calibration.json` holds: method, slope, intercept, unit, role, n_images,
        n_patients, log_loss_before and log_loss_after (mean over the images, in
        nats), and limit, why the slope is at a bound, or None.

    Raises:
        UserError: If there is no image, or only one class to fit on.
        ValueError: If rows are not of val or `OUT_OF_FOLD` alone, a logit is not
            finite, or `method` is not one of `METHODS`.

    Reference:
        Temperature: [Guo et al., 2017](https://arxiv.org/abs/1706.04599), section
        4.2. Platt: Platt, 1999, Probabilistic outputs for support vector machines,
        section 2.2 (the targets).
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: {method!r}")
    way_out, both = "evaluation.calibration=none", method != "none"
    described = describe_validation(rows, "calibrate", way_out, both=both)
    labels = rows["label"].to_numpy()
    logits = rows["logit"].to_numpy("float64")
    if not np.isfinite(logits).all():
        raise ValueError("`logit` must be finite. Received: NaN or infinity")
    slope, intercept = 1.0, 0.0
    if both:
        slope, intercept = _fit(labels, logits, intercept=method == "platt")
    return {
        "method": method,
        "slope": slope,
        "intercept": intercept,
        **described,
        "log_loss_before": log_loss(labels, logits),
        "log_loss_after": log_loss(labels, slope * logits + intercept),
        "limit": {SLOPE_BOUNDS[0]: TOO_FLAT, SLOPE_BOUNDS[1]: TOO_STEEP}.get(slope),
    }


def apply_calibration(rows: pd.DataFrame, calibration: dict[str, Any]) -> pd.DataFrame:
    """Replaces the network's logits and probabilities by calibrated ones.

    Returns:
        The rows with `logit` and `probability` (its sigmoid) calibrated, float64, and
        `model_logit`, what the network said, after `logit`.

    Raises:
        ValueError: If they were calibrated before.
    """
    if "model_logit" in rows:
        raise ValueError(
            "`rows` must be uncalibrated. Received: rows with `model_logit`, which "
            "calibrated ones have"
        )
    said = rows["logit"]
    calibrated = calibration["slope"] * said.astype("float64")
    calibrated += calibration["intercept"]
    # In float64: in float32 all logits above 17 would tie at 1.
    rows = rows.assign(logit=calibrated, probability=expit(calibrated))
    rows.insert(list(rows).index("logit") + 1, "model_logit", said)
    return rows


def log_loss(labels: ArrayLike, logits: ArrayLike) -> float:
    """Mean of -log of the probability given to the true label, in nats.

    `labels` are 0 or 1, or a share of 1 in [0, 1]; `logits` are finite.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))


def describe_calibration(calibration: dict[str, Any]) -> str:
    """One line on what `fit_calibration` found."""
    if calibration["method"] == "none":
        return "Not calibrated: evaluation.calibration=none"
    what = f"temperature {1 / calibration['slope']:.3f}"
    if calibration["method"] == "platt":
        what = f"Platt scaling, slope {calibration['slope']:.3f}, intercept "
        what += f"{calibration['intercept']:+.3f}"
    limit = f"; {calibration['limit']}" if calibration["limit"] else ""
    if calibration["log_loss_after"] - calibration["log_loss_before"] >= 0.0005:
        limit += "; higher on purpose, as so few images cannot promise more"
    return (
        f"Calibrated by {what}, on {calibration['n_images']} "
        f"{CHOOSING[calibration['role']]} images: "
        f"log loss {calibration['log_loss_before']:.3f} before, "
        f"{calibration['log_loss_after']:.3f} after{limit}"
    )


def write_calibration(path: Path, calibration: dict[str, Any]) -> None:
    """Writes one of `fit_calibration`, or `{"folds": {"0": one, ...}}`.

    Raises:
        UserError: If it holds no calibration, or the file cannot be written.
    """
    _check(path, calibration)
    write_json(path, calibration)


def read_calibration(path: Path) -> dict[str, Any]:
    """Reads `calibration.json`, in either form; `UNCALIBRATED` where there is none.

    Raises:
        UserError: If it cannot be read, or a slope or intercept cannot be used.
    """
    if not path.exists():
        return dict(UNCALIBRATED)
    calibration = read_json(path)
    _check(path, calibration)
    return calibration


def _fit(labels: NDArray, logits: NDArray, *, intercept: bool) -> tuple[float, float]:
    """Slope and intercept of the largest likelihood within the bounds."""
    malignant, benign = int((labels == 1).sum()), int((labels == 0).sum())
    high, low = (malignant + 1) / (malignant + 2), 1 / (benign + 2)
    targets = np.where(labels == 1, high, low)

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        calibrated = parameters[0] * logits + parameters[1]
        error = (expit(calibrated) - targets) / len(logits)
        return log_loss(targets, calibrated), np.array([error @ logits, error.sum()])

    # The loss is convex: any start leads to the one minimum.
    start = [1.0, float(logit(targets.mean())) if intercept else 0.0]
    bounds = [SLOPE_BOUNDS, (None, None) if intercept else (0.0, 0.0)]
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    fitted = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    slope, shift = _polished(fitted.x, logits, targets, intercept=intercept)
    return float(slope), float(shift)


def _polished(
    start: NDArray, logits: NDArray, targets: NDArray, *, intercept: bool
) -> NDArray[np.float64]:
    """Newton's steps from where the search ended, to the last digits.

    A slope at a bound stays there.
    """
    parameters = np.array(start, "float64")
    free = np.array([parameters[0] not in SLOPE_BOUNDS, intercept])
    columns = np.stack([logits, np.ones(len(logits))])[free]
    for _ in range(POLISHING):
        chance = expit(parameters[0] * logits + parameters[1])
        curvature = (columns * (chance * (1 - chance))) @ columns.T
        if not free.any() or np.linalg.matrix_rank(curvature) < len(curvature):
            break
        step = np.linalg.solve(curvature, columns @ (chance - targets))
        moved = parameters.copy()
        moved[free] -= step
        if not SLOPE_BOUNDS[0] <= moved[0] <= SLOPE_BOUNDS[1]:
            break
        parameters = moved
    return parameters


def _check(path: Path, calibration: Any) -> None:
    for fit in parts_of_folds(calibration):
        known = fit if isinstance(fit, dict) else {}
        slope, intercept = known.get("slope"), known.get("intercept")
        if not (
            known.get("method") in METHODS
            and isinstance(slope, float)
            and isinstance(intercept, float)
            and np.isfinite([slope, intercept]).all()
            and slope > 0
        ):
            raise UserError(
                f"{path}: expected a `method` of {', '.join(METHODS)}, a `slope` above "
                f"0 and an `intercept`, or these for each of `folds`. Received: {fit!r}"
            )
