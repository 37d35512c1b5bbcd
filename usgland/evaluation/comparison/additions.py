"""What the form adds to the image, and the image to the form: paired differences."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.shown.text import SYNTHETIC, format_p, print_synthetic
from usgland.evaluation.statistics.auc_tests import delong_test
from usgland.evaluation.statistics.intervals import auc_interval

BOTH = "image and form"
ALONE = "alone"  # how the names of the networks of one side end
# What a model has only against another.
COMPARED = ("difference", "difference_low", "difference_high", "p_value")
HEADS = ("", "AUC per patient", "both minus this", "P")


def additions(tables: Mapping[str, pd.DataFrame], *, level: float) -> dict[str, Any]:
    """Compares the model of both with the others, on the same patients.

    The unit is the patient. The better single side is chosen by the very AUC that is
    compared, which favours it: the difference from it is, if anything, too small.

    Args:
        tables: Name -> predictions of the same cases, one row an image; `BOTH` is
            what the others are compared with.
        level: Of the intervals, in (0, 1).

    Returns:
        synthetic, n_patients, n_benign, n_malignant, level and models: one dict a
        model: name, auc, low, high, difference (both minus this one), difference_low,
        difference_high, p_value (NaN for `BOTH` itself and where undefined).

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595), paired.
    """
    patients = {name: patient_predictions(table) for name, table in tables.items()}
    names = list(patients)
    keys = ["fold", "patient_id"]
    aligned = {name: one.sort_values(keys) for name, one in patients.items()}
    first = aligned[names[0]]
    for name, one in aligned.items():
        if one[keys].to_numpy().tolist() != first[keys].to_numpy().tolist():
            raise ValueError(f"`tables` must be of the same patients. Received: {name}")
    labels = first["label"].to_numpy()
    both = aligned[BOTH]["logit"].to_numpy()
    models = []
    for name, one in aligned.items():
        scores = one["logit"].to_numpy()
        interval = auc_interval(labels, one["probability"].to_numpy(), level=level)
        found = delong_test(labels, both, scores, level=level)
        model = {
            "name": name,
            "auc": found.auc_b,
            "low": interval.low,
            "high": interval.high,
            "difference": found.difference,
            "difference_low": found.low,
            "difference_high": found.high,
            "p_value": found.p_value,
        }
        if name == BOTH:
            model |= dict.fromkeys(COMPARED, np.nan)
        models.append(model)
    return {
        "synthetic": bool((next(iter(tables.values()))["synthetic"] == "1").any()),
        "n_patients": len(labels),
        "n_benign": int((labels == 0).sum()),
        "n_malignant": int((labels == 1).sum()),
        "level": level,
        "models": models,
    }


def print_additions(found: dict[str, Any], console: Console) -> None:
    """Shows the models side by side, in 80 columns."""
    print_synthetic(found["synthetic"], console)
    table = Table(title=_title(found), title_justify="left", title_style="bold")
    for name in HEADS:
        table.add_column(name, justify="left" if not name else "right")
    for cells in _rows(found):
        table.add_row(*cells)
    console.print(table)
    for line in _notes(found):
        console.print(line, highlight=False, markup=False)


def additions_markdown(found: dict[str, Any]) -> str:
    """The same table as Markdown."""
    lines = [f"**{SYNTHETIC}**", ""] if found["synthetic"] else []
    lines += [f"**{_title(found)}**", "", f"| {' | '.join(HEADS)} |"]
    lines += ["|---|---:|---:|---:|"]
    lines += [f"| {' | '.join(cells)} |" for cells in _rows(found)]
    return "\n".join([*lines, "", *(f"- {line}" for line in _notes(found))]) + "\n"


def additions_csv(found: dict[str, Any]) -> str:
    """One row a model, in full precision; empty where undefined."""
    text = io.StringIO()
    shared = ("synthetic", "n_patients", "n_benign", "n_malignant", "level")
    writer = csv.DictWriter(text, [*found["models"][0], *shared], lineterminator="\n")
    writer.writeheader()
    for model in found["models"]:
        known = {key: "" if value != value else value for key, value in model.items()}
        writer.writerow(known | {key: found[key] for key in shared})
    return text.getvalue()


def _title(found: dict[str, Any]) -> str:
    return (
        f"What each side adds: {found['n_patients']} patients, {found['n_benign']} "
        f"benign, {found['n_malignant']} malignant"
    )


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = []
    for model in found["models"]:
        auc = f"{model['auc']:.3f} ({model['low']:.3f} to {model['high']:.3f})"
        difference, p_value = "", ""
        if model["name"] != BOTH:
            difference = f"{model['difference']:+.3f}"
            if model["p_value"] == model["p_value"]:
                low, high = model["difference_low"], model["difference_high"]
                difference += f" ({low:+.3f} to {high:+.3f})"
                p_value = format_p(model["p_value"])
        rows.append((model["name"], auc, difference, p_value))
    return rows


def _notes(found: dict[str, Any]) -> list[str]:
    """The answer in words, and how the measures were made."""
    sides = [model for model in found["models"] if model["name"].endswith(ALONE)]
    notes = []
    if sides:
        better = max(sides, key=lambda model: model["auc"])
        named = next(row for row in _rows(found) if row[0] == better["name"])
        p_value = f", P {named[3]}" if named[3] else ""
        notes.append(
            f"Over the better side, the {better['name']}, both add {named[2]}{p_value}."
        )
    level = f"{100 * found['level']:g}%"
    method = f"{level} intervals and P by DeLong, paired by patient, not adjusted for"
    return [*notes, f"{method} several comparisons."]
