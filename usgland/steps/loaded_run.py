"""A trained run in a notebook: what it says of images, and where it looked."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from rich.console import Console

from usgland.config import Config
from usgland.data.columns import MADE
from usgland.data.manifest import UNLABELLED
from usgland.data.sources import other_rows, takes_images
from usgland.evaluation.cases import thresholds
from usgland.evaluation.cases.calibration import apply_calibration, read_calibration
from usgland.explanation.letterbox import to_original
from usgland.explanation.maps import make_maps
from usgland.explanation.subject import read_subject
from usgland.files import read_json
from usgland.runs import CALIBRATION, ENVIRONMENT, THRESHOLD, find_run
from usgland.steps.joined_folds import one_model
from usgland.steps.models import config_of_model, load_model
from usgland.table_files import ROW
from usgland.training.predict import LESION_BOX, LESION_FOUND, predict_rows

# What an error calls a table in memory; paths in it are relative to here.
IN_MEMORY = Path("images")
SHOWN = ["image", "patient_id", "role", "label", "probability", "logit", "prediction"]
LESION = [*LESION_BOX, LESION_FOUND]
ImagePath = str | os.PathLike[str]
Images = ImagePath | Sequence[ImagePath] | pd.DataFrame


@dataclass(frozen=True, repr=False)
class LoadedRun:
    """A run directory, read once.

    Attributes:
        path: The run directory; of a cross-validation, that of all its folds together.
        config: The settings it was trained with.
        threshold: P(malignant), calibrated, from which an image is called malignant;
            chosen on validation or out of fold.
        calibration: What the same images made of a logit: method, slope, intercept.
        synthetic: Whether it was trained on phantoms.
        model: The Keras model.
    """

    path: Path
    config: Config
    threshold: float
    calibration: dict[str, Any]
    synthetic: bool
    model: keras.Model

    def __repr__(self) -> str:
        network = {
            "image": self.config.model.backbone,
            "clinical": "the form alone",
            "both": f"{self.config.model.backbone} and the form",
        }[self.config.model.inputs]
        trained = "; trained on SYNTHETIC phantoms" if self.synthetic else ""
        return (
            f"LoadedRun({str(self.path)!r}: {network}; calibration "
            f"{self.calibration['method']}; threshold {self.threshold:.4g}{trained})"
        )

    def predict(
        self,
        images: Images | None = None,
        *,
        form: pd.DataFrame | None = None,
        without: str | None = None,
    ) -> pd.DataFrame:
        """P(malignant) of images, as `usgland predict` writes it.

        Images and forms get the checks that a manifest gets. The same images in the
        same order give the same numbers as the command, to the bit.

        Args:
            images: Paths of PNG, JPEG or BMP files; or a table with a column `image`
                of such paths and any of `patient_id`, `label`, `mask` and the columns
                of the form, under the names that the run's manifest has. None for a
                model of the form alone.
            form: One row an image, in the order of `images`; None where they hold it
                or the model takes no form.
            without: `"image"` or `"form"`: the side that a model of both does without.

        Returns:
            One row an image, with the index of `images` if it is a table: image,
            patient_id (the image where none is given), role (that in the run of
            images that it knows; else `test`), label (-1 where none is given),
            probability in [0, 1], logit, both calibrated, and prediction: 1 where the
            probability reaches the run's threshold. Of a model with a lesion head also
            lesion_box_x, lesion_box_y, lesion_box_width and lesion_box_height, pixels
            of the image, NaN where no lesion is found, and lesion_found, how sure.

        Raises:
            UserError: If an image or a form cannot be used; it names each problem
                with its row, counted from 1.
            ValueError: If the arguments do not fit each other or the model.
        """
        rows = self._rows(images, form, without)
        table = apply_calibration(
            predict_rows(self.model, rows, without=without), self.calibration
        )
        at = thresholds.Thresholds.at(self.threshold)
        table = thresholds.apply_threshold(table, at)
        names = [*SHOWN, *(name for name in LESION if name in table)]
        return table[names].set_axis(rows.index)

    def explain(
        self,
        images: Images,
        *,
        form: pd.DataFrame | None = None,
        method: str = "gradcam",
        label: str = "malignant",
    ) -> list[np.ndarray]:
        """Which pixels speak for a label, as `usgland explain` draws it.

        Args:
            images: As in `predict`.
            form: As in `predict`.
            method: `"gradcam"`, `"gradcam++"`, `"scorecam"`, `"scorecam_fast"`,
                `"smoothgrad"` or `"lesion"`; see `usgland.explanation.maps.make_maps`.
            label: `"malignant"`: evidence for it; `"benign"`: evidence against it.

        Returns:
            One map an image, of its own size: float32 `(height, width)` in [0, 1],
            zeros where there is no evidence.

        Raises:
            UserError: As `predict`, or if the model looks at no images.
            ValueError: As `predict`, or if there is no such method or label.
        """
        rows = self._rows(images, form, None)
        subject = read_subject(self.model, rows, self.calibration)
        maps = make_maps(
            subject.explained, subject.part.inputs(), method=method, label=label
        )
        return list(map(to_original, maps, subject.boxes))

    def _rows(
        self, images: Images | None, form: pd.DataFrame | None, without: str | None
    ) -> pd.DataFrame:
        """Checked rows, under the index of the table that was handed over."""
        inputs = self.config.model.inputs
        if without not in (None, "image", "form") or (without and inputs != "both"):
            raise ValueError(
                "`without` must be None or, of a model of both, 'image' or 'form'. "
                f"Received: {without!r}, and a model whose inputs are {inputs!r}"
            )
        table = _table_of(images, form)
        texts = self._texts_of(table)
        if not takes_images(self.config) and not {"image", "patient_id"} & set(texts):
            texts["patient_id"] = [f"row {number}" for number in texts[ROW]]
        rows = other_rows(
            self.path,
            IN_MEMORY,
            self.config,
            labelled=False,
            without=without,
            table=texts,
        )
        return rows.set_axis(table.index[rows[ROW].to_numpy() - 1])

    def _texts_of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table as a manifest would hold it, also one that `predict` gave."""
        known = table.drop(columns=[*MADE, ROW], errors="ignore").reset_index(drop=True)
        texts = known.astype(object).where(known.notna(), "").astype(str)
        if "label" in known and pd.api.types.is_numeric_dtype(known["label"]):
            words = {UNLABELLED: ""}
            words |= {n: word for word, n in self.config.data.label_words.items()}
            texts["label"] = [words.get(n, str(n)) for n in known["label"]]
        texts.insert(0, ROW, np.arange(1, len(texts) + 1))
        return texts


