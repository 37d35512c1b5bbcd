"""Whether a converted file still says what the run's model says, and how fast."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import expit

from usgland.errors import UserError
from usgland.evaluation.scores import weighted_auc
from usgland.evaluation.tables import print_synthetic
from usgland.serving.portable import Runner

MOST_AUC_LOSS = 0.005
# Largest difference in probability of a file that was not quantized.
TOLERANCE = 1e-4
ROUNDS = 60  # of the timing; the first few are not counted
WARM_UP = 5
ONE, ALL = "milliseconds_one_thread", "milliseconds_all_threads"


def check_validation(rows: pd.DataFrame, kind: str) -> None:
    """Refuses a validation part on which no AUC can be compared.

    Raises:
        UserError: If there is no image, or only one class.
    """
    benign, malignant = (int((rows["label"] == label).sum()) for label in (0, 1))
    if not benign or not malignant:
        received = f"{benign} benign and {malignant} malignant" if len(rows) else "none"
        raise UserError(
            f"--format {kind}: expected benign and malignant validation images, on "
            f"which a file is compared with the run. Received: {received}"
        )


def roc_auc(labels: ArrayLike, logits: ArrayLike) -> float:
    """Area under the ROC curve, per image; NaN where a class or a logit is missing."""
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    if not np.isfinite(logits).all():
        return math.nan
    return float(weighted_auc(labels, logits, np.ones((1, len(labels))))[0])


def compare_logits(
    labels: ArrayLike,
    expected: NDArray[np.float64],
    received: NDArray[np.float64],
    *,
    quantized: bool,
) -> dict[str, Any]:
    """Compares the calibrated logits of a file with those of the run's model.

    Args:
        labels: `(images,)`, 0 or 1, both among them.
        expected: Of the run, `(images,)`.
        received: Of the file, `(images,)`.
        quantized: Whether the file may differ by rounding.

    Returns:
        max_difference, of P(malignant); roc_auc; roc_auc_change; and refused, why it
        must not be used, or None.
    """
    difference = float(np.abs(expit(expected) - expit(received)).max())
    auc = roc_auc(labels, received)
    change = auc - roc_auc(labels, expected)
    refused = None
    if not np.isfinite(received).all():
        refused = "gives a logit that is no number"
    elif change < -MOST_AUC_LOSS:
        refused = f"loses {-change:.4f} of the AUC, more than {MOST_AUC_LOSS}"
    elif not quantized and difference > TOLERANCE:
        refused = f"differs by {difference:.2g} in probability, more than {TOLERANCE:g}"
    return {
        "max_difference": difference,
        "roc_auc": auc,
        "roc_auc_change": change,
        "refused": refused,
    }


def median_milliseconds(
    runners: Mapping[Any, Runner], pixels: NDArray[np.uint8]
) -> dict[Any, float]:
    """Times runners in turns, so that a busy moment hits all of them.

    Args:
        runners: By any name.
        pixels: Uint8 `(images, size, size, 1)`; every round takes the next one.

    Returns:
        Name -> median milliseconds of one image, after a warm-up.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in runners}
    for number in range(WARM_UP + ROUNDS):
        image = pixels[[number % len(pixels)]]
        for name, run in runners.items():
            start = time.perf_counter()
            run(image)
            seconds[name].append(time.perf_counter() - start)
    return {
        name: 1000 * float(np.median(times[WARM_UP:]))
        for name, times in seconds.items()
    }


def print_checks(sheet: Mapping[str, Any], console: Console) -> None:
    """Shows the table of checks.

    Args:
        sheet: What `model.json` holds.
        console: Where to.
    """
    print_synthetic(sheet["synthetic"], console)
    counts, run, threads = sheet["validation"], sheet["run"], sheet["threads"]
    table = Table(
        title=f"{sheet['format']} against the run, on {counts['images']} validation "
        f"images ({counts['malignant']} malignant, {counts['patients']} patients)",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("")
    for heading in ("kB", "largest\ndifference", "AUC\nper image", "ms\n1 thread"):
        table.add_column(heading, justify="right")
    table.add_column(f"ms\n{threads} threads", justify="right")
    whole = f"{run[ALL]:.2f}"
    table.add_row("run, TensorFlow", "", "", f"{run['roc_auc']:.4f}", "", whole)
    for name, file in sheet["files"].items():
        table.add_row(
            name,
            f"{file['bytes'] / 1000:.0f}",
            f"{file['max_difference']:.1g}",
            f"{file['roc_auc']:.4f}",
            f"{file[ONE]:.2f}",
            f"{file[ALL]:.2f}",
        )
    console.print(table)
    for line in _notes(sheet):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _notes(sheet: Mapping[str, Any]) -> Sequence[str]:
    counts, run = sheet["validation"], sheet["run"]
    lines = [
        "Largest difference of P(malignant); milliseconds from pixels on, the median, "
        "measured in turns"
    ]
    step = 1 / (counts["malignant"] * (counts["images"] - counts["malignant"]))
    if step > MOST_AUC_LOSS:
        lines.append(
            f"Few validation images: one pair that swaps moves the AUC by {step:.3f}, "
            f"and {MOST_AUC_LOSS} is the most that it may lose"
        )
    shares = [
        f"{name} " + ", ".join(f"{file[key] / run[ALL]:.2f}" for key in (ONE, ALL))
        for name, file in sheet["files"].items()
    ]
    lines.append(
        f"Time as a share of TensorFlow's, with 1 and {sheet['threads']} threads: "
        + "; ".join(shares)
    )
    made = sheet["preprocess.py"]
    lines.append(
        f"preprocess.py, on {made['images']} of these images: {made['equal']} the same "
        f"to the pixel, elsewhere at most {made['largest_share']:.2%} of the pixels "
        f"differ, and P(malignant) by {made['max_difference']:.1g}"
    )
    if made["unread"]:
        lines.append(
            f"preprocess.py refuses {made['unread']} of them, which Pillow reads "
            "otherwise than the model does"
        )
    return lines
