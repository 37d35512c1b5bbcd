"""`export --format litert` and `onnx`: joins a run, its images and a converter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import expit

from usgland.errors import UserError
from usgland.evaluation.shown.terminal import show
from usgland.models.classifier import ENCODING, PREPROCESSING, has_head, layer_names
from usgland.serving.portable.file_checks import check_files, check_validation, sort_out
from usgland.serving.portable.file_tables import checks_document
from usgland.serving.portable.graph import make_cases, tensorflow_runner
from usgland.serving.portable.litert import (
    CALIBRATION_IMAGES,
    check_litert,
    convert_litert,
    litert_runner,
)
from usgland.serving.portable.onnx import check_onnx, convert_onnx, onnx_runner
from usgland.serving.portable.portable_folder import (
    compare_pixels,
    describe_inputs,
    make_example,
    preprocessing_settings,
    write_folder,
)
from usgland.steps.export import Source, compared_rows, read_source
from usgland.training.parts import Part, read_part
from usgland.training.predict import answer_inputs

CHECKS = {"litert": check_litert, "onnx": check_onnx}
RUNNERS = {"litert": litert_runner, "onnx": onnx_runner}
LESION_OUTPUTS = {
    "lesion_box": "float32, x, y, width, height in pixels; zeros where none is found",
    "lesion_found": "float32 in [0, 1], how sure; found from 0.5 on",
}
PIXELS_COMPARED = 100  # validation images on which preprocess.py is tried


def convert(
    run: Path, home: Path, kind: str, console: Console, *, force: bool = False
) -> Path:
    """Writes a run's network as LiteRT or ONNX, checked on images of `compared_rows`.

    Args:
        run: A run directory with a model.
        home: Folder of the model, e.g. `saved_models/squeeze`; the files go into a new
            one in it, `KIND-NUMBER`.
        kind: `"litert"` or `"onnx"`.
        console: Where progress and the table of checks are shown.
        force: Whether files that fail a check are written, too.

    Raises:
        UserError: If a file fails a check: after the others were written.
    """
    CHECKS[kind]()
    source = read_source(run)
    model, rows = source.model, source.rows
    validation = compared_rows(rows)
    check_validation(validation, kind)

    _say(console, f"Reading {len(validation)} cases to compare it on")
    part = read_part(model, validation)
    pixels = None if part.pixels is None else part.pixels[:]
    part = part._replace(pixels=pixels)
    settings, compared = None, None
    if pixels is not None:
        settings = preprocessing_settings(model.get_layer(PREPROCESSING))
        compared = _check_pixels(source, validation, part, pixels, settings)
    contents = _convert(source, kind, console)
    _say(console, "Checking and timing")
    sheet = {
        "name": home.name,
        "version": None,  # `write_folder` knows it.
        "format": kind,
        **source.sheet,
        "graph_inputs": describe_inputs(model, batch=1 if kind == "litert" else None),
        "graph_outputs": {
            "probability": "float32, P(malignant), calibrated; NaN if refused",
            "logit": "float32, its logit",
            **(LESION_OUTPUTS if has_head(model) else {}),
        },
        "preprocessing": settings,
        "preprocess.py": compared,
        "validation": {
            "images": len(validation),
            "malignant": int((validation["label"] == 1).sum()),
            "patients": int(validation["patient_id"].nunique()),
            "role": str(validation["role"].iloc[0]),
        },
        **check_files(
            RUNNERS[kind],
            contents,
            tensorflow_runner(model, source.calibration),
            make_cases(model, validation, pixels),
            validation["label"].to_numpy(),
            _calibrated_logits(source, part),
        ),
    }
    show(checks_document(sheet), console)
    return _write(home, kind, contents, sheet, force=force)


def calibration_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Training images, and no others, from which int8 learns its ranges."""
    training = rows[rows["role"] == "train"]
    if training.empty:
        raise UserError(
            "--format litert: expected training images, from which int8 learns its "
            "ranges. Received: none"
        )
    order = np.random.default_rng(0).permutation(len(training))
    return training.iloc[np.sort(order[:CALIBRATION_IMAGES])]


def _convert(source: Source, kind: str, console: Console) -> dict[str, bytes]:
    """The files by their names, before anything is known of them."""
    model, rows, calibration = source[:3]
    if kind == "onnx":
        _say(console, "Converting to ONNX")
        return {"model.onnx": convert_onnx(model, calibration)}
    if ENCODING in layer_names(model):
        _say(
            console,
            "Converting to LiteRT, without int8: NaN, a number that is missing on the "
            "form or refused, has no place in 8 bits",
        )
        return convert_litert(model, calibration, [])
    training = calibration_rows(rows)
    _say(console, f"Converting to LiteRT; int8 by {len(training)} training images")
    pixels = read_part(model, training).pixels
    cases = make_cases(model, training, None if pixels is None else pixels[:])
    return convert_litert(model, calibration, cases)


def _check_pixels(
    source: Source,
    validation: pd.DataFrame,
    part: Part,
    pixels: NDArray[np.uint8],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """How well `preprocess.py` repeats the model's own preprocessing."""
    paths = [Path(path) for path in validation["image_path"]]
    chosen = np.linspace(0, len(paths) - 1, PIXELS_COMPARED)
    compared, remade = compare_pixels(
        paths, pixels, settings, sorted(set(chosen.astype(int)))
    )
    probabilities = [
        expit(_calibrated_logits(source, either))
        for either in (part, part._replace(pixels=remade))
    ]
    difference = float(np.abs(probabilities[0] - probabilities[1]).max())
    return {**compared, "max_difference": difference}


def _calibrated_logits(source: Source, part: Part) -> NDArray[np.float64]:
    answered = answer_inputs(source.model, part.inputs())
    logits = answered.logit[:, 0].astype("float64")
    fit = source.calibration
    return np.asarray(fit["slope"] * logits + fit["intercept"])


def _write(
    home: Path,
    kind: str,
    contents: Mapping[str, bytes],
    sheet: Mapping[str, Any],
    *,
    force: bool,
) -> Path:
    """Writes the files that passed their checks, and an example of what they answer."""
    kept, left_out = sort_out(sheet["files"], force=force)
    if not kept:
        raise UserError(f"Nothing was written: {left_out}")
    contents = {name: content for name, content in contents.items() if name in kept}
    sheet = {**sheet, "files": {name: sheet["files"][name] for name in contents}}
    example: dict[str, bytes] = {}
    if sheet["preprocessing"] is not None:
        runners = {name: RUNNERS[kind](file, 1) for name, file in contents.items()}
        sheet["example"], example = make_example(
            sheet["preprocessing"], runners, sheet["graph_inputs"]
        )
    folder = write_folder(home, kind, contents | example, sheet)
    if left_out:
        raise UserError(f"Wrote {folder} without {left_out}")
    return folder


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)
