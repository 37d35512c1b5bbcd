"""The table of predictions: checked when read, and gathered by patient."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from usgland.errors import UserError
from usgland.evaluation.statistics.scores import checked_labels
from usgland.table_files import (
    ROW,
    check_columns,
    missing_cells,
    read_table,
    show_rows,
    to_numbers,
)

COLUMNS = ("image", "patient_id", "role", "label", "probability", "logit")
ROLES = ("train", "val", "test")
# Of what networks say of whom they have not learned from; see `gather_out_of_fold`.
OUT_OF_FOLD = "out_of_fold"
# Roles that may calibrate and place a threshold, in words before "images".
CHOOSING = {"val": "validation", OUT_OF_FOLD: "out-of-fold"}
# A logit may be so far from its probability; half precision rounds to about 0.004.
LOGIT_TOLERANCE = 0.01
NEAREST = 1e-6  # to 0 and 1, of a probability whose logit is needed
LABELS = {"benign": "0", "malignant": "1"}


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Reads predictions.csv: one row an image, with what the model said of it.

    Words are kept as they stand: the patient "007" and the patient "NA" exist.

    Args:
        path: CSV or .xlsx with the columns image, patient_id, role (train, val or
            test), label (0 or 1), probability in [0, 1], logit, and optionally fold.

    Returns:
        The rows in their order, other columns kept as text. `fold` is text, empty
        where there is none; `label` int, `probability` and `logit` float64.

    Raises:
        UserError: If the file cannot be read or a row cannot be used.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> said = {"probability": [0.75, 0.5], "logit": [1.0986, 0.0]}
        >>> whose = {"patient_id": "007", "role": "test", "label": 1}
        >>> rows = pd.DataFrame({"image": ["1.png", "2.png"], **whose, **said})
        >>> rows.to_csv("predictions.csv", index=False)
        >>> ev.read_predictions("predictions.csv")
           image patient_id  role  label  probability   logit fold
        0  1.png        007  test      1         0.75  1.0986
        1  2.png        007  test      1         0.50  0.0000
    """
    path = Path(path)
    rows = read_table(path, ". `usgland predict` writes predictions")
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise UserError(
            f"{path}: expected the columns {', '.join(COLUMNS)}. "
            f"Received a file without {', '.join(missing)}"
        )
    if rows.empty:
        raise UserError(f"{path}: expected one row an image. Received: no rows")
    if "fold" not in rows:
        rows["fold"] = ""
    return _checked_rows(path, rows)


def _checked_rows(path: Path, rows: pd.DataFrame) -> pd.DataFrame:
    rows["fold"] = rows["fold"].str.removesuffix(".0")
    for name in ("image", "patient_id"):
        _reject(path, rows, rows[name] == "", name, "a value")
    _reject(path, rows, ~rows["role"].isin(ROLES), "role", "train, val or test")
    _check_labels(path, rows)
    _check_probabilities(path, rows)
    repeated = rows.duplicated(["image", "fold"], keep=False)
    _reject(path, rows, repeated, "image", "each image once (a fold)")
    roles = rows.groupby(["patient_id", "fold"])["role"].transform("nunique")
    _reject(path, rows, roles > 1, "patient_id", "each patient in one role (a fold)")
    return rows.drop(columns=[ROW])


def read_scored(path: Path) -> pd.DataFrame:
    """Reads any table with `label` and `probability`, as `read_predictions` gives ours.

    Labels are 0 and 1 or words; probabilities may be calls, 0 or 1, whose logits are
    those of `NEAREST`. Where there is no `image` a case is called by its number among
    the rows, where there is no `patient_id` each is a patient, and all are of the role
    test unless there is a `role`.

    Raises:
        UserError: As `read_predictions`.
    """
    rows = read_table(path)
    if set(COLUMNS) <= set(rows):
        return read_predictions(path)
    names = [name for name in rows.columns if name != ROW]
    hint = "Beside them patient_id, where patients have several cases"
    check_columns(path, ("label", "probability"), names, hint)
    check_patient_column(path, names)
    if rows.empty:
        raise UserError(f"{path}: expected one row a case. Received: no rows")
    numbers = pd.Series(range(1, len(rows) + 1), index=rows.index).astype(str)
    rows["image"] = rows.get("image", numbers)
    rows["patient_id"] = rows.get("patient_id", rows["image"])
    rows["role"], rows["fold"] = rows.get("role", "test"), rows.get("fold", "")
    rows["label"] = rows["label"].map(lambda word: LABELS.get(word.casefold(), word))
    probability = to_numbers(rows["probability"])
    known = probability.where(probability.between(0, 1), 0.5)
    # From the nearer end, so that a call of 1 and one of 0 make up for each other.
    size = -logit(np.clip(np.minimum(known, 1 - known), NEAREST, None))
    rows["logit"] = pd.Series(np.where(known >= 0.5, size, -size)).astype(str)
    return _checked_rows(path, rows)


