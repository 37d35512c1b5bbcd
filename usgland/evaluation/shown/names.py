"""What measures, units and operating points are called in tables and on plots."""

from collections.abc import Mapping
from typing import Any

from usgland.evaluation.shown.text import format_percent

UNITS = ("image", "patient")
WORDS = ("benign", "malignant")  # of the labels 0 and 1
NAMES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "f1_macro": "F1 (macro)",
    "cohen_kappa": "Cohen's kappa",
    "mcc": "MCC",
    "jaccard": "Jaccard",
    "positive_likelihood_ratio": "LR+",
    "negative_likelihood_ratio": "LR-",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "net_benefit": "Net benefit",
}
HEADLINE = ("roc_auc", "sensitivity", "specificity", "accuracy")  # what is read first
# Shown of the further operating points; metrics.json and the CSV file have them all.
POINT_MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")


def point_name(point: Mapping[str, Any]) -> str:
    """What a point of `choose_operating_point` was for, such as `sensitivity 0.95`."""
    method = point["method"]
    if "target" in point:
        return f"{method} {point['target']:g}"
    if "cost_ratio" in point:
        share = point["prevalence"]
        at = "" if share is None else f", {format_percent(share)} malignant"
        return f"cost {point['cost_ratio']:g} : 1{at}"
    return {"youden": "Youden's index", "half": "threshold 0.5"}.get(method, method)