def load_run(path: ImagePath) -> LoadedRun:
    """Reads a run directory.

    Args:
        path: The run directory. All folds of a cross-validation are used together, as
            `usgland predict` does: the mean of their logits, of images alone.

    Raises:
        UserError: If it is none, or has no model, or folds that cannot be joined.

    Example:
        >>> import usgland
        >>> run = usgland.load_run("runs/squeeze-1")  # doctest: +SKIP
        >>> run.predict("lesion.png")  # doctest: +SKIP
    """
    run = one_model(Path(path), Console(quiet=True))
    config = config_of_model(run)
    chosen = thresholds.read_thresholds(find_run(run, THRESHOLD) / THRESHOLD)
    environment = run / ENVIRONMENT
    made_of = read_json(environment) if environment.exists() else {}
    return LoadedRun(
        run,
        config,
        chosen.point["threshold"],
        read_calibration(run / CALIBRATION),
        bool(made_of.get("synthetic")),
        load_model(run),
    )


def _table_of(images: Images | None, form: pd.DataFrame | None) -> pd.DataFrame:
    """Images and forms side by side, a row an image."""
    if isinstance(images, pd.DataFrame):
        table = images
    elif images is None:
        table = pd.DataFrame(index=None if form is None else form.index)
    else:
        paths = [images] if isinstance(images, str | os.PathLike) else list(images)
        wrong = [path for path in paths if not isinstance(path, str | os.PathLike)]
        if wrong:
            raise ValueError(
                "`images` must be paths of image files, or a table with a column "
                f"`image`. Received: {type(wrong[0]).__name__}; save arrays as PNG"
            )
        table = pd.DataFrame({"image": [os.fspath(path) for path in paths]})
    if form is None:
        if table.empty:
            raise ValueError("`images` must hold an image. Received: none")
        return table
    if len(form) != len(table):
        raise ValueError(
            "`form` must have one row an image, in their order. "
            f"Received: {len(form)} rows for {len(table)} images"
        )
    return pd.concat([table, form.set_axis(table.index)], axis=1)
