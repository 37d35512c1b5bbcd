"""Whether the model needs what a map shows: curves of deletion and insertion."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from usgland.explanation.letterbox import Letterbox
from usgland.training.predict import predict_inputs

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
        network: Takes `inputs`, gives the logit of P(malignant).
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
        form = (_repeat(array[number], len(pictures)) for array in arrays[1:])
        logits = predict_batch(network, (pictures, *form))
        probabilities = expit(logits if label == "malignant" else -logits)
        deletion.append(np.trapezoid(probabilities[: STEPS + 1], dx=1 / STEPS))
        insertion.append(np.trapezoid(probabilities[STEPS + 1 :], dx=1 / STEPS))
    return np.array(deletion), np.array(insertion)


def predict_batch(network: keras.Model, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    """The logits `(cases,)` of a batch of float32 inputs, float64."""
    tensors = tuple(map(tf.constant, arrays))
    logits = network.predict_on_batch(tensors if len(tensors) > 1 else tensors[0])
    return np.asarray(logits, "float64")[:, 0]


def logits_of(network: keras.Model, inputs: Any) -> np.ndarray:
    """The logits `(cases,)` of any number of cases, float64."""
    return predict_inputs(network, inputs).astype("float64")


def blurred(pixels: np.ndarray, box: Letterbox) -> np.ndarray:
    """The image inside the square, blurred, its padding left as it is.

    Args:
        pixels: Float32 `(size, size, 1)`.
        box: Where the image stands.
    """
    result = pixels.copy()
    inside = pixels[box.inside()][..., 0]
    result[(*box.inside(), 0)] = gaussian_filter(
        inside, BLUR * box.size, mode="nearest"
    )
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


def _repeat(values: np.ndarray, times: int) -> np.ndarray:
    return np.repeat(values[None].astype("float32"), times, axis=0)
