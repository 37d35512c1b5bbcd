"""The operating point: chosen once on validation, written down, then only applied.

It is chosen per image and used for patients as it is. A second threshold, chosen on
patients, would rest on the few of the validation part; and the mean of logits stays
on the scale of a single image's logit.
"""

from __future__ import annotations  # `help` shows ArrayLike, not what it unites

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import (
    CHOOSING,
    describe_validation,
    parts_of_folds,
)
from usgland.evaluation.statistics.scores import checked_cases, score
from usgland.files import read_json, write_json

METHODS = ("youden", "half", "sensitivity", "specificity", "cost")
AIMS = ("target", "cost_ratio", "prevalence")  # what a point may have aimed at
EVERY = ""  # stands for a fold where one threshold serves all cases
ROUNDING = 1e-12  # 0.55 of 20 cases are 11, whatever 0.55 * 20 is to a computer


@dataclass(frozen=True)
class Thresholds:
    """An operating point: one threshold for all cases, or one a fold.

    Attributes:
        points: Fold -> what was chosen for it, as `choose_operating_point` gives it;
            `EVERY` is the only key where one threshold serves all cases.

    Raises:
        ValueError: If a threshold is missing or not in (0, 1).
    """

    points: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        problem = _problem(self.content)
        if problem:
            raise ValueError(problem)

    @classmethod
    def at(cls, threshold: float) -> Thresholds:
        """One threshold for all cases, of which nothing else is known."""
        return cls({EVERY: {"threshold": threshold}})

    @classmethod
    def of_folds(cls, folds: Mapping[str, Thresholds]) -> Thresholds:
        """One threshold a fold, from one for all cases of each fold."""
        return cls({fold: part.point for fold, part in folds.items()})

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> Thresholds:
        """From what `threshold.json` holds: one point, or `folds` of points."""
        return cls(content.get("folds", {EVERY: content}))

    @property
    def content(self) -> dict[str, Any]:
        """What `threshold.json` holds."""
        if EVERY in self.points:
            return dict(self.points[EVERY])
        return {"folds": dict(self.points)}

    @property
    def point(self) -> Mapping[str, Any]:
        """What was chosen for all cases.

        Raises:
            ValueError: If there is one threshold a fold.
        """
        if EVERY not in self.points:
            raise ValueError(
                "Expected one threshold for all cases. Received: one for each of the "
                f"folds {', '.join(self.points)}"
            )
        return self.points[EVERY]

    @property
    def value(self) -> float | dict[str, float]:
        """The threshold, or fold -> threshold."""
        values = {fold: float(part["threshold"]) for fold, part in self.points.items()}
        return values.get(EVERY, values)

    @property
    def chosen(self) -> dict[str, Any] | None:
        """Method and aim; None where the file does not say, as older files do not."""
        first = next(iter(self.points.values()))
        known = {name: first[name] for name in ("method", *AIMS) if name in first}
        return known if "method" in known else None

    @property
    def chosen_on(self) -> str:
        """What it was chosen on, in words: validation, or out-of-fold images."""
        first = next(iter(self.points.values()))
        word = CHOOSING.get(str(first.get("role")), CHOOSING["val"])
        return word if word == CHOOSING["val"] else f"{word} images"

    @property
    def further(self) -> list[Thresholds]:
        """The further operating points, those that all folds have."""
        by_fold = {
            fold: {other["method"]: other for other in point.get("further", [])}
            for fold, point in self.points.items()
        }
        return [
            Thresholds({fold: points[method] for fold, points in by_fold.items()})
            for method in next(iter(by_fold.values()))
            if all(method in points for points in by_fold.values())
        ]


