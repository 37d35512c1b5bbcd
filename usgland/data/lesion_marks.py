"""Where the lesion is in an image: its mask or its box, checked, and its ellipse.

Both are optional, image by image, and only training and explanations use them. Of a
mask only the bounding box is taken, never the outline: a reader's outline knows the
label.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from usgland import table_files
from usgland.data.columns import BOX, LESION, SIZE
from usgland.data.images import (
    BROKEN,
    ImageCheck,
    UnusableError,
    check_files,
    one_line,
    read_image_file,
)
from usgland.table_files import ROW, Problem

MASK_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
LESION_GREY = 127  # a pixel of a mask above it is lesion; of 0 and 1, those with 1
# Pixels by which a box may reach over the edge, as corners are rounded; it is cut.
OVERHANG = 1.0


class MaskCheck(NamedTuple):
    """What a file is as the mask of a lesion; a box without width is none."""

    sha256: str  # digest of its bytes; "" if it could not be read
    problem: str  # as "expected …. Received: …"; "" if nothing is wrong
    width: int = 0  # of the file, pixels
    height: int = 0
    box_x: int = 0  # of the box around its lesion, pixels
    box_y: int = 0
    box_width: int = 0
    box_height: int = 0


def lesion_ellipses(rows: pd.DataFrame) -> np.ndarray:
    """The ellipse in the box of each lesion, as it stands in the letterboxed square.

    Args:
        rows: Checked manifest rows; without the columns of marks, none has one.

    Returns:
        Float32 `(rows, 4)`: centre y, centre x, half of the height and half of the
        width, as shares of the square's side; NaN where the lesion is not marked.
    """
    if not {*LESION, *SIZE} <= set(rows.columns):
        return np.full((len(rows), 4), np.nan, "float32")
    x, y, width, height = rows[list(LESION)].to_numpy("float64").T
    sides = rows[list(SIZE)].to_numpy("float64").T
    longer = np.fmax(sides.max(axis=0), 1)
    left, top = (longer - sides) / 2
    parts = (top + y + height / 2, left + x + width / 2, height / 2, width / 2)
    return (np.stack(parts, axis=1) / longer[:, None]).astype("float32")


def read_marks(
    rows: pd.DataFrame, images: Sequence[ImageCheck], path: Path, *, pixels: bool
) -> list[Problem]:
    """Checks the marks of the lesions and adds the columns `LESION` and `SIZE`.

    Args:
        rows: Manifest rows with `label` as a number, and `mask_path` where there are
            masks; changed in place.
        images: The checks of their images.
        path: Of the manifest.
        pixels: If false, no mask is read, and no lesion is known.

    Returns:
        What is wrong: a mask that is none, empty or of another size than its image; a
        box that is not whole, in another unit or outside; a box and a mask that do not
        meet.
    """
    columns = [name for name in BOX if name in rows]
    if columns and len(columns) < len(BOX):
        lacking = ", ".join(name for name in BOX if name not in rows)
        text = (
            f"expected the columns {', '.join(BOX)} together. Received: none called "
            f"{lacking}; add or map them in data.columns"
        )
        return [(0, text)]
    masks = _check_masks(rows, path if pixels else None)
    # Who has no lesion, or is not said to have one, may have an empty mask.
    needs_lesion = (rows["label"] >= 0).to_list()
    boxes = _read_boxes(rows, columns)
    problems: list[Problem] = []
    lesions = np.full((len(rows), 4), np.nan)
    numbers = rows[ROW].to_list()
    for at, (image, mask, box) in enumerate(zip(images, masks, boxes, strict=True)):
        row = numbers[at]
        if isinstance(box, str):
            problems.append((row, box))
        known = image.width > 0  # else the image's own problem is told
        of_mask = None
        if mask is not None:
            wrong = mask.problem
            if known and not wrong:
                wrong = _misfit(mask, image, needs_lesion=needs_lesion[at])
            name = rows["mask"].iloc[at]
            problems += [(row, f"mask {name}: {wrong}")] * bool(wrong)
            if not wrong and mask.box_width:
                of_mask = np.array(mask[4:], "float64")
        of_box = None
        if isinstance(box, np.ndarray) and known:
            wrong = _outside(box, image)
            problems += [(row, wrong)] * bool(wrong)
            of_box = None if wrong else _cut(box, image)
        if of_box is not None and of_mask is not None and not _meet(of_box, of_mask):
            text = (
                "expected a mask and a box of the same lesion. Received: a mask at "
                f"{_show(of_mask)} and a box at {_show(of_box)}, which do not meet"
            )
            problems.append((row, text))
        lesion = of_mask if of_box is None else of_box
        if lesion is not None:
            lesions[at] = lesion
    for name, values in zip(LESION, lesions.T, strict=True):
        rows[name] = values
    rows["image_width"] = [check.width for check in images]
    rows["image_height"] = [check.height for check in images]
    return problems


def count_marked(rows: pd.DataFrame) -> int:
    """How many checked rows have the lesion marked."""
    return int(rows[LESION[0]].notna().sum()) if LESION[0] in rows else 0


def _check_masks(rows: pd.DataFrame, manifest: Path | None) -> list[MaskCheck | None]:
    """What is known of each row's mask; without the manifest, none is opened."""
    paths = rows["mask_path"] if "mask_path" in rows else pd.Series("", rows.index)
    named = [str(name) for name in paths if name]
    if manifest is None:
        checks = iter([_check_mask(name, pixels=False) for name in named])
    else:
        checks = iter(check_files(named, "masks", _check_mask, MaskCheck, manifest))
    return [next(checks) if name else None for name in paths]


