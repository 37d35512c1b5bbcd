"""What an evaluation draws and tabulates, of a run or of a table alone."""

import re
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from usgland.evaluation.performance.assessment_plots import (
    decision_curve_plot,
    reliability_plot,
    subgroup_plot,
)
from usgland.evaluation.performance.assessment_tables import (
    calibration_document,
    decision_curve_document,
    subgroups_document,
)
from usgland.evaluation.performance.measure_plots import confusion_plot, roc_plot
from usgland.evaluation.performance.measure_tables import metrics_document
from usgland.evaluation.shown.table import Document


def evaluation_plots(
    rows: pd.DataFrame, metrics: dict[str, Any], suffix: str
) -> dict[str, Figure]:
    """Name of a file in `figures/`, without its kind -> what it shows."""
    plots = {
        "roc": roc_plot(rows, metrics),
        "confusion": confusion_plot(metrics),
    }
    if metrics["calibration"]:
        plots["calibration"] = reliability_plot(metrics)
    for curves in metrics["decision_curve"]:
        plots[curve_stem(curves)] = decision_curve_plot(metrics, curves)
    for column in metrics["subgroups"]:
        plots[subgroup_stem(column)] = subgroup_plot(metrics, column)
    return {f"{name}{suffix}": plot for name, plot in plots.items()}


def evaluation_documents(metrics: dict[str, Any]) -> dict[str, Document]:
    """Name of a file in `tables/`, without suffix and kind -> its tables."""
    documents = {"metrics": metrics_document(metrics)}
    if metrics["calibration"]:
        documents["calibration"] = calibration_document(metrics)
        documents["decision_curve"] = decision_curve_document(metrics)
    if metrics["subgroups"]:
        documents["subgroups"] = subgroups_document(metrics)
    return documents


def subgroup_stem(column: str) -> str:
    return "subgroup_" + re.sub(r"[\W_]", "_", column)


def curve_stem(curves: dict[str, Any]) -> str:
    curve = curves["patient"]
    share = f"_prevalence_{curve['prevalence']:g}" if curve["given"] else ""
    return f"decision_curve{share}"
