"""Whether what is no finding of a lesion predicts the label all the same.

A network learns the scanner where malignant lesions were seen on another one. So each
such property alone is asked for the label, of patients it has not seen.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usgland.evaluation.statistics.intervals import auc_interval
from usgland.evaluation.statistics.scores import roc_auc
from usgland.table_files import is_missing, to_numbers

SUSPICIOUS = 0.6  # AUC above which a property is told, if its interval leaves .5 out
ALL_MISSING = "the pattern of missing values"
IMAGES = "the number of images of a patient"
FOLDS = 5
TREES, LEAST_LEAF = 100, 5  # of the forest, and images of one of its leaves
FEWEST_PATIENTS = 10  # of the rarer label
SEED = 0
# Columns of a table that say where, on what and how, not what was seen.
CIRCUMSTANCES = (
    *("site", "hospital", "centre", "center", "device", "scanner", "manufacturer"),
    *("model", "probe", "transducer", "operator", "year", "spacing_mm"),
    *("pixel_size_mm", "pixel_spacing_mm", "study_day", "source"),
)
# Columns with the size that a picture had before it was shrunk or cut for the table.
EARLIER_SIZE = re.compile(r"(native|original|source)_(width|height)(_px)?")


class Confounder(NamedTuple):
    """How well a property that should not matter predicts the label.

    Attributes:
        name: E.g. `"frame size"`.
        roc_auc: Of images; of properties of several values out of fold.
        low: Lower bound of its interval, by patient.
        high: Upper bound.
        detail: What stands behind it, e.g. how often each label has a mark.
    """

    name: str
    roc_auc: float
    low: float
    high: float
    detail: str = ""

    @property
    def is_suspicious(self) -> bool:
        return self.roc_auc > SUSPICIOUS and self.low > 0.5


def find_confounders(
    features: Mapping[str, pd.DataFrame],
    labels: NDArray[np.int64],
    groups: NDArray,
) -> list[Confounder]:
    """Asks each property alone for the label, the strongest first.

    Args:
        features: Name -> its columns, `(images, columns)`: numbers, NaN where unknown,
            or texts.
        labels: `(images,)`, 0 or 1.
        groups: `(images,)`: who must not stand in two folds.

    Raises:
        ValueError: If a label has fewer than `FEWEST_PATIENTS` groups.
    """
    fewest = min(len(np.unique(groups[labels == label])) for label in (0, 1))
    if fewest < FEWEST_PATIENTS:
        raise ValueError(
            f"`groups` must be {FEWEST_PATIENTS} or more of each label. "
            f"Received: {fewest}"
        )
    answers = []
    for name, columns in features.items():
        numbers = np.column_stack([_as_numbers(columns[c]) for c in columns])
        if (numbers == numbers[0]).all():
            continue
        scores, detail = _scores(numbers, labels, groups)
        area = roc_auc(labels, scores)
        interval = auc_interval(labels, scores, patient_ids=groups)
        answers.append(Confounder(name, area, interval.low, interval.high, detail))
    return sorted(answers, key=lambda answer: -answer.roc_auc)


def _scores(
    numbers: NDArray, labels: NDArray[np.int64], groups: NDArray
) -> tuple[NDArray[np.float64], str]:
    """Scores of images by a property; a sign that is there or not is its own score."""
    values = np.unique(numbers)
    if numbers.shape[1] == 1 and len(values) == 2:
        present = (numbers[:, 0] == values[1]).astype(float)
        counts = [
            f"{int(present[labels == label].sum())} of {int((labels == label).sum())} "
            f"{word}"
            for label, word in enumerate(("benign", "malignant"))
        ]
        if roc_auc(labels, present) < 0.5:
            present = 1 - present
        return present, ", ".join(counts)
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    forest = RandomForestClassifier(
        TREES, min_samples_leaf=LEAST_LEAF, random_state=SEED
    )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    scores = np.empty(len(labels))
    for train, test in folds.split(numbers, labels, groups):
        forest.fit(numbers[train], labels[train])
        scores[test] = forest.predict_proba(numbers[test])[:, -1]
    return scores, "out of fold"


def _as_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Numbers; of texts their place in the alphabet; -1 where nothing is known."""
    if pd.api.types.is_numeric_dtype(column) or column.dtype == bool:
        return np.asarray(column.fillna(-1), np.float64)
    known = column.map(lambda cell: "" if is_missing(cell) else str(cell).strip())
    numbers = to_numbers(known)
    if not numbers[known != ""].isna().any():
        return np.asarray(numbers.fillna(-1))
    return pd.Categorical(known).codes.astype(np.float64)


def warning_of(confounder: Confounder) -> str:
    """One sentence on a property that a network may learn instead of the lesion."""
    return (
        f"Warning: {confounder.name} alone predicts the label, AUC "
        f"{confounder.roc_auc:.2f} ({confounder.low:.2f} to {confounder.high:.2f}): a "
        "network may learn it instead of the lesion"
    )


def properties_of(rows: pd.DataFrame, clinical: list[str]) -> dict[str, pd.DataFrame]:
    """The properties of a table that should not tell the label.

    Args:
        rows: With `patient_id`, and `frame_width` and `frame_height` in pixels.
        clinical: Columns of which it should not matter whether they are filled.
    """
    size = rows[["frame_width", "frame_height"]].astype(float)
    ratio = size["frame_width"] / size["frame_height"]
    properties = {"frame size": size.assign(ratio=ratio)}
    words = {str(name): str(name).strip().lower() for name in rows.columns}
    earlier = [name for name, word in words.items() if EARLIER_SIZE.fullmatch(word)]
    if earlier:
        numbers = rows[earlier].apply(to_numbers)
        if len(earlier) == 2:
            numbers["ratio"] = numbers[earlier[0]] / numbers[earlier[1]]
        properties["frame size before export"] = numbers
    for name, word in words.items():
        if word in CIRCUMSTANCES:
            properties[name] = rows[[name]]
    counts = rows.groupby("patient_id")["patient_id"].transform("size")
    properties[IMAGES] = counts.to_frame("images").astype(float)
    lacking = rows[clinical].map(is_missing)
    lacking = lacking.loc[:, lacking.any()]
    # Columns that one question filled, or none, are missing together: told as one.
    together: dict[bytes, list[str]] = {}
    for name in map(str, lacking):
        together.setdefault(lacking[name].to_numpy().tobytes(), []).append(name)
    for names in together.values():
        more = f" and {len(names) - 1} more" if names[1:] else ""
        missing = lacking[[names[0]]].astype(float)
        properties[f"missing `{names[0]}`{more}"] = missing
    if len(together) > 1:
        properties[ALL_MISSING] = lacking.astype(float)
    return properties
