"""The commands as functions: each joins steps that know nothing of each other."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import keras
import pandas as pd
from rich.console import Console

from usgland.config import Config, load_config
from usgland.data.sources import (
    check_pretraining,
    manifest_rows,
    other_rows,
    run_rows,
)
from usgland.data.splits import (
    UNUSED,
    fold_roles,
    make_folds,
    make_splits,
    splits_table,
)
from usgland.errors import UserError
from usgland.evaluation.evaluate import evaluate_run, metrics_of
from usgland.evaluation.operating_point import (
    choose_operating_point,
    read_thresholds,
    write_thresholds,
)
from usgland.evaluation.predictions import patient_predictions, read_predictions
from usgland.evaluation.tables import print_metrics
from usgland.models.classifier import LOGIT, PREPROCESSING
from usgland.runs import (
    CONFIG,
    ENVIRONMENT,
    FOLDS,
    MODEL,
    PREDICTIONS,
    SPLITS,
    THRESHOLD,
    find_run,
    patients_path,
    predictions_path,
    read_json,
    removed_if_empty,
    write_json,
    write_whole,
)
from usgland.serving.export import export_model
from usgland.training.fit import fit_run, prepare_run
from usgland.training.predict import predict_rows

PARITY_IMAGES = 20  # that an export must agree on before it is published
OF_ONE_FOLD = ("epochs", "kept_epoch")  # of environment.json


def fit(run: Path, config: Config | None, console: Console) -> None:
    """Trains a model, chooses its operating point, prints its validation figures.

    The test part is not read, only checked with the rest of the manifest.

    Args:
        run: The run directory to make, or to finish.
        config: Settings of a new run, or None to finish the one that is there.
        console: Where progress and the table are shown.
    """
    is_new = config is not None
    if config is None:
        config = load_config(find_run(run, SPLITS) / CONFIG)
        rows = run_rows(run, config, console)
    else:
        rows = manifest_rows(config, console, ("split", "fold"))
        rows = make_splits(rows, config.split)
        check_pretraining(config, rows[rows["role"].isin(["val", "test"])])
        prepare_run(run, config, splits_table(rows))
    _describe(rows, console)
    with removed_if_empty(run, is_new):
        fit_run(run, rows, console)
    val = predict_rows(_load_model(run), rows[rows["role"] == "val"])
    threshold = choose_operating_point(val, config.evaluation.operating_point)
    write_thresholds(run / THRESHOLD, threshold)
    synthetic = read_json(run / ENVIRONMENT)["synthetic"]
    metrics = metrics_of(val, threshold, config.evaluation, synthetic=synthetic)
    print_metrics(metrics, console)


def cross_validate(run: Path, config: Config | None, console: Console) -> None:
    """Trains one model a fold and pools what each says of patients it never saw.

    Args:
        run: The run directory to make, or to finish. Each fold is a run directory
            in it; those that are done are not repeated.
        config: Settings of a new run, or None to finish the one that is there.
        console: Where progress is shown.
    """
    is_new = config is not None
    if config is None:
        config = load_config(find_run(run, SPLITS, FOLDS) / CONFIG)
        stored = config.split.model_copy(update={"file": run / SPLITS})
        rows = make_folds(manifest_rows(config, console), stored)
    else:
        rows = manifest_rows(config, console, ("fold",))
        rows = make_folds(rows, config.split)
        check_pretraining(config, rows)
        if "split" in rows and any(rows["split"]):
            console.print("The column `split` has no part in cross-validation")
    # All before the first is trained: a fold that cannot be split ends it here.
    rounds = {
        run / FOLDS / str(fold): splits_table(fold_roles(rows, fold, config.split))
        for fold in sorted(rows["fold"].unique())
    }
    if is_new:
        prepare_run(run, config, splits_table(rows), folds=True)
    with removed_if_empty(run, is_new):
        for number, (part, splits) in enumerate(rounds.items(), start=1):
            console.rule(f"Fold {number} of {len(rounds)}")
            if (part / PREDICTIONS).exists():
                console.print("Done before")
                continue
            if not part.exists():
                prepare_run(part, config, splits)
            if not (part / THRESHOLD).exists():
                fit(part, None, console)
            predict(part, console)
            keras.backend.clear_session()
    _pool_folds(run, list(rounds))


def _pool_folds(run: Path, parts: list[Path]) -> None:
    """Writes what the folds say together; predictions last, as they mean the end."""
    tables = [
        read_predictions(part / PREDICTIONS).assign(fold=part.name) for part in parts
    ]
    pooled = pd.concat(table[table["role"] == "test"] for table in tables)
    environments = [read_json(part / ENVIRONMENT) for part in parts]
    whole = {k: v for k, v in environments[0].items() if k not in OF_ONE_FOLD}
    whole["training_seconds"] = sum(one["training_seconds"] for one in environments)
    write_json(run / ENVIRONMENT, whole)
    thresholds = {part.name: read_thresholds(part / THRESHOLD) for part in parts}
    write_thresholds(run / THRESHOLD, {"folds": thresholds})
    _write_predictions(pooled, run / PREDICTIONS)


def predict(
    run: Path,
    console: Console,
    *,
    manifest: Path | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    labelled: bool = False,
) -> list[Path]:
    """Writes P(malignant) of each image and of each patient.

    Args:
        run: A run directory with a model.
        console: Where progress is shown.
        manifest: Other images; without it, those of the run, with their roles.
        output: CSV to write; see `predictions_path`.
        overwrite: Whether earlier predictions may be replaced.
        labelled: Whether every image of `manifest` must have a label.

    Returns:
        The files written: one row an image, one row a patient.

    Raises:
        UserError: If the run or the manifest cannot be used, or a file exists.
    """
    if (run / FOLDS).exists():
        raise UserError(
            "Expected a run with one model. Received the cross-validation "
            f"{run}; its models are in {run / FOLDS}, e.g. {run / FOLDS / '0'}"
        )
    config = load_config(find_run(run, MODEL) / CONFIG)
    path = output or predictions_path(run, manifest)
    # In the run, patients without images are what a killed process left.
    needed = [path] if output is None else [path, patients_path(path)]
    existing = [one for one in needed if one.exists()]
    if existing and not overwrite:
        raise UserError(
            f"Predictions are not overwritten. Received {existing[0]}, which exists. "
            "Add --overwrite to replace it"
        )
    if manifest is None:
        rows = run_rows(run, config, console)
        rows = rows[rows["role"] != UNUSED]
    else:
        rows = other_rows(run, manifest, config, labelled=labelled)
    return _write_predictions(predict_rows(_load_model(run), rows), path)


def evaluate(
    run: Path,
    console: Console,
    *,
    manifest: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Scores the test part, predicting it first where that was not done.

    Args:
        run: A run directory with a model and an operating point.
        console: Where the table is shown.
        manifest: Labelled images of another source, scored instead.
        overwrite: Whether earlier figures and predictions may be replaced.

    Returns:
        The files written.
    """
    find_run(run, THRESHOLD)
    path = predictions_path(run, manifest)
    written = []
    if not path.exists() or (overwrite and not (run / FOLDS).exists()):
        written = predict(
            run, console, manifest=manifest, overwrite=overwrite, labelled=True
        )
    elif manifest is not None:
        _check_predicted(path, manifest, run)
    metrics, files = evaluate_run(run, predictions=path, overwrite=overwrite)
    print_metrics(metrics, console)
    return written + files


