"""Whether a converted file still says what the run's model says, and how fast."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from usgland.errors import UserError
from usgland.evaluation.statistics import scores
from usgland.machine import usable_cores
from usgland.serving.portable.graph import Case, Runner

MOST_AUC_LOSS = 0.005
# Largest difference in probability of a file that was not quantized.
TOLERANCE = 1e-4
ROUNDS = 60  # of the timing; the first few are not counted
WARM_UP = 5
# Files whose weights or feature maps were rounded to 8 bits.
QUANTIZED = ("dynamic.tflite", "int8.tflite")
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
    return scores.roc_auc(labels, logits) if np.isfinite(logits).all() else math.nan


def compare_answers(
    labels: ArrayLike,
    expected: NDArray[np.float64],
    logits: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    *,
    quantized: bool,
) -> dict[str, Any]:
    """Compares what a file gives with the calibrated logits of the run's model.

    All are `(images,)`. A quantized file may differ by rounding.

    Returns:
        max_difference, of P(malignant); roc_auc; roc_auc_change; refused, why it must
        not be used, or None; and runs, true.
    """
    difference = float(np.abs(expit(expected) - probabilities).max())
    auc = roc_auc(labels, logits)
    change = auc - roc_auc(labels, expected)
    refused = None
    if not np.isfinite([logits, probabilities]).all():
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
        "runs": True,
    }


def median_milliseconds(
    runners: Mapping[Any, Runner], cases: Sequence[Case]
) -> dict[Any, float]:
    """Times runners in turns, so that a busy moment hits all of them.

    Returns:
        Name -> median milliseconds of one case, after a warm-up.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in runners}
    for number in range(WARM_UP + ROUNDS):
        case = cases[number % len(cases)]
        for name, run in runners.items():
            start = time.perf_counter()
            run(case)
            seconds[name].append(time.perf_counter() - start)
    return {
        name: 1000 * float(np.median(times[WARM_UP:]))
        for name, times in seconds.items()
    }


def check_files(
    make_runner: Callable[[bytes, int], Runner],
    contents: Mapping[str, bytes],
    reference: Runner,
    cases: Sequence[Case],
    labels: ArrayLike,
    expected: NDArray[np.float64],
) -> dict[str, Any]:
    """What every file says of the validation cases, and how long it takes.

    `make_runner` takes a file's content and a number of threads; `reference` runs the
    network in TensorFlow, and is only timed; the calibrated logits of the run's model
    are expected, `(cases,)`.

    Returns:
        threads, how many processors there are; run, and files by their names, as
        `model.json` holds them.
    """
    threads = usable_cores()
    runners: dict[Any, Runner] = {"run": reference}
    files = {}
    for name, content in contents.items():
        try:
            run = make_runner(content, 1)
            logits, probabilities = np.array([run(case) for case in cases]).T
            runners[name, ALL] = make_runner(content, threads)
        except (RuntimeError, ValueError) as error:  # LiteRT raises them.
            files[name] = _unusable(content, error)
            continue
        runners[name, ONE] = run
        quantized = name in QUANTIZED
        compared = compare_answers(
            labels, expected, logits, probabilities, quantized=quantized
        )
        files[name] = {"bytes": len(content), **compared}
    milliseconds = median_milliseconds(runners, cases)
    for name, file in files.items():
        file |= {key: milliseconds.get((name, key), math.nan) for key in (ONE, ALL)}
    of_run = {"roc_auc": roc_auc(labels, expected), ALL: milliseconds["run"]}
    return {"threads": threads, "run": of_run, "files": files}


def _unusable(content: bytes, error: Exception) -> dict[str, Any]:
    reason = " ".join(str(error).split())[:200]
    return {
        "bytes": len(content),
        **dict.fromkeys(("max_difference", "roc_auc", "roc_auc_change"), math.nan),
        "refused": f"the runtime cannot run: {reason}",
        "runs": False,
    }


def sort_out(files: Mapping[str, Mapping[str, Any]], *, force: bool) -> tuple[set, str]:
    """Which files to write, all that run by force, and which others are not, and why.

    Returns:
        Names, and a text, "" if none is left out.
    """
    refused = {
        name: file["refused"]
        for name, file in files.items()
        if file["refused"] and not (force and file["runs"])
    }
    reasons = "; ".join(f"{name}, which {reason}" for name, reason in refused.items())
    if any(files[name]["runs"] for name in refused):
        reasons += ". --force writes it all the same"
    return set(files) - set(refused), reasons
