"""What some labelled local patients buy: slope, intercept and threshold, fitted anew.

Patients are drawn again and again: on the drawn, the model is calibrated and its
threshold chosen; on the rest, it is measured before and after.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import SLOPE_BOUNDS
from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.cases.thresholds import choose_operating_point
from usgland.evaluation.shown import text
from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.statistics.recalibration import recalibration
from usgland.evaluation.statistics.scores import score

DRAWS = 200
MOST_DRAWS = 5 * DRAWS  # until so many had both classes in both parts
STEPS = 100  # of Newton's method, at most; it takes about 8
CONVERGED = 1e-10
NAMES = {
    "slope": "Calibration slope (1 is right)",
    "intercept_in_the_large": "In the large (0 is right)",
    "brier": "Brier score",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "threshold": "Threshold on the model's own P(malignant)",
}
SCORES = ("brier", "sensitivity", "specificity")
COLUMNS = (
    *("synthetic", "site", "patients", "rest", "draws", "measure", "when"),
    *("value", "low", "high", "level"),
)


class LocalCalibration(NamedTuple):
    """What local patients bought, of one size.

    Attributes:
        site: Whose patients; "" where there is one source.
        patients: How many were drawn, with labels.
        rest: How many were left to measure on.
        draws: How often.
        before: One row a draw, a column a measure of `NAMES`, with the run's own
            calibration and threshold.
        after: The same with those of the drawn patients.
    """

    site: str
    patients: int
    rest: int
    draws: int
    before: pd.DataFrame
    after: pd.DataFrame


def calibrate_locally(
    predictions: pd.DataFrame,
    threshold: float,
    size: int,
    settings: EvaluationSettings,
    *,
    site: str = "",
) -> LocalCalibration:
    """Draws `size` patients `DRAWS` times; fits on them, measures on the rest.

    Args:
        predictions: Of one model and one source, one row an image: patient_id, label,
            logit, calibrated as the run is.
        threshold: The run's own, on P(malignant).
        size: Patients a draw.
        settings: Give how a threshold is chosen, and the seed.
        site: Whose patients they are.

    Raises:
        UserError: If too few patients are left, or draws hardly ever have both classes.
    """
    patients = patient_predictions(predictions)
    labels, logits = patients["label"].to_numpy(), patients["logit"].to_numpy()
    drawn = _draws(labels, size, np.random.default_rng([settings.seed, size]))
    if len(drawn) < DRAWS:
        benign, malignant = int((labels == 0).sum()), int((labels == 1).sum())
        whose = f" of {site}" if site else ""
        raise UserError(
            f"--local-calibration {size}: expected enough patients{whose} that {size} "
            "of them, and the rest, have both classes in most draws. Received: "
            f"{len(labels)} ({benign} benign, {malignant} malignant)"
        )
    owner = patients["patient_id"].searchsorted(predictions["patient_id"])
    image_labels = predictions["label"].to_numpy()
    image_logits = predictions["logit"].to_numpy("float64")
    slopes, intercepts = fit_lines(image_labels, image_logits, drawn[:, owner])
    before, after = [], []
    for own, slope, intercept in zip(drawn, slopes, intercepts, strict=True):
        images = own[owner]
        calibrated = expit(slope * image_logits[images] + intercept)
        anew = choose_anew(image_labels[images], calibrated, settings)
        before.append(_measures(labels[~own], logits[~own], threshold))
        moved = slope * logits[~own] + intercept
        after.append(_measures(labels[~own], moved, anew))
        after[-1]["threshold"] = float(expit((logit(anew) - intercept) / slope))
    return LocalCalibration(
        site,
        size,
        len(labels) - size,
        len(drawn),
        pd.DataFrame(before)[list(NAMES)],
        pd.DataFrame(after)[list(NAMES)],
    )


def fit_lines(labels: NDArray, logits: NDArray, drawn: NDArray) -> NDArray:
    """What `fit_calibration` fits by Platt's method, to many draws at once.

    By Newton's method. The likelihood has one maximum: where its slope lies beyond a
    bound, the bound is the best slope, and the intercept is found for it.

    Args:
        labels: `(images,)`.
        logits: `(images,)`.
        drawn: `(draws, images)`, bool, of both classes each.

    Returns:
        Slopes and intercepts, `(2, draws)`.
    """
    weights = drawn.astype("float64")
    malignant, total = weights @ labels, weights.sum(axis=1)
    high = (malignant + 1) / (malignant + 2)
    low = 1 / (total - malignant + 2)
    targets = np.where(labels == 1, high[:, None], low[:, None])
    slopes, free = np.ones(len(drawn)), np.ones(len(drawn), bool)
    share = (weights * targets).sum(axis=1) / total
    intercepts = logit(share)
    for _ in range(2 * STEPS):
        chance = expit(slopes[:, None] * logits + intercepts[:, None])
        error, curvature = (
            weights * (targets - chance),
            weights * chance * (1 - chance) + 1e-12 * weights,
        )
        g0, g1 = error.sum(axis=1), np.where(free, error @ logits, 0)
        h00, h01, h11 = curvature.sum(axis=1), curvature @ logits, curvature @ logits**2
        h01, h11 = np.where(free, h01, 0), np.where(free, h11, 1)
        determinant = h00 * h11 - h01**2
        step0, step1 = (
            (h11 * g0 - h01 * g1) / determinant,
            (h00 * g1 - h01 * g0) / determinant,
        )
        size = np.maximum(np.abs(step0), np.abs(step1))
        shorter = np.minimum(1.0, 1 / np.maximum(size, 1e-300))
        intercepts, slopes = intercepts + shorter * step0, slopes + shorter * step1
        if (size < CONVERGED).all():
            beyond = free & ((slopes < SLOPE_BOUNDS[0]) | (slopes > SLOPE_BOUNDS[1]))
            if not beyond.any():
                break
            free &= ~beyond
            slopes = np.clip(slopes, *SLOPE_BOUNDS)
    return np.stack([np.clip(slopes, *SLOPE_BOUNDS), intercepts])


def choose_anew(
    labels: NDArray, probabilities: NDArray, settings: EvaluationSettings
) -> float:
    """The operating point of the settings, on local images."""
    rows = pd.DataFrame({"label": labels, "probability": probabilities})
    rows = rows.assign(role="val", patient_id="")
    return float(
        choose_operating_point(rows, settings.operating_point, settings)["threshold"]
    )


def _draws(labels: NDArray, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draws of patients, `(draws, patients)`; those of one class alone are left out."""
    order = rng.permuted(np.tile(np.arange(len(labels)), (MOST_DRAWS, 1)), axis=1)
    drawn = order < size
    both = [
        (part @ labels > 0) & (part @ (1 - labels) > 0)
        for part in (drawn.astype(int), (~drawn).astype(int))
    ]
    return drawn[both[0] & both[1]][:DRAWS]


