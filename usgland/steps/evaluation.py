"""The step `evaluate`: from a run's predictions to its measures, tables and plots."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import Config, forced_leaks, load_config
from usgland.data.columns import BOX, MADE
from usgland.data.sources import manifest_rows, other_rows, run_rows
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import read_predictions, read_role
from usgland.evaluation.cases.thresholds import read_thresholds
from usgland.evaluation.performance.assessment_tables import (
    calibration_table,
    subgroup_tables,
)
from usgland.evaluation.performance.assessments import assess
from usgland.evaluation.performance.measure_plots import history_plot, read_history
from usgland.evaluation.performance.measure_tables import headline, metrics_document
from usgland.evaluation.performance.measures import metrics_of, units_of
from usgland.evaluation.performance.subgroups import (
    BANDS,
    group_names,
    parse_subgroups,
)
from usgland.evaluation.shown.names import UNITS
from usgland.evaluation.shown.plot_frame import save_plot
from usgland.evaluation.shown.terminal import show, show_table
from usgland.files import check_unwritten, read_json, write_json
from usgland.steps.companions import (
    NETWORKS,
    compare_sides,
    measure_importance,
    write_logistic,
)
from usgland.steps.evaluation_files import (
    curve_stem,
    evaluation_documents,
    evaluation_plots,
    subgroup_stem,
)
from usgland.steps.joined_folds import one_model
from usgland.steps.prediction import predict
from usgland.steps.sites import compare_sites, show_local_calibration
from usgland.table_files import with_points
from usgland.training.device import memory_errors_told, show_device

# Columns of checked rows that make no groups worth looking at.
NO_SUBGROUPS = {
    *(*MADE, *BOX, "image", "mask", "patient_id", "group_id"),
    *("label", "fold", "csv_row", "synthetic"),
}


def evaluate(
    run: Path,
    console: Console,
    *,
    manifest: Path | None = None,
    overwrite: bool = False,
    subgroups: Sequence[str] = (),
    prevalences: Sequence[float] = (),
    local_calibration: Sequence[int] = (),
    full: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Scores the test part, predicting it first where that was not done.

    Args:
        run: A run directory with a model and an operating point.
        console: Where the measures are shown.
        manifest: Labelled images of another source, scored instead.
        overwrite: Whether earlier measures and predictions may be replaced.
        subgroups: `COLUMN` or `COLUMN:cut,cut` of the manifest, see `parse_subgroups`.
        prevalences: As for `evaluate_run`.
        local_calibration: So many local patients, for each number: what they buy.
        full: Whether all tables are shown, not the headline alone.
        docx: Whether they are written as Word files, too.
    """
    runs.find_run(run, runs.THRESHOLD)
    if manifest is not None:
        run = one_model(run, console)
    config = load_config(run / runs.CONFIG)
    cuts = parse_subgroups(subgroups)
    path = runs.predictions_path(run, manifest)
    has_folds = (run / runs.FOLDS).exists()
    predicts = not path.exists() or (overwrite and not has_folds)
    judges = manifest is None and not has_folds and config.model.inputs != "image"
    checked = None
    if predicts or judges:
        show_device(functools.partial(console.print, highlight=False, soft_wrap=True))
    if manifest is not None:
        from usgland.models.ultrasound_weights import check_unlearned  # Not of a table.

        checked = other_rows(run, manifest, config, labelled=True)
        check_unlearned(config, checked, str(manifest))
    elif predicts or judges or cuts:
        checked = manifest_rows(config, console, pixels=predicts or judges)
    columns = _manifest_columns(checked, list(cuts))  # before it predicts
    written = []
    if predicts:
        with memory_errors_told():
            written = predict(
                run, console, manifest=manifest, overwrite=overwrite, checked=checked
            )
    elif manifest is not None and checked is not None:
        _check_predicted(path, manifest, checked)
    metrics, files = evaluate_run(
        run,
        predictions=path,
        overwrite=overwrite,
        prevalences=prevalences,
        columns=columns,
        cuts=cuts,
        docx=docx,
    )
    table = next(file for file in files if file.stem.startswith("metrics"))
    _show(metrics, str(table.relative_to(run)), console, full=full)
    if manifest is None and config.split.by is not None:
        files += compare_sites(run, read_role(path, "test"), config, console, docx=docx)
    if local_calibration:
        files += show_local_calibration(
            run, path, local_calibration, config, console, docx=docx
        )
    if judges and checked is not None:
        shown = {"overwrite": overwrite, "full": full, "docx": docx}
        with memory_errors_told():
            files += _judge_form(run, config, checked, console, **shown)
    return written + files


