"""`explain`: joins a run, its images and masks, and the saliency methods."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
from rich.console import Console

from usgland.config import Config, load_config
from usgland.data.sources import run_rows
from usgland.errors import UserError
from usgland.evaluation.calibration import apply_calibration, read_calibration
from usgland.evaluation.figures import save_figure
from usgland.explanation.contributions import make_contributions
from usgland.explanation.explained import Explained, make_explained
from usgland.explanation.letterbox import (
    Letterbox,
    letterbox_of,
    read_grey,
    read_mask,
    to_original,
)
from usgland.explanation.maps import make_maps
from usgland.explanation.pictures import Case, case_figure
from usgland.explanation.sheets import ORDERS, sheet_figure, sort_cases
from usgland.runs import CALIBRATION, CONFIG, FOLDS, MODEL, find_run
from usgland.steps.models import load_model
from usgland.training.parts import Part, read_part
from usgland.training.predict import predict_rows

HEATMAPS = "heatmaps"
SHOWN = 5  # names in one message


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


def explain(
    run: Path,
    console: Console,
    *,
    cases: Sequence[str] = (),
    methods: Sequence[str] = ("gradcam",),
    label: str = "malignant",
    colours: str = "paper",
    role: str = "test",
    limit: int = 24,
    overwrite: bool = False,
) -> list[Path]:
    """Draws where a run's model looked.

    Args:
        run: A run directory with a model.
        console: Where progress is shown.
        cases: Images, their file names without suffix, or patients; none: all.
        methods: Of `usgland.explanation.maps.METHODS`.
        label: For which the maps are evidence, `"malignant"` or `"benign"`.
        colours: Key of `usgland.explanation.pictures.COLOURS`.
        role: Which images of the run.
        limit: Pictures of single cases, the greatest errors first.
        overwrite: Whether earlier files may be replaced.

    Returns:
        The files written.

    Raises:
        UserError: If the run or a case cannot be used, or a file exists.
    """
    config = _config_of(run)
    rows = choose_cases(run_rows(run, config, console), cases, role, run)
    if not cases:
        _check_free([*sheet_paths(run, methods, label)], overwrite)
    subject = read_subject(run, rows)
    worst = worst_first(subject.rows)[:limit]
    names = picture_names(rows["image"])
    pictures = [
        run / HEATMAPS / f"{names[number]}_{suffix(method, label)}.png"
        for method in methods
        for number in worst
    ]
    _check_free(pictures, overwrite)
    added = form_contributions(subject, worst, console)
    written: list[Path] = []
    for method in methods:
        console.print(f"{method}: maps of {len(rows)} images", highlight=False)
        maps = make_maps(
            subject.explained, subject.part.inputs(), method=method, label=label
        )
        drawn = make_cases(subject, maps)
        for number, values in added.items():
            drawn[number] = drawn[number]._replace(contributions=values)
        look: dict[str, Any] = {"method": method, "label": label, "colours": colours}
        for number in worst:
            path = run / HEATMAPS / f"{names[number]}_{suffix(method, label)}.png"
            save_figure(case_figure(drawn[number], **look), path)
            written.append(path)
        if not cases:
            written += _draw_sheets(run, drawn, look)
    if limit < len(rows):
        console.print(
            f"Drew {limit} of {len(rows)} cases, the greatest errors first; --limit "
            f"{len(rows)} draws all",
            highlight=False,
        )
    return written


def _config_of(run: Path) -> Config:
    if (run / FOLDS).exists():
        raise UserError(
            "Expected a run with one model. Received the cross-validation "
            f"{run}; its models are in {run / FOLDS}, e.g. {run / FOLDS / '0'}"
        )
    config = load_config(find_run(run, MODEL) / CONFIG)
    if config.model.inputs == "clinical":
        make_explained(load_model(run))  # says why not, before images are sought
    return config


def choose_cases(
    rows: pd.DataFrame, cases: Sequence[str], role: str, run: Path
) -> pd.DataFrame:
    """The rows of a role, or those of it that are asked for.

    Raises:
        UserError: If a name is not there, or the role has no image.
    """
    there = rows[rows["role"] == role]
    if there.empty:
        counts = rows["role"].value_counts()
        raise UserError(
            f"--role: expected one that has images in {run}: "
            f"{', '.join(f'{name} ({n})' for name, n in counts.items() if name)}. "
            f"Received: {role}"
        )
    stems = there["image"].map(lambda name: PurePosixPath(name).stem)
    chosen = pd.Series(False, index=there.index)
    for name in cases:
        found = (there["image"] == name) | (stems == name)
        found |= there["patient_id"] == name
        if not found.any():
            known = ", ".join(there["image"].head(SHOWN))
            raise UserError(
                f"--cases: expected an image or patient of role {role}, e.g. {known}. "
                f"Received: {name!r}"
            )
        chosen |= found
    return (there[chosen] if cases else there).reset_index(drop=True)


def read_subject(run: Path, rows: pd.DataFrame) -> Subject:
    """Reads the model, images and masks, and what the model says of them.

    Raises:
        UserError: If the model looks at no images, or a mask cannot be used.
    """
    greys = [read_grey(path) for path in rows["image_path"]]
    paths = rows["mask_path"] if "mask_path" in rows else [""] * len(rows)
    masks = [
        read_mask(path, grey.shape[:2]) for path, grey in zip(paths, greys, strict=True)
    ]
    model = load_model(run)
    explained = make_explained(model)
    said = apply_calibration(
        predict_rows(model, rows), read_calibration(run / CALIBRATION)
    )
    size = explained.whole.inputs[0].shape[1]
    boxes = [letterbox_of(grey.shape[0], grey.shape[1], size) for grey in greys]
    rows = rows.assign(probability=said["probability"], logit=said["logit"])
    part = read_part(model, rows)
    return Subject(rows, part, model, explained, greys, masks, boxes)


def make_cases(subject: Subject, maps: np.ndarray) -> list[Case]:
    """What is drawn: the maps on the original images."""
    return [
        Case(
            row["image"],
            int(row["label"]),
            float(row["probability"]),
            grey,
            to_original(one, box),
            mask,
            row["synthetic"] == "1",
        )
        for (_, row), grey, one, box, mask in zip(
            subject.rows.iterrows(),
            subject.greys,
            maps,
            subject.boxes,
            subject.masks,
            strict=True,
        )
    ]


def form_contributions(
    subject: Subject, numbers: Sequence[int], console: Console
) -> dict[int, dict[str, float]]:
    """What each value of the form adds, for some cases; nothing without a form."""
    part = subject.part
    if part.form is None or not numbers:
        return {}
    chosen = list(numbers)
    form = part.form._replace(
        features=part.form.features[chosen], given=part.form.given[chosen]
    )
    some = Part(
        None if part.pixels is None else part.pixels[chosen], part.labels[chosen], form
    )
    found = make_contributions(subject.model, some)
    console.print(f"Form: {found.method}, the image held fixed", highlight=False)
    return {
        number: dict(zip(found.columns, map(float, values), strict=True))
        for number, values in zip(chosen, found.values, strict=True)
    }


def worst_first(rows: pd.DataFrame) -> list[int]:
    """Numbers of the rows, the greatest error first; those without a label last."""
    error = (rows["probability"] - rows["label"]).abs()
    error = error.where(rows["label"] >= 0, -1.0)
    return np.argsort(-error.to_numpy(), kind="stable").tolist()


def picture_names(images: pd.Series) -> list[str]:
    """A file name for each image: its own, with its folders where two have one."""
    stems = images.map(lambda name: PurePosixPath(name.replace("\\", "/")).stem)
    if not stems.duplicated().any():
        return stems.to_list()
    whole = images.str.replace(r"[\\/:]+", "_", regex=True)
    return whole.str.replace(r"\.\w+$", "", regex=True).to_list()


def suffix(method: str, label: str) -> str:
    """How files of a method and label end: the malignant ones without its name."""
    return method if label == "malignant" else f"{method}_{label}"


def sheet_paths(run: Path, methods: Sequence[str], label: str) -> list[Path]:
    """The contact sheets of some methods."""
    return [
        run / HEATMAPS / f"sheet_{order}_{suffix(method, label)}.png"
        for method in methods
        for order in ORDERS
    ]


def _draw_sheets(run: Path, cases: list[Case], look: dict[str, Any]) -> list[Path]:
    written = []
    paths = sheet_paths(run, [look["method"]], look["label"])
    for order, path in zip(ORDERS, paths, strict=True):
        chosen = sort_cases(cases, order)
        if chosen:
            save_figure(sheet_figure(chosen, order=order, **look), path)
            written.append(path)
    return written


def _check_free(paths: Sequence[Path], overwrite: bool) -> None:
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise UserError(
            f"Pictures and tables are not overwritten. Received {existing[0]}, which "
            "exists. Add --overwrite to make them again"
        )
