"""The clinical form in a graph that has no operations on text but comparison.

LiteRT and ONNX can compare words and no more. So words are taken as they are listed,
and whatever is not listed, or out of range, is refused: there the logit is NaN.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from usgland.models.clinical import FARTHEST

# Codes that stand for a text in an ONNX graph: its place in `accepted_texts`, or these.
MISSING, UNKNOWN = -1, -2


class Encoded(NamedTuple):
    """A form, or a column of it, as the network takes it."""

    features: tf.Tensor  # float32 (batch, features)
    is_given: tf.Tensor  # 1 where any value is given, else 0, float32 (batch, 1)
    refused: tf.Tensor  # where a value cannot be used, bool (batch,)


def accepted_texts(column: Mapping[str, Any]) -> dict[str, str]:
    """The texts that a column takes -> the word that each means.

    As the schema spells them, and in small letters.
    """
    spellings = column["spellings"]
    return {
        **{text.lower(): word for text, word in spellings.items()},
        **spellings,
        **{word: word for word in column["words"]},
    }


def form_specs(
    columns: Sequence[Mapping[str, Any]], *, batch: int | None, coded: bool
) -> list[tf.TensorSpec]:
    """The inputs of a form, `(batch,)` each: float32, and strings or their codes."""
    text = tf.int64 if coded else tf.string
    return [
        tf.TensorSpec(
            [batch],
            tf.float32 if column["kind"] == "number" else text,
            name=column["name"],
        )
        for column in columns
    ]


def encode_form(layer: keras.layers.Layer, values: Sequence[tf.Tensor]) -> Encoded:
    """Does what `ClinicalEncoding` does, with what LiteRT and ONNX have.

    Args:
        layer: The model's own, from which all constants are taken.
        values: One tensor a column, `(batch,)`: float32, strings or int64 codes.
    """
    columns = [
        _encode_number(column, value)
        if column["kind"] == "number"
        else _encode_word(layer, column, value)
        for column, value in zip(layer.columns, values, strict=True)
    ]
    features, is_given, refused = zip(*columns, strict=True)
    return Encoded(
        tf.concat(features, axis=1),
        tf.reduce_max(tf.concat(is_given, axis=1), axis=1, keepdims=True),
        tf.reduce_any(tf.stack(refused, axis=1), axis=1),
    )


def _encode_number(column: Mapping[str, Any], value: tf.Tensor) -> Encoded:
    # LiteRT has no test for NaN but this. tf2onnx, too, looks for it: else its choice
    # between two values is a sum of both, times 0 and 1, and NaN times 0 is NaN.
    unknown = tf.not_equal(value, value)
    inside = (value >= column["low"]) & (value <= column["high"])
    distance = (value - column["mean"]) / column["deviation"]
    distance = tf.clip_by_value(distance, -FARTHEST, FARTHEST)
    is_missing = tf.cast(unknown, tf.float32)
    features = [tf.where(unknown, 0.0, distance)]
    if column["indicator"]:
        features.append(is_missing)
    is_given = 1.0 - is_missing[:, None]
    return Encoded(tf.stack(features, axis=1), is_given, ~(unknown | inside))


def _encode_word(
    layer: keras.layers.Layer, column: Mapping[str, Any], value: tf.Tensor
) -> Encoded:
    texts = list(accepted_texts(column))
    if value.dtype == tf.string:
        is_text, is_empty = tf.equal(value[:, None], [texts]), tf.equal(value, "")
    else:
        codes = np.arange(len(texts))[None, :]
        is_text, is_empty = tf.equal(value[:, None], codes), tf.equal(value, MISSING)
    one_hot = tf.cast(is_text, tf.float32)
    is_listed = tf.reduce_sum(one_hot, axis=1)
    features, is_given = _table(layer, column["name"], [*texts, ""])
    missing = (1.0 - is_listed)[:, None]
    return Encoded(
        tf.matmul(one_hot, features[:-1]) + missing * features[-1:],
        tf.matmul(one_hot, is_given[:-1]),
        is_listed + tf.cast(is_empty, tf.float32) < 0.5,
    )


def _table(
    layer: keras.layers.Layer, name: str, texts: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the layer itself makes of each text, all other columns missing.

    Returns:
        Features `(texts, features of the column)`, and whether the text counts as
        given, `(texts, 1)`.
    """
    with tf.init_scope():  # It computes values while a graph is built.
        values = []
        for column in layer.columns:
            missing = math.nan if column["kind"] == "number" else ""
            is_asked = column["name"] == name
            column_values = list(texts) if is_asked else [missing] * len(texts)
            values.append(tf.constant(column_values))
        features, is_given = layer.call(values)
        of_column = np.array(layer.feature_columns()) == name
        return features.numpy()[:, of_column], is_given.numpy()