def choose_threshold(
    labels: ArrayLike,
    probabilities: ArrayLike,
    method: str = "youden",
    *,
    target: float = 0.95,
    cost_ratio: float = 5.0,
    prevalence: float | None = None,
) -> float:
    """Chooses the P(malignant) from which, itself included, a case is malignant.

    Args:
        labels: `(cases,)`, 0 or 1.
        probabilities: `(cases,)`, in [0, 1].
        method: `"youden"`: the cut with the largest sensitivity + specificity - 1,
            placed midway between the probabilities on its two sides; of several such
            cuts, the one nearest to 0.5. `"half"`: 0.5. `"sensitivity"`: the highest
            cut that reaches the target; the lowest of all where none does, as a
            malignant case has the probability 0. `"specificity"`: the lowest cut
            that reaches it; else the highest. `"cost"`: the cut of the least expected
            cost; of several, the one nearest to 0.5.
        target: Of `"sensitivity"` or `"specificity"`, in (0, 1).
        cost_ratio: Of `"cost"`: what a missed malignant case costs, in false alarms.
        prevalence: Of `"cost"`: share of malignant cases, in (0, 1); None: as found.

    Returns:
        Threshold in (0, 1).

    Raises:
        ValueError: If `method` is not one of `METHODS`, or one other than `"half"` has
            cases of one label only, or as `score`.

    Reference:
        [Youden, 1950](https://doi.org/10.1002/1097-0142(1950)3:1%3C32::AID-CNCR2820030106%3E3.0.CO;2-3);
        cost: [Zweig and Campbell, 1993](https://doi.org/10.1093/clinchem/39.4.561).

    Example:
        The cut between 0.4 and 0.6 calls 2 of 3 malignant and all benign cases right.

        >>> import usgland.evaluation as ev
        >>> labels, probabilities = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.6, 0.9]
        >>> ev.choose_threshold(labels, probabilities)
        0.5
        >>> ev.choose_threshold(labels, probabilities, "sensitivity", target=0.95)
        0.25
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: {method!r}")
    if method == "half":
        return 0.5
    labels, probabilities = checked_cases(labels, probabilities)
    malignant = int((labels == 1).sum())
    benign = int((labels == 0).sum())
    if not malignant or not benign:
        raise ValueError(
            f"`labels` must hold 0 and 1 for the method {method!r}. Received: {benign} "
            f"benign and {malignant} malignant"
        )
    thresholds = _cuts(np.unique(probabilities))
    tp = _called(probabilities[labels == 1], thresholds)
    fp = _called(probabilities[labels == 0], thresholds)
    if method == "sensitivity":
        reached = tp / malignant >= target - ROUNDING
        return float(thresholds[reached].max(initial=thresholds[0]))
    if method == "specificity":
        reached = 1 - fp / benign >= target - ROUNDING
        return float(thresholds[reached].min(initial=thresholds[-1]))
    index = tp * benign - fp * malignant  # Youden's times both: ties are exact
    if method == "cost":
        fn = malignant - tp
        # Without a prevalence, costs are counted; else each class has its share.
        weights = (1.0, 1.0)
        if prevalence is not None:
            weights = (prevalence * benign, (1 - prevalence) * malignant)
        index = -(cost_ratio * weights[0] * fn + weights[1] * fp)
    best = thresholds[np.isclose(index, index.max(), rtol=ROUNDING, atol=0)]
    return float(best[np.abs(best - 0.5).argmin()])


def choose_points(rows: pd.DataFrame, settings: EvaluationSettings) -> Thresholds:
    """Chooses the operating point of the settings, and the further ones.

    Where validation has one class only, the further points that need both are left
    out. Errors are those of `choose_operating_point`.
    """
    chosen = choose_operating_point(rows, settings.operating_point, settings)
    both = rows["label"].nunique() == 2
    further = [
        choose_operating_point(rows, method, settings)
        for method in dict.fromkeys(settings.further_points)
        if method != settings.operating_point and (both or method == "half")
    ]
    return Thresholds({EVERY: chosen | {"further": further}})


def choose_operating_point(
    rows: pd.DataFrame, method: str, settings: EvaluationSettings
) -> dict[str, Any]:
    """Chooses the threshold on validation images or out of fold; says on which.

    Returns:
        A point of `Thresholds`: threshold, method, unit, role, n_images, n_patients,
        sensitivity, specificity (NaN without cases of that class), and what was aimed
        at: target, or cost_ratio and prevalence (None: as found).

    Raises:
        UserError: If there is no image, or only one class for Youden's index.
        ValueError: If rows are not of val or `OUT_OF_FOLD` alone.
    """
    way_out, both = "evaluation.operating_point=half", method != "half"
    described = describe_validation(rows, "place the threshold", way_out, both=both)
    labels = rows["label"].to_numpy()
    probabilities = rows["probability"].to_numpy("float64")
    aim = _aim(method, settings)
    threshold = choose_threshold(labels, probabilities, method, **aim)
    measures = score(labels, probabilities, threshold)
    return {
        "threshold": threshold,
        "method": method,
        **described,
        "sensitivity": measures["sensitivity"],
        "specificity": measures["specificity"],
        **aim,
    }


def write_thresholds(path: Path, thresholds: Thresholds) -> None:
    """Writes `threshold.json`, whole or not at all."""
    write_json(path, thresholds.content)


def read_thresholds(path: Path) -> Thresholds:
    """Reads `threshold.json`: one point, or one for each of `folds`.

    Raises:
        UserError: If it cannot be read, or a threshold is missing or not in (0, 1).
    """
    content = read_json(path)
    problem = _problem(content)
    if problem:
        raise UserError(f"{path}: {problem}")
    return Thresholds.of_content(content)


def apply_threshold(rows: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Adds `threshold` and `prediction`, 1 where `probability >= threshold`.

    `rows` are images or patients, for thresholds by fold with `fold`.

    Raises:
        UserError: If a row is of a fold that has no threshold.
    """
    by_fold = thresholds.value
    if not isinstance(by_fold, dict):
        threshold = pd.Series(by_fold, index=rows.index)
    else:
        folds = rows["fold"] if "fold" in rows else pd.Series("", index=rows.index)
        threshold = folds.astype(str).map(by_fold)
        if threshold.isna().any():
            unknown = sorted(set(folds.astype(str)) - set(by_fold))
            raise UserError(
                f"Expected predictions of the folds {', '.join(by_fold)}. "
                f"Received: fold {unknown[0]!r}, which has no threshold"
            )
    # As float64: a float32 probability would round the threshold to its own kind.
    called = rows["probability"].to_numpy("float64") >= threshold.to_numpy("float64")
    return rows.assign(
        threshold=threshold.astype("float64"), prediction=called.astype(int)
    )


