"""What the model still knows when the lesion is taken away, or all but the frame."""

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy.special import expit

from usgland.config import EvaluationSettings
from usgland.evaluation.statistics.measured_cases import bootstrap_interval
from usgland.evaluation.statistics.scores import roc_auc
from usgland.explanation.faithfulness import interval_row
from usgland.explanation.letterbox import Letterbox, to_square
from usgland.explanation.regions import band_pixels, grown
from usgland.explanation.subject import Subject
from usgland.models.preprocessing import Preprocessing
from usgland.training.predict import predict_inputs

FRAME = 0.1  # of the image's sides: what is kept as the frame
# Burned-in text and callipers are bright strokes, or coloured pixels.
STROKE_GREY = 190  # at least
STROKE_RISE = 90  # grey levels above what a stroke's surroundings have
STROKE_PIXELS = 11  # a stroke is thinner
# A silhouette has these greys in every image, so that its shape, size and place alone
# tell the label: most lesions are darker than what surrounds them.
SILHOUETTE, GROUND = 64, 128
COLOUR_SPREAD = 60  # grey levels between the channels of a coloured pixel
NAMES = {
    "as_is": "Images as they are",
    "no_lesion": "Without the lesion",
    "no_box": "Without the box around it",
    "lesion_only": "The lesion alone",
    "silhouette": "Its outline, filled with one grey",
    "ellipse_only": "The ellipse around it alone",
    "ellipse_grey": "That ellipse, filled with one grey",
    "frame_only": "The frame alone",
    "no_overlays": "Overlays painted over",
}


def without_region(pixels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Fills a region with the mean grey of what surrounds it, or else with mid-grey.

    The pixels are uint8 `(size, size, 1)`; the region is bool `(size, size)`.
    """
    ring = grown(region, band_pixels(len(region))) & ~region
    # The padding is black and tells nothing of the tissue.
    around = pixels[ring & (pixels[..., 0] > 0)]
    filled = pixels.copy()
    filled[region] = round(float(around.mean())) if around.size else 128
    return filled


def box_around(region: np.ndarray) -> np.ndarray:
    """The smallest upright rectangle that holds a region, bool of its shape."""
    result = np.zeros_like(region)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if len(rows):
        result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return result


def ellipse_around(region: np.ndarray) -> np.ndarray:
    """The upright ellipse in the box around a region, bool of its shape."""
    result = np.zeros_like(region)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if len(rows):
        (y, height), (x, width) = (
            ((places[0] + places[-1]) / 2, (places[-1] - places[0] + 1) / 2)
            for places in (rows, columns)
        )
        down, across = np.ogrid[: region.shape[0], : region.shape[1]]
        result |= ((down - y) / height) ** 2 + ((across - x) / width) ** 2 <= 1
    return result


def silhouette(region: np.ndarray) -> np.ndarray:
    """A region in one grey on another, uint8 `(size, size, 1)`."""
    return np.where(region, SILHOUETTE, GROUND).astype("uint8")[..., None]


def middle_of(box: Letterbox) -> np.ndarray:
    """The image in the square without its frame, bool `(size, size)`."""
    height, width = round(FRAME * box.rows), round(FRAME * box.columns)
    result = np.zeros((box.size, box.size), bool)
    inside = result[box.inside()]
    inside[height : box.rows - height, width : box.columns - width] = True
    return result


def find_overlays(image: np.ndarray) -> np.ndarray:
    """Text, callipers and coloured marks that a machine burned in.

    Bright thin strokes, or pixels with colour. Thin bright fascia is among them.

    Args:
        image: Uint8 `(height, width, 3)`, BGR.

    Returns:
        Bool `(height, width)`, grown by a pixel.
    """
    grey = image.max(axis=2)
    kernel = np.ones((STROKE_PIXELS, STROKE_PIXELS), np.uint8)
    thin = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel) >= STROKE_RISE
    spread = grey.astype(int) - image.min(axis=2)
    marked = (thin & (grey >= STROKE_GREY)) | (spread >= COLOUR_SPREAD)
    return cv2.dilate(marked.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def without_overlays(
    grey: np.ndarray, image: np.ndarray, preprocessing: Preprocessing
) -> np.ndarray:
    """What the network sees of an image whose overlays are painted over.

    Args:
        grey: Uint8 `(height, width)`, as the model decodes it.
        image: The same image, BGR.
        preprocessing: The model's own layer.
    """
    marks = find_overlays(image).astype(np.uint8)
    painted = cv2.inpaint(grey, marks, 3, cv2.INPAINT_TELEA)
    return np.asarray(preprocessing.normalize(painted[..., None].astype("float32")))


def probe_shortcuts(
    subject: Subject, preprocessing: Preprocessing, settings: EvaluationSettings
) -> pd.DataFrame:
    """The AUC with parts of the images taken away.

    Probes of the lesion use the images that have a mask, and so does `as_is` if there
    are any. Of a model of image and form, the form is withheld throughout.

    Returns:
        One row a probe: probe, value (NaN where undefined), low, high, n and interval.
    """
    lesions = {
        number: to_square(mask, subject.boxes[number])
        for number, mask in enumerate(subject.masks)
        if mask is not None
    }
    lesions = {number: mask for number, mask in lesions.items() if mask.any()}
    numbers = list(lesions or range(len(subject.masks)))
    pixels = np.asarray(subject.part.pixels)[numbers]
    probes = {"as_is": pixels}
    if lesions:
        near = [grown(mask, band_pixels(len(mask))) for mask in lesions.values()]
        probes["no_lesion"] = _without_regions(pixels, near)
        probes["no_box"] = _without_regions(pixels, map(box_around, near))
        ellipses = list(map(ellipse_around, near))
        for name, grey, regions in (
            ("lesion_only", "silhouette", near),
            ("ellipse_only", "ellipse_grey", ellipses),
        ):
            probes[name] = _without_regions(pixels, map(np.logical_not, regions))
            probes[grey] = np.stack(list(map(silhouette, regions)))
    middles = (middle_of(subject.boxes[number]) for number in numbers)
    probes["frame_only"] = _without_regions(pixels, middles)
    # The manifest's check has read the files: they are images.
    colours = (
        np.asarray(cv2.imread(path, cv2.IMREAD_COLOR))
        for path in subject.rows["image_path"].iloc[numbers]
    )
    probes["no_overlays"] = np.stack(
        [
            without_overlays(subject.greys[number], image, preprocessing)
            for number, image in zip(numbers, colours, strict=True)
        ]
    )
    return pd.DataFrame(
        [
            {"probe": name, **_auc(subject, numbers, images, settings)}
            for name, images in probes.items()
        ]
    )


def _without_regions(pixels: np.ndarray, regions: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack(list(map(without_region, pixels, regions)))


def _auc(
    subject: Subject,
    numbers: list[int],
    pixels: np.ndarray,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    # A form would tell the label whatever the image has lost.
    inputs = subject.part.inputs("form")
    if isinstance(inputs, tuple):
        inputs = (pixels, *(array[numbers] for array in inputs[1:]))
    else:
        inputs = pixels
    logits = predict_inputs(subject.explained.whole, inputs)
    probabilities = expit(logits.astype("float64"))
    rows = subject.rows.iloc[numbers]
    labels = rows["label"].to_numpy()
    interval = bootstrap_interval(
        labels,
        probabilities,
        patient_ids=rows["patient_id"].to_numpy(str),
        level=settings.confidence_level,
        resamples=settings.bootstrap_resamples,
        seed=settings.seed,
    )
    return interval_row(roc_auc(labels, probabilities), len(numbers), interval)
