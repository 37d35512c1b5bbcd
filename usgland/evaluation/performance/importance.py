"""How much a model leans on each column of the form, and on each side as a whole."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.shown.text import format_interval, format_number
from usgland.evaluation.statistics import bootstrap
from usgland.evaluation.statistics.scores import roc_auc, weighted_auc

AS_IT_IS = "as it is"
WITHHELD = "withheld"  # how the name of a side that was taken away ends


def importance_table(
    cases: pd.DataFrame,
    logits: Mapping[str, np.ndarray],
    *,
    resamples: int,
    level: float,
    seed: int,
) -> list[dict[str, Any]]:
    """How far the AUC per patient falls when a value belongs to somebody else.

    A fall is the AUC as it is minus the mean AUC over the permutations. Its interval
    is of patients drawn with replacement, each time with one permutation, so that it
    holds both chances. A fall near 0 says that this model does without the column, as
    where another says the same; it does not say that the column knows nothing.

    `cases` are held out: patient_id, label and, of cross-validation, fold. `logits` are
    name -> `(permutations, cases)`, with the name `as it is`.

    Returns:
        One dict a name but the first, largest fall first: name, what (column, side or
        withheld), auc, fall, low, high, method.

    Reference:
        [Breiman, 2001](https://doi.org/10.1023/A:1010933404324), section 10, with
        patients as the unit.
    """
    keys = cases["patient_id"].astype(str)
    if "fold" in cases:
        keys = cases["fold"].astype(str) + "\0" + keys
    by_patient = cases["label"].groupby(keys.to_numpy())
    labels, patient = by_patient.max().to_numpy(), by_patient.ngroup().to_numpy()
    means = {name: _patient_means(values, patient) for name, values in logits.items()}
    (baseline,) = means.pop(AS_IT_IS)
    drawn = bootstrap.resample_patients(len(labels), resamples, seed)
    auc = roc_auc(labels, baseline)
    drawn_auc = weighted_auc(labels, baseline, drawn)
    table = []
    for name, permuted in means.items():
        permuted_auc = float(np.mean([roc_auc(labels, scores) for scores in permuted]))
        falls = np.empty(resamples)
        for number, scores in enumerate(permuted):
            mine = np.arange(resamples) % len(permuted) == number
            falls[mine] = drawn_auc[mine] - weighted_auc(labels, scores, drawn[mine])
        interval = bootstrap.percentile_interval(falls, level=level, seed=seed)
        several = f", {len(permuted)} permutations" if len(permuted) > 1 else ""
        what = "side" if name in ("image", "whole form") else "column"
        table.append(
            {
                "name": name,
                "what": WITHHELD if name.endswith(WITHHELD) else what,
                "auc": permuted_auc,
                "fall": auc - permuted_auc,
                "low": interval.low,
                "high": interval.high,
                "method": interval.how() + several,
            }
        )
    return sorted(table, key=lambda row: -row["fall"])


def _patient_means(values: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Mean logit of each patient, `(permutations, patients)`."""
    counts = np.bincount(patient)
    sums = [np.bincount(patient, weights=row) for row in np.asarray(values, "float64")]
    return np.stack(sums) / counts


def importance_document(
    table: Sequence[dict[str, Any]], *, synthetic: bool
) -> Document:
    """What `importance_table` gives, as it is shown and written."""
    lines = [
        (
            row["name"],
            format_interval(row["fall"], row["low"], row["high"], signed=True),
            format_number(row["auc"]),
        )
        for row in table
    ]
    method = max((row["method"] for row in table), key=len)
    shown = Table(
        heads=("", "fall", "AUC then"),
        sections=(rows(lines),),
        title="What the model leans on: fall of the AUC per patient",
        notes=(
            "A column, or a whole side, of another patient in its place (withheld: of "
            "nobody); held-out patients.",
            "By the first look, at the whole picture, alone where the model has two.",
            f"Intervals: {method}.",
        ),
    )
    return Document((shown,), synthetic, columns=tuple(table[0]), records=tuple(table))
