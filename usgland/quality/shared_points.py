"""Points that two pictures share, and how one lies on the other.

ORB finds them: they are known again when a copy is cropped, shifted, turned, shrunk or
lightened.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 384  # pixels, of the longer side of what is compared
POINTS = 500  # a picture
RATIO = 0.85  # of the nearest descriptor's distance to the second nearest's (Lowe)
OFF = 4.0  # pixels by which a point may miss its counterpart
INLIERS = 10  # points that one similarity must explain
ALIGNED = 0.8  # correlation of grey levels where both have pixels
LEAST_OVERLAP = 0.3  # of the smaller picture
SCALES = (0.4, 2.5)  # of one against the other
WHOLE = 0.93  # overlap from which the pictures show the same section
# Words of descriptors: tables of as many of their 256 bits, drawn once.
TABLES, WORD_BITS = 6, 16
PLACES = np.stack(
    [np.random.default_rng(t).choice(256, WORD_BITS, False) for t in range(TABLES)]
)


class Points(NamedTuple):
    """A picture, `(height, width)`, its points, `(points, 2)`, and their descriptors.

    The last are uint8 `(points, 32)`; none where there are no points.
    """

    grey: NDArray[np.uint8]
    places: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


class Laid(NamedTuple):
    """How a picture lies on another.

    Attributes:
        inliers: Points that the similarity explains; 0 where there is none.
        correlation: Of grey levels where both have pixels; 0 where too few have.
        overlap: Where both have pixels, as a share of the larger of the two.
    """

    inliers: int = 0
    correlation: float = 0.0
    overlap: float = 0.0

    def is_one_acquisition(self) -> bool:
        """Whether the two pictures are copies of one."""
        return self.inliers >= INLIERS and self.correlation >= ALIGNED


def shrunk(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with `SIDE` pixels on its longer side."""
    scale = SIDE / max(grey.shape)
    size = [max(1, round(scale * side)) for side in grey.shape[::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(grey), size, interpolation=how)


def find_points(grey: NDArray[np.uint8]) -> Points:
    """Finds the points of a picture of `SIDE` pixels."""
    grey = np.ascontiguousarray(grey)
    orb = cv2.ORB.create(POINTS, fastThreshold=7, edgeThreshold=15)
    keypoints, descriptors = orb.detectAndCompute(grey, None)
    if descriptors is None:
        return Points(grey, np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8))
    places = np.array([point.pt for point in keypoints], np.float32)
    return Points(grey, places, descriptors)


def words_of(points: Points) -> NDArray[np.int32]:
    """What descriptors say in a few bits: two that are alike share some of their words.

    Locality-sensitive hashing of Hamming distances, by drawn bits.
    """
    bits = np.unpackbits(points.descriptors, axis=1)
    powers = 1 << np.arange(WORD_BITS, dtype=np.int64)
    said = [
        (table << WORD_BITS) + bits[:, places] @ powers
        for table, places in enumerate(PLACES)
    ]
    return np.unique(np.concatenate(said)).astype(np.int32)


def lay_on(one: Points, two: Points) -> Laid:
    """Lays the second picture on the first, by a similarity that most points follow."""
    if min(len(one.places), len(two.places)) < INLIERS:
        return Laid()
    distances, nearest = cv2.batchDistance(
        two.descriptors, one.descriptors, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=2
    )
    clear = distances[:, 0] < RATIO * distances[:, 1]
    if clear.sum() < INLIERS:
        return Laid()
    moved, fits = cv2.estimateAffinePartial2D(
        two.places[clear], one.places[nearest[clear, 0]], ransacReprojThreshold=OFF
    )
    if moved is None or int(fits.sum()) < INLIERS:
        return Laid()
    scale = float(np.hypot(moved[0, 0], moved[1, 0]))
    if not SCALES[0] <= scale <= SCALES[1]:
        return Laid()
    return Laid(int(fits.sum()), *_compare(one.grey, two.grey, moved, scale))


def _compare(
    one: NDArray, two: NDArray, moved: NDArray, scale: float
) -> tuple[float, float]:
    """Correlation and overlap of a picture and another one that is moved onto it."""
    size = one.shape[::-1]
    laid = cv2.warpAffine(two, moved, size)
    inside = cv2.warpAffine(np.full(two.shape, 255, np.uint8), moved, size) == 255
    areas = one.size, two.size * scale**2
    shared = int(inside.sum())
    if shared < LEAST_OVERLAP * min(areas):
        return 0.0, 0.0
    a, b = one[inside].astype(np.float32), laid[inside].astype(np.float32)
    a -= a.mean()
    b -= b.mean()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else 0.0, shared / max(areas)
