"""Writes a run's model as a numbered SavedModel for TF Serving."""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.special import expit

from usgland.errors import UserError
from usgland.models.classifier import INPUT, LOGIT, PROBABILITY
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.model_sheet import write_sheet
from usgland.serving.export.operator_files import write_operator_files
from usgland.serving.export.signatures import DEFAULT, FROM_PIXELS, make_module
from usgland.serving.export.warmup import example_case, inputs_of, write_warmup
from usgland.serving.interface.inputs import Arrays
from usgland.serving.interface.versions import LARGEST_VERSION

# Largest difference in probability between a run's model and its export.
TOLERANCE = 1e-5


def export_model(
    model: keras.Model,
    folder: Path,
    cases: Mapping[str, Sequence],
    decision: Decision,
    sheet: Mapping[str, Any],
) -> Path:
    """Writes `folder/<next number>`, which appears whole or not at all.

    Its signatures are those of `make_module`. They hold all preprocessing and need
    TensorFlow alone. Beside the graph stand the sheet and requests to warm up with,
    beside the versions `operator/`.

    Args:
        model: A saved classifier.
        folder: Home of the model's versions, e.g. `saved_models/squeeze`.
        cases: Inputs, by name, on which both must agree before it is published.
        decision: Calibration and operating point of the run.
        sheet: What `write_sheet` keeps beside the graph.

    Returns:
        The folder of the new version.

    Raises:
        UserError: If it cannot be written, or disagrees with the model.
    """
    temporary = folder / f".{os.getpid()}"
    target = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        example = example_case(model)
        while target is None:  # Another export may take the number meanwhile.
            number = _next_number(folder)
            version = f"{folder.name}/{number}"
            module, signatures = make_module(model, decision, version)
            tf.saved_model.save(module, str(temporary), signatures=signatures)
            served = tf.saved_model.load(str(temporary)).signatures
            _check_parity(model, served[DEFAULT], cases, decision)
            outputs = {
                one: _ask(served[one], inputs_of(function, example))
                for one, function in signatures.items()
                if one != FROM_PIXELS
            }
            write_warmup(temporary, folder.name, signatures, example)
            write_sheet(temporary, {"name": folder.name, "version": number, **sheet})
            target = _publish(temporary, folder / str(number))
        case = inputs_of(signatures[DEFAULT], example)
        write_operator_files(folder, number, case, outputs)
        return target
    except (OSError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Cannot write a model under {folder}: {reason}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # Only if it is empty: nothing was published there.


def _check_parity(
    model: keras.Model,
    served: Any,
    cases: Mapping[str, Sequence],
    decision: Decision,
) -> None:
    batch = {name: tf.constant(values) for name, values in cases.items()}
    given = batch if isinstance(model.input, dict) else batch[INPUT]
    # Not from the probability: in float32 that of a logit of 17 is 1.
    to_logit = keras.Model(model.input, model.get_layer(LOGIT).output)
    logit = np.asarray(to_logit(given, training=False), "float64")[:, 0]
    expected = expit(decision.slope * logit + decision.intercept)
    received = served(**batch)[PROBABILITY].numpy()
    difference = float(np.abs(expected - received).max())
    if not difference <= TOLERANCE:
        raise UserError(
            "Expected the export to repeat the run's probabilities to within "
            f"{TOLERANCE}. Received a difference of {difference:.2g}; nothing was "
            "written"
        )


def _ask(served: Any, inputs: Arrays) -> Arrays:
    """The answer of a loaded signature."""
    given = {name: tf.constant(values) for name, values in inputs.items()}
    return {name: values.numpy() for name, values in served(**given).items()}


def _next_number(folder: Path) -> int:
    numbers = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()]
    # A larger one is no version to a server, and what follows it would be none.
    return max((one for one in numbers if one < LARGEST_VERSION), default=0) + 1


def _publish(temporary: Path, target: Path) -> Path | None:
    """Gives it its number; None if another export took it."""
    try:
        temporary.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(temporary)
        return None
    return target
