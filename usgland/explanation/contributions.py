"""What each value of the form adds to the logit of a case, the image held fixed."""

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from usgland.models.classifier import ENCODING, pixels_to_pooled, pooled_to_logit
from usgland.training.parts import Part

# Up to so many columns every coalition is asked: 16,384 of 14 columns.
EXACT_COLUMNS = 14
PERMUTATIONS = 400  # drawn where there are more columns, and each reversed


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
    """Shapley values of every column, for each case of a classifier with a form.

    A column that is absent from a coalition has its missing encoding; without any
    value the form counts as not given. `seed` is that of the permutations, where there
    are too many columns for all.

    Reference:
        Shapley, 1953; as a share of a prediction [Strumbelj and Kononenko,
        2010](https://www.jmlr.org/papers/v11/strumbelj10a.html).

    Raises:
        ValueError: If there is no form.
    """
    if part.form is None:
        raise ValueError("`part` must have a form. Received: an image alone")
    columns = list(dict.fromkeys(part.form.columns))
    graph = tf.function(contributions_graph(model, seed=seed), reduce_retracing=True)
    image = None if part.pixels is None else pixels_to_pooled(model)
    values = []
    for number, features in enumerate(part.form.features):
        pooled = None
        if part.pixels is not None and image is not None:
            pixels = part.pixels[number][None].astype("float32")
            pooled = tf.cast(image(pixels, training=False), tf.float32)
        values.append(graph(pooled, features[None], tf.ones((1, 1))).numpy()[0])
    count = len(columns)
    method = f"exact Shapley values, {2**count:,} coalitions of {count} columns"
    if count > EXACT_COLUMNS:
        method = (
            f"Shapley values of {2 * PERMUTATIONS} permutations of {count} columns, "
            f"seed {seed}"
        )
    return Contributions(columns, np.array(values), method)


def contributions_graph(
    model: keras.Model, *, seed: int = 0
) -> Callable[[tf.Tensor | None, tf.Tensor, tf.Tensor | None], tf.Tensor]:
    """Graph code that gives what each column adds; it needs no Keras once traced.

    Returns:
        Maps the mean of the feature map `(batch, channels)`, the features of the form
        `(batch, features)` and whether there is an image `(batch, 1)`, to float64
        `(batch, columns)`. A model of the form alone has None for the first and last.
    """
    encoding = model.get_layer(ENCODING)
    names = encoding.feature_columns()
    columns = list(dict.fromkeys(names))
    column_of = np.array([columns.index(name) for name in names])
    members, weights = coalition_weights(len(columns), seed=seed)
    # They are constants of an exported graph, which would otherwise be twice as large.
    weights = weights.astype("float32")
    missing = encoding.missing_features()
    of_column = np.eye(len(columns), dtype=bool)[column_of]
    head = pooled_to_logit(model)

    def one_case(case: tuple[tf.Tensor, ...]) -> tf.Tensor:
        features, *image = case
        values = tf.where(tf.gather(members, column_of, axis=1), features, missing)
        inputs = values
        if image:
            pooled, image_given = image
            differs = tf.not_equal(features, missing)[:, None]
            known = tf.reduce_any(of_column & differs, axis=0)
            form_given = tf.reduce_any(members & known, axis=1, keepdims=True)
            inputs = (
                tf.repeat(pooled[None], len(members), axis=0),
                values,
                tf.repeat(image_given[None], len(members), axis=0),
                tf.cast(form_given, tf.float32),
            )
        worth = tf.cast(head(inputs, training=False), tf.float64)
        return tf.linalg.matmul(tf.cast(weights, tf.float64), worth)[:, 0]

    def graph(
        pooled: tf.Tensor | None, features: tf.Tensor, image_given: tf.Tensor | None
    ) -> tf.Tensor:
        cases = (features,) if pooled is None else (features, pooled, image_given)
        return tf.map_fn(  # One case at a time: each asks for thousands of coalitions.
            one_case,
            cases,
            fn_output_signature=tf.TensorSpec([len(columns)], tf.float64),
            parallel_iterations=1,
        )

    return graph


def coalition_weights(players: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Which coalitions are asked, and how their worths add up to Shapley values.

    Up to `EXACT_COLUMNS` players every coalition is asked, else those of random
    orders, each of which is also taken from its end.

    Returns:
        Bool `(coalitions, players)` and float64 `(players, coalitions)`.
    """
    if players > EXACT_COLUMNS:
        return _sampled_weights(players, seed)
    numbers = np.arange(2**players)
    members = (numbers[:, None] >> np.arange(players)) & 1 == 1
    # The gain of joining `size` others counts by the share of orders that have it.
    orders = [players * math.comb(players - 1, size) for size in range(players)]
    share = 1 / np.array(orders)
    sizes = members.sum(axis=1)
    joined = share[np.maximum(sizes - 1, 0)]
    absent = share[np.minimum(sizes, players - 1)]
    return members, np.where(members.T, joined, -absent)


def _sampled_weights(players: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(players) for _ in range(PERMUTATIONS)]
    orders = np.concatenate([drawn, np.flip(drawn, axis=1)])
    # A player is absent before the step that has the number of its place.
    places = np.argsort(orders, axis=1)
    steps = np.arange(players + 1)[:, None]
    asked = (places[:, None] < steps).reshape(-1, players)
    members, number = np.unique(asked, axis=0, return_inverse=True)
    number = number.reshape(len(orders), players + 1)
    weights = np.zeros((players, len(members)))
    for order, row in zip(orders, number, strict=True):
        np.add.at(weights, (order, row[1:]), 1)
        np.add.at(weights, (order, row[:-1]), -1)
    return members, weights / len(orders)
