"""The step `study new`: from a manifest to the two folders of a reader study."""

import csv
import datetime
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from usgland.config import Config
from usgland.data.manifest import CLASSES, load_manifest
from usgland.data.phantom import is_synthetic
from usgland.errors import UserError
from usgland.schema import ClinicalColumn
from usgland.steps.readers import read_model_cases
from usgland.study import study_folder
from usgland.study.design import (
    FORM,
    MODEL,
    Asked,
    Case,
    Design,
    ModelAnswer,
    cross,
    digest,
    draw_patients,
    parts_of,
)
from usgland.study.protocol import protocol_text
from usgland.table_files import (
    ROW,
    Problem,
    is_missing,
    raise_problems,
    read_table,
    show_some,
)

WHICH_IMAGE = ("first", "random")


class Choices(NamedTuple):
    """What `usgland study new` was asked for."""

    arms: tuple[str, ...]
    readers: int
    cases: int | None  # patients to draw; None: all
    case_list: Path | None
    which_image: str | None
    washout_days: float
    way_back: bool
    asked: tuple[str, ...]
    predictions: Path | None
    threshold: float | None
    seed: int


def make_study(
    manifest: Path, config: Config, choices: Choices, folder: Path
) -> tuple[Design, dict[str, str]]:
    """Writes the two folders of a study.

    Returns:
        The design, and the key of each reader, which the folder that is served lacks.

    Raises:
        UserError: If a choice, the manifest or the predictions do not fit.
    """
    study_folder.check_new(folder)
    _check_choices(choices)
    columns = config.clinical.columns
    asked = _asked(choices.asked, columns)
    form = {}
    if any(FORM in parts_of(arm) for arm in choices.arms):
        form = {
            name: column
            for name, column in config.clinical.used().items()
            if name not in {part.column for part in asked}
        }
        if not form:
            raise UserError(
                f"--design: expected a form for readers to see in the arm {FORM}. "
                "Received: one without columns; see clinical.columns of the settings, "
                "clinical.leave_out and --ask"
            )
    rows = load_manifest(manifest, config.data, form=form)
    rows = _choose_cases(rows, manifest, choices)
    answers, threshold = _model_answers(rows, choices)
    images, cases, truth = {}, [], io.StringIO()
    writer = csv.DictWriter(truth, study_folder.TRUTH_COLUMNS, lineterminator="\n")
    writer.writeheader()
    records: list[dict[str, Any]] = rows.to_dict("records")  # type: ignore[assignment]
    for number, row in enumerate(records, start=1):
        content = study_folder.plain_image(row["image_path"])
        case = Case(
            name=f"c{number:03d}",
            file=study_folder.new_name(),
            sha256=digest(content),
            form=tuple(_shown(row, form)),
            model=answers.get(row["image"]),
        )
        images[case.file] = content
        cases.append(case)
        told = {name: row[name] for name in ("image", "patient_id")}
        writer.writerow(
            {"case": case.name, **told, "label": CLASSES[int(row["label"])]}
        )
    readers = [f"R{number}" for number in range(1, choices.readers + 1)]
    study = study_folder.new_study_sign()
    keys = {reader: study_folder.new_key(study) for reader in readers}
    names = [case.name for case in cases]
    made: dict[str, Any] = {
        "study": study,
        "made": datetime.date.today().isoformat(),
        "arms": choices.arms,
        "washout_days": choices.washout_days,
        "way_back": choices.way_back,
        "seed": choices.seed,
        "synthetic": is_synthetic(manifest, rows),
        "threshold": threshold,
        "asked": asked,
        "cases": tuple(cases),
        "sessions": cross(readers, choices.arms, names, choices.seed),
        "keys": {reader: digest(key) for reader, key in keys.items()},
        "truth_sha256": digest(truth.getvalue()),
    }
    protocol = protocol_text(made, manifest.name, rows["label"], _drawn(choices))
    design = Design(**made)
    private = {
        study_folder.TRUTH: truth.getvalue(),
        study_folder.KEYS: "".join(f"{r}  {key}\n" for r, key in keys.items()),
        study_folder.PROTOCOL: protocol,
    }
    study_folder.write_study(folder, design, images, private)
    return design, keys


def _check_choices(choices: Choices) -> None:
    models = any(MODEL in parts_of(arm) for arm in choices.arms)
    if models != (choices.predictions is not None):
        raise UserError(
            "--predictions: expected with an arm that shows the model's answer, and "
            f"only then. Received: --design {','.join(choices.arms)} "
            f"{'without' if models else 'with'} it"
        )
    if choices.cases is not None and choices.case_list is not None:
        raise UserError("--cases and --case-list: expected one of them. Received: both")


def _asked(
    wanted: Sequence[str], columns: Mapping[str, ClinicalColumn]
) -> tuple[Asked, ...]:
    """The descriptors that readers are asked for; `image_read` stands for all such."""
    names: dict[str, None] = {}
    for word in wanted:
        if word == "image_read":
            read = (n for n, column in columns.items() if column.role == "image_read")
            names.update(dict.fromkeys(read))
        elif word in columns:
            names[word] = None
        else:
            raise UserError(
                f"--ask: expected image_read, or a column of the form: "
                f"{', '.join(columns)}. Received: {word!r}"
            )
    return tuple(
        Asked(
            column=name,
            title=columns[name].shown_name(name),
            words=tuple(columns[name].choices()),
            low=columns[name].low,
            high=columns[name].high,
        )
        for name in names
    )


