"""What a network is fed: the pixels and forms of some rows, read once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from usgland.config import ModelSettings
from usgland.data.kept_pictures import Pictures, pictures_of, read_on_demand
from usgland.data.lesion_marks import lesion_ellipses
from usgland.data.manifest import NO_LESION
from usgland.data.picture_cache import PictureKey, keep_pictures
from usgland.data.splits import TEACHER
from usgland.models.classifier import ENCODING, PREPROCESSING, layer_names
from usgland.models.clinical import form_values, unseen_words
from usgland.training.losses import soften

# Draws of augmentation count the second number of a seed up; these, the first.
VALUE_DRAW, SIDE_DRAW = (1, 0), (2, 0)


class Form(NamedTuple):
    """The encoded clinical forms of some rows.

    Attributes:
        features: Float32 `(rows, features)`.
        presence: 1 where the form has any value, else 0, float32 `(rows, 1)`.
        missing: The features of an empty form, float32 `(features,)`.
        columns: The column that each feature comes from, `(features,)`.
    """

    features: np.ndarray
    presence: np.ndarray
    missing: np.ndarray
    columns: Sequence[str]


class Part(NamedTuple):
    """The images of one role and their labels, 0 or 1.

    Attributes:
        pixels: Pictures, or an array of them, uint8 `(images, size, size, 1)`; None
            where the model takes the form alone.
        labels: `(images,)`.
        form: None where it takes the image alone.
        lesions: The ellipse of each lesion, float32 `(images, 4)`, see
            `lesion_ellipses`; None where no image has a mark, or none is asked for.
        teacher: The logit of those who teach, `(images,)`, NaN where they say nothing;
            None where labels alone teach.
    """

    pixels: Pictures | np.ndarray | None
    labels: np.ndarray
    form: Form | None = None
    lesions: np.ndarray | None = None
    teacher: np.ndarray | None = None

    def targets(self) -> np.ndarray:
        """What training compares logits with, see `make_loss`: `(images, 1)` or 2."""
        labels = self.labels.astype("float64")
        if self.teacher is None:
            return labels[:, None]
        said = np.where(np.isnan(self.teacher), 0.0, self.teacher)
        return np.stack([labels, soften(said)], axis=1)

    def inputs(self, without: str | None = None) -> Any:
        """What `pixels_to_logit` takes.

        Args:
            without: `"image"` or `"form"`: the side that counts as missing.
        """
        if self.form is None:
            return self.pixels
        if self.pixels is None:
            return self.form.features
        form_given = self.form.presence * np.float32(without != "form")
        image_given = np.full_like(form_given, without != "image")
        return self.pixels, self.form.features, image_given, form_given


def read_part(
    model: keras.Model, rows: pd.DataFrame, *, without: str | None = None
) -> Part:
    """What the rows' images and forms look like to a classifier, for a single pass.

    Pictures are decoded when they are asked for, and none is kept. No image is read
    where `without` is `"image"`: black pictures stand for them.
    """
    names = layer_names(model)
    pixels: Pictures | np.ndarray | None = None
    if PREPROCESSING in names:
        layer = model.get_layer(PREPROCESSING)
        if without == "image":
            black = np.zeros((1, layer.size, layer.size, 1), "uint8")
            pixels = pictures_of(black).of_rows(np.zeros(len(rows), int))
        else:
            pixels = read_on_demand(rows, layer.read, layer.size)
    form = read_form(model, rows) if ENCODING in names else None
    return Part(pixels, rows["label"].to_numpy(), form)


def keep_parts(
    model: keras.Model,
    tables: Sequence[pd.DataFrame],
    cache: str,
    say: Callable[[str], None],
) -> tuple[list[Part], str]:
    """The same of several tables, for many passes: their pictures are kept together.

    Args:
        model: The classifier.
        tables: Manifest rows, each of which becomes a part.
        cache: Where the pictures are kept, see `keep_pictures`.
        say: Takes a line for the user.

    Returns:
        The parts, and in words where their pictures are; "" where there are none.
    """
    parts = [Part(None, rows["label"].to_numpy()) for rows in tables]
    if any(TEACHER in rows for rows in tables):
        parts = [
            part._replace(teacher=rows[TEACHER].to_numpy("float64"))
            for part, rows in zip(parts, tables, strict=True)
        ]
    where = ""
    if ENCODING in layer_names(model):
        forms = [read_form(model, rows) for rows in tables]
        parts = [part._replace(form=f) for part, f in zip(parts, forms, strict=True)]
    if PREPROCESSING in layer_names(model):
        layer = model.get_layer(PREPROCESSING)
        key = PictureKey(*layer.fingerprint())
        parts = [
            part._replace(lesions=_lesions_of(table))
            for part, table in zip(parts, tables, strict=True)
        ]
        rows = pd.concat(tables)
        kept = keep_pictures(rows, layer.read, layer.size, key, cache=cache, say=say)
        pictures, where = kept
        ends = np.cumsum([len(table) for table in tables])
        numbers = np.split(np.arange(len(rows)), ends[:-1])
        parts = [
            part._replace(pixels=pictures.of_rows(own))
            for part, own in zip(parts, numbers, strict=True)
        ]
    return parts, where


def _lesions_of(rows: pd.DataFrame) -> np.ndarray | None:
    lesions = lesion_ellipses(rows)
    # Images without a label are there because they are known to have no lesion.
    lesions[rows["label"] == NO_LESION] = 0
    return None if np.isnan(lesions).all() else lesions


def read_form(model: keras.Model, rows: pd.DataFrame) -> Form:
    """Encodes the forms of some rows by the classifier's own layer."""
    layer = model.get_layer(ENCODING)
    values = form_values(rows, layer.columns)
    features, presence = layer([tf.constant(value) for value in values.values()])
    return Form(
        np.asarray(features),
        np.asarray(presence),
        layer.missing_features(),
        layer.feature_columns(),
    )


