"""Where in a picture a map lies: in the lesion, on its border, elsewhere."""

from collections.abc import Mapping

import cv2
import numpy as np

from usgland.explanation.letterbox import Letterbox

# The border band reaches this share of the square's side to either side of the outline:
# 8 pixels of 224, half a cell of SqueezeNet's last feature map.
BAND = 1 / 28
OVERLAP_LEVEL = 0.5  # of the strongest pixel: what counts as highlighted
REGIONS = ("inside", "border", "outside", "padding")


def band_pixels(size: int) -> int:
    """Half of the width of the border band in a square of that side, pixels."""
    return max(1, round(size * BAND))


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A mask with all that lies within so many pixels of it, bool."""
    return cv2.dilate(mask.astype("uint8"), _disc(pixels)) > 0


def regions_of(mask: np.ndarray, box: Letterbox) -> dict[str, np.ndarray]:
    """Parts the square into the names of `REGIONS`.

    Returns:
        Name -> bool `(size, size)`, as the lesion's mask is. `border` is what lies
        within `band_pixels` of the lesion's outline, on either side of it; `inside` the
        rest of the lesion; `outside` the rest of the image; `padding` what is not of
        the image.
    """
    pixels = band_pixels(box.size)
    image = np.zeros(mask.shape, bool)
    image[box.inside()] = True
    # The frame of the picture is no border of the lesion.
    border = {"borderType": cv2.BORDER_CONSTANT}
    inside = (cv2.erode(mask.astype("uint8"), _disc(pixels), **border) > 0) & image
    near = grown(mask, pixels) & image
    return {
        "inside": inside,
        "border": near & ~inside,
        "outside": image & ~near,
        "padding": ~image,
    }


def energy_shares(
    values: np.ndarray, regions: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The share of a map's sum that lies in each region; NaN for a map of zeros."""
    total = float(values.sum())
    return {
        name: float(values[region].sum()) / total if total > 0 else float("nan")
        for name, region in regions.items()
    }


def points_at(values: np.ndarray, mask: np.ndarray) -> float:
    """Whether the strongest pixel lies in the lesion or within the band around it.

    Returns:
        1 or 0, of several strongest pixels a share; NaN for a map of zeros.

    Reference:
        The pointing game of [Zhang et al., 2016](https://arxiv.org/abs/1608.00507).
    """
    if not values.any():
        return float("nan")
    near = grown(mask, band_pixels(len(mask)))
    return float(near[values == values.max()].mean())


def overlap(values: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of what is highlighted and the lesion; NaN for zeros."""
    if not values.any():
        return float("nan")
    lit = values >= OVERLAP_LEVEL * values.max()
    return float((lit & mask).sum() / (lit | mask).sum())


def centre_map(box: Letterbox) -> np.ndarray:
    """A map that knows nothing of the model: a bump on the middle of the image.

    Float32 `(size, size)` in [0, 1]; its standard deviation is a quarter of the
    image's sides.
    """
    y, x = np.mgrid[: box.size, : box.size]
    middle = (box.size - 1) / 2
    far = ((y - middle) / (box.rows / 4)) ** 2 + ((x - middle) / (box.columns / 4)) ** 2
    values = np.zeros((box.size, box.size), "float32")
    values[box.inside()] = np.exp(-far / 2)[box.inside()]
    return values


def _disc(pixels: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1,) * 2)
