"""Whether to believe a map: every measure, for each case, and their means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.statistics.bootstrap import (
    percentile_interval,
    resample_patients,
)
from usgland.explanation.letterbox import to_square
from usgland.explanation.perturbation import curve_scores
from usgland.explanation.regions import (
    REGIONS,
    centre_map,
    energy_shares,
    overlap,
    points_at,
    regions_of,
)
from usgland.explanation.subject import Subject

# Name of a column -> how tables call it.
MEASURES = {
    "deletion": "Deletion AUC (low)",
    "insertion": "Insertion AUC (high)",
    "pointing": "Points at the lesion",
    "overlap": "Overlap (IoU)",
    "inside": "Energy in the lesion",
    "border": "Energy on its border",
    "outside": "Energy elsewhere",
    "padding": "Energy on the padding",
    "shuffled": "Shuffled weights, rho",
    "other_run": "The other run, rho",
}
# Maps that know nothing of the model are measured alike: they show what the numbers of
# the others are worth.
BASELINES = ("centre", "random")
GROUPS = {"all": None, "benign": 0, "malignant": 1}


def baseline_maps(subject: Subject, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Maps of `BASELINES`, `(cases, size, size)` each."""
    rng = np.random.default_rng(seed)
    centre = np.stack([centre_map(box) for box in subject.boxes])
    noise = np.zeros_like(centre)
    for square, box in zip(noise, subject.boxes, strict=True):
        square[box.inside()] = rng.random((box.rows, box.columns))
    return {"centre": centre, "random": noise}


def measure_maps(
    subject: Subject,
    maps: np.ndarray,
    *,
    method: str,
    label: str,
    correlations: dict[str, np.ndarray],
) -> pd.DataFrame:
    """Every measure of one method for each case.

    Args:
        subject: The cases.
        maps: `(cases, size, size)`.
        method: Its name, for the column `method`.
        label: For which the maps are evidence.
        correlations: `shuffled` and `other_run`, `(cases,)` each, where they are known.

    Returns:
        One row a case: image, patient_id, label, method and the columns of `MEASURES`;
        NaN where a measure is undefined or there is no mask.
    """
    rows = subject.rows[["image", "patient_id", "label"]].copy()
    rows["method"] = method
    rows["deletion"], rows["insertion"] = curve_scores(
        subject.explained.whole, subject.part.inputs(), maps, subject.boxes, label=label
    )
    places = [_place(values, subject, number) for number, values in enumerate(maps)]
    for name in ("pointing", "overlap", *REGIONS):
        rows[name] = [place.get(name, np.nan) for place in places]
    for name in ("shuffled", "other_run"):
        rows[name] = correlations.get(name, np.nan)
    return rows


def _place(values: np.ndarray, subject: Subject, number: int) -> dict[str, float]:
    """Where the map of one case lies; nothing without a mask."""
    mask, box = subject.masks[number], subject.boxes[number]
    square = None if mask is None else to_square(mask, box)
    if square is None or not square.any():
        return {}
    return {
        "pointing": points_at(values, square),
        "overlap": overlap(values, square),
        **energy_shares(values, regions_of(square, box)),
    }


def summarize(measured: pd.DataFrame, settings: EvaluationSettings) -> pd.DataFrame:
    """Means with intervals over patients, for all, benign and malignant images.

    Args:
        measured: As `measure_maps` gives it, of several methods.
        settings: Of the intervals.

    Returns:
        One row a method, measure and group: method, measure, group, value, low, high,
        n (cases in which it is defined) and interval (how it was made, or why there is
        none). Measures that are defined nowhere are left out.
    """
    summary: list[dict[str, Any]] = []
    for method, rows in measured.groupby("method", sort=False):
        for measure in MEASURES:
            if rows[measure].isna().all():
                continue
            for group, label in GROUPS.items():
                cases = rows if label is None else rows[rows["label"] == label]
                mean = mean_over_patients(
                    cases[measure].to_numpy(), cases["patient_id"].to_list(), settings
                )
                summary.append(
                    {"method": method, "measure": measure, "group": group, **mean}
                )
    return pd.DataFrame(summary)


def mean_over_patients(
    values: np.ndarray, patient_ids: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """The mean of a measure over images, its interval over patients.

    Args:
        values: `(cases,)`, NaN where undefined, which are left out.
        patient_ids: `(cases,)`.
        settings: Of the interval.

    Returns:
        value, low, high (NaN without cases or interval), n and interval.
    """
    known = ~np.isnan(values)
    values, patient_ids = values[known], np.asarray(patient_ids).astype(str)[known]
    if not len(values):
        undefined = {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
        return {**undefined, "interval": "none: no case in which it is defined"}
    ids, patient = np.unique(patient_ids, return_inverse=True)
    drawn = resample_patients(len(ids), settings.bootstrap_resamples, settings.seed)
    sums, counts = (
        np.bincount(patient, weights=weights, minlength=len(ids))
        for weights in (values, np.ones(len(values)))
    )
    means = (drawn @ sums) / (drawn @ counts)
    interval = percentile_interval(
        means, level=settings.confidence_level, seed=settings.seed
    )
    return {
        "value": float(values.mean()),
        "low": interval.low,
        "high": interval.high,
        "n": len(values),
        "interval": interval.how(),
    }
