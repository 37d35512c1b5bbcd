"""From pictures to batches: shuffle, take, augment, prefetch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from usgland.machine import usable_cores

# Fixed, as nothing tunes them: images or batches that are made at one time, and
# batches that wait for the step.
WORKERS = usable_cores()
WAITING = 2


def without_tuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same elements, without the thread that tunes a dataset while it runs.

    That thread sleeps 10 ms, then twice as long each time, and the end of an iterator
    may wait for it: epochs of 3 s took 5.1 s. Every dataset of the package is one.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_batches(
    pictures: Callable[[tf.Tensor], tf.Tensor] | None,
    labels: np.ndarray,
    weights: np.ndarray,
    augment: Callable | None,
    *,
    form: Callable | None = None,
    lesions: np.ndarray | None = None,
    batch_size: int,
    seed: int,
    epoch: int,
) -> tf.data.Dataset:
    """Builds the shuffled, augmented batches of one epoch of training.

    Order and augmentation depend on `seed` and `epoch` alone, so that a resumed run
    sees what an uninterrupted one does. A last batch that is not full is left out
    (other images every epoch).

    Args:
        pictures: Maps indices `(batch,)` to uint8 pixels `(batch, size, size, 1)`: the
            `gather` of `Pictures`, wherever these are kept. None where there is a form
            alone.
        labels: 0 benign, 1 malignant, `(images,)` or `(images, 1)`; a second column is
            whatever else the loss compares a logit with.
        weights: Weight of each image in the loss, `(images,)`.
        augment: Maps (uint8 pixels `(batch, size, size, 1)`, labels `(batch, 1)`,
            a seed of two integers and, if there are any, lesions) to changed float32
            pixels, labels and perhaps maps of the lesions; None where that is done
            later.
        form: Maps (indices `(batch,)`, a seed) to what the form gives; None where
            there are images alone.
        lesions: The ellipse of each lesion, `(images, 4)`; None where none is used.
        batch_size: Images a step.
        seed: Seed of the run.
        epoch: Counts from 0.

    Returns:
        Batches (pixels, labels, weights): float32 `(batch, size, size, 1)` in
        [0, 255], `(batch, 1)` or 2, and `(batch,)`. With a form, the first is what
        `form` gives, behind the pixels if there are any. Then come the maps that
        `augment` makes, if any. Without `augment` the pixels are uint8, a fourth part
        is the seed of the batch, int32 `(2,)`, and a fifth the lesions, if there are
        any.
    """
    batch_size = min(batch_size, len(labels))
    steps = len(labels) // batch_size
    order = np.random.default_rng([seed, epoch]).permutation(len(labels))
    order = order[: steps * batch_size].reshape(steps, batch_size)
    seeds = np.random.default_rng([seed, epoch, 1]).integers(2**31, size=(steps, 2))
    labels = labels.astype("float32").reshape(len(labels), -1)[order]
    weights = weights.astype("float32")[order]

    parts: tuple = (order.astype("int32"), labels, weights, seeds.astype("int32"))
    if lesions is not None and pictures is not None:
        parts = (*parts, lesions.astype("float32")[order])

    def prepare(indices, labels, weights, seed, *lesions):
        inputs = () if form is None else tuple(form(indices, seed))
        rest = ()
        if pictures is not None:
            images = pictures(indices)
            if augment is not None:
                images, labels, *rest = augment(images, labels, seed, *lesions)
            inputs = (images, *inputs)
        if augment is None:
            rest = (seed, *lesions)
        return inputs if len(inputs) > 1 else inputs[0], labels, weights, *rest

    dataset = tf.data.Dataset.from_tensor_slices(parts).map(
        prepare, num_parallel_calls=WORKERS, deterministic=True
    )
    return without_tuning(dataset.prefetch(WAITING))
