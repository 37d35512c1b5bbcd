"""From the words and numbers of the clinical form to features, as a layer.

It travels with the saved model, which therefore takes what stands on the form.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from usgland.schema import ClinicalSettings

# No value counts as farther from the mean, in standard deviations: one at the end of
# the plausible range shall not outweigh the form.
FARTHEST = 4.0


def learn_encoding(
    rows: pd.DataFrame, settings: ClinicalSettings
) -> list[dict[str, Any]]:
    """What the encoding takes from the training patients, each patient counted once.

    Args:
        rows: Training rows with `patient_id` and the form's columns, as
            `usgland.data.forms` leaves them.
        settings: The schema.

    Returns:
        One plain dict a column, for `ClinicalEncoding`: name, kind, indicator; of a
        number low, high, mean and deviation; of words spellings (text -> word),
        words and shares (how often each stands in training; 0 if never).
    """
    patients = rows.drop_duplicates("patient_id")
    encoding: list[dict[str, Any]] = []
    for name, column in settings.used().items():
        values = patients[name]
        learned: dict[str, Any] = {
            "name": name,
            "kind": column.kind,
            "indicator": settings.has_indicator(name),
        }
        if column.kind == "number":
            known = values.dropna().astype("float64")
            deviation = float(known.std(ddof=0)) if len(known) else math.nan
            learned |= {
                "low": column.low,
                "high": column.high,
                "mean": float(known.mean()) if len(known) else 0.0,
                # A column of one value says nothing, and shall not divide by zero.
                "deviation": deviation if deviation > 0 else 1.0,
            }
        else:
            words = column.choices()
            counts = [int((values == word).sum()) for word in words]
            learned |= {
                "spellings": column.spellings(),
                "words": words,
                "shares": [count / max(1, sum(counts)) for count in counts],
            }
        encoding.append(learned)
    return encoding


@keras.saving.register_keras_serializable(package="usgland")
class ClinicalEncoding(keras.layers.Layer):
    """Maps the values of the form to features of about unit size.

    A number becomes its distance from the training mean in standard deviations, cut
    at `FARTHEST`; a word becomes one feature a word, 0 or 1. With an indicator a
    missing value is a feature of its own beside zeros. Without one it is what the
    average training patient has: the mean, or the share of each word, so that a model
    cannot tell a missing value from an ordinary one.

    A word that the schema knows but no training patient had counts as missing: nothing
    was learned about it.

    Args:
        columns: As `learn_encoding` gives them.
        name: Name of the layer.

    Call arguments:
        values: One tensor a column, in their order, `(batch,)`: float32, NaN where
            missing, or strings, "" where missing; case and spaces are ignored.

    Returns:
        Features, float32 `(batch, features)`, and whether any value is given, float32
        `(batch, 1)`, 0 or 1.

    Raises:
        tf.errors.InvalidArgumentError: If a word is not of the schema or a number not
            in its range.
    """

    def __init__(self, columns, name="clinical_encoding", trainable=False, dtype=None):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.columns = [dict(column) for column in columns]

    def call(self, values):
        features, is_known = [], []
        for column, value in zip(self.columns, values, strict=True):
            encode = _encode_number if column["kind"] == "number" else _encode_word
            parts, known = encode(column, value)
            features.append(parts)
            is_known.append(known)
        any_given = tf.reduce_max(tf.stack(is_known, axis=1), axis=1, keepdims=True)
        return tf.concat(features, axis=1), any_given

    def compute_output_spec(self, values):
        batch = values[0].shape[0]
        return (
            keras.KerasTensor((batch, len(self.feature_columns())), dtype="float32"),
            keras.KerasTensor((batch, 1), dtype="float32"),
        )

    def feature_columns(self) -> list[str]:
        """The name of the column that each feature comes from, `(features,)`."""
        names = []
        for column in self.columns:
            features = 1 if column["kind"] == "number" else len(column["words"])
            names += [column["name"]] * (features + column["indicator"])
        return names

    def missing_features(self) -> np.ndarray:
        """The features of a form without any value, float32 `(features,)`."""
        values = [
            tf.constant([math.nan if column["kind"] == "number" else ""])
            for column in self.columns
        ]
        return self.call(values)[0].numpy()[0]

    def get_config(self):
        return {**super().get_config(), "columns": self.columns}


@keras.saving.register_keras_serializable(package="usgland")
class IsGiven(keras.layers.Layer):
    """1 where a string `(batch,)` is not empty, else 0; float32 `(batch, 1)`."""

    def call(self, strings):
        lengths = tf.strings.length(tf.reshape(strings, [-1, 1]))
        return tf.cast(lengths > 0, tf.float32)

    def compute_output_spec(self, strings):
        return keras.KerasTensor((strings.shape[0], 1), dtype="float32")


def form_values(
    rows: pd.DataFrame, columns: list[dict[str, Any]]
) -> dict[str, np.ndarray]:
    """The form's columns of checked rows as a model takes them, `(rows,)` each."""
    return {
        column["name"]: rows[column["name"]].to_numpy(
            "float32" if column["kind"] == "number" else object
        )
        for column in columns
    }


