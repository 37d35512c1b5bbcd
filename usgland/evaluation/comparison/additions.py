"""What the form adds to the image, and the image to the form: paired differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from usgland.evaluation.cases.predictions import have_phantoms, patient_predictions
from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.shown.text import format_interval, format_p, format_percent
from usgland.evaluation.statistics.auc_tests import delong_test
from usgland.evaluation.statistics.intervals import auc_interval

BOTH = "image and form"
ALONE = "alone"  # how the names of the networks of one side end
# What a model has only against another.
COMPARED = ("difference", "difference_low", "difference_high", "p_value")


def additions(tables: Mapping[str, pd.DataFrame], *, level: float) -> dict[str, Any]:
    """Compares the model of both with the others, on the same patients.

    The unit is the patient. The better single side is chosen by the very AUC that is
    compared, which favours it: the difference from it is, if anything, too small.

    `tables` are name -> predictions of the same cases, one row an image; `BOTH` is what
    the others are compared with.

    Returns:
        synthetic, n_patients, n_benign, n_malignant, level and models: one dict a
        model: name, auc, low, high, difference (both minus this one), difference_low,
        difference_high, p_value (NaN for `BOTH` itself and where undefined).

    Reference:
        [DeLong et al., 1988](https://doi.org/10.2307/2531595), paired.
    """
    keys = ["fold", "patient_id"]
    aligned = {
        name: patient_predictions(table).sort_values(keys)
        for name, table in tables.items()
    }
    first = next(iter(aligned.values()))
    for name, cases in aligned.items():
        if cases[keys].to_numpy().tolist() != first[keys].to_numpy().tolist():
            raise ValueError(f"`tables` must be of the same patients. Received: {name}")
    labels = first["label"].to_numpy()
    both = aligned[BOTH]["logit"].to_numpy()
    models = []
    for name, cases in aligned.items():
        interval = auc_interval(labels, cases["probability"], level=level)
        test = delong_test(labels, both, cases["logit"].to_numpy(), level=level)
        compared = (test.difference, test.low, test.high, test.p_value)
        model = {"name": name, "auc": test.auc_b}
        model |= {"low": interval.low, "high": interval.high}
        against = (np.nan,) * len(COMPARED) if name == BOTH else compared
        models.append(model | dict(zip(COMPARED, against, strict=True)))
    return {
        "synthetic": have_phantoms(next(iter(tables.values()))),
        "n_patients": len(labels),
        "n_benign": int((labels == 0).sum()),
        "n_malignant": int((labels == 1).sum()),
        "level": level,
        "models": models,
    }


def additions_document(sides: dict[str, Any]) -> Document:
    """The models of `additions` side by side, as they are shown and written."""
    table = Table(
        heads=("", "AUC per patient", "both minus this", "P"),
        sections=(rows(map(_cells, sides["models"])),),
        title=f"What each side adds: {sides['n_patients']} patients, "
        f"{sides['n_benign']} benign, {sides['n_malignant']} malignant",
        notes=(
            *filter(None, [additions_sentence(sides)]),
            f"{format_percent(sides['level'])} intervals and P by DeLong, paired by "
            "patient, not adjusted for several comparisons.",
        ),
    )
    shared = ("synthetic", "n_patients", "n_benign", "n_malignant", "level")
    return Document(
        (table,),
        sides["synthetic"],
        columns=(*sides["models"][0], *shared),
        records=tuple(
            model | {k: sides[k] for k in shared} for model in sides["models"]
        ),
    )


def additions_sentence(sides: dict[str, Any]) -> str:
    """What both sides add to the better one, in words; "" without a single side."""
    single = [model for model in sides["models"] if model["name"].endswith(ALONE)]
    if not single:
        return ""
    better = max(single, key=lambda model: model["auc"])
    name, _, difference, p_value = _cells(better)
    return f"Over the better side, the {name}, both add {difference}, P {p_value}."


def _cells(model: dict[str, Any]) -> tuple[str, str, str, str]:
    auc = format_interval(model["auc"], model["low"], model["high"])
    if model["name"] == BOTH:
        return model["name"], auc, "", ""
    bounds = (model[f"difference{end}"] for end in ("", "_low", "_high"))
    difference = format_interval(*bounds, signed=True)
    return model["name"], auc, difference, format_p(model["p_value"])