def local_calibration_document(
    parts: Sequence[LocalCalibration], level: float, *, synthetic: bool
) -> Document:
    """A table of each source and size: before, after, and the difference."""
    tables, records = [], []
    for part in parts:
        lines = []
        for name, words in NAMES.items():
            values = {
                "before": part.before[name],
                "after": part.after[name],
                "after - before": part.after[name] - part.before[name],
            }
            summaries = {when: _over_draws(x, level) for when, x in values.items()}
            lines.append(
                (
                    words,
                    *(
                        text.format_interval(*ends, signed=when == "after - before")
                        for when, ends in summaries.items()
                    ),
                )
            )
            shared = {"synthetic": synthetic, "level": level, "measure": name}
            shared |= {"site": part.site, "patients": part.patients}
            shared |= {"rest": part.rest, "draws": part.draws}
            records += [
                shared | {"when": when, "value": value, "low": low, "high": high}
                for when, (value, low, high) in summaries.items()
            ]
        whose = f"{part.site}: " if part.site else ""
        title = (
            f"{whose}{part.patients} local patients with labels, measured per patient "
            f"on the other {part.rest}"
        )
        heads = ("", "before", "after", "after - before")
        tables.append(Table(heads, (rows(lines),), title))
    notes = (
        f"Median over {DRAWS} draws of the patients, and between which "
        f"{text.format_percent(level)} of the draws lie: what chance makes of who is "
        "drawn, not of whom the source could have had.",
        "After: slope and intercept of the logit (Platt), and the threshold, from the "
        "drawn patients. No ROC AUC stands here, as none of it changes who is the more "
        "suspicious.",
    )
    return Document(
        tuple(tables),
        synthetic,
        notes=notes,
        columns=COLUMNS,
        records=tuple(records),
    )


def _measures(labels: NDArray, logits: NDArray, threshold: float) -> dict[str, float]:
    slope, in_the_large = recalibration(labels, logits, np.ones((1, len(labels))))
    return {
        "slope": float(slope[0]),
        "intercept_in_the_large": float(in_the_large[0]),
        **score(labels, expit(logits), threshold, SCORES),
        "threshold": threshold,
    }


def _over_draws(values: pd.Series, level: float) -> tuple[float, float, float]:
    shares = (0.5, (1 - level) / 2, (1 + level) / 2)
    # Of a slope without a bound, the order is known.
    middle, low, high = np.quantile(values, shares, method="inverted_cdf")
    return float(middle), float(low), float(high)
