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
from usgland.explanation.choices import ExplanationChoices
from usgland.explanation.explained import make_explained
from usgland.explanation.maps import make_maps
from usgland.explanation.pictures import Case, case_plot
from usgland.explanation.sheets import ORDERS, sheet_plot, sort_cases
from usgland.explanation.subject import (
    Subject,
    choose_cases,
    form_contributions,
    make_cases,
    picture_names,
    read_subject,
    value_in_words,
    worst_first,
)
from usgland.files import check_unwritten
from usgland.runs import (
    CALIBRATION,
    HEATMAPS,
    TABLES,
    predictions_path,
)
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

    Args:
        run: A run directory with a model.
        console: Where progress and tables are shown.
        choices: What is drawn and measured.

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
    subject = read_subject(load_model(run), rows, read_calibration(run / CALIBRATION))
    drawn = worst_first(subject.rows)[: choices.limit]
    pictures = _picture_paths(target, rows, drawn, choices)
    check_unwritten("pictures and tables", pictures.values(), overwrite=overwrite)

    added, table = _contributions(subject, drawn, config, console)
    written = list(pictures.values())
    written += [write_table(table, target / CONTRIBUTIONS)] if has_table else []
    maps = {}
    for method in choices.methods:
        console.print(f"{method}: maps of {len(rows)} images", highlight=False)
        maps[method] = make_maps(
            subject.explained,
            subject.part.inputs(),
            method=method,
            label=choices.label,
        )
        cases = make_cases(subject, maps[method], added)
        for number in drawn:
            _draw_case(cases[number], method, choices, pictures[method, number])
        if not choices.cases:
            written += _draw_sheets(target, cases, method, choices)
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
    source = choices.manifest or run
    return target, choose_cases(rows, choices.cases, choices.role, source)


def _planned_files(target: Path, choices: ExplanationChoices) -> list[Path]:
    """Sheets and tables, whose names are known before the cases are."""
    planned: list[Path] = []
    if not choices.cases:
        for method in choices.methods:
            planned += _sheet_paths(target, method, choices.label).values()
    planned += [target / name for name in SALIENCY if choices.faithfulness]
    planned += [target / name for name in SHORTCUTS if choices.shortcuts]
    return planned


def _picture_paths(
    target: Path, rows: pd.DataFrame, drawn: Sequence[int], choices: ExplanationChoices
) -> dict[tuple[str, int], Path]:
    """Method and number of a case -> the file of its picture."""
    names = picture_names(rows["image"])
    return {
        (method, number): target
        / HEATMAPS
        / f"{names[number]}_{_suffix(method, choices.label)}.png"
        for method in choices.methods
        for number in drawn
    }


def _sheet_paths(target: Path, method: str, label: str) -> dict[str, Path]:
    """Order of the cases -> the file of the contact sheet."""
    return {
        order: target / HEATMAPS / f"sheet_{order}_{_suffix(method, label)}.png"
        for order in ORDERS
    }


def _suffix(method: str, label: str) -> str:
    """How files of a method and label end: the malignant ones without its name."""
    return method if label == "malignant" else f"{method}_{label}"


def _contributions(
    subject: Subject, numbers: Sequence[int], config: Config, console: Console
) -> tuple[dict[int, dict[str, float]], pd.DataFrame]:
    """What each value of the form adds to the cases that are drawn, and its table."""
    contributions = form_contributions(subject, numbers)
    if contributions is None:
        return {}, pd.DataFrame()
    columns, values, method = contributions
    console.print(f"Form: {method}, the image held fixed", highlight=False)
    rows = subject.rows.iloc[list(numbers)]
    added = {
        number: {
            value_in_words(column, row[column], config.clinical.columns[column]): value
            for column, value in zip(columns, map(float, case), strict=True)
        }
        for number, (_, row), case in zip(numbers, rows.iterrows(), values, strict=True)
    }
    table = rows[["image", "patient_id", "label"]].copy()
    table[columns] = values
    return added, table


def _draw_case(
    case: Case, method: str, choices: ExplanationChoices, path: Path
) -> None:
    label, colours = choices.label, choices.colours
    save_plot(case_plot(case, method=method, label=label, colours=colours), path)


def _draw_sheets(
    target: Path, cases: list[Case], method: str, choices: ExplanationChoices
) -> list[Path]:
    written = []
    for order, path in _sheet_paths(target, method, choices.label).items():
        chosen = sort_cases(cases, order)
        if chosen:
            sheet = sheet_plot(
                chosen,
                order=order,
                method=method,
                label=choices.label,
                colours=choices.colours,
            )
            save_plot(sheet, path)
            written.append(path)
    return written
