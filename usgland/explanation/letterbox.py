"""Where an image stands in the square that the network sees, and the way back."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from usgland.data.lesion_marks import lesion_cut
from usgland.errors import UserError


class Letterbox(NamedTuple):
    """The place of one image in the square, pixels.

    Attributes:
        height: Of the original image.
        width: Of the original image.
        size: Side of the square.
        top: First row of the image in the square.
        left: First column of the image in the square.
        rows: Its rows there.
        columns: Its columns there.
    """

    height: int
    width: int
    size: int
    top: int
    left: int
    rows: int
    columns: int

    def inside(self) -> tuple[slice, slice]:
        """The image within the square, without its padding."""
        return (
            slice(self.top, self.top + self.rows),
            slice(self.left, self.left + self.columns),
        )


def letterbox_of(height: int, width: int, size: int) -> Letterbox:
    """The place that `usgland.models.preprocessing` gives an image.

    The same integers as in `shrink_to_fit` and `pad_to_square`.
    """
    longer = max(height, width)
    rows, columns = (
        max((side * size + longer // 2) // longer, 1) for side in (height, width)
    )
    top, left = (size - rows) // 2, (size - columns) // 2
    return Letterbox(height, width, size, top, left, rows, columns)


def to_original(square: np.ndarray, box: Letterbox) -> np.ndarray:
    """Cuts the padding off a map of the square and gives it the original size.

    Float32 `(size, size)` becomes `(height, width)`, bilinear.
    """
    inside = np.ascontiguousarray(square[box.inside()], "float32")
    return cv2.resize(inside, (box.width, box.height), interpolation=cv2.INTER_LINEAR)


def to_square(mask: np.ndarray, box: Letterbox) -> np.ndarray:
    """A mask of the original image as it stands in the square.

    Bool `(height, width)` becomes `(size, size)`: at least half of the pixel is in the
    mask.
    """
    square = np.zeros((box.size, box.size), bool)
    sides = (box.columns, box.rows)
    shrunk = cv2.resize(mask.astype("float32"), sides, interpolation=cv2.INTER_AREA)
    square[box.inside()] = shrunk >= 0.5
    return square


def read_mask(path: str, shape: tuple[int, int]) -> np.ndarray | None:
    """The lesion's mask of an image.

    Args:
        path: Image file whose bright pixels are lesion; "" where there is none.
        shape: Height and width of its image.

    Returns:
        Bool `(height, width)`, or None without a path.

    Raises:
        UserError: If it is no image or has another size than its image.
    """
    if not path:
        return None
    mask = cv2.imread(path, cv2.IMREAD_GRAYSCALE) if Path(path).is_file() else None
    if mask is None:
        raise UserError(
            f"Expected the mask of a lesion, an image file. Received: {path}, which "
            "cannot be read as one"
        )
    if mask.shape != tuple(shape):
        raise UserError(
            f"{path}: expected a mask of the size of its image, {shape[1]}x{shape[0]} "
            f"pixels. Received: {mask.shape[1]}x{mask.shape[0]}. Export it again at "
            "the image's size, or empty its cell in the column `mask`"
        )
    return mask > lesion_cut(mask.max())
