"""LiteRT, once TensorFlow Lite: three `.tflite` files of a network, and their runtime.

What runs on a phone is ai-edge-litert's interpreter, so that one checks the files; the
converter is TensorFlow's.
"""

import importlib.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from usgland.errors import UserError
from usgland.models.classifier import LOGIT
from usgland.serving.native_lines import native_lines_hidden
from usgland.serving.portable import Case, Runner, portable_module

# Training images from which int8 takes the range of each feature map.
CALIBRATION_IMAGES = 200
# Printed by the converter's C++, and by the interpreter when it is first made.
_KNOWN_LINES = (r"fully_quantize: \d", r"INFO: Created TensorFlow Lite XNNPACK")


def check_litert() -> None:
    """Raises a UserError if the runtime is not installed."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise UserError(
            "--format litert: expected the package ai-edge-litert, to check what is "
            'written. Received: none. Install it: pip install "ai-edge-litert>=2.3,<3"'
        )


def convert_litert(
    model: keras.Model,
    calibration: Mapping[str, Any],
    training: Sequence[Case],
) -> dict[str, bytes]:
    """Converts a network to the three usual precisions.

    Args:
        model: A saved classifier.
        calibration: Gives `slope` and `intercept`, see `portable_module`.
        training: Cases of training images alone. Without any there is no int8.

    Returns:
        File name -> content. `fp32.tflite`; `dynamic.tflite`: weights of 8 bits;
        `int8.tflite`: feature maps of 8 bits, too, their ranges learned from the
        training images. Inputs and outputs are the same, see `portable_module`, one
        case at a time.
    """
    module = portable_module(model, calibration, batch=1)

    def representative() -> Iterator[Case]:
        yield from training

    contents = {}
    for name in ("fp32", "dynamic", "int8") if training else ("fp32", "dynamic"):
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.serve.get_concrete_function()], module
        )
        if name != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name == "int8":
            converter.representative_dataset = representative
        with warnings.catch_warnings(), native_lines_hidden(*_KNOWN_LINES):
            # The converter itself uses it, to look at the training images.
            warnings.filterwarnings("ignore", r"\s+Warning: tf.lite.Interpreter is dep")
            contents[f"{name}.tflite"] = converter.convert()
    return contents


def litert_runner(content: bytes, threads: int) -> Runner:
    """Runs a `.tflite` file one case at a time.

    Args:
        content: Of the file.
        threads: Processor threads.
    """
    from ai_edge_litert.interpreter import Interpreter  # An extra; see check_litert.

    with native_lines_hidden(*_KNOWN_LINES):
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner()

    def run(case: Case) -> float:
        return float(signature(**case)[LOGIT][0])

    return run