def _manifest_columns(
    rows: pd.DataFrame | None, names: Sequence[str]
) -> dict[str, pd.Series]:
    """Columns of the manifest by image."""
    if rows is None:
        return {}
    for name in names:
        if name not in rows:
            known = sorted(set(map(str, rows)) - NO_SUBGROUPS)
            raise UserError(
                f"--subgroup: expected a column of the manifest: {', '.join(known)}. "
                f"Received: {name!r}"
            )
    return {name: rows.set_index("image")[name] for name in names}


def _check_predicted(path: Path, manifest: Path, rows: pd.DataFrame) -> None:
    """Another hospital's manifest may have the name of the one predicted earlier."""
    names = ["image", "patient_id", "label"]
    predicted = read_predictions(path)[names].astype(str)
    if not predicted.equals(rows[names].astype(str)):
        raise UserError(
            f"Expected predictions of {manifest} in {path}. Received those of other "
            "images or labels. Add --overwrite to predict again"
        )


def _show(metrics: dict[str, Any], file: str, console: Console, *, full: bool) -> None:
    """The headline, which names the file of the rest, or all; subgroups in any case."""
    show(metrics_document(metrics) if full else headline(metrics, file), console)
    tables = [calibration_table(metrics)] if full else []
    for table in (*tables, *subgroup_tables(metrics, UNITS[1:])):
        console.print()
        show_table(table, console)


def _judge_form(
    run: Path,
    config: Config,
    checked: pd.DataFrame,
    console: Console,
    *,
    overwrite: bool,
    full: bool,
    docx: bool,
) -> list[Path]:
    """What the form is worth, on the test part."""
    rows = run_rows(run, config, console, checked)
    tests = iter([(run, rows[rows["role"] == "test"])])
    written = measure_importance(run, tests, config, console, full=full, docx=docx)
    if not (run / runs.ALONE).exists():
        return written
    for beside in (run / runs.ALONE / folder for folder in NETWORKS):
        if not (beside / runs.PREDICTIONS).exists():
            predict(beside, Console(quiet=True), checked=checked)
        if overwrite or not (beside / runs.METRICS).exists():
            evaluate_run(beside, overwrite=overwrite)
    write_logistic(run, [rows], config)
    predictions = read_predictions(run / runs.PREDICTIONS)
    return written + compare_sides(
        run, predictions, config, console, full=full, docx=docx
    )


