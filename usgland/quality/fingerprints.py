"""Short descriptions of a picture by which copies of it are looked for.

Products of them say how alike pictures are, so that all pairs are products of
matrices, a block at a time.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct

from usgland.quality.frames import without_border
from usgland.quality.shared_points import find_points, shrunk, words_of

DIFFERENCE_SIDE = 16  # 256 bits
COSINE_SIDE = 8  # 64 bits, of a picture of four times the side
THUMBNAIL = 16  # pixels a side
# The axes along which a copy may be mirrored, and those of them that no turn undoes.
WAYS = ("", "x", "y", "xy")
MIRRORED = ("x", "y")


class Fingerprint(NamedTuple):
    """What of a picture is compared; of the first two a row for each of `WAYS`.

    Attributes:
        difference: `(4, 256)`, 1 or -1: whether it gets brighter to the right (dHash).
        cosine: `(4, 64)`, 1 or -1: its low frequencies against their median (pHash).
        thumbnail: `(16, 16)` of mean 0 and length 1; products are correlations.
        words: Of its points, see `words_of`.
        mirrored_words: The same of its mirror image.
    """

    difference: NDArray[np.int8]
    cosine: NDArray[np.int8]
    thumbnail: NDArray[np.float32]
    words: NDArray[np.int32]
    mirrored_words: NDArray[np.int32]


def comparable(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What of a picture is compared: without its plain border, `SIDE` pixels long."""
    return shrunk(without_border(grey))


def fingerprint(grey: NDArray[np.uint8]) -> Fingerprint:
    """Describes what `comparable` gives."""
    ways = [mirrored(grey, way) for way in WAYS]
    return Fingerprint(
        np.stack([difference_bits(turned) for turned in ways]),
        np.stack([cosine_bits(turned) for turned in ways]),
        _thumbnail(grey),
        words_of(find_points(grey)),
        words_of(find_points(mirrored(grey, "x"))),
    )


def mirrored(values: NDArray, way: str) -> NDArray:
    """Pictures, `(..., height, width)`, mirrored along some of their axes."""
    axes = {"x": -1, "y": -2}
    return np.flip(values, tuple(axes[axis] for axis in way))


def difference_bits(grey: NDArray[np.uint8]) -> NDArray[np.int8]:
    """`(256,)`, 1 where a point is brighter than its neighbour on the left, else -1.

    Reference:
        `dhash` of the package imagehash, of the same size, to the bit.
    """
    size = (DIFFERENCE_SIDE + 1, DIFFERENCE_SIDE)
    small = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS))
    return _signs(small[:, 1:] > small[:, :-1])


def cosine_bits(grey: NDArray[np.uint8]) -> NDArray[np.int8]:
    """`(64,)`, 1 where a low frequency is above the median of all 64, else -1.

    Reference:
        `phash` of the package imagehash, to the bit.
    """
    size = (4 * COSINE_SIDE, 4 * COSINE_SIDE)
    small = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS))
    waves = dct(dct(small.astype(float), axis=0), axis=1)[:COSINE_SIDE, :COSINE_SIDE]
    return _signs(waves > np.median(waves))


def _thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    values = small.astype(np.float32) - small.mean(dtype=np.float32)
    length = float(np.linalg.norm(values))
    return values / length if length > 0 else values


def _signs(bits: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(bits.ravel(), 1, -1).astype(np.int8)