def _check_mask(path: str, *, pixels: bool = True) -> MaskCheck:
    if not os.path.isfile(path):
        return MaskCheck("", f"expected an image file. Received: no file at {path}")
    digest = ""
    try:
        if not pixels:
            return MaskCheck("", "")
        data = read_image_file(path)
        digest = hashlib.sha256(data).hexdigest()
        return MaskCheck(digest, "", *_lesion_in(data))
    except UnusableError as error:
        return MaskCheck(digest, str(error))
    except (*BROKEN, Image.DecompressionBombError) as error:
        received = f"a file that is none ({one_line(error)})"
        return MaskCheck(digest, f"expected an image file. Received: {received}")


def _lesion_in(data: bytes) -> tuple[int, ...]:
    """Width and height of a mask, and the box around its bright pixels."""
    image = Image.open(io.BytesIO(data), formats=MASK_FORMATS)
    if image.mode.startswith(("I", "F")):  # 16 bits: their upper eight
        levels = np.asarray(image).astype("float64")
        levels = levels // 256 if levels.max(initial=0) > 255 else levels
        grey = Image.fromarray(levels.clip(0, 255).astype("uint8"))
    else:
        grey = image.convert("L")
    cut = lesion_cut(np.asarray(grey).max())
    box = grey.point([0] * (cut + 1) + [255] * (255 - cut)).getbbox()
    left, top, right, bottom = box or (0, 0, 0, 0)
    return (*image.size, left, top, right - left, bottom - top)


def lesion_cut(brightest: float) -> int:
    """The grey level of a mask above which a pixel is lesion."""
    return LESION_GREY if brightest > 1 else 0


def _misfit(mask: MaskCheck, image: ImageCheck, *, needs_lesion: bool) -> str:
    if (mask.width, mask.height) != (image.width, image.height):
        return (
            f"expected the size of its image, {image.width}x{image.height} pixels. "
            f"Received: {mask.width}x{mask.height}; export it again at the image's "
            "size, or empty its cell"
        )
    if needs_lesion and not mask.box_width:
        return (
            f"expected a lesion's pixels, above {LESION_GREY} (or 1 beside 0). "
            "Received: an empty mask; empty its cell if the lesion is not marked"
        )
    return ""


def _read_boxes(
    rows: pd.DataFrame, columns: Sequence[str]
) -> Iterator[np.ndarray | str | None]:
    """Each row's box in pixels; what is wrong with it; or None where there is none."""
    if not columns:
        yield from [None] * len(rows)
        return
    cells = rows[list(BOX)]
    missing = np.stack([table_files.missing_cells(cells[name]) for name in BOX], 1)
    numbers = np.stack([table_files.to_numbers(cells[name]) for name in BOX], 1)
    for texts, empty, box in zip(cells.to_numpy(str), missing, numbers, strict=True):
        yield None if empty.all() else _read_box(texts, empty, box)


def _read_box(
    texts: np.ndarray, empty: np.ndarray, box: np.ndarray
) -> np.ndarray | str:
    named = dict(zip(BOX, texts, strict=True))
    received = ", ".join(f"{name}={text}" for name, text in named.items())
    if empty.any():
        return f"expected all four numbers of a box, or none. Received: {received}"
    if not np.isfinite(box).all():
        return f"expected a box as four numbers of pixels. Received: {received}"
    if (box[2:] <= 0).any():
        return f"expected a box wider and higher than 0. Received: {received}"
    if (np.abs(box) <= 1).all():
        return (
            f"expected a box in pixels of the image as stored. Received: {received}, "
            "which look like shares of its sides; multiply them by its width and height"
        )
    return box


def _outside(box: np.ndarray, image: ImageCheck) -> str:
    x, y, width, height = box
    over = max(-x, -y, x + width - image.width, y + height - image.height)
    if over <= OVERHANG:
        return ""
    return (
        f"expected a box inside its image, {image.width}x{image.height} pixels. "
        f"Received: {_show(box)}; it begins at its upper left corner, in pixels of the "
        "image as stored"
    )


def _cut(box: np.ndarray, image: ImageCheck) -> np.ndarray:
    low = np.maximum(box[:2], 0)
    high = np.minimum(box[:2] + box[2:], (image.width, image.height))
    return np.concatenate([low, high - low])


def _meet(box: np.ndarray, other: np.ndarray) -> bool:
    low = np.maximum(box[:2], other[:2])
    high = np.minimum(box[:2] + box[2:], other[:2] + other[2:])
    return bool((high > low).all())


def _show(box: np.ndarray) -> str:
    x, y, width, height = box
    return f"x {x:g} to {x + width:g}, y {y:g} to {y + height:g}"
