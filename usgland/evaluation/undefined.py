"""Why a figure has no value."""

import numpy as np
from numpy.typing import ArrayLike

NO_BENIGN, NO_MALIGNANT = "no benign case", "no malignant case"
# Why a figure is not defined, in the order in which a reason is looked for.
UNDEFINED = {
    "sensitivity": (NO_MALIGNANT,),
    "specificity": (NO_BENIGN,),
    "ppv": ("no case is called malignant",),
    "npv": ("no case is called benign",),
    "balanced_accuracy": (NO_BENIGN, NO_MALIGNANT),
    "f1": ("no case is malignant or called so",),
    "f1_macro": ("one of the labels is in no case and in no decision",),
    "cohen_kappa": ("all cases have one label and one decision",),
    "mcc": (NO_BENIGN, NO_MALIGNANT, "all cases get one decision"),
    "jaccard": ("no case is malignant or called so",),
    "positive_likelihood_ratio": (
        NO_BENIGN,
        NO_MALIGNANT,
        "no benign case is called malignant",
    ),
    "negative_likelihood_ratio": (
        NO_BENIGN,
        NO_MALIGNANT,
        "no benign case is called benign",
    ),
    "roc_auc": (NO_BENIGN, NO_MALIGNANT),
    "average_precision": (NO_MALIGNANT,),
}


def undefined_reason(name: str, labels: ArrayLike, value: float) -> str:
    """Why a figure is NaN; "" where it is not.

    Args:
        name: Of `usgland.evaluation.scores.FIGURES`.
        labels: `(cases,)`, 0 or 1, that it was computed of.
        value: Of the figure.
    """
    if value == value:
        return ""
    known = {NO_BENIGN: 0, NO_MALIGNANT: 1}
    there = set(np.unique(np.asarray(labels)))
    for reason in UNDEFINED.get(name, ()):
        if reason not in known or known[reason] not in there:
            return reason
    return "not defined"
