"""What each value of the form adds to the logit of a case, the image held fixed."""

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from usgland.models.classifier import pixels_to_pooled, pooled_to_logit
from usgland.training.parts import Form, Part

# Columns up to which every coalition is asked: 16,384 of 14 columns.
EXACT_COLUMNS = 14
PERMUTATIONS = 400  # drawn where there are more columns, and each reversed
CHUNK = 4096  # coalitions a call


class Contributions(NamedTuple):
    """Shapley values of the form's columns.

    Attributes:
        columns: Their names, `(columns,)`.
        values: What each adds to the network's logit, `(cases, columns)`; a row adds
            up to the logit with the form minus the logit without it.
        method: How they were made.
    """

    columns: list[str]
    values: np.ndarray
    method: str


def make_contributions(
    model: keras.Model, part: Part, *, seed: int = 0
) -> Contributions:
    """Shapley values of every column, for each case of a classifier of both.

    A column that is absent from a coalition has its missing encoding; without any
    value the form counts as not given.

    Args:
        model: A classifier of image and form.
        part: Its cases.
        seed: Of the permutations, where there are too many columns for all.

    Reference:
        Shapley, 1953; as a share of a prediction [Strumbelj and Kononenko,
        2010](https://www.jmlr.org/papers/v11/strumbelj10a.html).

    Raises:
        ValueError: If there is no form, or no image.
    """
    if part.form is None or part.pixels is None:
        raise ValueError("`part` must have pixels and a form. Received: one side alone")
    columns = list(dict.fromkeys(part.form.columns))
    head = tf.function(pooled_to_logit(model), reduce_retracing=True)
    images = pixels_to_pooled(model)
    found = []
    for number in range(len(part.labels)):
        pixels = part.pixels[number : number + 1].astype("float32")
        pooled = np.asarray(images(pixels, training=False), "float32")
        value = _coalitions(head, pooled, part.form, number, columns)
        found.append(shapley_values(value, len(columns), seed=seed))
    exact = len(columns) <= EXACT_COLUMNS
    method = (
        f"exact Shapley values, {2 ** len(columns):,} coalitions of {len(columns)} "
        "columns"
        if exact
        else f"Shapley values of {2 * PERMUTATIONS} permutations of {len(columns)} "
        f"columns, seed {seed}"
    )
    return Contributions(columns, np.array(found), method)


def shapley_values(
    value: Callable[[np.ndarray], np.ndarray], players: int, *, seed: int = 0
) -> np.ndarray:
    """Shapley values of a game, exact up to `EXACT_COLUMNS` players.

    Args:
        value: Maps coalitions, bool `(coalitions, players)`, to what each is worth,
            `(coalitions,)`.
        players: How many.
        seed: Of the permutations where there are more players.

    Returns:
        Float64 `(players,)`.
    """
    if players > EXACT_COLUMNS:
        return _sampled(value, players, seed)
    numbers = np.arange(2**players)
    members = (numbers[:, None] >> np.arange(players)) & 1 == 1
    worth = np.asarray(value(members), "float64")
    weights = np.array(
        [
            math.factorial(size)
            * math.factorial(players - size - 1)
            / math.factorial(players)
            for size in range(players)
        ]
    )
    sizes = members.sum(axis=1)
    found = np.empty(players)
    for player in range(players):
        without = numbers[~members[:, player]]
        gain = worth[without | (1 << player)] - worth[without]
        found[player] = (weights[sizes[without]] * gain).sum()
    return found


def _sampled(
    value: Callable[[np.ndarray], np.ndarray], players: int, seed: int
) -> np.ndarray:
    """Means over random orders; each order is also taken from its end."""
    rng = np.random.default_rng(seed)
    found = np.zeros(players)
    for _ in range(PERMUTATIONS):
        drawn = rng.permutation(players)
        for order in (drawn, drawn[::-1]):
            members = np.zeros((players + 1, players), bool)
            for step, player in enumerate(order):
                members[step + 1 :, player] = True
            found[order] += np.diff(np.asarray(value(members), "float64"))
    return found / (2 * PERMUTATIONS)


def _coalitions(
    head: Callable, pooled: np.ndarray, form: Form, number: int, columns: list[str]
) -> Callable[[np.ndarray], np.ndarray]:
    """What the model says of one case with a part of its form."""
    column_of = np.array([columns.index(name) for name in form.columns])
    features, missing = form.features[number], form.missing
    differs = features != missing
    known = np.array([differs[column_of == i].any() for i in range(len(columns))])

    def value(members: np.ndarray) -> np.ndarray:
        said = []
        for start in range(0, len(members), CHUNK):
            chunk = members[start : start + CHUNK]
            values = np.where(chunk[:, column_of], features, missing)
            given = (chunk & known).any(axis=1, keepdims=True).astype("float32")
            cases = len(chunk)
            logits = head(
                (
                    tf.constant(np.repeat(pooled, cases, axis=0)),
                    tf.constant(values.astype("float32")),
                    tf.ones((cases, 1)),
                    tf.constant(given),
                )
            )
            said.append(np.asarray(logits)[:, 0])
        return np.concatenate(said)

    return value