def evaluate_run(
    run: Path,
    *,
    role: str = "test",
    predictions: Path | None = None,
    overwrite: bool = False,
    prevalences: Sequence[float] = (),
    columns: Mapping[str, pd.Series] | None = None,
    cuts: Mapping[str, tuple[float, ...]] | None = None,
    docx: bool = False,
) -> tuple[dict[str, Any], list[Path]]:
    """Scores one role of a run; writes metrics.json, `tables/` and `figures/`.

    Names say what was scored: `metrics.json` of predictions.csv and the role test,
    `metrics-clinic.json` of predictions-clinic.csv, `metrics_val.json` of the role
    val. The JSON file comes last: where it stands, the rest is there.

    Args:
        run: A run directory, after training.
        role: Which rows: train, val or test.
        predictions: CSV as `read_predictions` reads it; None for the run's own. A
            column `synthetic` of "1" marks phantoms that a real run was applied to.
        overwrite: Whether measures that are there already may be made again.
        prevalences: Others, in (0, 1), at which predictive values and net benefit
            are given, beside those of the settings.
        columns: Name -> values by image, for measures of subgroups.
        cuts: Name -> where its bands of numbers begin; see `group_names`.
        docx: Whether every table is written as a Word file, too.

    Returns:
        What `metrics_of` gives, with `cost`: training_seconds, seconds_per_image,
        model_megabytes (of 10^6 bytes) and parameters, those that are known; what
        `assess` gives; and the files written.
    """
    path = predictions or run / runs.PREDICTIONS
    runs.find_run(run, runs.THRESHOLD, runs.ENVIRONMENT)
    suffix = path.stem.removeprefix(Path(runs.PREDICTIONS).stem)
    suffix += "" if role == "test" else f"_{role}"
    target = (run / runs.METRICS).with_stem(Path(runs.METRICS).stem + suffix)
    check_unwritten(f"evaluation of the {role} part", [target], overwrite=overwrite)
    config = load_config(run / runs.CONFIG)
    wanted = tuple(dict.fromkeys((*config.evaluation.prevalences, *prevalences)))
    settings = config.evaluation.model_copy(update={"prevalences": wanted})
    environment = read_json(run / runs.ENVIRONMENT)
    synthetic = runs.is_of_phantoms(run)
    rows = read_role(path, role)
    synthetic |= "synthetic" in rows and bool((rows["synthetic"] == "1").any())
    thresholds = read_thresholds(run / runs.THRESHOLD)
    units = units_of(rows, settings)
    metrics = metrics_of(rows, thresholds, settings, synthetic=synthetic, units=units)
    metrics["cost"] = _cost(environment)
    metrics["forced_leaks"] = forced_leaks(config)
    groups = {}
    for name, values in (columns or {}).items():
        own = (cuts or {}).get(name, ())
        points = with_points(values.reindex(rows["image"]), 1 if own else BANDS + 1)
        groups[name] = group_names(points, own)
    metrics |= assess(
        rows, thresholds, settings, prevalences=prevalences, groups=groups, units=units
    )
    plots = evaluation_plots(rows, metrics, suffix)
    # Cross-validation has a history a fold instead.
    if not suffix and (run / runs.HISTORY).exists():
        plots["history"] = history_plot(
            read_history(run / runs.HISTORY),
            synthetic=environment["synthetic"],
            kept_epoch=environment.get("kept_epoch"),
        )
    _remove_earlier(run, target, suffix)
    written = [run / runs.PLOTS / f"{name}.png" for name in plots]
    for file, plot in zip(written, plots.values(), strict=True):
        save_plot(plot, file)
    for name, document in evaluation_documents(metrics).items():
        written += document.write(run / runs.TABLES / f"{name}{suffix}", docx=docx)
    write_json(target, metrics)
    return metrics, [*written, target]


def _cost(environment: dict[str, Any]) -> dict[str, float]:
    """Time and size, as in Table 2; what the run did not record is left out."""
    names = ("training_seconds", "seconds_per_image", "parameters")
    cost = {name: environment[name] for name in names if name in environment}
    if "model_bytes" in environment:
        cost["model_megabytes"] = environment["model_bytes"] / 1e6
    return cost


def _remove_earlier(run: Path, target: Path, suffix: str) -> None:
    """Removes what an earlier evaluation alone was asked for, as its JSON tells.

    A report would show such subgroups and prevalences beside measures that they do
    not belong to.
    """
    earlier = read_json(target) if target.exists() else {}
    stems = [subgroup_stem(column) for column in earlier.get("subgroups", {})]
    stems += [curve_stem(curves) for curves in earlier.get("decision_curve", [])[1:]]
    names = [f"{runs.PLOTS}/{stem}{suffix}.png" for stem in stems]
    names += [
        f"{runs.TABLES}/subgroups{suffix}.{kind}" for kind in ("md", "csv", "docx")
    ]
    for name in names:
        (run / name).unlink(missing_ok=True)
