"""The operating point: chosen once on validation, written down, then only applied.

It is chosen per image and used for patients as it is. A second threshold, chosen on
patients, would rest on the few of the validation part; and the mean of logits stays
on the scale of a single image's logit.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from usgland.config import EvaluationSettings
from usgland.errors import UserError
from usgland.evaluation.statistics.scores import score
from usgland.files import read_json, write_json

METHODS = ("youden", "half", "sensitivity", "specificity", "cost")
AIMS = ("target", "cost_ratio", "prevalence")  # what a point may have aimed at
ROUNDING = 1e-12  # 0.55 of 20 cases are 11, whatever 0.55 * 20 is to a computer


def choose_threshold(
    labels: ArrayLike,
    probabilities: ArrayLike,
    method: str,
    settings: EvaluationSettings | None = None,
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
        settings: Targets, cost ratio and prevalence; None for the defaults.

    Returns:
        Threshold in (0, 1).

    Raises:
        UserError: If a method other than `"half"` has only one class to rest on.
        ValueError: If `method` is not one of `METHODS`.

    Reference:
        [Youden, 1950](https://doi.org/10.1002/1097-0142(1950)3:1%3C32::AID-CNCR2820030106%3E3.0.CO;2-3);
        cost: [Zweig and Campbell, 1993](https://doi.org/10.1093/clinchem/39.4.561).
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: {method!r}")
    if method == "half":
        return 0.5
    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities, "float64")
    malignant = int((labels == 1).sum())
    benign = int((labels == 0).sum())
    if not malignant or not benign:
        raise UserError(
            "Expected benign and malignant validation images to place the threshold. "
            f"Received: {benign} benign and {malignant} malignant. Change the split, "
            "or use --set evaluation.operating_point=half"
        )
    thresholds = _cuts(np.unique(probabilities))
    tp = _called(probabilities[labels == 1], thresholds)
    fp = _called(probabilities[labels == 0], thresholds)
    settings = settings or EvaluationSettings()
    if method == "sensitivity":
        reached = tp / malignant >= settings.target_sensitivity - ROUNDING
        return float(thresholds[reached].max(initial=thresholds[0]))
    if method == "specificity":
        reached = 1 - fp / benign >= settings.target_specificity - ROUNDING
        return float(thresholds[reached].min(initial=thresholds[-1]))
    index = tp * benign - fp * malignant  # Youden's times both: ties are exact
    if method == "cost":
        fn = malignant - tp
        # As found, costs are counted; else each class is weighed to its share.
        weights = (1.0, 1.0)
        if settings.prevalence is not None:
            share = settings.prevalence
            weights = (share * benign, (1 - share) * malignant)
        index = -(settings.cost_ratio * weights[0] * fn + weights[1] * fp)
    best = thresholds[np.isclose(index, index.max(), rtol=ROUNDING, atol=0)]
    return float(best[np.abs(best - 0.5).argmin()])


def choose_points(rows: pd.DataFrame, settings: EvaluationSettings) -> dict[str, Any]:
    """Chooses the operating point of the settings, and the further ones.

    Args:
        rows: As in `choose_operating_point`.
        settings: Which points.

    Returns:
        What `choose_operating_point` gives, with `further`: one such dict a point.
        Where validation has one class only, those that need both are not among them.
    """
    chosen = choose_operating_point(rows, settings.operating_point, settings)
    both = rows["label"].nunique() == 2
    further = [
        choose_operating_point(rows, method, settings)
        for method in dict.fromkeys(settings.further_points)
        if method != settings.operating_point and (both or method == "half")
    ]
    return chosen | {"further": further}


def choose_operating_point(
    rows: pd.DataFrame, method: str, settings: EvaluationSettings | None = None
) -> dict[str, Any]:
    """Chooses the threshold on validation images, and says what it was chosen on.

    Args:
        rows: Predictions, one row an image: patient_id, role, label, probability.
        method: As in `choose_threshold`.
        settings: As in `choose_threshold`.

    Returns:
        What `threshold.json` holds: threshold, method, unit, role, n_images,
        n_patients, sensitivity, specificity (NaN without cases of that class), and
        what was aimed at: target, or cost_ratio and prevalence (None: as found).

    Raises:
        UserError: If there is no image, or only one class for Youden's index.
        ValueError: If rows of another role than val are among them.
    """
    if rows.empty:
        raise UserError(
            "Expected validation images to place the threshold. Received: none. "
            "Raise split.val_fraction"
        )
    roles = sorted(rows["role"].unique())
    if roles != ["val"]:
        raise ValueError(
            f"The operating point is chosen on the role val. Received: {roles}"
        )
    labels = rows["label"].to_numpy()
    probabilities = rows["probability"].to_numpy("float64")
    threshold = choose_threshold(labels, probabilities, method, settings)
    measures = score(labels, probabilities, threshold)
    return {
        "threshold": threshold,
        "method": method,
        "unit": "image",
        "role": "val",
        "n_images": len(rows),
        "n_patients": int(rows["patient_id"].nunique()),
        "sensitivity": measures["sensitivity"],
        "specificity": measures["specificity"],
        **_aim(method, settings or EvaluationSettings()),
    }


def write_thresholds(path: Path, thresholds: dict[str, Any]) -> None:
    """Writes `threshold.json` whole: `choose_operating_point`'s, or one a fold.

    Args:
        path: The file.
        thresholds: As described, or `{"folds": {"0": {...}, ...}}`.

    Raises:
        UserError: If it holds no threshold, or the file cannot be written.
    """
    _check(path, thresholds)
    write_json(path, thresholds)


def read_thresholds(path: Path) -> dict[str, Any]:
    """Reads `threshold.json`, in either form.

    Raises:
        UserError: If it cannot be read, or a threshold is missing or not in (0, 1).
    """
    thresholds = read_json(path)
    _check(path, thresholds)
    return thresholds


def chosen_point(thresholds: dict[str, Any]) -> dict[str, Any] | None:
    """Method and aim of the operating point; None where the file does not say."""
    first = thresholds
    if "folds" in thresholds:
        first = next(iter(thresholds["folds"].values()))
    found = {name: first[name] for name in ("method", *AIMS) if name in first}
    return found if "method" in found else None


def further_points(thresholds: dict[str, Any]) -> list[dict[str, Any]]:
    """The further operating points that were stored; none by older versions.

    Returns:
        One dict a point: method, what it aimed at, and `threshold`, or `folds` as
        `apply_threshold` takes them. Of folds, the points that all of them have.
    """
    if "folds" not in thresholds:
        return list(thresholds.get("further", []))
    by_fold = {
        fold: {point["method"]: point for point in one.get("further", [])}
        for fold, one in thresholds["folds"].items()
    }
    found = []
    for method, first in next(iter(by_fold.values())).items():
        if all(method in points for points in by_fold.values()):
            folds = {fold: points[method] for fold, points in by_fold.items()}
            aim = {name: first[name] for name in AIMS if name in first}
            found.append({"method": method, **aim, "folds": folds})
    return found


def apply_threshold(rows: pd.DataFrame, thresholds: dict[str, Any]) -> pd.DataFrame:
    """Adds `threshold` and `prediction`, 1 where `probability >= threshold`.

    Args:
        rows: Images or patients, with `probability` and, for thresholds by fold,
            `fold`.
        thresholds: As `read_thresholds` gives it.

    Raises:
        UserError: If a row is of a fold that has no threshold.
    """
    if "folds" not in thresholds:
        threshold = pd.Series(float(thresholds["threshold"]), index=rows.index)
    else:
        by_fold = {
            str(fold): float(one["threshold"])
            for fold, one in thresholds["folds"].items()
        }
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


def _aim(method: str, settings: EvaluationSettings) -> dict[str, float | None]:
    if method == "sensitivity":
        return {"target": settings.target_sensitivity}
    if method == "specificity":
        return {"target": settings.target_specificity}
    if method == "cost":
        return {"cost_ratio": settings.cost_ratio, "prevalence": settings.prevalence}
    return {}


def _check(path: Path, thresholds: Any) -> None:
    points = [thresholds]
    if isinstance(thresholds, dict) and "folds" in thresholds:
        folds = thresholds["folds"]
        points = list(folds.values()) if isinstance(folds, dict) and folds else [folds]
    for point in points:
        _check_threshold(path, point)
        further = point.get("further", [])
        for one in further if isinstance(further, list) else [further]:
            _check_threshold(path, one)
            if one.get("method") not in METHODS:
                raise UserError(
                    f"{path}: `further`: expected a `method` of {', '.join(METHODS)}. "
                    f"Received: {one.get('method')!r}"
                )


def _check_threshold(path: Path, point: Any) -> None:
    value = point.get("threshold") if isinstance(point, dict) else point
    if not isinstance(value, float) or not 0 < value < 1:
        raise UserError(
            f"{path}: expected a `threshold` in (0, 1), or one for each of "
            f"`folds`. Received: {value!r}"
        )
