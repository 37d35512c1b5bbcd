"""The compiled step of training: loss, gradients, update and moving average."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from usgland.training.averaging import WeightAverage


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
) -> Callable[[Any, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """One step, to be traced by a `tf.function`.

    Args:
        model: Maps inputs to logits; compiled with a built optimizer.
        loss: Sums over a batch.
        average: Takes in the weights after the update.
        batch_size: Images of the whole batch, by which the sum of losses is divided;
            more than the step is handed where the batch is spread over devices.

    Returns:
        Maps (inputs, labels `(batch, 1)`, weights `(batch,)`) to the loss before the
        update and logits `(batch, 1)`.
    """
    optimizer, variables = model.optimizer, model.trainable_variables

    @tf.autograph.experimental.do_not_convert
    def step(inputs, labels, weights):
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            total = loss(labels, logits, weights) / batch_size
            total = sum(model.losses, start=total)
            scaled = optimizer.scale_loss(total)
        optimizer.apply(tape.gradient(scaled, variables), variables)
        average.update()
        return total, logits

    return step


def make_steps(
    step: Callable[..., tuple[tf.Tensor, tf.Tensor]], *, xla: bool
) -> Callable[[Iterator, int], Outcome]:
    """Many steps in one call of one graph, which is traced at the first.

    Args:
        step: Maps what an iterator gives to a loss and logits; see `make_step`.
        xla: Whether each step is compiled by XLA.

    Returns:
        Maps (an iterator of batches, a number of steps) to their outcome.
    """
    compiled = tf.function(step, jit_compile=True) if xla else step

    @tf.function
    @tf.autograph.experimental.do_not_convert
    def run(iterator, count):
        def body(number, losses, logits, labels):
            inputs, batch_labels, weights = next(iterator)
            loss, batch_logits = compiled(inputs, batch_labels, weights)
            return (
                number + 1,
                losses.write(number, loss),
                logits.write(number, batch_logits),
                labels.write(number, batch_labels),
            )

        arrays = [tf.TensorArray(tf.float32, count) for _ in Outcome._fields]
        _, *arrays = tf.while_loop(
            lambda number, *_: number < count, body, (0, *arrays), parallel_iterations=1
        )
        return [array.stack() for array in arrays]

    def steps(iterator: Iterator, count: int) -> Outcome:
        return Outcome(*(part.numpy() for part in run(iterator, tf.constant(count))))

    return steps
