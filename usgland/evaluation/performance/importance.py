"""How much a model leans on each column of the form, and on each side as a whole."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from usgland.evaluation.shown.text import SYNTHETIC, print_synthetic
from usgland.evaluation.statistics.bootstrap import (
    percentile_interval,
    resample_patients,
)
from usgland.evaluation.statistics.scores import weighted_auc

TITLE = "What the model leans on: fall of the AUC per patient"
HEADS = ("", "fall", "AUC then")
NOTE = (
    "A column, or a whole side, of another patient in its place (withheld: of nobody); "
    "held-out patients."
)


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

    Args:
        cases: Held-out cases: patient_id, label and, of cross-validation, fold.
        logits: Name -> `(permutations, cases)`, with the name `as it is`.
        resamples: Bootstrap resamples.
        level: Of the intervals, in (0, 1).
        seed: Of the resamples.

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
    _, first, patient = np.unique(keys, return_index=True, return_inverse=True)
    labels = np.zeros(len(first), int)
    np.maximum.at(labels, patient, cases["label"].to_numpy())
    means = {name: _patient_means(values, patient) for name, values in logits.items()}
    (baseline,) = means.pop(AS_IT_IS)
    drawn = resample_patients(len(labels), resamples, seed)
    whole = np.ones((1, len(labels)))
    auc = float(weighted_auc(labels, baseline, whole)[0])
    drawn_auc = weighted_auc(labels, baseline, drawn)
    table = []
    for name, permuted in means.items():
        own = [weighted_auc(labels, one, whole)[0] for one in permuted]
        falls = np.empty(resamples)
        for number, one in enumerate(permuted):
            mine = np.arange(resamples) % len(permuted) == number
            falls[mine] = drawn_auc[mine] - weighted_auc(labels, one, drawn[mine])
        interval = percentile_interval(falls, level=level, seed=seed)
        table.append(
            {
                "name": name,
                "what": _kind(name),
                "auc": float(np.mean(own)),
                "fall": auc - float(np.mean(own)),
                "low": interval.low,
                "high": interval.high,
                "method": f"{interval.how()}, {len(permuted)} permutations"
                if len(permuted) > 1
                else interval.how(),
            }
        )
    return sorted(table, key=lambda row: -row["fall"])


def _kind(name: str) -> str:
    if name.endswith(WITHHELD):
        return "withheld"
    return "side" if name in ("image", "whole form") else "column"


def _patient_means(values: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Mean logit of each patient, `(permutations, patients)`."""
    counts = np.bincount(patient)
    sums = [np.bincount(patient, weights=row) for row in np.asarray(values, "float64")]
    return np.stack(sums) / counts


def print_importance(
    table: Sequence[dict[str, Any]], console: Console, *, synthetic: bool
) -> None:
    """Shows the table in 80 columns.

    Args:
        table: As `importance_table` gives it.
        console: Where to.
        synthetic: Whether the cases are phantoms.
    """
    print_synthetic(synthetic, console)
    shown = Table(title=TITLE, title_justify="left", title_style="bold")
    for head in HEADS:
        shown.add_column(head, justify="left" if not head else "right")
    for row in table:
        shown.add_row(*_cells(row))
    console.print(shown)
    for line in (NOTE, _method(table)):
        console.print(line, highlight=False, markup=False)


def importance_markdown(table: Sequence[dict[str, Any]], *, synthetic: bool) -> str:
    """The same table as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if synthetic else []
    lines += [f"**{TITLE}**", "", f"| {' | '.join(HEADS)} |", "|---|---:|---:|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in table]
    return "\n".join([*lines, "", f"- {NOTE}", f"- {_method(table)}"]) + "\n"


def importance_csv(table: Sequence[dict[str, Any]]) -> str:
    """One row a name, in full precision; empty where undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: "" if v != v else v for k, v in row.items()})
    return text.getvalue()


def _cells(row: dict[str, Any]) -> tuple[str, str, str]:
    fall = f"{row['fall']:+.3f}"
    if row["low"] == row["low"]:
        fall += f" ({row['low']:+.3f} to {row['high']:+.3f})"
    else:
        fall += " (no interval)"
    return row["name"], fall, f"{row['auc']:.3f}"


def _method(table: Sequence[dict[str, Any]]) -> str:
    return f"Intervals: {max((row['method'] for row in table), key=len)}."