def _cuts(distinct: np.ndarray) -> np.ndarray:
    """Thresholds in (0, 1), ascending: between neighbours, and one at either end."""
    edges = np.r_[0.0, distinct, 1.0]
    low, high = edges[:-1], edges[1:]
    middle = (low + high) / 2
    # Between neighbours without a number between them, the upper one divides them.
    middle = np.where(middle > low, middle, high)
    # An end that reaches 0 or 1 leaves no room for a threshold beyond it.
    inside = (low < high) & (middle > 0) & (middle < 1)
    return middle[inside]


def _called(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many reach each threshold."""
    return len(probabilities) - np.searchsorted(np.sort(probabilities), thresholds)


def _aim(method: str, settings: EvaluationSettings) -> dict[str, Any]:
    """What `choose_threshold` aims at by a method."""
    if method == "cost":
        return {"cost_ratio": settings.cost_ratio, "prevalence": settings.prevalence}
    targets = {
        "sensitivity": settings.target_sensitivity,
        "specificity": settings.target_specificity,
    }
    return {"target": targets[method]} if method in targets else {}


def _problem(content: Any) -> str:
    """What is wrong with the content of `threshold.json`; "" where nothing is."""
    for point in parts_of_folds(content):
        further = point.get("further", []) if isinstance(point, dict) else []
        others = further if isinstance(further, list) else [further]
        for number, part in enumerate([point, *others]):
            value = part.get("threshold") if isinstance(part, dict) else part
            if not isinstance(value, float) or not 0 < value < 1:
                return (
                    "expected a `threshold` in (0, 1), or one for each of `folds`. "
                    f"Received: {value!r}"
                )
            if number and part.get("method") not in METHODS:
                return (
                    f"`further`: expected a `method` of {', '.join(METHODS)}. "
                    f"Received: {part.get('method')!r}"
                )
    return ""
