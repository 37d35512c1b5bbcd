"""A picture file as pixels that checks of quality look at, and its plain border."""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from usgland.data.images import BROKEN, FORMATS, UnusableError, one_line
from usgland.data.images import read_image_file as read_bytes

PLAIN = 12  # grey levels that a border may span and be plain; JPEG rings by as much
ENOUGH = 256  # pixels of a row that tell whether it is plain
LEAST_LEFT = 0.2  # of a side; a frame that would lose more is nearly empty: kept whole


class Frame(NamedTuple):
    """The pixels of a picture, uint8.

    Attributes:
        colour: `(height, width, 3)`, red, green, blue.
        grey: `(height, width)`, BT.601 luma.
    """

    colour: NDArray[np.uint8]
    grey: NDArray[np.uint8]


def read_frame(path: str | Path) -> Frame:
    """Decodes a PNG, JPEG or BMP; transparency lies on black, 16 bits become 8.

    Raises:
        UnusableError: If it is none, or damaged.
    """
    data = read_bytes(path)
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), "r", FORMATS) as f:
            warnings.simplefilter("ignore")
            image = _plain(f)
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise UnusableError(
            f"expected a picture that can be decoded. Received: {one_line(error)}"
        ) from error
    return Frame(np.asarray(image.convert("RGB")), np.asarray(image.convert("L")))


def _plain(image: Image.Image) -> Image.Image:
    """The picture in 8 bits a channel."""
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(deep, 0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, coloured).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def without_border(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture without the plain rows and columns around it.

    A second copy of a frame often differs from the first by such a border alone.
    """
    for axis in (1, 0):
        # Percentiles, as a few pixels of a ruler or of noise are no picture.
        step = max(1, grey.shape[axis] // ENOUGH)
        some = grey[:, ::step] if axis == 1 else grey[::step]
        low, high = np.percentile(some, (2, 98), axis=axis)
        filled = np.flatnonzero(high - low > PLAIN)
        if len(filled) == 0:
            continue
        first, last = int(filled[0]), int(filled[-1]) + 1
        if last - first >= LEAST_LEFT * len(filled):
            grey = grey[first:last] if axis == 1 else grey[:, first:last]
    return grey
