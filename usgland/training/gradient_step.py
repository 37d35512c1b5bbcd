"""The compiled step of training: augmentation, gradients, update, moving average."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from usgland.training.averaging import WeightAverage

SHARE_DRAW = 1000  # between the seeds of two devices; others count up by ones


class Outcome(NamedTuple):
    """What some batches came to.

    Attributes:
        losses: The mean loss of each batch, `(batches,)`.
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
    augment: Callable | None = None,
    xla: bool = False,
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """One step, to be traced by a `tf.function`.

    In the scope of a `tf.distribute.MirroredStrategy` its devices share each batch:
    the gradients of all are added up before they are clipped and applied. Each draws
    augmentation of its own, and its normalization layers see its share alone.

    Args:
        model: Maps inputs to logits; compiled with an optimizer of `make_optimizer`.
        loss: Sums over a batch.
        average: Takes in the weights after the update.
        batch_size: Images of the whole batch, by which the sum of losses is divided.
        augment: As `make_augment` gives it; None where the pixels are changed already.
        xla: Whether the step, all but its augmentation, is compiled by XLA, which has
            no form of some of the transforms. Not where devices share a batch.

    Returns:
        Maps (inputs, labels `(batch, 1)`, weights `(batch,)`), and the seed of the
        batch if there is `augment`, to the loss before the update and logits
        `(batch, 1)`.
    """
    optimizer, variables = model.optimizer, model.trainable_variables
    strategy = tf.distribute.get_strategy()
    shares = strategy.num_replicas_in_sync

    def change(inputs, labels, *seed_and_lesions):
        if augment is None:
            return inputs, labels
        if not isinstance(inputs, tuple):
            return augment(inputs, labels, *seed_and_lesions)
        pixels, labels = augment(inputs[0], labels, *seed_and_lesions)
        return (pixels, *inputs[1:]), labels

    def differentiate(inputs, labels, weights):
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            total = loss(labels, logits, weights) / batch_size
            others = model.losses
            total = sum(others if shares == 1 else [x / shares for x in others], total)
            scaled = optimizer.scale_loss(total)
        return total, logits, tape.gradient(scaled, variables)

    def learn(inputs, labels, weights):
        total, logits, gradients = differentiate(inputs, labels, weights)
        optimizer.apply(gradients, variables)
        average.update()
        return total, logits

    whole: Callable = learn
    if xla:
        whole = tf.function(learn, jit_compile=True, autograph=False)

    @tf.autograph.experimental.do_not_convert
    def step(inputs, labels, weights, *seed_and_lesions):
        return whole(*change(inputs, labels, *seed_and_lesions), weights)

    @tf.autograph.experimental.do_not_convert
    def shared_step(*batch):
        def of_share(inputs, labels, weights, *others):
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            with tf.device("CPU"):
                inputs, labels, weights, lesions = keras.tree.map_structure(
                    lambda part: _share(part, number, shares),
                    (inputs, labels, weights, others[1:]),
                )
                drawn = [
                    seed + tf.stack([SHARE_DRAW * number, 0]) for seed in others[:1]
                ]
            inputs, labels = change(inputs, labels, *drawn, *lesions)
            total, logits, gradients = differentiate(inputs, labels, weights)
            # Keras adds the gradients of all devices up, but after it has clipped
            # those of each: it is handed equal parts of their sum.
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            optimizer.apply(gradients, variables)
            return total, logits

        total, logits = strategy.run(of_share, args=batch)
        with tf.device(strategy.extended.worker_devices[0]):
            average.update()
            parts = strategy.experimental_local_results(logits)
            total = strategy.reduce(tf.distribute.ReduceOp.SUM, total, axis=None)
            return total, tf.concat(parts, axis=0)

    return step if shares == 1 else shared_step


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
