"""Weights as arrays, and their moving average."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf


def arrays_of(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Copies of the values."""
    # TensorFlow may give the memory that the next step writes to.
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign_arrays(
    variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]
) -> None:
    """Gives each variable its array."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


class WeightAverage:
    """An exponential moving average of the weights, to be updated after every step.

    Early on it follows faster, as the mean of all steps so far would.

    Args:
        model: Whose weights.
        momentum: Share of the old average that a step keeps, or None: no average.
    """

    def __init__(self, model: keras.Model, momentum: float | None):
        self._momentum = momentum
        # Weights and the statistics of normalization layers, not seeds.
        floats = [weight for weight in model.variables if weight.dtype.startswith("f")]
        self._current = [] if momentum is None else floats
        self._averages = [tf.Variable(v.value) for v in self._current]
        self._steps = tf.Variable(0.0)

    def update(self) -> None:
        """Takes in the weights as they are; a part of the graph of a step."""
        if not self._current:
            return
        step = self._steps.assign_add(1.0)
        keep = tf.minimum(self._momentum, step / (10.0 + step))
        for average, current in zip(self._averages, self._current, strict=True):
            average.assign(keep * average + (1 - keep) * current.value)

    def arrays(self) -> list[np.ndarray]:
        """The state, for a checkpoint."""
        return [self._steps.numpy(), *(v.numpy() for v in self._averages)]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Takes up the state of a checkpoint."""
        assign_arrays([self._steps, *self._averages], arrays)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """A block in which the model has the averaged weights."""
        before = arrays_of(self._current)
        assign_arrays(self._current, [v.numpy() for v in self._averages])
        try:
            yield
        finally:
            assign_arrays(self._current, before)
