"""Marks that were drawn on a picture: callipers, colour, a second picture beside it.

They stand where somebody measured, and so know of the lesion, or of the label.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from usgland.quality.shared_points import SIDE, shrunk

# Arms of a calliper's cross, pixels of a picture of 384.
ARMS = (3, 5, 7)
STRONGEST, SECOND = 60, 45  # grey levels by which the two clearest crosses stand out
APART = 15  # pixels between two of them
EDGE = 8  # pixels at the border, where scales and logos stand
CROSS = ((1, 0), (-1, 0), (0, 1), (0, -1))
OBLIQUE = ((1, 1), (1, -1), (-1, 1), (-1, -1))
SURE = 0.75  # of a box of text, to be a word
CORNER = 0.16  # of the width at the upper left: where cutting a frame leaves of a logo
SQUARE, NEAR = 1.3, 30  # width by height of a digit; pixels from its cross, of 384
COLOURED = 40  # levels between the channels of a coloured pixel; tinted greys have less
LEAST_COLOURED = 0.002  # of all pixels
GAP = 0.012  # of the width: the narrowest dark strip between two pictures
DARK = 10  # grey levels of a strip


def calliper_marks(colour: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Crosses that were drawn, upright or oblique, the clearest first.

    Args:
        colour: `(height, width, 3)`.

    Returns:
        x and y in pixels of the picture at 384 pixels, and the grey levels by which the
        darkest arm is brighter than the brightest corner between the arms.
    """
    # Of colours the brightest channel: callipers are yellow or green, too.
    bright = shrunk(colour.max(axis=2)).astype(np.float32)
    means = {way: _arms(bright, way) for way in (*CROSS, *OBLIQUE)}
    corners = cv2.blur(bright, (3, 3))
    clear = np.full(bright.shape, -255, np.float32)
    for number, arm in enumerate(ARMS):
        off = max(2, round(0.6 * arm))
        for along, between in ((CROSS, OBLIQUE), (OBLIQUE, CROSS)):
            darkest = np.minimum.reduce([means[way][number] for way in along])
            beside = [_shifted(corners, x * off, y * off) for x, y in between]
            np.maximum(clear, darkest - np.maximum.reduce(beside), out=clear)
    clear[:EDGE] = clear[-EDGE:] = -255
    clear[:, :EDGE] = clear[:, -EDGE:] = -255
    peaks = clear == cv2.dilate(clear, np.ones((APART, APART)))
    rows, columns = np.nonzero(peaks & (clear >= SECOND))
    order = np.argsort(-clear[rows, columns])
    return [
        (int(columns[n]), int(rows[n]), int(clear[rows[n], columns[n]])) for n in order
    ]


def are_callipers(marks: Sequence[tuple[int, int, int]]) -> bool:
    """Whether two crosses stand on a picture: a single one may be a letter."""
    return len(marks) >= 2 and marks[0][2] >= STRONGEST


def words_among(
    boxes: Sequence[tuple[int, int, int, int, float]],
    shape: tuple[int, ...],
    marks: Sequence[tuple[int, int, int]],
) -> int:
    """How many boxes of text are words, not a cut logo or the number of a calliper.

    Args:
        boxes: Left, top, right and bottom in pixels, and how sure.
        shape: Of the picture.
        marks: What `calliper_marks` gives of it.
    """
    height, width = shape[:2]
    scale = SIDE / max(height, width)
    words = 0
    for left, top, right, bottom, probability in boxes:
        in_corner = top <= CORNER * height / 10 and right <= CORNER * width
        centre = scale * (left + right) / 2, scale * (top + bottom) / 2
        is_square = right - left < SQUARE * (bottom - top)
        near = any(np.hypot(x - centre[0], y - centre[1]) < NEAR for x, y, _ in marks)
        words += probability >= SURE and not in_corner and not (is_square and near)
    return words


def coloured_share(colour: NDArray[np.uint8]) -> float:
    """Share of pixels with a colour, as of Doppler; a tint of all pixels is none."""
    channels = colour.astype(np.int16)
    # What a tinted frame has everywhere is no colour.
    channels = channels - np.median(channels, axis=(0, 1)).astype(np.int16)
    return float((np.ptp(channels, axis=2) > COLOURED).mean())


def is_split(grey: NDArray[np.uint8]) -> bool:
    """Whether a dark strip parts a frame into two pictures side by side."""
    small = shrunk(grey)
    dark = np.percentile(small, 98, axis=0) < DARK
    width = small.shape[1]
    middle = np.flatnonzero(dark[int(0.3 * width) : int(0.7 * width)])
    if len(middle) < max(2, GAP * width):
        return False
    start = int(0.3 * width)
    left, right = small[:, : start + middle[0]], small[:, start + middle[-1] + 1 :]
    return bool(min(left.mean(), right.mean()) > DARK)


def _arms(bright: NDArray[np.float32], way: tuple[int, int]) -> list[NDArray]:
    """The mean of the pixels on one side of each pixel, of each of `ARMS`."""
    total, means = np.zeros_like(bright), []
    for step in range(1, max(ARMS) + 1):
        total = total + _shifted(bright, way[0] * step, way[1] * step)
        if step in ARMS:
            means.append(total / step)
    return means


def _shifted(values: NDArray, x: int, y: int) -> NDArray:
    """What stands x to the right of and y below each pixel."""
    return np.roll(values, (-y, -x), axis=(0, 1))
