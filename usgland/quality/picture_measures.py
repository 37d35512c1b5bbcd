"""Numbers of one picture: sharpness, contrast, saturation, and what it is at all.

Whether a number is low is judged within a table: scanners and depths differ too much
for one limit.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from usgland.quality.drawn_marks import (
    are_callipers,
    calliper_marks,
    coloured_share,
    is_split,
    words_among,
)
from usgland.quality.fingerprints import comparable
from usgland.quality.frames import Frame
from usgland.quality.image_findings import (
    NOTE,
    OTHER_PICTURE,
    POOR_IMAGE,
    WARNING,
    Finding,
)

OUTLYING = 3.5  # robust standard deviations below the median, of logarithms
ENOUGH = 10  # pictures that say what is usual
BLURRED = 60.0  # and below this; a sharp frame has some hundreds
LOW_CONTRAST = 60  # grey levels between the 2nd and the 98th percentile
SATURATED = 0.15  # share of pixels at 254 or 255
SMALL = 150  # pixels of the shorter side; networks see 224
COLOURED = 0.002, 0.35  # shares of coloured pixels: of Doppler from, of a photograph
PLAIN = 0.5  # share of pixels of one grey level that is not dark: a drawing, a page
NOT_DARK = 60


class Measures(NamedTuple):
    """Numbers of a picture.

    Attributes:
        sharpness: Variance of the Laplacian at 384 pixels, without the plain border.
        contrast: Grey levels between the 2nd and the 98th percentile.
        saturated: Share of white pixels.
        coloured: Share of pixels with a colour.
        plain: Share of the commonest grey level that is not dark.
        callipers: Whether it has some.
        split: Whether it is two pictures side by side.
        words: Boxes of words; -1 where nobody looked for them.
    """

    sharpness: float
    contrast: float
    saturated: float
    coloured: float
    plain: float
    callipers: bool
    split: bool
    words: int


def measure(frame: Frame, find_text: Callable | None) -> Measures:
    """Measures a picture; `find_text` gives boxes of text, see `words_among`."""
    marks = calliper_marks(frame.colour)
    words = -1
    if find_text is not None:
        words = words_among(find_text(frame.colour), frame.grey.shape, marks)
    grey = comparable(frame.grey)
    low, high = np.percentile(grey, (2, 98))
    counts = np.bincount(grey.ravel(), minlength=256)
    levels = np.bincount(frame.grey.ravel(), minlength=256)  # with the border
    return Measures(
        sharpness=float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        contrast=float(high - low),
        saturated=float(counts[254:].sum() / grey.size),
        coloured=coloured_share(frame.colour),
        plain=float(levels[NOT_DARK:].max() / frame.grey.size),
        callipers=are_callipers(marks),
        split=is_split(frame.grey),
        words=words,
    )


def judge(
    measured: Mapping[int, Measures], shorter: Mapping[int, int]
) -> list[Finding]:
    """What numbers of a table's pictures say, by the number of the row.

    `shorter` is the shorter side of each, pixels.
    """
    findings = []
    dull = _low_outliers({row: m.sharpness for row, m in measured.items()})
    for row, m in measured.items():
        findings += [Finding(row, *each) for each in _signs(m)]
        if row in dull and m.sharpness < BLURRED:
            text = f"variance of the Laplacian {m.sharpness:.0f}"
            findings.append(Finding(row, "blurred", text, NOTE, POOR_IMAGE))
        if shorter[row] < SMALL:
            text = f"shorter side {shorter[row]} pixels"
            findings.append(Finding(row, "small", text, NOTE, POOR_IMAGE))
    return findings


def _signs(m: Measures) -> list[tuple[str, str, int, str]]:
    """Kind, text, level and reason of what one picture shows."""
    signs = []
    if m.coloured > COLOURED[1] or m.plain > PLAIN:
        text = f"{m.coloured:.0%} in colour, {m.plain:.0%} of one grey level"
        signs.append(("other", text, WARNING, OTHER_PICTURE))
    elif m.coloured > COLOURED[0]:
        text = f"{m.coloured:.1%} of the pixels in colour"
        signs.append(("colour", text, WARNING, OTHER_PICTURE))
    if m.words > 0:
        signs.append(("words", f"{m.words} of them", WARNING, ""))
    if m.callipers:
        signs.append(("callipers", "crosses of a measurement", NOTE, ""))
    if m.split:
        signs.append(("split", "two pictures side by side", WARNING, POOR_IMAGE))
    if m.contrast < LOW_CONTRAST:
        text = f"{m.contrast:.0f} grey levels from dark to bright"
        signs.append(("contrast", text, NOTE, POOR_IMAGE))
    if m.saturated > SATURATED:
        text = f"{m.saturated:.0%} of the pixels are white"
        signs.append(("saturated", text, NOTE, POOR_IMAGE))
    return signs


def _low_outliers(values: Mapping[int, float]) -> set[int]:
    """Keys of values far below the others, by median and median deviation of logs."""
    if len(values) < ENOUGH:
        return set()
    logs = pd.Series(values, dtype=float).clip(lower=1e-3).map(np.log)
    middle = logs.median()
    spread = 1.4826 * (logs - middle).abs().median()
    return {int(key) for key in logs.index[logs < middle - OUTLYING * spread]}
