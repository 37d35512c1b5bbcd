"""ONNX: one file of a network, written by tf2onnx and checked by ONNX Runtime."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from usgland.errors import UserError
from usgland.models.classifier import LOGIT
from usgland.serving.portable import PIXELS, Runner, portable_module

# The newest that tf2onnx 1.17 is tested with; runtimes since 2022 read it.
OPSET = 18
ERRORS_ONLY = 3  # The runtime's severities: 2 is a warning.


def check_onnx() -> None:
    """Raises a UserError if the converter or the runtime is not installed."""
    needed = ("tf2onnx", "onnx", "onnxruntime")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx: expected the packages {', '.join(needed)}. Received: no "
            f"{', '.join(missing)}. Install them: "
            'pip install "tf2onnx>=1.17,<2" "onnx>=1.23,<2" "onnxruntime>=1.32,<2"'
        )


def convert_onnx(model: keras.Model, calibration: Mapping[str, Any]) -> bytes:
    """Converts a network.

    Args:
        model: A saved classifier of images.
        calibration: Gives `slope` and `intercept`, see `portable_module`.

    Returns:
        The content of a file that takes any number of images at a time; its
        operations are checked against the standard.
    """
    import onnx  # Extras; see check_onnx.
    import tf2onnx

    serve = portable_module(model, calibration, batch=None).serve
    converted = tf2onnx.convert.from_function(
        serve, input_signature=list(serve.input_signature), opset=OPSET
    )[0]
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(converted, full_check=True)
    return converted.SerializeToString()


def onnx_runner(content: bytes, threads: int) -> Runner:
    """Runs a file one image at a time.

    Args:
        content: Of the file.
        threads: Processor threads.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    # Threads that wait in a loop would slow down whatever is measured next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )

    def run(pixels: NDArray[np.uint8]) -> float:
        return float(session.run([LOGIT], {PIXELS: pixels})[0][0])

    return run
