"""PNG and JPEG files, in and out, within bounds and without what is not seen."""

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from usgland.ingest.dicom_frames import MOST_PIXELS
from usgland.ingest.unreadable import BROKEN, UnreadableFileError, reason_of

OPAQUE = 128  # of 255, from which a pixel is seen
COMPRESSION = 4  # of PNG, from 0 to 9; beyond it files shrink by a few percent


def read_picture(path: Path | BinaryIO) -> np.ndarray:
    """Reads a PNG or JPEG as it is seen: turned as its EXIF says, on black.

    Returns:
        uint8 `(rows, columns)` of grey pictures and `(rows, columns, 3)` of others.

    Raises:
        UnreadableFileError: If it is broken, cut off or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                columns, rows = image.size
                if columns * rows > MOST_PIXELS:
                    raise UnreadableFileError(f"too large: {columns} x {rows} pixels")
                image.load()
                return _as_seen(image)
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise UnreadableFileError(f"a broken picture: {reason_of(error)}") from error


def _as_seen(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits; Pillow would cut them off at 255
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    if image.has_transparency_data:
        # What is transparent is not seen, and could hold anything; so could shades of
        # transparency, which is why all that is no less than half opaque is wholly so.
        rgba = np.asarray(image.convert("RGBA"))
        return np.where(rgba[..., 3:] >= OPAQUE, rgba[..., :3], np.uint8(0))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))


def png_bytes(picture: np.ndarray) -> bytes:
    """A picture as PNG of its pixels alone: no text, no time, no profile.

    Colours that are all grey are written as one channel.
    """
    if picture.ndim == 3 and (picture == picture[:, :, :1]).all():
        picture = picture[:, :, 0]
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.save(buffer, "PNG", compress_level=COMPRESSION)
    return buffer.getvalue()