def unseen_words(
    rows: pd.DataFrame, columns: list[dict[str, Any]]
) -> dict[str, Mapping[str, int]]:
    """Column -> word that no training patient had, so that it is missing -> rows."""
    counts: dict[str, Mapping[str, int]] = {}
    for column in columns:
        if column["kind"] == "number":
            continue
        shares = zip(column["words"], column["shares"], strict=True)
        seen = {word for word, share in shares if share > 0}
        values = rows[column["name"]]
        unseen = values[(values != "") & ~values.isin(seen)].value_counts()
        if len(unseen):
            counts[column["name"]] = {str(word): int(n) for word, n in unseen.items()}
    return counts


def _encode_number(column: Mapping[str, Any], value: Any) -> tuple[tf.Tensor, ...]:
    value = tf.cast(tf.reshape(value, [-1]), tf.float32)
    known = ~tf.math.is_nan(value)
    inside = (value >= column["low"]) & (value <= column["high"])
    tf.debugging.Assert(
        tf.reduce_all(inside | ~known),
        [
            f"{column['name']}: expected a number from {column['low']:g} to "
            f"{column['high']:g}, or NaN where it is missing. Received:",
            tf.boolean_mask(value, known & ~inside),
        ],
    )
    distance = (value - column["mean"]) / column["deviation"]
    distance = tf.clip_by_value(distance, -FARTHEST, FARTHEST)
    is_known = tf.cast(known, tf.float32)
    parts = [tf.where(known, distance, 0.0)]
    if column["indicator"]:
        parts.append(1.0 - is_known)
    return tf.stack(parts, axis=1), is_known


def _encode_word(column: Mapping[str, Any], value: Any) -> tuple[tf.Tensor, ...]:
    text = tf.strings.lower(tf.reshape(value, [-1]), encoding="utf-8")
    text = tf.strings.regex_replace(tf.strings.strip(text), r"\s+", " ")
    spellings = {text.lower(): word for text, word in column["spellings"].items()}
    is_spelled = tf.equal(text[:, None], tf.constant(list(spellings))[None, :])
    tf.debugging.Assert(
        tf.reduce_all(tf.reduce_any(is_spelled, axis=1) | (text == "")),
        [
            f"{column['name']}: expected one of {', '.join(column['words'])}, or an "
            "empty text where it is missing. Received:",
            tf.boolean_mask(text, ~tf.reduce_any(is_spelled, axis=1) & (text != "")),
        ],
    )
    words, shares = column["words"], column["shares"]
    # Each row has a 1 for its spelling's word, none for a word that training never had.
    meaning = np.zeros((len(spellings), len(words)), "float32")
    for row, word in enumerate(spellings.values()):
        meaning[row, words.index(word)] = shares[words.index(word)] > 0
    one_hot = tf.matmul(tf.cast(is_spelled, tf.float32), meaning)
    is_known = tf.reduce_sum(one_hot, axis=1)
    if column["indicator"]:
        return tf.concat([one_hot, 1.0 - is_known[:, None]], axis=1), is_known
    average = tf.constant(shares, tf.float32)[None, :]
    return one_hot + (1.0 - is_known[:, None]) * average, is_known
