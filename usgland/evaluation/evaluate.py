"""The step `evaluate`: from a run's predictions to its figures, tables and plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from usgland.config import Config, EvaluationSettings, load_config
from usgland.errors import UserError
from usgland.evaluation.assessments import assess, write_assessments
from usgland.evaluation.figures import (
    confusion_figure,
    history_figure,
    read_history,
    roc_figure,
    save_figure,
)
from usgland.evaluation.operating_point import (
    apply_threshold,
    chosen_point,
    read_thresholds,
)
from usgland.evaluation.predictions import patient_predictions, read_predictions
from usgland.evaluation.subgroups import group_names
from usgland.evaluation.tables import write_tables
from usgland.evaluation.unit_metrics import point_metrics, unit_metrics
from usgland.runs import (
    CONFIG,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    PREDICTIONS,
    TABLES,
    THRESHOLD,
    find_run,
    read_json,
    write_json,
)
from usgland.runs import FIGURES as FIGURES_FOLDER

BYTES_OF_MEGABYTE = 1e6


def evaluate_run(
    run: Path,
    *,
    role: str = "test",
    predictions: Path | None = None,
    settings: EvaluationSettings | None = None,
    overwrite: bool = False,
    prevalences: Sequence[float] = (),
    columns: Mapping[str, pd.Series] | None = None,
    cuts: Mapping[str, tuple[float, ...]] | None = None,
) -> tuple[dict[str, Any], list[Path]]:
    """Scores one role of a run; writes metrics.json, `tables/` and `figures/`.

    Names say what was scored: `metrics.json` of predictions.csv and the role test,
    `metrics-clinic.json` of predictions-clinic.csv, `metrics_val.json` of the role
    val. The JSON file comes last: where it stands, the rest is there.

    Args:
        run: A run directory with config.yaml, threshold.json and environment.json.
        role: Which rows: train, val or test.
        predictions: CSV as `read_predictions` reads it; None for the run's own. A
            column `synthetic` of "1" marks phantoms that a real run was applied to.
        settings: Resamples, level and seed; None for those of the run.
        overwrite: Whether figures that are there already may be made again.
        prevalences: Others, in (0, 1), at which predictive values and net benefit
            are given, beside those of the settings.
        columns: Name -> values by image, for figures of subgroups.
        cuts: Name -> where its bands of numbers begin; see `group_names`.

    Returns:
        What `metrics_of` gives, with `cost`: training_seconds, seconds_per_image,
        model_megabytes (of 10^6 bytes) and parameters, those that are known; what
        `assess` gives; and the files written.

    Raises:
        UserError: If a file is missing or damaged, there is no row of that role, or
            the role was evaluated before.
    """
    path = predictions or run / PREDICTIONS
    find_run(run, THRESHOLD, ENVIRONMENT)
    suffix = path.stem.removeprefix(Path(PREDICTIONS).stem)
    suffix += "" if role == "test" else f"_{role}"
    target = (run / METRICS).with_stem(Path(METRICS).stem + suffix)
    if target.exists() and not overwrite:
        raise UserError(
            f"Expected a {role} part that was not evaluated before. Received: "
            f"{target}, which exists. Add --overwrite to make it again"
        )
    config = load_config(run / CONFIG)
    settings = settings or config.evaluation
    wanted = tuple(dict.fromkeys((*settings.prevalences, *prevalences)))
    settings = settings.model_copy(update={"prevalences": wanted})
    environment = read_json(run / ENVIRONMENT)
    synthetic = _read_synthetic(run / ENVIRONMENT, environment)
    rows = _rows_of(read_predictions(path), role, path)
    synthetic |= "synthetic" in rows and bool((rows["synthetic"] == "1").any())
    thresholds = read_thresholds(run / THRESHOLD)
    metrics = metrics_of(rows, thresholds, settings, synthetic=synthetic)
    metrics["cost"] = _cost(environment)
    metrics["forced_leaks"] = forced_leaks(config)
    groups = {
        name: group_names(values.reindex(rows["image"]), (cuts or {}).get(name, ()))
        for name, values in (columns or {}).items()
    }
    metrics |= assess(
        rows, thresholds, settings, prevalences=prevalences, groups=groups
    )
    written = _write_figures(run, rows, metrics, environment, suffix)
    written += write_assessments(metrics, run, suffix)
    written += write_tables(metrics, run / TABLES, f"metrics{suffix}")
    write_json(target, metrics)
    return metrics, [*written, target]


def metrics_of(
    rows: pd.DataFrame,
    thresholds: dict[str, Any],
    settings: EvaluationSettings,
    *,
    synthetic: bool,
) -> dict[str, Any]:
    """Every figure with its interval, per image and per patient; writes nothing.

    Args:
        rows: Predictions of one role, as `read_predictions` gives them.
        thresholds: As `read_thresholds` gives it; chosen per image, used for both.
        settings: Resamples, level and seed of the intervals.
        synthetic: Whether the images are phantoms, which every report shall say.

    Returns:
        synthetic, role, threshold (a number, or fold -> number), operating_point (its
        method and aim; None where the file does not say), confidence_level, and for
        each of `image` and `patient`: n, n_benign, n_malignant, n_patients,
        confusion `[[tn, fp], [fn, tp]]`, figures: name -> value, low, high, method,
        reason, undefined_resamples, NaN where undefined, and prevalences: a number
        as text -> ppv and npv, likewise. points: one dict a further operating point,
        see `point_metrics`; points_missing: those of the settings that the run's
        validation did not choose.

    Raises:
        ValueError: If there are no rows, or rows of several roles.
    """
    roles = sorted(set(rows["role"]))
    if len(roles) != 1:
        raise ValueError(f"`rows` must be of one role. Received: {roles}")
    images = apply_threshold(rows, thresholds)
    patients = apply_threshold(patient_predictions(rows), thresholds)
    if "folds" in thresholds:
        threshold: Any = {
            str(fold): one["threshold"] for fold, one in thresholds["folds"].items()
        }
    else:
        threshold = thresholds["threshold"]
    chosen, points = chosen_point(thresholds), point_metrics(rows, thresholds, settings)
    shown = {point["method"] for point in points} | {(chosen or {}).get("method")}
    return {
        "synthetic": synthetic,
        "role": roles[0],
        "threshold": threshold,
        "operating_point": chosen,
        "confidence_level": settings.confidence_level,
        "image": unit_metrics(images, settings),
        "patient": unit_metrics(patients, settings),
        "points": points,
        "points_missing": [
            one for one in dict.fromkeys(settings.further_points) if one not in shown
        ],
    }


def forced_leaks(config: Config) -> list[str]:
    """Columns of the form that were used though their names say they know the label."""
    if config.model.inputs == "image":
        return []
    return [n for n in config.clinical.allow_leaks if n in config.clinical.used()]


def _write_figures(
    run: Path,
    rows: pd.DataFrame,
    metrics: dict[str, Any],
    environment: dict[str, Any],
    suffix: str,
) -> list[Path]:
    figures = {
        f"roc{suffix}.png": roc_figure(rows, metrics),
        f"confusion{suffix}.png": confusion_figure(metrics),
    }
    # With the run's own test part; cross-validation has one a fold instead.
    if not suffix and (run / HISTORY).exists():
        figures["history.png"] = history_figure(
            read_history(run / HISTORY),
            synthetic=environment["synthetic"],
            kept_epoch=environment.get("kept_epoch"),
        )
    for name, figure in figures.items():
        save_figure(figure, run / FIGURES_FOLDER / name)
    return [run / FIGURES_FOLDER / name for name in figures]


def _rows_of(rows: pd.DataFrame, role: str, path: Path) -> pd.DataFrame:
    part = rows[rows["role"] == role].reset_index(drop=True)
    if part.empty:
        there = ", ".join(sorted(set(rows["role"])))
        raise UserError(
            f"{path}: expected rows of the role {role}. Received: only {there}"
        )
    return part


def _read_synthetic(path: Path, environment: Any) -> bool:
    synthetic = environment.get("synthetic") if isinstance(environment, dict) else None
    if not isinstance(synthetic, bool):
        raise UserError(
            f"{path}: expected `synthetic`: true or false, so that no phantom passes "
            f"for a patient. Received: {synthetic!r}"
        )
    return synthetic


def _cost(environment: dict[str, Any]) -> dict[str, float]:
    """Time and size, as in Table 2; what the run did not record is left out."""
    names = ("training_seconds", "seconds_per_image", "parameters")
    cost = {name: environment[name] for name in names if name in environment}
    if "model_bytes" in environment:
        cost["model_megabytes"] = environment["model_bytes"] / BYTES_OF_MEGABYTE
    return cost