def check_patient_column(path: Path, columns: Iterable[str]) -> None:
    """Refuses `Patient ID` for `patient_id`: unread, each row would be a patient."""
    for name in columns:
        letters = "".join(filter(str.isalnum, name.casefold()))
        if letters == "patientid" and name != "patient_id":
            raise UserError(
                f"{path}: expected the column patient_id so written. Received: "
                f"{name!r}; rename it"
            )


def only_calls(rows: pd.DataFrame) -> bool:
    """Whether every probability is 0 or 1."""
    return bool(rows["probability"].isin([0, 1]).all())


def read_role(path: Path, role: str, *, any_table: bool = False) -> pd.DataFrame:
    """Reads the predictions of one role: train, val or test; errors if it has none.

    Of a table as `read_predictions` reads it, or of `any_table` as `read_scored` does.
    """
    rows = read_scored(path) if any_table else read_predictions(path)
    part = rows[rows["role"] == role].reset_index(drop=True)
    if part.empty:
        raise UserError(
            f"{path}: expected rows of the role {role}. Received: only "
            f"{', '.join(sorted(set(rows['role'])))}"
        )
    return part


def patient_predictions(rows: pd.DataFrame) -> pd.DataFrame:
    """Gathers the images of a patient into one prediction: the mean of their logits.

    A patient with images of both labels, which the settings must allow, counts as
    malignant: the label is the largest of the images.

    Args:
        rows: One row an image, as `read_predictions` gives them, or a table of one's
            own with patient_id, label (-1 where it is unknown) and probability (or
            logit).

    Returns:
        One row a patient (in cross-validation, a patient, role and fold), sorted:
        patient_id, role, fold, label, images (how many), logit (their mean),
        probability (the sigmoid of that mean).

    Raises:
        ValueError: If a column is missing, or a probability of 0 or 1 has no logit.

    Example:
        The sigmoid of (2.0 + 0.0) / 2 is 0.731.

        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> whose = {"patient_id": ["a", "a", "b"], "role": "test", "label": [1, 1, 0]}
        >>> ev.patient_predictions(pd.DataFrame({**whose, "logit": [2.0, 0.0, -1.0]}))
          patient_id  role fold  label  images  logit  probability
        0          a  test           1       2    1.0     0.731059
        1          b  test           0       1   -1.0     0.268941
    """
    rows = complete_predictions(rows, labelled=False)
    patients = (
        rows.groupby(["patient_id", "role", "fold"], sort=True)
        .agg(label=("label", "max"), images=("label", "size"), logit=("logit", "mean"))
        .reset_index()
    )
    return patients.assign(probability=expit(patients["logit"].to_numpy()))


def complete_predictions(rows: pd.DataFrame, *, labelled: bool = True) -> pd.DataFrame:
    """Gives a table of one's own the columns that one of ours has.

    Args:
        rows: With patient_id, label and probability or logit.
        labelled: Whether every label must be known; else -1 stands for one that is not.

    Returns:
        The rows under a new index, with `fold` and `image` (empty), `role` (test),
        `logit` and `probability` where they were not there.

    Raises:
        ValueError: If a column is missing, a label is not 0 or 1, or a probability of
            0 or 1 has no logit.
    """
    rows = rows.reset_index(drop=True)  # an index may be named patient_id, too
    missing = [name for name in ("patient_id", "label") if name not in rows]
    missing += [] if {"probability", "logit"} & set(rows) else ["probability"]
    if missing:
        raise ValueError(
            "Predictions must have the columns patient_id, label and probability or "
            f"logit. Received: none named {', '.join(missing)}"
        )
    labels = rows["label"]
    checked_labels(labels if labelled else labels[labels != -1])
    rows = rows.assign(label=labels.astype("int64"))
    for name, value in (("fold", ""), ("role", "test"), ("image", "")):
        if name not in rows:
            rows = rows.assign(**{name: value})
    if "logit" not in rows:
        rows = rows.assign(logit=logit(rows["probability"].to_numpy("float64")))
    rows = rows.assign(logit=rows["logit"].astype("float64"))
    if not np.isfinite(rows["logit"]).all():
        raise ValueError(
            "Predictions must have finite logits, from which those of patients are "
            "made. Received: a probability of 0 or 1; keep it off both, or give `logit`"
        )
    if "probability" not in rows:
        rows = rows.assign(probability=expit(rows["logit"]))
    return rows


