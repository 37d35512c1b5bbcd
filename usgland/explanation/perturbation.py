"""Whether the model needs what a map shows: curves of deletion and insertion."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from usgland.explanation.letterbox import Letterbox

STEPS = 20  # parts in which the pixels of an image go or come
BLUR = 1 / 16  # standard deviation of where insertion begins, of the square's side


def curve_scores(
    network: keras.Model,
    inputs: Any,
    maps: np.ndarray,
    boxes: Sequence[Letterbox],
    *,
    label: str,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the deletion and the insertion curve of each case.

    Deletion replaces the pixels of the image by its mean grey, the strongest of the map
    first; insertion begins with a blurred copy and brings the pixels back. The curve is
    the probability of the label against the share of pixels, 0 to 1. Pixels of equal
    strength go in a random order.

    Args:
        network: Gives the logit of P(malignant).
        inputs: As `Part.inputs` gives it: uint8 pixels, or a tuple that begins so.
        maps: `(cases, size, size)`.
        boxes: Where each image stands in the square; the padding stays.
        label: Whose probability is followed, `"malignant"` or `"benign"`.
        seed: Of the random order.

    Returns:
        Deletion (lower is better) and insertion (higher is better), `(cases,)` each,
        in [0, 1].

    Reference:
        [Petsiuk et al., 2018](https://arxiv.org/abs/1806.07421): one grey for what is
        deleted, a blur to insert into. They blur by 5 of 224 pixels, under which a
        lesion can still be read; here it is 14. The mean grey is the image's own.
    """
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    rng = np.random.default_rng(seed)
    deletion, insertion = [], []
    for number, (values, box) in enumerate(zip(maps, boxes, strict=True)):
        pixels = arrays[0][number].astype("float32")
        pictures = _sequences(pixels, values, box, rng)
        form = (array[number].astype("float32") for array in arrays[1:])
        repeated = (np.repeat(part[None], len(pictures), axis=0) for part in form)
        tensors = tuple(map(tf.constant, (pictures, *repeated)))
        logits = network.predict_on_batch(tensors if len(tensors) > 1 else tensors[0])
        logits = np.asarray(logits, "float64")[:, 0]
        probabilities = expit(logits if label == "malignant" else -logits)
        deletion.append(np.trapezoid(probabilities[: STEPS + 1], dx=1 / STEPS))
        insertion.append(np.trapezoid(probabilities[STEPS + 1 :], dx=1 / STEPS))
    return np.array(deletion), np.array(insertion)


def blurred(pixels: np.ndarray, box: Letterbox) -> np.ndarray:
    """The image inside the square `(size, size, 1)`, blurred, its padding as it is."""
    result, inside = pixels.copy(), pixels[box.inside()][..., 0]
    vague = gaussian_filter(inside, BLUR * box.size, mode="nearest")
    result[(*box.inside(), 0)] = vague
    return result


def _sequences(
    pixels: np.ndarray, values: np.ndarray, box: Letterbox, rng: np.random.Generator
) -> np.ndarray:
    """Pictures of both curves, `(2 * (STEPS + 1), size, size, 1)`."""
    flat = pixels.copy()
    flat[box.inside()] = pixels[box.inside()].mean()
    vague = blurred(pixels, box)
    inside = values[box.inside()].ravel()
    order = np.lexsort((rng.random(len(inside)), -inside))
    rank = np.empty(len(inside), int)
    rank[order] = np.arange(len(inside))
    step = np.full(values.shape, STEPS + 1)  # the padding never goes
    step[box.inside()] = (rank * STEPS // len(inside)).reshape(box.rows, box.columns)
    step = step[..., None]
    deletion = [np.where(step < i, flat, pixels) for i in range(STEPS + 1)]
    insertion = [np.where(step < i, pixels, vague) for i in range(STEPS + 1)]
    return np.stack(deletion + insertion).astype("float32")