def export(run: Path, models_dir: Path, name: str) -> Path:
    """Writes the run's model under `models_dir/name` and returns the new version."""
    config = load_config(find_run(run, MODEL) / CONFIG)
    rows = run_rows(run, config, Console(quiet=True))
    paths = rows.loc[rows["role"] == "val", "image_path"].head(PARITY_IMAGES)
    images = [Path(path).read_bytes() for path in paths]
    return export_model(_load_model(run), models_dir / name, images)


def _check_predicted(path: Path, manifest: Path, run: Path) -> None:
    """Another hospital's manifest may have the name of the one predicted earlier."""
    config = load_config(run / CONFIG)
    rows = other_rows(run, manifest, config, labelled=True)
    names = ["image", "patient_id", "label"]
    there = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not there[names].equals(rows[names].astype(str)):
        raise UserError(
            f"Expected predictions of {manifest} in {path}. Received those of other "
            "images or labels. Add --overwrite to predict again"
        )


def _load_model(run: Path) -> keras.Model:
    try:
        model = keras.models.load_model(run / MODEL, compile=False)
        model.get_layer(PREPROCESSING)  # Or it is a model of another program.
        model.get_layer(LOGIT)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, zlib.error) as error:
        raise UserError(
            f"Expected a model in {run / MODEL}. Received a file that cannot be read: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return model


def _write_predictions(table: pd.DataFrame, path: Path) -> list[Path]:
    patients = patient_predictions(table)
    by_patient = patients_path(path)
    for one, where in ((patients, by_patient), (table, path)):
        with write_whole(where) as temporary:
            one.to_csv(temporary, index=False)
    return [path, by_patient]


def _describe(rows: pd.DataFrame, console: Console) -> None:
    """One line on who trains, who chooses and who tests."""
    parts = []
    for role, part in rows.groupby("role", sort=False):
        patients = part.groupby("patient_id")["label"].max()
        parts.append(
            f"{role} {len(part)} images of {len(patients)} patients "
            f"({int((patients == 0).sum())} benign, {int(patients.sum())} malignant)"
        )
    console.print("; ".join(sorted(parts)), highlight=False, soft_wrap=True)
