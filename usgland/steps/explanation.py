"""`explain`: joins a run, its images and masks, and the saliency methods."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from usgland.config import Config
from usgland.data.sources import other_rows, run_rows
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import read_calibration
from usgland.evaluation.shown.plot_frame import save_plot
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


def explain(
    run: Path,
    console: Console,
    *,
    manifest: Path | None = None,
    cases: Sequence[str] = (),
    methods: Sequence[str] = ("gradcam",),
    label: str = "malignant",
    colours: str = "paper",
    role: str = "test",
    limit: int = 24,
    faithfulness: bool = False,
    other: Path | None = None,
    shortcuts: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Draws where a run's model looked, and measures whether to believe it.

    Args:
        run: A run directory with a model.
        console: Where progress and tables are shown.
        manifest: Labelled images of another source, all of them in the role `test`;
            what is written then stands in `explain-NAME` of the run.
        cases: Images, their file names without suffix, or patients; none: all.
        methods: Of `usgland.explanation.maps.METHODS`.
        label: For which the maps are evidence, `"malignant"` or `"benign"`.
        colours: Key of `usgland.explanation.pictures.COLOURS`.
        role: Which images of the run.
        limit: Pictures of single cases, the greatest errors first.
        faithfulness: Whether to measure the maps.
        other: A run, as of another seed, whose maps are compared with these.
        shortcuts: Whether to ask the model without the lesion and the like.
        overwrite: Whether earlier files may be replaced.

    Returns:
        The files written.

    Raises:
        UserError: If a run or a case cannot be used, or a file exists.
    """
    config = _config_of(run)
    _check_options(cases, other, faithfulness=faithfulness, shortcuts=shortcuts)
    if manifest is None:
        target, rows = run, run_rows(run, config, console)
    else:
        # NAME as in the names of its predictions.
        name = predictions_path(run, manifest).stem.removeprefix("predictions-")
        target = run / f"explain-{name}"
        rows = other_rows(run, manifest, config, labelled=True)
    rows = choose_cases(rows, cases, role, manifest or run)
    planned = [] if cases else sheet_paths(target, methods, label)
    planned += [target / name for name in SALIENCY if faithfulness]
    planned += [target / name for name in SHORTCUTS if shortcuts]
    has_form = config.model.inputs == "both" and not cases and limit
    planned += [target / CONTRIBUTIONS] if has_form else []
    _check_free(planned, overwrite)
    calibration = read_calibration(run / CALIBRATION)
    subject = read_subject(load_model(run), rows, calibration)
    worst = worst_first(subject.rows)[:limit]
    names = picture_names(rows["image"])
    look: dict[str, Any] = {"label": label, "colours": colours}
    pictures = {
        (method, number): target
        / HEATMAPS
        / f"{names[number]}_{suffix(method, label)}.png"
        for method in methods
        for number in worst
    }
    _check_free(list(pictures.values()), overwrite)
    added, table = _contributions(subject, worst, config, console)
    written = [write_table(table, target / CONTRIBUTIONS)] if has_form else []
    maps = {}
    for method in methods:
        console.print(f"{method}: maps of {len(rows)} images", highlight=False)
        maps[method] = make_maps(
            subject.explained, subject.part.inputs(), method=method, label=label
        )
        drawn = make_cases(subject, maps[method], added)
        for number in worst:
            measure = case_plot(drawn[number], method=method, **look)
            save_plot(measure, pictures[method, number])
        if not cases:
            written += _draw_sheets(target, drawn, {"method": method, **look})
    if limit < len(rows):
        console.print(
            f"Drew {limit} of {len(rows)} cases, the greatest errors first; --limit "
            f"{len(rows)} draws all",
            highlight=False,
        )
    written = [*pictures.values(), *written]
    settings = config.evaluation
    if faithfulness:
        written += measure_saliency(
            target, subject, maps, label, other, role, settings, console
        )
    if shortcuts:
        written += probe_run(target, subject, settings, console)
    return written


def _config_of(run: Path) -> Config:
    config = config_of_model(run)
    if config.model.inputs == "clinical":
        make_explained(load_model(run))  # says why not, before images are sought
    return config


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


def _check_options(
    cases: Sequence[str], other: Path | None, *, faithfulness: bool, shortcuts: bool
) -> None:
    if cases and (faithfulness or shortcuts):
        raise UserError(
            "--faithfulness and --shortcuts: expected all cases of a role. Received: "
            f"--cases {cases[0]}; leave it out"
        )
    if other is not None and not faithfulness:
        raise UserError(
            f"--other: expected --faithfulness beside it. Received: --other {other} "
            "alone"
        )


def _contributions(
    subject: Subject, numbers: Sequence[int], config: Config, console: Console
) -> tuple[dict[int, dict[str, float]], pd.DataFrame]:
    """What each value of the form adds to the cases that are drawn, and its table."""
    found = form_contributions(subject, numbers)
    if found is None:
        return {}, pd.DataFrame()
    console.print(f"Form: {found.method}, the image held fixed", highlight=False)
    rows = subject.rows.iloc[list(numbers)]
    added = {
        number: {
            value_in_words(column, row[column], config.clinical.columns[column]): value
            for column, value in zip(found.columns, map(float, values), strict=True)
        }
        for number, (_, row), values in zip(
            numbers, rows.iterrows(), found.values, strict=True
        )
    }
    table = rows[["image", "patient_id", "label"]].copy()
    table[found.columns] = found.values
    return added, table


def _draw_sheets(run: Path, cases: list[Case], look: dict[str, Any]) -> list[Path]:
    written = []
    paths = sheet_paths(run, [look["method"]], look["label"])
    for order, path in zip(ORDERS, paths, strict=True):
        chosen = sort_cases(cases, order)
        if chosen:
            save_plot(sheet_plot(chosen, order=order, **look), path)
            written.append(path)
    return written


def _check_free(paths: Sequence[Path], overwrite: bool) -> None:
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise UserError(
            f"Pictures and tables are not overwritten. Received {existing[0]}, which "
            "exists. Add --overwrite to make them again"
        )
