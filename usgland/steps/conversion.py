"""`export --format litert` and `onnx`: joins a run, its images and a converter."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import expit

from usgland import __version__
from usgland.config import load_config
from usgland.data.pipeline import read_pixels
from usgland.data.sources import run_rows
from usgland.errors import UserError
from usgland.evaluation.calibration import read_calibration
from usgland.evaluation.operating_point import read_thresholds
from usgland.models.classifier import PREPROCESSING, pixels_to_logit
from usgland.runs import CALIBRATION, CONFIG, MODEL, THRESHOLD, find_run
from usgland.serving.file_checks import (
    check_validation,
    compare_logits,
    median_milliseconds,
    print_checks,
    roc_auc,
)
from usgland.serving.image_pixels import read_pixels as read_pixels_without_tensorflow
from usgland.serving.litert import (
    CALIBRATION_IMAGES,
    check_litert,
    convert_litert,
    litert_runner,
)
from usgland.serving.onnx import check_onnx, convert_onnx, onnx_runner
from usgland.serving.portable import PIXELS, Runner, check_portable, tensorflow_runner
from usgland.serving.portable_folder import (
    EXAMPLE,
    EXAMPLE_PIXELS,
    compare_pixels,
    encode_pixels,
    example_image,
    write_folder,
)
from usgland.steps.models import load_model
from usgland.training.predict import predict_inputs

CHECKS = {"litert": check_litert, "onnx": check_onnx}
RUNNERS = {"litert": litert_runner, "onnx": onnx_runner}
# Files whose weights or feature maps were rounded to 8 bits.
QUANTIZED = ("dynamic.tflite", "int8.tflite")
PIXELS_COMPARED = 100  # validation images on which preprocess.py is tried


def convert(
    run: Path,
    home: Path,
    kind: str,
    console: Console,
    *,
    force: bool = False,
) -> Path:
    """Writes a run's network as LiteRT or ONNX, checked on its validation images.

    Args:
        run: A run directory with a model of images.
        home: Folder of the model, e.g. `saved_models/squeeze`.
        kind: `"litert"` or `"onnx"`.
        console: Where progress and the table of checks are shown.
        force: Whether files that fail a check are written, too.

    Returns:
        The new folder, `home/KIND-NUMBER`.

    Raises:
        UserError: If the run cannot be used. If a file fails a check: after the
            others were written.
    """
    CHECKS[kind]()
    config = load_config(find_run(run, MODEL) / CONFIG)
    model = load_model(run)
    check_portable(model, kind)
    rows = run_rows(run, config, Console(quiet=True))
    validation = rows[rows["role"] == "val"]
    check_validation(validation, kind)
    calibration = read_calibration(run / CALIBRATION)

    _say(console, f"Reading {len(validation)} validation images")
    layer = model.get_layer(PREPROCESSING)
    pixels = read_pixels(validation, layer.read)
    settings = preprocessing_settings(layer)
    contents = _convert(model, calibration, kind, rows, console)
    _say(console, "Checking and timing")
    sheet = {
        "name": home.name,
        "format": kind,
        "version": None,  # Known when it is written.
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "usgland": __version__,
        "synthetic": bool((rows["synthetic"] == "1").any()),
        "input": _describe_input(pixels, kind),
        "outputs": {
            "probability": "float32, P(malignant), calibrated",
            "logit": "float32, its logit",
        },
        "labels": ["benign", "malignant"],
        "operating_point": _operating_point(run),
        "preprocessing": settings,
        "preprocess.py": _check_pixels(
            model, calibration, validation, pixels, settings
        ),
        "validation": _count(validation),
        **_check_files(model, calibration, kind, contents, pixels, validation),
    }
    print_checks(sheet, console)
    kept, left_out = _sort_out(sheet["files"], contents, force=force)
    if not kept:
        raise UserError(f"Nothing was written: {left_out}")
    sheet["files"] = {name: sheet["files"][name] for name in kept}
    folder = write_folder(home, kind, kept | _example(sheet, kept, settings), sheet)
    if left_out:
        raise UserError(f"Wrote {folder} without {left_out}")
    return folder


def preprocessing_settings(layer: keras.layers.Layer) -> dict[str, Any]:
    """What `preprocess.py` needs to know of a model's preprocessing."""
    percentiles = layer.grey_percentiles
    return {
        "image_size": layer.size,
        "grey_percentiles": None if percentiles is None else list(percentiles),
        "speckle_filter": layer.speckle_filter,
    }


