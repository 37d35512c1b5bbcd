"""LiteRT, once TensorFlow Lite: three `.tflite` files of a network, and their runtime.

What runs on a phone is ai-edge-litert's interpreter, so that one checks the files; the
converter is TensorFlow's.
"""

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from usgland.errors import UserError
from usgland.models.classifier import LOGIT
from usgland.serving.native_lines import native_lines_hidden
from usgland.serving.portable import PIXELS, Runner, portable_module

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
    training_pixels: NDArray[np.uint8],
) -> dict[str, bytes]:
    """Converts a network to the three usual precisions.

    Args:
        model: A saved classifier of images.
        calibration: Gives `slope` and `intercept`, see `portable_module`.
        training_pixels: Uint8 `(images, size, size, 1)`, preprocessed, of training
            images alone.

    Returns:
        File name -> content. `fp32.tflite`; `dynamic.tflite`: weights of 8 bits;
        `int8.tflite`: feature maps of 8 bits, too, their ranges learned from the
        training images. Input and outputs are the same, see `portable_module`, one
        image at a time.
    """
    module = portable_module(model, calibration, batch=1)

    def representative() -> Iterator[dict[str, NDArray[np.uint8]]]:
        for pixels in training_pixels:
            yield {PIXELS: pixels[None]}

    contents = {}
    for name in ("fp32", "dynamic", "int8"):
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
    """Runs a `.tflite` file one image at a time.

    Args:
        content: Of the file.
        threads: Processor threads.
    """
    from ai_edge_litert.interpreter import Interpreter  # An extra; see check_litert.

    with native_lines_hidden(*_KNOWN_LINES):
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner()

    def run(pixels: NDArray[np.uint8]) -> float:
        return float(signature(**{PIXELS: pixels})[LOGIT][0])

    return run
