"""Whether to believe a map: every measure, for each case, and their means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from usgland.config import EvaluationSettings
from usgland.evaluation.statistics import bootstrap
from usgland.explanation import regions
from usgland.explanation.letterbox import Letterbox, to_square
from usgland.explanation.perturbation import curve_scores
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
    centre = np.stack([regions.centre_map(box) for box in subject.boxes])
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
        method: For the column `method`.
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
    places = zip(maps, subject.masks, subject.boxes, strict=True)
    measured = pd.DataFrame([_place(*place) for place in places], index=rows.index)
    names = ["pointing", "overlap", *regions.REGIONS]
    rows[names] = measured.reindex(columns=names)
    for name in ("shuffled", "other_run"):
        rows[name] = correlations.get(name, np.nan)
    return rows


def _place(
    values: np.ndarray, mask: np.ndarray | None, box: Letterbox
) -> dict[str, float]:
    """Where the map of one case lies; nothing without a mask."""
    square = None if mask is None else to_square(mask, box)
    if square is None or not square.any():
        return {}
    return {
        "pointing": regions.points_at(values, square),
        "overlap": regions.overlap(values, square),
        **regions.energy_shares(values, regions.regions_of(square, box)),
    }


def summarize(measured: pd.DataFrame, settings: EvaluationSettings) -> pd.DataFrame:
    """Means with intervals over patients, for all, benign and malignant images.

    Args:
        measured: What `measure_maps` gives of each method.
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

    Returns:
        value, low, high (NaN without cases or interval), n and interval. Values of NaN
        are left out.
    """
    known = ~np.isnan(values)
    values, patient_ids = values[known], np.asarray(patient_ids).astype(str)[known]
    if not len(values):
        reason = "no case in which it is defined"
        return interval_row(np.nan, 0, bootstrap.no_interval(reason))
    draws = bootstrap.draw_patients(
        patient_ids, resamples=settings.bootstrap_resamples, seed=settings.seed
    )
    sums, counts = np.bincount(draws.group, values), np.bincount(draws.group)
    interval = bootstrap.percentile_interval(
        (draws.counts @ sums) / (draws.counts @ counts),
        level=settings.confidence_level,
        seed=settings.seed,
    )
    return interval_row(float(values.mean()), len(values), interval)


def interval_row(value: float, n: int, interval: bootstrap.Interval) -> dict[str, Any]:
    """A measure of `n` cases as tables have it."""
    low, high, how = interval.low, interval.high, interval.how()
    return {"value": value, "low": low, "high": high, "n": n, "interval": how}


# What is measured here answers for the network, not for both of its looks.
FIRST_LOOK = "By the first look, at the whole picture, alone where the model has two."


def interval_note(table: pd.DataFrame) -> str:
    """How the intervals of a table of such rows were made."""
    made = table.loc[table["low"].notna(), "interval"]
    return f"Intervals: {made.iloc[0]}." if len(made) else "No interval could be made."