def calibration_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Training images, and no others, from which int8 learns its ranges.

    Raises:
        UserError: If there are none.
    """
    training = rows[rows["role"] == "train"]
    if training.empty:
        raise UserError(
            "--format litert: expected training images, from which int8 learns its "
            "ranges. Received: none"
        )
    order = np.random.default_rng(0).permutation(len(training))
    return training.iloc[np.sort(order[:CALIBRATION_IMAGES])]


def _convert(
    model: keras.Model,
    calibration: Mapping[str, Any],
    kind: str,
    rows: pd.DataFrame,
    console: Console,
) -> dict[str, bytes]:
    if kind == "onnx":
        _say(console, "Converting to ONNX")
        return {"model.onnx": convert_onnx(model, calibration)}
    training = calibration_rows(rows)
    _say(console, f"Converting to LiteRT; int8 by {len(training)} training images")
    pixels = read_pixels(training, model.get_layer(PREPROCESSING).read)
    return convert_litert(model, calibration, pixels)


def _check_pixels(
    model: keras.Model,
    calibration: Mapping[str, Any],
    validation: pd.DataFrame,
    pixels: NDArray[np.uint8],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """How well `preprocess.py` repeats the model's own preprocessing."""
    chosen = np.unique(np.linspace(0, len(pixels) - 1, PIXELS_COMPARED).astype(int))
    paths = [Path(path) for path in validation["image_path"].iloc[chosen]]
    compared, received = compare_pixels(paths, pixels[chosen], settings)
    probabilities = [
        expit(_calibrated_logits(model, calibration, one))
        for one in (pixels[chosen], received)
    ]
    difference = float(np.abs(probabilities[0] - probabilities[1]).max())
    return {**compared, "max_difference": difference}


def _calibrated_logits(
    model: keras.Model, calibration: Mapping[str, Any], pixels: NDArray[np.uint8]
) -> NDArray[np.float64]:
    logits = predict_inputs(pixels_to_logit(model), pixels).astype("float64")
    calibrated: NDArray[np.float64] = (
        calibration["slope"] * logits + calibration["intercept"]
    )
    return calibrated


def _check_files(
    model: keras.Model,
    calibration: Mapping[str, Any],
    kind: str,
    contents: Mapping[str, bytes],
    pixels: NDArray[np.uint8],
    validation: pd.DataFrame,
) -> dict[str, Any]:
    """What every file says on the validation images, and how long it takes."""
    threads = len(os.sched_getaffinity(0))
    labels = validation["label"].to_numpy()
    expected = _calibrated_logits(model, calibration, pixels)
    runners: dict[Any, Runner] = {"run": tensorflow_runner(model, calibration)}
    for name, content in contents.items():
        for number in (1, threads):
            runners[name, number] = RUNNERS[kind](content, number)
    files = {}
    for name, content in contents.items():
        received = np.array([runners[name, 1](image[None]) for image in pixels])
        files[name] = {
            "bytes": len(content),
            **compare_logits(labels, expected, received, quantized=name in QUANTIZED),
        }
    milliseconds = median_milliseconds(runners, pixels)
    for name, file in files.items():
        file["milliseconds_one_thread"] = milliseconds[name, 1]
        file["milliseconds_all_threads"] = milliseconds[name, threads]
    return {
        "threads": threads,
        "run": {
            "roc_auc": roc_auc(labels, expected),
            "milliseconds_all_threads": milliseconds["run"],
        },
        "files": files,
    }


def _sort_out(
    files: Mapping[str, Mapping[str, Any]],
    contents: Mapping[str, bytes],
    *,
    force: bool,
) -> tuple[dict[str, bytes], str]:
    """The files to write, and which are left out and why."""
    refused = {name: file["refused"] for name, file in files.items() if file["refused"]}
    if force:
        return dict(contents), ""
    kept = {name: content for name, content in contents.items() if name not in refused}
    reasons = "; ".join(f"{name}, which {reason}" for name, reason in refused.items())
    return kept, reasons and f"{reasons}. Add --force to write it all the same"


def _example(
    sheet: dict[str, Any], kept: Mapping[str, bytes], settings: Mapping[str, Any]
) -> dict[str, bytes]:
    """A phantom, and what the files say of it, for programs in other languages."""
    image = example_image()
    pixels = read_pixels_without_tensorflow(image, settings)
    runner = RUNNERS[sheet["format"]]
    sheet["example"] = {
        "image": EXAMPLE,
        "pixels": EXAMPLE_PIXELS,
        "probability": {
            name: float(expit(runner(content, 1)(pixels)))
            for name, content in kept.items()
        },
    }
    return {EXAMPLE: image, EXAMPLE_PIXELS: encode_pixels(pixels)}


def _describe_input(pixels: NDArray[np.uint8], kind: str) -> dict[str, Any]:
    return {
        "name": PIXELS,
        "dtype": "uint8",
        "shape": [1 if kind == "litert" else None, *pixels.shape[1:]],
        "meaning": "grey levels 0 to 255 as preprocess.py makes them of an image file",
    }


def _operating_point(run: Path) -> dict[str, Any] | None:
    if not (run / THRESHOLD).exists():
        return None
    stored = read_thresholds(run / THRESHOLD)
    return {"probability": stored["threshold"], "rule": stored.get("method")}


def _count(validation: pd.DataFrame) -> dict[str, int]:
    return {
        "images": len(validation),
        "malignant": int((validation["label"] == 1).sum()),
        "patients": int(validation["patient_id"].nunique()),
    }


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)