def check_role(rows: pd.DataFrame) -> str:
    """The one role of predictions that are scored together.

    Raises:
        ValueError: If there are no rows, or rows of several roles.
    """
    roles = sorted(set(rows["role"]))
    if len(roles) != 1:
        raise ValueError(
            f"Predictions must be of one role. Received: {roles}; choose, e.g. "
            "rows[rows['role'] == 'test']"
        )
    return str(roles[0])


def have_phantoms(rows: pd.DataFrame) -> bool:
    """Whether a row says that its image is of a phantom."""
    return "synthetic" in rows and bool((rows["synthetic"] == "1").any())


def label_counts(rows: pd.DataFrame) -> tuple[int, int]:
    """How many are benign and how many malignant."""
    return int((rows["label"] == 0).sum()), int((rows["label"] == 1).sum())


def describe_validation(
    rows: pd.DataFrame, purpose: str, way_out: str, *, both: bool
) -> dict[str, Any]:
    """Checks that rows are of validation or out of fold, and says how many there are.

    `purpose` is what they are to do, e.g. `calibrate`; `both`, whether that needs
    images of both labels; `way_out`, the setting that does without.

    Raises:
        UserError: If there is no image, or only one label where both are needed.
        ValueError: If rows of another role, or of both, are among them.
    """
    if rows.empty:
        raise UserError(
            f"Expected validation images to {purpose}. Received: none. "
            "Raise split.val_fraction"
        )
    roles = sorted(rows["role"].unique())
    if len(roles) > 1 or roles[0] not in CHOOSING:
        raise ValueError(
            f"To {purpose}, expected the role {' or '.join(CHOOSING)}. "
            f"Received: {roles}"
        )
    benign, malignant = label_counts(rows)
    if both and not (benign and malignant):
        raise UserError(
            f"Expected benign and malignant {CHOOSING[roles[0]]} images to {purpose}. "
            f"Received: {benign} benign and {malignant} malignant. Change the split, "
            f"or use --set {way_out}"
        )
    patients = int(rows["patient_id"].nunique())
    counts = {"n_images": len(rows), "n_patients": patients}
    return {"unit": "image", "role": roles[0], **counts}


def parts_of_folds(content: Any) -> list[Any]:
    """What a file of one choice, or of one for each of `folds`, holds."""
    if not (isinstance(content, dict) and "folds" in content):
        return [content]
    folds = content["folds"]
    return list(folds.values()) if isinstance(folds, dict) and folds else [folds]


def count_cases(rows: pd.DataFrame) -> dict[str, int]:
    """n, n_benign, n_malignant and n_patients of rows with label and patient_id."""
    benign, malignant = label_counts(rows)
    patients = int(rows["patient_id"].nunique())
    counts = {"n": len(rows), "n_benign": benign, "n_malignant": malignant}
    return counts | {"n_patients": patients}


def _check_labels(path: Path, rows: pd.DataFrame) -> None:
    labels = to_numbers(rows["label"])
    unlabelled = (labels == -1) | missing_cells(rows["label"])
    if unlabelled.any():
        raise UserError(
            f"{path}: expected a label, 0 or 1, in every row. Received: "
            f"{int(unlabelled.sum())} of {len(rows)} rows without one ("
            f"{show_rows(rows.loc[unlabelled, ROW])}). Without labels there is nothing "
            "to score"
        )
    _reject(path, rows, ~labels.isin([0, 1]), "label", "0 (benign) or 1 (malignant)")
    rows["label"] = labels.astype(int)


def _check_probabilities(path: Path, rows: pd.DataFrame) -> None:
    probability = to_numbers(rows["probability"])
    wrong = ~probability.between(0, 1)  # true of NaN, too
    _reject(path, rows, wrong, "probability", "a number in [0, 1]")
    logits = to_numbers(rows["logit"])
    _reject(path, rows, ~np.isfinite(logits), "logit", "a finite number")
    apart = (expit(logits) - probability).abs() > LOGIT_TOLERANCE
    _reject(path, rows, apart, "logit", "the logit of `probability`")
    rows["probability"], rows["logit"] = probability, logits


def _reject(
    path: Path, rows: pd.DataFrame, wrong: pd.Series, name: str, expected: str
) -> None:
    if wrong.any():
        first = rows.loc[wrong, name].iloc[0]
        raise UserError(
            f"{path}: `{name}`: expected {expected}. Received: {first!r} "
            f"({show_rows(rows.loc[wrong, ROW])})"
        )
