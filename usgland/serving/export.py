"""Writes a run's model as a numbered SavedModel for TF Serving."""

import contextlib
import inspect
import math
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

# Largest difference in probability between a run's model and its export.
TOLERANCE = 1e-5
UNCALIBRATED = {"slope": 1.0, "intercept": 0.0}


def export_model(
    model: keras.Model,
    folder: Path,
    cases: Mapping[str, Sequence],
    calibration: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `folder/<next number>`, which appears whole or not at all.

    The signature `serving_default` maps `image_bytes`, encoded images `(batch,)`, and
    of a model with a form each of its columns, `(batch,)`, strings or float32, to
    `probability`, P(malignant) `(batch,)` float32, and its `logit`, both calibrated. It
    holds all preprocessing and needs TensorFlow alone. With a form every input may be
    left out: TensorFlow Serving then puts in the default, "" or NaN, that the
    signature names.

    Args:
        model: A saved classifier.
        folder: Home of the model's versions, e.g. `saved_models/squeeze`.
        cases: Inputs, by name, on which both must agree before it is published.
        calibration: Gives `slope` and `intercept`, by which the served logit is the
            model's; None: none.

    Returns:
        The folder of the new version.

    Raises:
        UserError: If it cannot be written, or disagrees with the model.
    """
    temporary = folder / f".{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        module, signature = _module(model, calibration or UNCALIBRATED)
        tf.saved_model.save(module, str(temporary), signatures=signature)
        _check_parity(model, temporary, cases, calibration or UNCALIBRATED)
        return _publish(temporary, folder)
    except (OSError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Cannot write a model under {folder}: {reason}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # Only if it is empty: nothing was published there.


def _module(
    model: keras.Model, calibration: Mapping[str, Any]
) -> tuple[tf.Module, tf.types.experimental.Callable]:
    """A plain TensorFlow object: no Keras is needed to load it."""
    to_logit = _to_logit(model)
    specs = {
        tensor.name: tf.TensorSpec([None], tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    }
    with_form = isinstance(model.input, dict)

    def serve(*tensors):
        given = dict(zip(specs, tensors, strict=True))
        if with_form:  # An input that was left out has one value, the default.
            rows = tf.reduce_max([tf.size(one) for one in given.values()])
            given = {k: tf.broadcast_to(one, [rows]) for k, one in given.items()}
        logit = to_logit(given if with_form else given[INPUT], training=False)[:, 0]
        logit = _calibrate(logit, calibration)
        return {PROBABILITY: tf.sigmoid(logit), LOGIT: logit}

    # Names and defaults of the signature; of a form's columns, which may be many.
    serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=_missing(spec) if with_form else inspect.Parameter.empty,
            )
            for name, spec in specs.items()
        ]
    )
    signature = tf.function(serve, input_signature=list(specs.values()))
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = signature
    return module, signature


def _missing(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.constant([""] if spec.dtype == tf.string else [math.nan])


def _to_logit(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.get_layer(LOGIT).output)


def _calibrate(logit: Any, calibration: Mapping[str, Any]) -> Any:
    return calibration["slope"] * logit + calibration["intercept"]


def _check_parity(
    model: keras.Model,
    folder: Path,
    cases: Mapping[str, Sequence],
    calibration: Mapping[str, Any],
) -> None:
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    batch = {name: tf.constant(values) for name, values in cases.items()}
    given = batch if isinstance(model.input, dict) else batch[INPUT]
    # Not from the probability: in float32 that of a logit of 17 is 1.
    logit = np.asarray(_to_logit(model)(given, training=False), "float64")[:, 0]
    expected = expit(_calibrate(logit, calibration))
    received = served(**batch)[PROBABILITY].numpy()
    difference = float(np.abs(expected - received).max())
    if not difference <= TOLERANCE:
        raise UserError(
            "Expected the export to repeat the run's probabilities to within "
            f"{TOLERANCE}. Received a difference of {difference:.2g}; nothing was "
            "written"
        )


def _publish(temporary: Path, folder: Path) -> Path:
    while True:
        numbers = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()]
        target = folder / str(max(numbers, default=0) + 1)
        try:
            temporary.rename(target)  # Fails if another export took the number.
        except OSError:
            if not target.exists():
                raise
        else:
            return target