def describe_forms(model: keras.Model, rows: pd.DataFrame) -> list[str]:
    """Lines that say which values of the form are missing, or count as missing."""
    columns = model.get_layer(ENCODING).columns
    values = rows[[column["name"] for column in columns]]
    missing = (values.isna() | values.isin([""])).sum()
    some = [f"{name} {count}" for name, count in missing.items() if count]
    lines = []
    if some:
        lines.append(f"Missing on the form, of {len(rows)} rows: {', '.join(some)}")
    for name, words in unseen_words(rows, columns).items():
        listed = ", ".join(f"{word!r} in {count}" for word, count in words.items())
        lines.append(
            f"{name}: no training patient had {listed} of {len(rows)} rows; counts as "
            "missing"
        )
    return lines


def make_form_batches(part: Part, settings: ModelSettings) -> Callable | None:
    """How the forms of a training batch are taken, and what of them is dropped.

    Args:
        part: What is learned from.
        settings: Gives `value_dropout` and, where there is an image as well,
            `modality_dropout`: the chance of a case to lose its image, and the same
            for its form, never both.

    Returns:
        Maps (indices `(batch,)`, a seed of two integers) to the tensors that follow
        the pixels; None where there is no form.
    """
    if part.form is None:
        return None
    form = part.form
    names = list(dict.fromkeys(form.columns))
    column_of = tf.constant([names.index(name) for name in form.columns])
    features, presence = tf.constant(form.features), tf.constant(form.presence)
    missing = tf.constant(form.missing)[None, :]

    @tf.autograph.experimental.do_not_convert
    def take(indices, seed):
        batch = tf.shape(indices)[0]
        drawn = tf.random.stateless_uniform([batch, len(names)], seed + VALUE_DRAW)
        dropped = tf.gather(drawn < settings.value_dropout, column_of, axis=1)
        values = tf.where(dropped, missing, tf.gather(features, indices))
        if part.pixels is None:
            return (values,)
        side = tf.random.stateless_uniform([batch, 1], seed + SIDE_DRAW)
        form_given = tf.gather(presence, indices)
        form_given *= tf.cast(side < 1 - settings.modality_dropout, tf.float32)
        image_given = tf.cast(side >= settings.modality_dropout, tf.float32)
        # A case whose form is empty keeps its image.
        return values, tf.maximum(image_given, 1 - form_given), form_given

    return take
