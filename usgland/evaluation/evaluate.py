"""The step `evaluate`: from a run's predictions to its figures, tables and plots."""

from pathlib import Path
from typing import Any

import pandas as pd

from usgland.config import EvaluationSettings, load_config
from usgland.errors import UserError
from usgland.evaluation.figures import (
    confusion_figure,
    history_figure,
    read_history,
    roc_figure,
    save_figure,
)
from usgland.evaluation.operating_point import apply_threshold, read_thresholds
from usgland.evaluation.predictions import patient_predictions, read_predictions
from usgland.evaluation.scores import (
    FIGURES,
    bootstrap_figures,
    confusion,
    percentile_interval,
    score,
)
from usgland.evaluation.tables import write_tables
from usgland.runs import (
    CONFIG,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    PREDICTIONS,
    THRESHOLD,
    find_run,
    read_json,
    write_json,
)
from usgland.runs import FIGURES as FIGURES_FOLDER

TABLES_FOLDER = "tables"
BYTES_OF_MEGABYTE = 1e6


def evaluate_run(
    run: Path,
    *,
    role: str = "test",
    settings: EvaluationSettings | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Scores one role of a run; writes metrics.json, `tables/` and `figures/`.

    For a role other than test the names end in it: `metrics_val.json`, `roc_val.png`.
    `metrics.json` comes last: where it stands, the rest is there.

    Args:
        run: A run directory with predictions.csv, threshold.json, environment.json.
        role: Which rows: train, val or test.
        settings: Resamples, level and seed; None for those of the run.
        overwrite: Whether figures that are there already may be made again.

    Returns:
        What `metrics_of` gives, with `cost`: training_seconds, seconds_per_image,
        model_megabytes (of 10^6 bytes) and parameters, those that are known.

    Raises:
        UserError: If a file is missing or damaged, there is no row of that role, or
            the role was evaluated before.
    """
    find_run(run, PREDICTIONS, THRESHOLD, ENVIRONMENT)
    suffix = "" if role == "test" else f"_{role}"
    target = (run / METRICS).with_stem(Path(METRICS).stem + suffix)
    if target.exists() and not overwrite:
        raise UserError(
            f"Expected a run whose {role} part was not evaluated before. Received: "
            f"{target}. Add --overwrite to make it again"
        )
    settings = settings or load_config(run / CONFIG).evaluation
    environment = read_json(run / ENVIRONMENT)
    synthetic = _read_synthetic(run, environment)
    rows = _rows_of(read_predictions(run / PREDICTIONS), role, run)
    thresholds = read_thresholds(run / THRESHOLD)
    metrics = metrics_of(rows, thresholds, settings, synthetic)
    metrics["cost"] = _cost(environment)
    folder = run / FIGURES_FOLDER
    save_figure(roc_figure(rows, metrics), folder / f"roc{suffix}.png")
    save_figure(confusion_figure(metrics), folder / f"confusion{suffix}.png")
    if (run / HISTORY).exists():  # cross-validation has one a fold instead
        history = read_history(run / HISTORY)
        kept = environment.get("kept_epoch")
        save_figure(history_figure(history, synthetic, kept), folder / "history.png")
    write_tables(metrics, run / TABLES_FOLDER, f"metrics{suffix}")
    write_json(target, metrics)
    return metrics


def metrics_of(
    rows: pd.DataFrame,
    thresholds: dict[str, Any],
    settings: EvaluationSettings,
    synthetic: bool,
) -> dict[str, Any]:
    """Every figure with its interval, per image and per patient; writes nothing.

    Args:
        rows: Predictions of one role, as `read_predictions` gives them.
        thresholds: As `read_thresholds` gives it; chosen per image, used for both.
        settings: Resamples, level and seed of the intervals.
        synthetic: Whether the images are phantoms, which every report shall say.

    Returns:
        synthetic, role, threshold (a number, or fold -> number), confidence_level,
        and for each of `image` and `patient`: n, n_benign, n_malignant, n_patients,
        confusion `[[tn, fp], [fn, tp]]`, and figures: name -> value, low, high,
        method, undefined_resamples. NaN where undefined.

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
    return {
        "synthetic": synthetic,
        "role": roles[0],
        "threshold": threshold,
        "confidence_level": settings.confidence_level,
        "image": _unit_metrics(images, settings),
        "patient": _unit_metrics(patients, settings),
    }


def _unit_metrics(rows: pd.DataFrame, settings: EvaluationSettings) -> dict[str, Any]:
    labels, probabilities = rows["label"].to_numpy(), rows["probability"].to_numpy()
    threshold, patient_ids = rows["threshold"].to_numpy(), rows["patient_id"].to_numpy()
    values = score(labels, probabilities, threshold)
    resampled = bootstrap_figures(
        labels,
        probabilities,
        threshold,
        patient_ids.astype(str),
        resamples=settings.bootstrap_resamples,
        seed=settings.seed,
    )
    figures = {}
    for name in FIGURES:
        interval = percentile_interval(
            resampled[name], level=settings.confidence_level, seed=settings.seed
        )
        figures[name] = {
            "value": values[name],
            "low": interval.low,
            "high": interval.high,
            "method": interval.method,
            "undefined_resamples": interval.undefined,
        }
    return {
        "n": len(rows),
        "n_benign": int((labels == 0).sum()),
        "n_malignant": int((labels == 1).sum()),
        "n_patients": int(rows["patient_id"].nunique()),
        "confusion": confusion(labels, rows["prediction"]).tolist(),
        "figures": figures,
    }


def _rows_of(rows: pd.DataFrame, role: str, run: Path) -> pd.DataFrame:
    part = rows[rows["role"] == role].reset_index(drop=True)
    if part.empty:
        there = ", ".join(sorted(set(rows["role"])))
        raise UserError(
            f"{run / PREDICTIONS}: expected rows of the role {role}. "
            f"Received: only {there}"
        )
    return part


def _read_synthetic(run: Path, environment: Any) -> bool:
    synthetic = environment.get("synthetic") if isinstance(environment, dict) else None
    if not isinstance(synthetic, bool):
        raise UserError(
            f"{run / ENVIRONMENT}: expected `synthetic`: true or false, so that no "
            f"phantom passes for a patient. Received: {synthetic!r}"
        )
    return synthetic


def _cost(environment: dict[str, Any]) -> dict[str, float]:
    """Time and size, as in Table 2; what the run did not record is left out."""
    names = ("training_seconds", "seconds_per_image", "parameters")
    cost = {name: environment[name] for name in names if name in environment}
    if "model_bytes" in environment:
        cost["model_megabytes"] = environment["model_bytes"] / BYTES_OF_MEGABYTE
    return cost
