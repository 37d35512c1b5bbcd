"""Where in a frame the scan is: by the scanner's tags, or found in the picture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from pydicom.dataset import Dataset

from usgland.ingest.unreadable import BROKEN

# PS3.3, C.8.5.5.1.1 and C.8.5.5.1.2: spatial format and data type of a region.
TWO_DIMENSIONS = 1
TISSUE, COLOUR_FLOW = 1, 2
ELASTOGRAPHY = 18
CENTIMETRES = 3  # physical units of a direction, C.8.5.5.1.15
WIDEST_SPACING = 5.0  # mm between pixels; a scan of 64 pixels is 32 cm wide
DARK = 10  # grey levels; what is brighter is scan, text or frame
SMALLEST_SHARE = 0.05  # of the frame; less that is bright is no scan
PART_SHARE = 0.02  # of the frame; a smaller part is an icon or a logo
WHOLE_SHARE = 0.9  # of either side; a larger area is the whole picture

DETECTED, NOT_DETECTED = "region_detected", "region_not_detected"
OUTSIDE, CLAMPED = "region_outside", "region_clamped"
NOT_B_MODE, COLOUR = "region_not_b_mode", "colour_flow"
REGION_FLAGS = (DETECTED, NOT_DETECTED, OUTSIDE, CLAMPED, NOT_B_MODE, COLOUR)


@dataclass(frozen=True)
class Region:
    """A rectangle of a frame, `x1` and `y1` excluded, in pixels.

    `spacing_mm` is that of columns and of rows, where the tags have it.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    kind: Literal["tissue"]
    source: Literal["tag", "detected", "whole"]
    spacing_mm: tuple[float, float] | None = None
    flags: tuple[str, ...] = ()

    def of(self, frame: np.ndarray) -> np.ndarray:
        """Its pixels."""
        return frame[self.y0 : self.y1, self.x0 : self.x1]

    def flagged(self, *flags: str) -> "Region":
        """The same with more flags."""
        return replace(self, flags=(*self.flags, *flags))


def regions_of(
    dataset: Dataset, shape: Sequence[int]
) -> tuple[list[Region], list[str]]:
    """The 2D B-mode regions that a header names.

    Args:
        dataset: A header.
        shape: Rows and columns of its frames.

    Returns:
        The regions, which may be none; and what was refused, as flags. Both are empty
        where the header names no region at all.
    """
    regions: list[Region] = []
    refused: list[str] = []
    flows = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        kind = _number(item, "RegionDataType")
        if _number(item, "RegionSpatialFormat") != TWO_DIMENSIONS or kind not in (
            TISSUE,
            COLOUR_FLOW,
        ):
            refused.append(NOT_B_MODE)
            continue
        region = _region(item, shape)
        if region is None:
            refused.append(OUTSIDE)
        elif kind == COLOUR_FLOW:
            refused.append(NOT_B_MODE)
            flows.append(region)
        elif not any(_same_place(region, other) for other in regions):
            regions.append(region)
    regions = [
        region.flagged(COLOUR)
        if any(_overlap(region, flow) for flow in flows)
        else region
        for region in regions
    ]
    return regions, sorted(set(refused))


def _region(item: Dataset, shape: Sequence[int]) -> Region | None:
    names = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    corners = [_number(item, f"RegionLocation{name}") for name in names]
    if any(corner is None for corner in corners):
        return None
    rows, columns = shape[:2]
    x0, y0, last_x, last_y = (int(corner) for corner in corners if corner is not None)
    # The last column is inside; scanners that write the first beyond are common.
    x1, y1 = min(last_x + 1, columns), min(last_y + 1, rows)
    if not (0 <= x0 < x1 and 0 <= y0 < y1 and last_x <= columns and last_y <= rows):
        return None
    flags = (CLAMPED,) if (last_x, last_y) != (x1 - 1, y1 - 1) else ()
    return Region(x0, y0, x1, y1, "tissue", "tag", _spacing(item), flags)


def _spacing(item: Dataset) -> tuple[float, float] | None:
    spacing = []
    for direction in "XY":
        unit = _number(item, f"PhysicalUnits{direction}Direction")
        delta = _number(item, f"PhysicalDelta{direction}")  # may be negative
        if unit != CENTIMETRES or not delta:
            return None
        spacing.append(abs(delta) * 10)
    if not all(0 < mm <= WIDEST_SPACING for mm in spacing):
        return None
    return spacing[0], spacing[1]


def _number(item: Dataset, name: str) -> float | None:
    try:
        value: Any = item.get(name)
        number = np.nan if value is None else float(value)
    except BROKEN:
        return None
    return number if np.isfinite(number) else None


def _same_place(region: Region, other: Region) -> bool:
    return _corners(region) == _corners(other)


def _overlap(region: Region, other: Region) -> bool:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = _corners(region), _corners(other)
    return ax0 < bx1 and bx0 < ax1 and ay0 < by1 and by0 < ay1


def _corners(region: Region) -> tuple[int, int, int, int]:
    return region.x0, region.y0, region.x1, region.y1


def whole_region(shape: Sequence[int], *flags: str) -> Region:
    """The whole frame."""
    return Region(0, 0, shape[1], shape[0], "tissue", "whole", None, flags)


def detect_scan_area(frames: Iterable[np.ndarray]) -> Region:
    """Looks for the scan in pictures that have no tags: what is bright and large.

    Letters, which are thin, are worn away first; gaps, as speckle has them, are closed.
    A large cyst may part a scan in two, so all large parts count.
    What is returned says by its flags that it was detected or, where nothing was,
    that the whole picture is taken.

    Args:
        frames: Some frames of one file, uint8, all of one shape.
    """
    brightest = np.maximum.reduce([grey_of(frame) for frame in frames])
    rows, columns = brightest.shape
    size = max(3, min(rows, columns) // 40)
    # A bar or a button of one colour is no scan: speckle is nowhere flat.
    around = np.ones((3, 3), np.uint8)
    rough = cv2.dilate(brightest, around) > cv2.erode(brightest, around)
    bright = cv2.medianBlur(((brightest > DARK) & rough).astype(np.uint8), 5)
    square = np.ones((size, size), np.uint8)
    closed = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, square)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((2 * size, 2 * size)))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(opened)
    areas = boxes[:, cv2.CC_STAT_AREA]
    large = [n for n in range(1, count) if areas[n] >= PART_SHARE * rows * columns]
    if sum(areas[large]) < SMALLEST_SHARE * rows * columns:
        return whole_region(brightest.shape, NOT_DETECTED)
    x0, y0 = boxes[large, :2].min(axis=0).tolist()
    x1, y1 = (boxes[large, :2] + boxes[large, 2:4]).max(axis=0).tolist()
    if x1 - x0 >= WHOLE_SHARE * columns and y1 - y0 >= WHOLE_SHARE * rows:
        return whole_region(brightest.shape, DETECTED)
    return Region(x0, y0, x1, y1, "tissue", "detected", None, (DETECTED,))


def grey_of(picture: np.ndarray) -> np.ndarray:
    """A picture of one channel: of colours the brightest."""
    return picture if picture.ndim == 2 else picture.max(axis=2)
