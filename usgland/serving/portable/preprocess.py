"""From an image file to what a LiteRT or ONNX model takes, by NumPy and Pillow alone.

usgland puts a copy of this file, `preprocess.py`, beside every such model, and checks
it against the model's own preprocessing when it writes them. It may be run as it is,
or read as what a program in another language must do:

    python preprocess.py image.png        # writes image.pixels.png

    pixels = read_pixels("image.png", json.load(open("model.json"))["preprocessing"])
"""

import io
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST_AREA = 16_000_000  # pixels; a file of 100 kB can hold hundreds of millions
MEDIAN_SIDES = {"none": 0, "median3": 3, "median5": 5}


def read_pixels(
    image: str | Path | bytes, settings: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Maps an image file to the input `pixels`.

    In this order: grey by BT.601; resize so that the longer side is `image_size`;
    median filter; stretch between two percentiles; black border to a square.

    Args:
        image: A path, or the bytes of a PNG, JPEG or BMP file.
        settings: What stands under `preprocessing` in `model.json`: image_size,
            grey_percentiles (two in [0, 100], or None) and speckle_filter.

    Returns:
        Uint8 `(1, image_size, image_size, 1)`.

    Raises:
        ValueError: If the file is not such an image, or of a kind that Pillow reads
            otherwise than the model does.
    """
    content = image if isinstance(image, bytes) else Path(image).read_bytes()
    size = settings["image_size"]
    pixels = resize(grey_levels(content), size)
    side = MEDIAN_SIDES[settings["speckle_filter"]]
    if side:
        around = np.pad(pixels, side // 2, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(around, (side, side))
        pixels = np.median(windows, axis=(2, 3)).astype("uint8")
    if settings["grey_percentiles"] is not None:
        pixels = stretch(pixels, *settings["grey_percentiles"])
    square = np.zeros((size, size), "uint8")
    top, left = ((size - length) // 2 for length in pixels.shape)
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return square[None, :, :, None]


def grey_levels(content: bytes) -> NDArray[np.float32]:
    """Decodes a file to whole grey levels `(height, width)` in [0, 255].

    EXIF rotation is ignored: the pixels are taken as they are stored. Transparent
    parts become black.
    """
    if content[:2] == b"\x89P" and content[24:25] == b"\x10":
        raise ValueError("Expected 8 bits a channel. Received a PNG file of 16 bits")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "BMP"]) as file:
            if file.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
                raise ValueError(f"Expected grey or RGB. Received: {file.mode}")
            if file.width * file.height > LARGEST_AREA:
                raise ValueError(
                    f"Expected at most {LARGEST_AREA} pixels. Received: "
                    f"{file.width} x {file.height}"
                )
            has_alpha = "transparency" in file.info or file.mode in ("LA", "PA", "RGBA")
            pixels = np.asarray(file.convert("RGBA"), "float32")
            if file.format == "BMP":  # It seldom means transparency there.
                has_alpha = False
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"Expected a PNG, JPEG or BMP file: {error}") from error
    luma = np.array([0.299, 0.587, 0.114], "float32")
    grey = (pixels[..., :3] * luma).sum(axis=-1, dtype="float32")
    return np.round(grey * (pixels[..., 3] / np.float32(255)) if has_alpha else grey)


def resize(grey: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Resizes so that the longer side is `size`, keeping the aspect ratio.

    Bilinear; where it shrinks, the triangle is as many times wider (antialiasing).
    """
    height, width = grey.shape
    longer = max(height, width)
    new_height, new_width = (
        max((length * size + longer // 2) // longer, 1) for length in (height, width)
    )
    resized = _resize_rows(_resize_rows(grey, new_height).T, new_width).T
    return np.clip(np.round(resized), 0, 255).astype("uint8")


def _resize_rows(grey: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Resizes the first axis.

    All in float32 and in TensorFlow's order: a value half way between two grey levels
    is rounded by its last bit.
    """
    scale = np.float32(1) / (np.float32(length) / np.float32(len(grey)))
    radius = max(scale, np.float32(1))
    centres = (np.arange(length, dtype="float32") + np.float32(0.5)) * scale
    first = np.ceil(centres - radius - np.float32(0.5)).astype(int)
    rows = first[:, None] + np.arange(2 * math.ceil(radius) + 1)[None, :]
    distances = np.abs(rows.astype("float32") + np.float32(0.5) - centres[:, None])
    weights = np.maximum(1 - distances * (1 / radius), 0).astype("float32")
    weights[(rows < 0) | (rows >= len(grey))] = 0
    total = np.zeros(length, "float32")
    for weight in weights.T:
        total += weight
    weights *= (np.float32(1) / total)[:, None]
    rows = np.clip(rows, 0, len(grey) - 1)
    resized = np.zeros((length, grey.shape[1]), "float32")
    for weight, row in zip(weights.T, rows.T, strict=True):
        resized += weight[:, None] * grey[row]
    return resized


def stretch(pixels: NDArray[np.uint8], low: float, high: float) -> NDArray[np.uint8]:
    """Maps the grey levels at two percentiles to 0 and 255, linearly, and clips.

    A percentile is the smallest grey level that at least that share of the pixels does
    not exceed. Where both fall on one level, darkest and brightest take their place.
    """
    cumulative = np.cumsum(np.bincount(pixels.ravel(), minlength=256))

    def level(percentile: float) -> int:
        parts = round(percentile * 1000)  # Integers, so that no rank is rounded.
        rank = max((pixels.size * parts + 99_999) // 100_000, 1)
        return int((cumulative < rank).sum())

    black, white = level(low), level(high)
    if black == white:
        black, white = level(0), level(100)
    span = max(white - black, 1)
    table = ((np.arange(256) - black) * 510 + span) // (2 * span)
    return np.clip(table, 0, 255).astype("uint8")[pixels]


def main() -> None:
    """Writes `NAME.pixels.png` beside each image file named on the command line."""
    if len(sys.argv) < 2:
        sys.exit("Expected image files, e.g. python preprocess.py image.png")
    sheet = json.loads(Path(__file__).with_name("model.json").read_text("utf-8"))
    for name in sys.argv[1:]:
        target = Path(name).with_suffix(".pixels.png")
        try:
            pixels = read_pixels(name, sheet["preprocessing"])
        except (OSError, ValueError) as error:
            sys.exit(f"{name}: {error}")
        Image.fromarray(pixels[0, :, :, 0]).save(target)
        print(f"Wrote {target}")


if __name__ == "__main__":
    main()
