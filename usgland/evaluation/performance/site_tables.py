"""The tables of a model at several sites, each tested by a model of the others."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.shown import text
from usgland.evaluation.shown.names import UNITS
from usgland.evaluation.shown.table import Document, Row, Table, rows
from usgland.evaluation.statistics.site_measures import SeveralSites, several_sites

NAMES = {
    "roc_auc": "ROC AUC",
    "slope": "Calibration slope",
    "intercept_in_the_large": "In the large",
    "observed_over_expected": "Observed /\nexpected",
}
MOST_CERTAIN = 30.0  # logit; a probability of exactly 0 or 1 has none
COLUMNS = (
    *("synthetic", "unit", "site", "measure", "n", "malignant", "value", "low", "high"),
    *("prediction_low", "prediction_high", "tau2", "i2", "heterogeneity_p", "sites"),
    *("level", "method", "reason"),
)


def measure_sites(predictions: pd.DataFrame, level: float) -> dict[str, SeveralSites]:
    """AUC and calibration at each site and over them, per image and per patient.

    Predictions have one row an image, of one role: patient_id, label, logit and `site`.
    """
    site_of = predictions.drop_duplicates("patient_id").set_index("patient_id")["site"]
    patients = patient_predictions(predictions)
    patients = patients.assign(site=patients["patient_id"].map(site_of))
    return {
        unit: several_sites(
            cases["label"].to_numpy(),
            expit(np.clip(cases["logit"], -MOST_CERTAIN, MOST_CERTAIN)),
            cases["site"].to_numpy(str),
            patient_ids=cases["patient_id"].to_numpy(str),
            level=level,
        )
        for unit, cases in zip(UNITS, (predictions, patients), strict=True)
    }


def sites_document(
    measured: Mapping[str, SeveralSites], by: str, level: float, *, synthetic: bool
) -> Document:
    """A table a unit: each site, the mean over such sites, and a new one.

    `by` is the column that names the sites.
    """
    tables = [
        Table(
            heads=(by, "n (malignant)", *NAMES.values()),
            sections=(_site_rows(several.sites), _pooled_rows(several.pooled)),
            title=f"Trained on the others and tested on each {by}, per {unit}",
        )
        for unit, several in measured.items()
    ]
    first = next(iter(measured.values())).pooled
    roc_auc = first.loc["roc_auc"]
    notes = [
        f"{text.format_percent(level)} intervals. Mean over such as these: "
        f"{roc_auc['method']}. New: between which bounds another's own value is to be "
        "expected, wider than the mean's interval.",
        *(
            f"{NAMES[str(name)].replace(chr(10), ' ')}: {reason}."
            for name, reason in first["reason"].items()
            if reason
        ),
    ]
    shared = {"synthetic": synthetic, "level": level}
    records: list[dict[Any, Any]] = []
    for unit, several in measured.items():
        whole = shared | {"unit": unit}
        records += [whole | row for row in several.sites.to_dict("records")]
        pooled = several.pooled.reset_index(names="measure").assign(site="all")
        records += [whole | row for row in pooled.to_dict("records")]
    return Document(
        tuple(tables),
        synthetic,
        notes=tuple(notes),
        columns=COLUMNS,
        records=tuple(records),
    )


def _site_rows(sites: pd.DataFrame) -> tuple[Row, ...]:
    lines = []
    for site, own in sites.groupby("site", sort=False):
        measures = {row["measure"]: row for row in own.to_dict("records")}
        counts = measures["roc_auc"]
        cells = (_interval(measures[name]) for name in NAMES)
        lines.append((str(site), f"{counts['n']} ({counts['malignant']})", *cells))
    return rows(lines)


def _interval(row: Mapping[Hashable, Any]) -> str:
    return text.format_interval(row["value"], row["low"], row["high"])


def _pooled_rows(pooled: pd.DataFrame) -> tuple[Row, ...]:
    measures = pooled.to_dict("index")
    over = [_interval(measures[name]) for name in NAMES]
    new = []
    for name in NAMES:
        ends = [measures[name][f"prediction_{end}"] for end in ("low", "high")]
        low, high = map(text.format_number, ends)
        new.append("undefined" if "undefined" in (low, high) else f"{low} to {high}")
    return rows([("Mean", "", *over), ("New", "", *new)])
