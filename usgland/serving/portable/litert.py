"""LiteRT, once TensorFlow Lite: three `.tflite` files of a network, and their runtime.

What runs on a phone is ai-edge-litert's interpreter, so that one checks the files; the
converter is TensorFlow's.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from usgland.errors import check_installed
from usgland.models.classifier import LOGIT, PROBABILITY
from usgland.native import native_lines_hidden
from usgland.serving.portable.graph import Case, Runner, portable_module

# Training images from which int8 takes the range of each feature map.
CALIBRATION_IMAGES = 200
# Printed by the converter's C++, and by the interpreter when it is first made.
_KNOWN_LINES = (r"fully_quantize: \d", r"INFO: Created TensorFlow Lite XNNPACK")
# Operations that stay in float32: those behind the pooled features, and those by which
# the lesion is found, looked at again and pooled. Convolutions are no such.
_EXACT = ["FULLY_CONNECTED", "STRIDED_SLICE", "LOGISTIC", "BATCH_MATMUL", "SUM", "DIV"]
_EXACT += ["MUL", "SUB", "ABS", "SQRT", "MAXIMUM", "MINIMUM", "REDUCE_MAX", "SELECT_V2"]


def check_litert() -> None:
    """Raises a UserError if the runtime is not installed."""
    check_installed("--format litert", "ai_edge_litert")


def convert_litert(
    model: keras.Model, calibration: Mapping[str, Any], training: Sequence[Case]
) -> dict[str, bytes]:
    """Converts a network to the three usual precisions.

    Args:
        model: A saved classifier.
        calibration: Gives `slope` and `intercept`, see `portable_module`.
        training: Cases of training images alone. Without any there is no int8.

    Returns:
        File name -> content. `fp32.tflite`; `dynamic.tflite`: weights of 8 bits;
        `int8.tflite`: feature maps of 8 bits, too, their ranges learned from the
        training images, and the last layer in float32. Inputs and outputs are the
        same, see `portable_module`, one case at a time.
    """
    module = portable_module(model, calibration, batch=1)

    def converter(*, rounded: bool) -> tf.lite.TFLiteConverter:
        made = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.serve.get_concrete_function()], module
        )
        if rounded:
            made.optimizations = [tf.lite.Optimize.DEFAULT]
        return made

    with warnings.catch_warnings(), native_lines_hidden(*_KNOWN_LINES):
        # The converter itself uses one, to look at the training images.
        warnings.filterwarnings("ignore", r"\s+Warning: tf.lite.Interpreter is dep")
        contents = {
            "fp32.tflite": converter(rounded=False).convert(),
            "dynamic.tflite": converter(rounded=True).convert(),
        }
        if training:
            contents["int8.tflite"] = _to_int8(converter(rounded=True), training)
    return {name: bytes(content) for name, content in contents.items()}


def _to_int8(
    converter: tf.lite.TFLiteConverter, training: Sequence[Case]
) -> bytes | bytearray:
    def representative() -> Iterator[Case]:
        yield from training

    converter.representative_dataset = representative
    # The plain way rounds the head, too: a logit of 256 steps ties patients.
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=_EXACT)
    quantizer = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=representative, debug_options=options
    )
    content: bytes | bytearray = quantizer.get_nondebug_quantized_model()
    return content


def litert_runner(content: bytes, threads: int) -> Runner:
    """Runs a `.tflite` file one case at a time."""
    from ai_edge_litert.interpreter import Interpreter  # An extra; see check_litert.

    with native_lines_hidden(*_KNOWN_LINES):
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner()

    def run(case: Case) -> tuple[float, float]:
        answer = signature(**case)
        return float(answer[LOGIT][0]), float(answer[PROBABILITY][0])

    return run
