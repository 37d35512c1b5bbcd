"""Writes a run's model as a numbered SavedModel for TF Serving."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.special import expit

from usgland.errors import UserError
from usgland.models.answers import answer_files
from usgland.models.classifier import INPUT, PROBABILITY
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.model_sheet import write_sheet
from usgland.serving.export.operator_files import write_operator_files
from usgland.serving.export.signatures import DEFAULT, FROM_PIXELS, make_module
from usgland.serving.export.warmup import example_case, inputs_of, write_warmup
from usgland.serving.interface.inputs import Arrays
from usgland.serving.interface.signing import write_sums
from usgland.serving.interface.versions import next_number, publish, unpublished

# Largest difference in probability between a run's model and its export.
TOLERANCE = 1e-5


def export_model(
    model: keras.Model,
    folder: Path,
    cases: Mapping[str, Sequence],
    decision: Decision,
    sheet: Mapping[str, Any],
    key: Any = None,
) -> Path:
    """Writes `folder/NUMBER`, the next free one, whole or not at all.

    Its signatures are those of `make_module`. They hold all preprocessing and need
    TensorFlow alone. Beside the graph stand the sheet and requests to warm up with,
    beside the versions `operator/`. Before it is published, both must agree on `cases`,
    inputs by name. With a private key the list of checksums is signed.

    Raises:
        UserError: If it cannot be written, or disagrees with the model.
    """
    example = example_case(model)
    with unpublished(folder, tf.errors.OpError) as temporary:
        while True:
            number = next_number(folder)
            version = f"{folder.name}/{number}"
            module, signatures = make_module(model, decision, version)
            tf.saved_model.save(module, str(temporary), signatures=signatures)
            served = tf.saved_model.load(str(temporary)).signatures
            _check_parity(model, served[DEFAULT], cases, decision)
            outputs = {
                name: _ask(served[name], inputs_of(function, example))
                for name, function in signatures.items()
                if name != FROM_PIXELS
            }
            write_warmup(temporary, folder.name, signatures, example)
            write_sheet(temporary, {"name": folder.name, "version": number, **sheet})
            write_sums(temporary, key)
            if publish(temporary, folder / str(number)):
                break
    case = inputs_of(signatures[DEFAULT], example)
    write_operator_files(folder, number, case, outputs)
    return folder / str(number)


def _check_parity(
    model: keras.Model, served: Any, cases: Mapping[str, Sequence], decision: Decision
) -> None:
    batch = {name: tf.constant(values) for name, values in cases.items()}
    inputs = batch if isinstance(model.input, dict) else batch[INPUT]
    # The logit is taken: in float32 the probability of a logit of 17 is 1.
    logit = answer_files(model, inputs).logit.numpy().astype("float64")[:, 0]
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
    tensors = {name: tf.constant(values) for name, values in inputs.items()}
    return {name: values.numpy() for name, values in served(**tensors).items()}
