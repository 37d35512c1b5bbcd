"""`explain`: joins a run, its images and masks, and the saliency methods."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from usgland.config import Config
from usgland.data.sources import other_rows, run_rows
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import read_calibration
from usgland.evaluation.shown.plot_frame import save_plot
from usgland.explanation import subject as subjects
from usgland.explanation.choices import ExplanationChoices
from usgland.explanation.explained import make_explained
from usgland.explanation.maps import make_maps
from usgland.explanation.pictures import case_plot
from usgland.explanation.sheets import ORDERS, sheet_plot, sort_cases
from usgland.explanation.subject import Subject
from usgland.files import check_unwritten
from usgland.models.ultrasound_weights import check_unlearned
from usgland.runs import CALIBRATION, HEATMAPS, TABLES, predictions_path
from usgland.steps.models import config_of_model, load_model
from usgland.steps.saliency import (
    SALIENCY,
    SHORTCUTS,
    measure_saliency,
    probe_run,
    write_table,
)

CONTRIBUTIONS = f"{TABLES}/contributions.csv"


def explain(run: Path, console: Console, choices: ExplanationChoices) -> list[Path]:
    """Draws where a run's model looked, and measures whether to believe it.

    Returns:
        The files written.

    Raises:
        UserError: If a run or a case cannot be used, or a file exists.
    """
    config = _config_of(run)
    _check_choices(choices)
    target, rows = _rows_of(run, config, choices, console)
    has_table = config.model.inputs == "both" and not choices.cases and choices.limit
    planned = _planned_files(target, choices)
    planned += [target / CONTRIBUTIONS] if has_table else []
    overwrite = choices.overwrite
    check_unwritten("pictures and tables", planned, overwrite=overwrite)
    calibration = read_calibration(run / CALIBRATION)
    subject = subjects.read_subject(load_model(run), rows, calibration)
    drawn = subjects.worst_first(subject.rows)[: choices.limit]
    pictures = _picture_paths(target, rows, drawn, choices)
    check_unwritten("pictures and tables", pictures.values(), overwrite=overwrite)

    if config.has_later_views:
        console.print(
            "Maps and contributions are of the first view, the whole image; the "
            "probability is the mean of all views",
            highlight=False,
            soft_wrap=True,
        )
    added, table = _contributions(subject, drawn, config, console)
    written = list(pictures.values())
    written += [write_table(table, target / CONTRIBUTIONS)] if has_table else []
    maps, inputs, label = {}, subject.part.inputs(), choices.label
    for method in choices.methods:
        console.print(f"{method}: maps of {len(rows)} images", highlight=False)
        maps[method] = make_maps(subject.explained, inputs, method=method, label=label)
        cases = subjects.make_cases(subject, maps[method], added)
        shown = {"method": method, "label": label, "colours": choices.colours}
        for number in drawn:
            save_plot(case_plot(cases[number], **shown), pictures[method, number])
        for order, path in _sheet_paths(target, method, choices).items():
            chosen = sort_cases(cases, order)
            if chosen:
                save_plot(sheet_plot(chosen, order=order, **shown), path)
                written.append(path)
    if choices.limit < len(rows):
        console.print(
            f"Drew {choices.limit} of {len(rows)} cases, the greatest errors first; "
            f"--limit {len(rows)} draws all",
            highlight=False,
        )
    if choices.faithfulness:
        written += measure_saliency(
            target, subject, maps, choices, config.evaluation, console
        )
    if choices.shortcuts:
        written += probe_run(target, subject, config.evaluation, console)
    return written


def _config_of(run: Path) -> Config:
    config = config_of_model(run)
    if config.model.inputs == "clinical":
        make_explained(load_model(run))  # It says why not, before images are sought.
    return config


def _check_choices(choices: ExplanationChoices) -> None:
    if choices.cases and (choices.faithfulness or choices.shortcuts):
        raise UserError(
            "--faithfulness and --shortcuts: expected all cases of a role. Received: "
            f"--cases {choices.cases[0]}; leave it out"
        )
    if choices.other is not None and not choices.faithfulness:
        raise UserError(
            "--other: expected --faithfulness beside it. Received: --other "
            f"{choices.other} alone"
        )


def _rows_of(
    run: Path, config: Config, choices: ExplanationChoices, console: Console
) -> tuple[Path, pd.DataFrame]:
    """Where the files go, and the cases that are explained."""
    if choices.manifest is None:
        target, rows = run, run_rows(run, config, console)
    else:
        # NAME is the one that its predictions have.
        name = predictions_path(run, choices.manifest).stem.removeprefix("predictions-")
        target = run / f"explain-{name}"
        rows = other_rows(run, choices.manifest, config, labelled=True)
        check_unlearned(config, rows, str(choices.manifest))
    source = choices.manifest or run
    return target, subjects.choose_cases(rows, choices.cases, choices.role, source)


def _planned_files(target: Path, choices: ExplanationChoices) -> list[Path]:
    """Sheets and tables, whose names are known before the cases are."""
    planned: list[Path] = []
    for method in choices.methods:
        planned += _sheet_paths(target, method, choices).values()
    planned += [target / name for name in SALIENCY if choices.faithfulness]
    planned += [target / name for name in SHORTCUTS if choices.shortcuts]
    return planned


def _picture_paths(
    target: Path, rows: pd.DataFrame, drawn: Sequence[int], choices: ExplanationChoices
) -> dict[tuple[str, int], Path]:
    """Method and number of a case -> the file of its picture."""
    names, folder = subjects.picture_names(rows["image"]), target / HEATMAPS
    return {
        (method, number): folder / f"{names[number]}_{_suffix(method, choices)}.png"
        for method in choices.methods
        for number in drawn
    }


def _sheet_paths(
    target: Path, method: str, choices: ExplanationChoices
) -> dict[str, Path]:
    """Order of the cases -> the file of the contact sheet; none of single cases."""
    suffix = _suffix(method, choices)
    return {
        order: target / HEATMAPS / f"sheet_{order}_{suffix}.png"
        for order in ORDERS
        if not choices.cases
    }


def _suffix(method: str, choices: ExplanationChoices) -> str:
    """How files of a method and label end: the malignant ones without its name."""
    return method if choices.label == "malignant" else f"{method}_{choices.label}"


def _contributions(
    subject: Subject, numbers: Sequence[int], config: Config, console: Console
) -> tuple[dict[int, dict[str, float]], pd.DataFrame]:
    """What each value of the form adds to the cases that are drawn, and its table."""
    contributions = subjects.form_contributions(subject, numbers)
    if contributions is None:
        return {}, pd.DataFrame()
    columns, values, method = contributions
    console.print(f"Form: {method}, the image held fixed", highlight=False)
    rows, schema = subject.rows.iloc[list(numbers)], config.clinical.columns
    added = {}
    for number, case in zip(numbers, values.tolist(), strict=True):
        form = subject.rows.iloc[number]
        words = (
            subjects.value_in_words(name, form[name], schema[name]) for name in columns
        )
        added[number] = dict(zip(words, case, strict=True))
    table = rows[["image", "patient_id", "label"]].copy()
    table[columns] = values
    return added, table
