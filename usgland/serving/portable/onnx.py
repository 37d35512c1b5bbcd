"""ONNX: one file of a network, written by tf2onnx and checked by ONNX Runtime."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from usgland.errors import check_installed
from usgland.models.classifier import ENCODING, LOGIT, PROBABILITY, layer_names
from usgland.serving.portable.graph import Case, Runner, portable_module
from usgland.serving.portable.portable_form import MISSING, UNKNOWN, accepted_texts

# The newest that tf2onnx 1.17 is tested with; runtimes since 2022 read it.
OPSET = 18
ML_OPSET = 3  # of the dictionary from words to codes
ERRORS_ONLY = 3  # The runtime's severities: 2 is a warning.


def check_onnx() -> None:
    """Raises a UserError if the converter or the runtime is not installed."""
    check_installed("--format onnx", "tf2onnx", "onnx", "onnxruntime")


def convert_onnx(model: keras.Model, calibration: Mapping[str, Any]) -> bytes:
    """Converts a network to a file that takes any number of cases at a time.

    Its operations are checked against the standard.
    """
    import onnx  # Extras; see check_onnx.
    import tf2onnx

    serve = portable_module(model, calibration, batch=None, coded=True).serve
    converted = tf2onnx.convert.from_function(
        serve, input_signature=list(serve.input_signature), opset=OPSET
    )[0]
    if ENCODING in layer_names(model):
        _take_words(converted, model.get_layer(ENCODING).columns)
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(converted, full_check=True)
    return bytes(converted.SerializeToString())


def _take_words(converted: Any, columns: Sequence[Mapping[str, Any]]) -> None:
    """Puts words in place of their codes: tf2onnx cannot, but ONNX has a dictionary."""
    import onnx

    inputs = {value.name: value for value in converted.graph.input}
    for column in columns:
        if column["kind"] == "number":
            continue
        name, texts = column["name"], list(accepted_texts(column))
        code = f"{name}:code"
        for node in converted.graph.node:
            node.input[:] = [
                code if tensor == name else tensor for tensor in node.input
            ]
        encoder = onnx.helper.make_node(
            "LabelEncoder",
            [name],
            [code],
            domain="ai.onnx.ml",
            keys_strings=[*texts, ""],
            values_int64s=[*range(len(texts)), MISSING],
            default_int64=UNKNOWN,
        )
        converted.graph.node.insert(0, encoder)
        inputs[name].type.tensor_type.elem_type = onnx.TensorProto.STRING
    if not any(opset.domain == "ai.onnx.ml" for opset in converted.opset_import):
        converted.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET))


def onnx_runner(content: bytes, threads: int) -> Runner:
    """Runs a file one case at a time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    # Threads that wait in a loop would slow down whatever is measured next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )

    def run(case: Case) -> tuple[float, float]:
        logit, probability = session.run([LOGIT, PROBABILITY], dict(case))
        return float(logit[0]), float(probability[0])

    return run
