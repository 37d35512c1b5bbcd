"""What the model still knows when the lesion is taken away, or all but the frame."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy.special import expit

from usgland.config import EvaluationSettings
from usgland.evaluation.statistics.measured_cases import bootstrap_interval
from usgland.evaluation.statistics.scores import roc_auc
from usgland.explanation.letterbox import Letterbox, to_square
from usgland.explanation.perturbation import logits_of
from usgland.explanation.regions import band_pixels, grown
from usgland.explanation.subject import Subject
from usgland.models.preprocessing import Preprocessing

FRAME = 0.1  # of the image's sides: what is kept as the frame
# Burned-in text and callipers are bright strokes, or coloured pixels.
STROKE_GREY = 190  # at least
STROKE_RISE = 90  # grey levels above what a stroke's surroundings have
STROKE_PIXELS = 11  # a stroke is thinner
COLOUR_SPREAD = 60  # grey levels between the channels of a coloured pixel
NAMES = {
    "as_is": "Images as they are",
    "no_lesion": "Without the lesion",
    "no_box": "Without the box around it",
    "lesion_only": "The lesion alone",
    "frame_only": "The frame alone",
    "no_overlays": "Overlays painted over",
}


def without_region(pixels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Fills a region with the mean grey of what surrounds it.

    Args:
        pixels: Uint8 `(size, size, 1)`.
        region: Bool `(size, size)`.

    Returns:
        Uint8 `(size, size, 1)`. Where nothing surrounds it: mid-grey.
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


def frame_of(box: Letterbox) -> np.ndarray:
    """The outer tenth of an image in the square, bool `(size, size)`."""
    height, width = round(FRAME * box.rows), round(FRAME * box.columns)
    result = np.zeros((box.size, box.size), bool)
    result[box.inside()] = True
    result[
        box.top + height : box.top + box.rows - height,
        box.left + width : box.left + box.columns - width,
    ] = False
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

    Returns:
        Uint8 `(size, size, 1)`.
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

    Args:
        subject: Labelled cases of both labels.
        preprocessing: The model's own layer.
        settings: Of the intervals.

    Returns:
        One row a probe: probe, value (NaN where undefined), low, high, n and interval.
    """
    masks = [
        None if mask is None else to_square(mask, box)
        for mask, box in zip(subject.masks, subject.boxes, strict=True)
    ]
    has_mask = np.array([mask is not None and bool(mask.any()) for mask in masks])
    use = has_mask if has_mask.any() else np.ones(len(masks), bool)
    numbers = np.flatnonzero(use)
    pixels = np.asarray(subject.part.pixels)[numbers]
    probes: dict[str, np.ndarray] = {"as_is": pixels}
    if has_mask.any():
        probes |= _lesion_probes(pixels, [masks[i] for i in numbers])
    probes["frame_only"] = np.stack(
        [
            without_region(image, _hole(subject.boxes[i]))
            for image, i in zip(pixels, numbers, strict=True)
        ]
    )
    probes["no_overlays"] = np.stack(
        [
            without_overlays(
                subject.greys[i],
                _read_colours(subject.rows["image_path"].iloc[i]),
                preprocessing,
            )
            for i in numbers
        ]
    )
    return pd.DataFrame(
        [
            {"probe": name, **_auc(subject, numbers, probes[name], settings)}
            for name in NAMES
            if name in probes
        ]
    )


def _lesion_probes(pixels: np.ndarray, masks: list[Any]) -> dict[str, np.ndarray]:
    near = [grown(mask, band_pixels(len(mask))) for mask in masks]
    parts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "no_lesion": lambda region: region,
        "no_box": box_around,
        "lesion_only": np.logical_not,
    }
    return {
        name: np.stack(
            [
                without_region(image, part(region))
                for image, region in zip(pixels, near, strict=True)
            ]
        )
        for name, part in parts.items()
    }


def _read_colours(path: str) -> np.ndarray:
    # The manifest's check has read it: it is an image.
    return np.asarray(cv2.imread(path, cv2.IMREAD_COLOR))


def _hole(box: Letterbox) -> np.ndarray:
    """The image without its frame."""
    whole = np.zeros((box.size, box.size), bool)
    whole[box.inside()] = True
    return whole & ~frame_of(box)


def _auc(
    subject: Subject,
    numbers: np.ndarray,
    pixels: np.ndarray,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    # A form would tell the label whatever the image has lost.
    withheld = subject.part.inputs(None if subject.part.form is None else "form")
    inputs: Any = pixels
    if isinstance(withheld, tuple):
        inputs = (pixels, *(array[numbers] for array in withheld[1:]))
    probabilities = expit(logits_of(subject.explained.whole, inputs))
    rows = subject.rows.iloc[numbers]
    labels, patients = rows["label"].to_numpy(), rows["patient_id"].to_numpy(str)
    interval = bootstrap_interval(
        labels,
        probabilities,
        patient_ids=patients,
        level=settings.confidence_level,
        resamples=settings.bootstrap_resamples,
        seed=settings.seed,
    )
    return {
        "value": roc_auc(labels, probabilities),
        "low": interval.low,
        "high": interval.high,
        "n": len(numbers),
        "interval": interval.how(),
    }
