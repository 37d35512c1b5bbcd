"""The cases that are explained: chosen, read, and what the model says of them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from usgland.data.pipeline import WORKERS, without_tuning
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import apply_calibration
from usgland.explanation import letterbox
from usgland.explanation.contributions import Contributions, make_contributions
from usgland.explanation.explained import Explained, make_explained
from usgland.explanation.letterbox import Letterbox
from usgland.explanation.pictures import Case
from usgland.models.classifier import ENCODING, PREPROCESSING, layer_names
from usgland.models.decoding import decode_grey
from usgland.models.preprocessing import Preprocessing
from usgland.schema import ClinicalColumn
from usgland.training.parts import Part, read_form
from usgland.training.predict import LESION_BOX, LESION_FOUND, predict_part

NAMES_SHOWN = 5  # in one message


class Subject(NamedTuple):
    """The cases that are explained, and what explains them.

    Attributes:
        rows: One row an image, with predictions.
        part: What the network is fed.
        model: The classifier.
        explained: Its copy for the saliency methods.
        greys: The original images, uint8 `(height, width)` each.
        masks: The lesions' masks, bool `(height, width)` each, or None.
        boxes: Where each image stands in the square.
    """

    rows: pd.DataFrame
    part: Part
    model: keras.Model
    explained: Explained
    greys: list[np.ndarray]
    masks: list[np.ndarray | None]
    boxes: list[Letterbox]

    @property
    def synthetic(self) -> bool:
        """Whether any image is a phantom."""
        return bool((self.rows["synthetic"] == "1").any())


def choose_cases(
    rows: pd.DataFrame, cases: Sequence[str], role: str, source: Path
) -> pd.DataFrame:
    """The rows of a role, or those of it that are asked for.

    Raises:
        UserError: If a name is not there, or the role has no image.
    """
    of_role = rows[rows["role"] == role]
    if of_role.empty:
        counts = rows["role"].value_counts()
        raise UserError(
            f"--role: expected one that has images in {source}: "
            f"{', '.join(f'{name} ({n})' for name, n in counts.items() if name)}. "
            f"Received: {role}"
        )
    stems = of_role["image"].map(lambda name: PurePosixPath(name).stem)
    chosen = pd.Series(False, index=of_role.index)
    for name in cases:
        named = (of_role["image"] == name) | (stems == name)
        named |= of_role["patient_id"] == name
        if not named.any():
            known = ", ".join(of_role["image"].head(NAMES_SHOWN))
            raise UserError(
                f"--cases: expected an image or patient of role {role}, e.g. {known}. "
                f"Received: {name!r}"
            )
        chosen |= named
    return (of_role[chosen] if cases else of_role).reset_index(drop=True)


def read_subject(
    model: keras.Model, rows: pd.DataFrame, calibration: dict[str, Any]
) -> Subject:
    """Reads images and masks, and asks the model about them.

    Raises:
        UserError: If the model looks at no images, or a mask cannot be used.
    """
    explained = make_explained(model)  # It says first if there is nothing to see.
    layer = model.get_layer(PREPROCESSING)
    greys, pixels = read_images(rows["image_path"].to_list(), layer)
    form = read_form(model, rows) if ENCODING in layer_names(model) else None
    part = Part(pixels, rows["label"].to_numpy(), form)
    paths = rows["mask_path"] if "mask_path" in rows else [""] * len(rows)
    masks = [
        letterbox.read_mask(path, grey.shape)
        for path, grey in zip(paths, greys, strict=True)
    ]
    predicted = apply_calibration(predict_part(model, part, rows), calibration)
    size = explained.whole.inputs[0].shape[1]
    boxes = [letterbox.letterbox_of(len(grey), grey.shape[1], size) for grey in greys]
    says = ("probability", "logit", *LESION_BOX, LESION_FOUND)
    rows = rows.assign(**{name: predicted[name] for name in says if name in predicted})
    return Subject(rows, part, model, explained, greys, masks, boxes)


def read_images(
    paths: Sequence[str], layer: Preprocessing
) -> tuple[list[np.ndarray], np.ndarray]:
    """Decodes every image once, for who looks at its map and for the network.

    Returns:
        Grey levels of the originals, uint8 `(height, width)` each; and what the
        network is fed, uint8 `(images, size, size, 1)`.
    """

    def read(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        grey = decode_grey(tf.io.read_file(path))
        levels = tf.clip_by_value(tf.round(grey[..., 0]), 0.0, 255.0)
        return tf.cast(levels, tf.uint8), layer.normalize(grey)

    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = without_tuning(dataset.map(read, num_parallel_calls=WORKERS))
    greys, pixels = zip(*dataset.as_numpy_iterator(), strict=True)
    return list(greys), np.stack(pixels)


def make_cases(
    subject: Subject, maps: np.ndarray, added: Mapping[int, Mapping[str, float]]
) -> list[Case]:
    """What is drawn: the maps on the original images.

    Args:
        subject: The cases.
        maps: `(cases, size, size)`.
        added: Number of a case -> value of the form -> what it adds to the logit.
    """
    cases = zip(
        subject.rows.to_dict("records"),
        subject.greys,
        maps,
        subject.boxes,
        subject.masks,
        strict=True,
    )
    return [
        Case(
            row["image"],
            int(row["label"]),
            float(row["probability"]),
            grey,
            letterbox.to_original(values, box),
            mask,
            row["synthetic"] == "1",
            added.get(number),
            *_lesion_of(row),
        )
        for number, (row, grey, values, box, mask) in enumerate(cases)
    ]


def _lesion_of(row: Mapping[Any, Any]) -> tuple[list[float] | None, float | None]:
    """The box of the lesion that was found, and how sure that is; None if not."""
    if LESION_FOUND not in row:
        return None, None
    box = [float(row[name]) for name in LESION_BOX]
    return None if np.isnan(box).any() else box, float(row[LESION_FOUND])


def form_contributions(
    subject: Subject, numbers: Sequence[int]
) -> Contributions | None:
    """What each value of the form adds, for some cases; None without a form."""
    part = subject.part
    if part.form is None or part.pixels is None or not numbers:
        return None
    features, presence = part.form.features[numbers], part.form.presence[numbers]
    form = part.form._replace(features=features, presence=presence)
    chosen = Part(part.pixels[numbers], part.labels[numbers], form)
    return make_contributions(subject.model, chosen)


def value_in_words(name: str, value: Any, column: ClinicalColumn) -> str:
    """A value of the form as it is shown, e.g. `age: 57 years`.

    The value is a number or word, NaN or "" where it is missing.
    """
    words = f"{value:g}" if column.kind == "number" else str(value)
    if words in ("", "nan"):
        words = "not known"
    elif column.unit:
        words = f"{words} {column.unit}"
    if column.unit:  # The name of `age_years` closes with it.
        name = name.removesuffix("_" + re.sub(r"\W+", "_", column.unit))
    return f"{name.replace('_', ' ')}: {words}"


def worst_first(rows: pd.DataFrame) -> list[int]:
    """Numbers of the rows, the greatest error first; those without a label last."""
    error = (rows["probability"] - rows["label"]).abs()
    error[rows["label"] < 0] = -1.0
    return np.argsort(-error.to_numpy(), kind="stable").tolist()


def picture_names(images: pd.Series) -> list[str]:
    """A file name for each image: its own, with its folders where two have one.

    Where these are the same as well, as of x.png and x.jpg, a number ends the later.
    """
    stems = images.map(lambda name: PurePosixPath(name.replace("\\", "/")).stem)
    if not stems.duplicated().any():
        return stems.to_list()
    whole = images.str.replace(r"[\\/:]+", "_", regex=True)
    whole = whole.str.replace(r"\.\w+$", "", regex=True)
    before = whole.groupby(whole).cumcount()
    return whole.where(before == 0, whole + "_" + (before + 1).astype(str)).to_list()