def _choose_cases(rows: pd.DataFrame, manifest: Path, choices: Choices) -> pd.DataFrame:
    """The rows that are read, in an order that tells nothing."""
    if choices.case_list is not None:
        rows, by_image = _listed(rows, choices.case_list)
        if not by_image:
            rows = _one_image_each(rows, manifest, choices)
    else:
        rows = _one_image_each(rows, manifest, choices)
        if choices.cases is not None:
            labels = dict(zip(rows["patient_id"], rows["label"], strict=True))
            drawn = draw_patients(labels, choices.cases, choices.seed)
            rows = rows[rows["patient_id"].isin(drawn)]
    if rows["label"].nunique() < 2:
        raise UserError(
            f"{choices.case_list or manifest}: expected benign and malignant cases. "
            f"Received: {len(rows)} that are {CLASSES[int(rows['label'].iloc[0])]}"
        )
    order = np.random.default_rng([choices.seed, 2]).permutation(len(rows))
    return rows.iloc[order].reset_index(drop=True)


def _listed(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, bool]:
    """The rows that a table of cases names, and whether it names images."""
    table = read_table(path, ". It names the cases, one a row")
    names = [name for name in ("image", "patient_id") if name in table]
    if not names or table.empty:
        raise UserError(
            f"{path}: expected a column image or patient_id, and a case a row. "
            f"Received: {', '.join(table.columns.drop(ROW))}; {len(table)} rows"
        )
    column = names[0]
    known = set(rows[column])
    problems: list[Problem] = [
        (
            row,
            f"`{column}`: expected one of the manifest, labelled. Received: {name!r}",
        )
        for row, name in zip(table[ROW], table[column], strict=True)
        if name not in known
    ]
    again = table[table[column].duplicated()]
    problems += [
        (row, f"expected each {column} once. Received: {name!r} again")
        for row, name in zip(again[ROW], again[column], strict=True)
    ]
    raise_problems(str(path), problems)
    return rows[rows[column].isin(table[column])], column == "image"


def _one_image_each(
    rows: pd.DataFrame, manifest: Path, choices: Choices
) -> pd.DataFrame:
    """One row a patient; which, its user must say."""
    images = rows.groupby("patient_id")["image"].size()
    several = list(images.index[images > 1])
    if several and choices.which_image is None:
        raise UserError(
            f"{manifest}: expected one image a patient, or which of them is read. "
            f"Received: several of {len(several)} patients ({show_some(several)}). Add "
            "--which-image first or random, or name the images in --case-list"
        )
    if choices.which_image == "random":
        rng = np.random.default_rng([choices.seed, 1])
        rows = rows.iloc[rng.permutation(len(rows))]
    return rows.drop_duplicates("patient_id").sort_values("image")


def _drawn(choices: Choices) -> str:
    """How the cases were chosen, in words."""
    which = f" The {choices.which_image} image of a patient is read." * bool(
        choices.which_image
    )
    if choices.case_list is not None:
        return f"Named in {choices.case_list.name}.{which}"
    if choices.cases is None:
        return f"All patients of the manifest.{which}"
    return (
        "Patients drawn at random, benign and malignant ones in the shares that the "
        f"manifest has (seed {choices.seed}).{which}"
    )


def _model_answers(
    rows: pd.DataFrame, choices: Choices
) -> tuple[dict[str, ModelAnswer], str]:
    """Image -> what the model says of it, and its operating point in words."""
    if choices.predictions is None:
        return {}, ""
    model = read_model_cases(choices.predictions, threshold=choices.threshold)
    said = model.by_unit["image"].set_index("case")
    missing = [image for image in rows["image"] if image not in said.index]
    if missing:
        raise UserError(
            f"{model.source}: expected a prediction of each case, of role test. "
            f"Received: none of {show_some(missing)}. `usgland predict RUN --manifest "
            "CSV` writes them"
        )
    said = said.loc[rows["image"]]
    apart = list(rows["image"][said["label"].to_numpy() != rows["label"].to_numpy()])
    if apart:
        raise UserError(
            f"{model.source}: expected the labels of the manifest. Received: another "
            f"of {show_some(apart)}"
        )
    answers = {
        image: ModelAnswer(probability=round(p, 4), malignant=bool(call))
        for image, p, call in zip(
            rows["image"], said["probability"], said["prediction"], strict=True
        )
    }
    return answers, model.threshold


def _shown(
    row: Mapping[str, Any], form: Mapping[str, ClinicalColumn]
) -> list[tuple[str, str]]:
    """The form of a case as a reader sees it."""
    return [
        (column.shown_name(name), _value(row[name])) for name, column in form.items()
    ]


def _value(value: Any) -> str:
    if is_missing(value) or value != value:
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)
