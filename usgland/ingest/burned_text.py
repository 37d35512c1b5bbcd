"""Text that is burned into a picture: boxes to look at, or to fill.

A detector of text finds most, never all, and takes an echo for a word now and then. So
pictures are listed for a person; none is called free of text.

Reference:
    PP-OCRv6's detector, small, as the package rapidocr has it (Apache-2.0): a network
    that gives each pixel a probability of text ([Liao et al.,
    2020](https://arxiv.org/abs/1911.08947)).
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from usgland.errors import check_installed, not_installed

if TYPE_CHECKING:
    import onnxruntime

MODEL = "models/PP-OCRv6_det_small.onnx"  # below the package's folder
SHORT_SIDE, LONG_SIDE = 736, 1472  # pixels that the network sees at least and at most
MULTIPLE = 32  # of pixels, as its strides need
PIXEL_PROBABILITY = 0.3  # from which a pixel is text; its authors' value
BOX_PROBABILITY = 0.5  # mean of a box from which it is kept; its authors' value
MARGIN = 1.6  # area by perimeter times this is added around; its authors' value
# Text of scanners is low. Fasciae, which look like a line of it, are long and tall.
TALLEST = 40  # pixels, with the margin
TALLEST_SHARE = 0.1  # of the picture's height
ALWAYS_LOW = 32  # pixels: an ordinary line, in however small a picture
SMALLEST = 3  # pixels of the network's map


class Box(NamedTuple):
    """Pixels of the picture: the corner at the upper left, and the one beyond it."""

    x0: int
    y0: int
    x1: int
    y1: int
    probability: float


def text_boxes(picture: np.ndarray, *, threads: int = 1) -> list[Box]:
    """Where a picture seems to have text.

    Args:
        picture: uint8 `(height, width)` or RGB `(height, width, 3)`.
        threads: Of the processor, for one picture.

    Returns:
        Boxes with a margin around the letters, from top to bottom.

    Raises:
        UserError: If the extra `ingest` is not installed.
    """
    probability = _text_map(picture, _session(threads))
    height, width = picture.shape[:2]
    boxes = _boxes(probability, height, width)
    tallest = min(TALLEST, max(TALLEST_SHARE * height, ALWAYS_LOW))
    low = [box for box in boxes if box.y1 - box.y0 <= tallest]
    return sorted(low, key=lambda box: (box.y0, box.x0))


def mask_text(picture: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """Fills boxes with black, in a copy."""
    masked = picture.copy()
    for box in boxes:
        masked[box.y0 : box.y1, box.x0 : box.x1] = 0
    return masked


def _boxes(probability: np.ndarray, height: int, width: int) -> list[Box]:
    import cv2

    text = (probability > PIXEL_PROBABILITY).astype(np.uint8)
    text = cv2.dilate(text, np.ones((2, 2), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(text, connectivity=8)
    scale_y, scale_x = height / probability.shape[0], width / probability.shape[1]
    boxes = []
    for part in range(1, count):
        left, top, wide, high, _ = stats[part].tolist()
        within = np.s_[top : top + high, left : left + wide]
        inside = probability[within][parts[within] == part]
        mean = float(inside.mean())
        if mean < BOX_PROBABILITY or min(wide, high) < SMALLEST:
            continue
        margin = MARGIN * wide * high / (2 * (wide + high))
        boxes.append(
            Box(
                max(0, int((left - margin) * scale_x)),
                max(0, int((top - margin) * scale_y)),
                min(width, int(np.ceil((left + wide + margin) * scale_x))),
                min(height, int(np.ceil((top + high + margin) * scale_y))),
                mean,
            )
        )
    return boxes


def _text_map(
    picture: np.ndarray, session: "onnxruntime.InferenceSession"
) -> np.ndarray:
    """Probability of text, float32, at the size that the network sees."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(1.0, SHORT_SIDE / min(height, width))
    scale = min(scale, LONG_SIDE / max(height, width))
    size = [
        max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE)
        for side in (width, height)
    ]
    colour = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    seen = cv2.resize(np.ascontiguousarray(colour[..., ::-1]), size)
    values = (seen.astype(np.float32) / 255 - 0.5) / 0.5
    (answer,) = session.run(None, {"x": values.transpose(2, 0, 1)[None]})
    return answer[0, 0]


@functools.cache
def _session(threads: int) -> "onnxruntime.InferenceSession":
    """The network, from the file in the package, none of whose code is run.

    That sets up a log and may fetch models; the file is all that is needed.
    """
    check_installed("--text", "rapidocr", "onnxruntime", "cv2")
    import onnxruntime
    import rapidocr

    path = Path(rapidocr.__file__).parent / MODEL
    if not path.is_file():
        raise not_installed(f"--text ({MODEL} of rapidocr)", "rapidocr")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
