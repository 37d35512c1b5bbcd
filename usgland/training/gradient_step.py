"""The compiled step of training: augmentation, gradients, update, moving average."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from usgland.models.lesion_head import map_losses
from usgland.training.averaging import WeightAverage

MAP_SHARE = 0.5  # of the loss of the lesions' maps, beside that of the labels
SHARE_DRAW = 1000  # between the seeds of two devices; others count up by ones


class Outcome(NamedTuple):
    """What some batches came to.

    Attributes:
        losses: The mean loss of each batch, `(batches,)`; or, `(batches, 2)`, that of
            the labels and that of the lesions' maps.
        logits: Of all cases, `(batches, size, 1)` or `(cases, 1)`.
        labels: Likewise.
    """

    losses: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


def make_step(
    model: keras.Model,
    loss: keras.losses.Loss,
    average: WeightAverage,
    *,
    batch_size: int,
    partly_labelled: bool = False,
    augment: Callable | None = None,
    xla: bool = False,
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """One step, to be traced by a `tf.function`.

    In the scope of a `tf.distribute.MirroredStrategy` its devices share each batch:
    the gradients of all are added up before they are clipped and applied. Each draws
    augmentation of its own, and its normalization layers see its share alone.

    Args:
        model: Maps inputs to logits, or to these and to maps of the lesion, see
            `view_network`; compiled with an optimizer of `make_optimizer`.
        loss: Sums over a batch.
        average: Takes in the weights after the update.
        batch_size: Images of the whole batch, by which the sum of losses is divided.
        partly_labelled: Whether a batch may have images without a label, of weight 0;
            the sum is then divided by how many have one.
        augment: As `make_augment` gives it; None where the pixels are changed already.
        xla: Whether the step, all but its augmentation, is compiled by XLA, which has
            no form of some of the transforms. Not where devices share a batch.

    Returns:
        Maps (inputs, labels `(batch, 1)`, weights `(batch,)`) and what `make_batches`
        has follow them, to the loss before the update and logits `(batch, 1)`.
    """
    optimizer, variables = model.optimizer, model.trainable_variables
    strategy = tf.distribute.get_strategy()
    shares = strategy.num_replicas_in_sync

    def change(inputs, labels, *rest):
        if augment is None:
            return inputs, labels, *rest
        if not isinstance(inputs, tuple):
            return augment(inputs, labels, *rest)
        pixels, *changed = augment(inputs[0], labels, *rest)
        return (pixels, *inputs[1:]), *changed

    def in_mean(weights):
        if not partly_labelled:
            return weights
        labelled = tf.reduce_sum(tf.cast(weights > 0, weights.dtype))
        return weights * (batch_size / tf.maximum(labelled, 1))

    def differentiate(inputs, labels, maps, weights, marked):
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            logits, *drawn = outputs if isinstance(outputs, list) else [outputs]
            total = loss(labels, logits, weights) / batch_size
            others = model.losses
            total = sum(others if shares == 1 else [x / shares for x in others], total)
            told, whole = total, total
            if drawn:
                of_maps = tf.reduce_sum(map_losses(maps, drawn[0])) / marked
                told, whole = tf.stack([total, of_maps]), total + MAP_SHARE * of_maps
            scaled = optimizer.scale_loss(whole)
        return told, logits, tape.gradient(scaled, variables)

    def learn(inputs, labels, maps, weights, marked):
        told, logits, gradients = differentiate(inputs, labels, maps, weights, marked)
        optimizer.apply(gradients, variables)
        average.update()
        return told, logits

    whole: Callable = learn
    if xla:
        whole = tf.function(learn, jit_compile=True, autograph=False)

    @tf.autograph.experimental.do_not_convert
    def step(inputs, labels, weights, *rest):
        inputs, labels, *maps = change(inputs, labels, *rest)
        maps = maps[0] if maps else None
        return whole(inputs, labels, maps, in_mean(weights), _marked(maps))

    @tf.autograph.experimental.do_not_convert
    def shared_step(*batch):
        def of_share(inputs, labels, weights, *rest):
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            # Behind the seed stand lesions; where it was used already, maps.
            seeds, marks = (rest[:1], rest[1:]) if augment else ((), rest)
            marked = _marked(marks[0] if marks else None)
            weights = in_mean(weights)
            with tf.device("CPU"):
                inputs, labels, weights, marks = keras.tree.map_structure(
                    lambda part: _share(part, number, shares),
                    (inputs, labels, weights, marks),
                )
                drawn = [seed + tf.stack([SHARE_DRAW * number, 0]) for seed in seeds]
            inputs, labels, *maps = change(inputs, labels, *drawn, *marks)
            told, logits, gradients = differentiate(
                inputs, labels, maps[0] if maps else None, weights, marked
            )
            # Keras adds the gradients of all devices up, but after it has clipped
            # those of each: it is handed equal parts of their sum.
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            optimizer.apply(gradients, variables)
            return told, logits

        told, logits = strategy.run(of_share, args=batch)
        with tf.device(strategy.extended.worker_devices[0]):
            average.update()
            parts = strategy.experimental_local_results(logits)
            told = strategy.reduce(tf.distribute.ReduceOp.SUM, told, axis=None)
            return told, tf.concat(parts, axis=0)

    return step if shares == 1 else shared_step


def _marked(marks: tf.Tensor | None) -> tf.Tensor:
    """How many images of a batch say where their lesion is, or 1 if none does."""
    if marks is None:
        return tf.constant(1.0)
    known = ~tf.math.is_nan(tf.reshape(marks, (tf.shape(marks)[0], -1))[:, 0])
    return tf.maximum(tf.reduce_sum(tf.cast(known, tf.float32)), 1.0)


def _share(part: tf.Tensor, number: tf.Tensor, shares: int) -> tf.Tensor:
    """The images of one device, of a part of a batch."""
    return tf.reshape(part, (shares, -1, *part.shape[1:]))[number]


def make_steps(
    step: Callable[..., tuple[tf.Tensor, tf.Tensor]],
) -> Callable[[Iterator, int], Outcome]:
    """Many steps in one call of one graph, which is traced at the first.

    Args:
        step: Maps what an iterator gives to a loss and logits; see `make_step`.

    Returns:
        Maps (an iterator of batches, a number of steps) to their outcome.
    """

    @tf.function
    @tf.autograph.experimental.do_not_convert
    def run(iterator, count):
        def body(number, losses, logits, labels):
            batch = next(iterator)
            loss, batch_logits = step(*batch)
            return (
                number + 1,
                losses.write(number, loss),
                logits.write(number, batch_logits),
                labels.write(number, batch[1]),
            )

        arrays = [tf.TensorArray(tf.float32, count) for _ in Outcome._fields]
        _, *arrays = tf.while_loop(
            lambda number, *_: number < count, body, (0, *arrays), parallel_iterations=1
        )
        return [array.stack() for array in arrays]

    def steps(iterator: Iterator, count: int) -> Outcome:
        return Outcome(*(part.numpy() for part in run(iterator, tf.constant(count))))

    return steps
