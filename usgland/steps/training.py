"""The steps `fit` and `cv`: from a manifest to a trained run."""

import functools
from pathlib import Path
from typing import Any

import keras
import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import ULTRASOUND, Config, forced_leaks, load_config
from usgland.data.lesion_marks import count_marked
from usgland.data.sources import (
    check_pretraining,
    manifest_rows,
    run_rows,
    takes_images,
    with_lesion,
)
from usgland.data.splits import (
    draw_rounds,
    fold_names,
    fold_roles,
    make_folds,
    make_splits,
    site_names,
    splits_table,
)
from usgland.errors import UserError
from usgland.evaluation.cases.calibration import (
    apply_calibration,
    describe_calibration,
    fit_calibration,
    read_calibration,
    write_calibration,
)
from usgland.evaluation.cases.predictions import CHOOSING, read_predictions
from usgland.evaluation.cases.thresholds import (
    Thresholds,
    choose_points,
    read_thresholds,
    write_thresholds,
)
from usgland.evaluation.performance.measure_tables import headline, metrics_document
from usgland.evaluation.performance.measures import metrics_of
from usgland.evaluation.shown.terminal import show
from usgland.evaluation.shown.text import format_measure
from usgland.files import read_json, write_json
from usgland.models.ultrasound_weights import CAUTION, check_unlearned
from usgland.steps.before_training import warn_of_images
from usgland.steps.companions import (
    compare_sides,
    has_companions,
    measure_importance,
    train_companions,
    write_logistic,
)
from usgland.steps.cross_fitting import (
    ROUNDS,
    choose_across_folds,
    describe_rounds,
    rounds_out_of_fold,
    taught_rows,
    train_network,
    train_rounds,
)
from usgland.steps.models import load_model
from usgland.steps.offset_fusion import answers_of, joins_by_offset
from usgland.steps.prediction import predict, write_predictions
from usgland.steps.sites import SITE, compare_sites
from usgland.training.automatic import settle_batch, settle_lesions, usable_gpus
from usgland.training.device import taken_precision
from usgland.training.fit import prepare_run
from usgland.training.predict import predict_rows

OF_ONE_FOLD = ("epochs", "kept_epoch")  # of environment.json


def precision_of(run: Path, config: Config | None) -> str:
    """The Keras dtype policy of a new run, or of the one that is there."""
    return taken_precision(load_config(run / runs.CONFIG) if config is None else config)


def fit(
    run: Path,
    config: Config | None,
    console: Console,
    *,
    brief: bool = False,
    full: bool = False,
    checked: pd.DataFrame | None = None,
) -> None:
    """Trains, calibrates, chooses the operating point, prints validation measures.

    The test part is not read, only checked with the rest of the manifest. Where nobody
    is held back, rounds of other networks stand for validation; see `train_rounds`.

    Args:
        run: The run directory to make, or to finish.
        config: Settings of a new run, or None to finish the one that is there.
        console: Where progress and the table are shown.
        brief: Whether the validation AUC stands for the table, and nothing is said
            of the data: the run is one of several on the same.
        full: Whether all measures are shown, not the headline alone.
        checked: What `manifest_rows` gave this command earlier; None: it is asked.
    """
    is_new = config is not None
    details = Console(quiet=True) if brief else console
    if config is None:
        config = load_config(runs.find_run(run, runs.SPLITS) / runs.CONFIG)
        checked = manifest_rows(config, details) if checked is None else checked
        rows = run_rows(run, config, details, checked, no_lesion=True)
        rows = taught_rows(rows, run)
        _check_rounds(run, config)
    else:
        if checked is None:
            checked = manifest_rows(config, details, ("split", "fold"))
        rows = make_splits(checked, config.split)
        rounds = []
        if not config.holds_back:
            rounds = draw_rounds(rows, config.split, ROUNDS)
        _check_start(config, with_lesion(rows[_is_scored(rows, config)]), details)
        if answers_of(config) is None:
            config = settle_lesions(config, count_marked(rows[rows["role"] == "train"]))
        prepare_run(
            run, config, splits_table(rows), rounds=list(map(splits_table, rounds))
        )
        config = load_config(run / runs.CONFIG)  # settled, as a resume finds it
        if not brief:
            warn_of_images(rows, config, console)
    _describe(rows, config, details)
    if not config.holds_back:
        describe_rounds(run, console)
    with runs.removed_if_empty(run, is_new):
        if has_companions(config):
            beside = functools.partial(fit, brief=True, checked=checked)
            train_companions(run, config, console, beside, runs.THRESHOLD)
        if not config.holds_back:
            train_rounds(run, checked, console)
        train_network(run, rows, config, console)
    if config.holds_back:
        said = predict_rows(load_model(run), rows[rows["role"] == "val"])
    else:
        said = rounds_out_of_fold(run)
    metrics = _choose(run, said, config, console)
    role = metrics["role"]
    if brief:
        auc = format_measure(metrics["patient"]["figures"]["roc_auc"])
        word = CHOOSING[role].capitalize()
        console.print(f"{word} AUC per patient: {auc}", highlight=False)
        return
    document, name = metrics_document(metrics), f"metrics_{role}"  # as `evaluate` does
    document.write(run / runs.TABLES / name)
    whole = f"{runs.TABLES}/{name}.md"
    show(document if full else headline(metrics, whole), console)


def _check_start(config: Config, scored: pd.DataFrame, console: Console) -> None:
    """The weights that a run starts from must not know whom it is scored on."""
    check_pretraining(config, scored)
    check_unlearned(config, scored)
    if config.model.weights == ULTRASOUND:
        console.print(CAUTION, highlight=False, soft_wrap=True)


def _is_scored(rows: pd.DataFrame, config: Config) -> pd.Series:
    """Which rows a network speaks of that must not have learned from them before."""
    crossed = not config.holds_back or joins_by_offset(config)  # training rows, too
    return rows["role"].isin([*(["train"] if crossed else []), "val", "test"])


def _check_rounds(run: Path, config: Config) -> None:
    """Refuses a fold of a cross-validation, whose rounds are the other folds."""
    if not config.holds_back and not (run / runs.ROUNDS).exists():
        raise UserError(
            f"--resume: expected a run with the folder {runs.ROUNDS}, as nobody is "
            f"held back. Received: {run}; finish what it is a part of"
        )


def _choose(
    run: Path, said: pd.DataFrame, config: Config, console: Console
) -> dict[str, Any]:
    """Calibrates the model and chooses its threshold; gives the measures there."""
    calibration = fit_calibration(said, config.evaluation.calibration)
    write_calibration(run / runs.CALIBRATION, calibration)
    console.print(describe_calibration(calibration), highlight=False, soft_wrap=True)
    said = apply_calibration(said, calibration)
    thresholds = choose_points(said, config.evaluation)
    write_thresholds(run / runs.THRESHOLD, thresholds)
    metrics = metrics_of(
        said, thresholds, config.evaluation, synthetic=runs.is_of_phantoms(run)
    )
    return metrics | {"forced_leaks": forced_leaks(config)}


def cross_validate(
    run: Path,
    config: Config | None,
    console: Console,
    *,
    full: bool = False,
    checked: pd.DataFrame | None = None,
) -> None:
    """Trains one model a fold and pools what each says of patients it never saw.

    Each fold is a run directory in the run; those that are done are not repeated. The
    rest is as for `fit`.
    """
    is_new = config is not None
    if config is None:
        config = load_config(runs.find_run(run, runs.SPLITS, runs.FOLDS) / runs.CONFIG)
        stored = config.split.model_copy(update={"file": run / runs.SPLITS})
        checked = manifest_rows(config, console) if checked is None else checked
        rows = make_folds(checked, stored)
    else:
        is_first = checked is None  # not a companion, of which the same would be said
        if checked is None:
            checked = manifest_rows(config, console, ("fold",))
        rows = make_folds(checked, config.split)
        _check_start(config, with_lesion(rows), console)
        if is_first:
            warn_of_images(rows, config, console)
        if "split" in rows and any(rows["split"]):
            console.print("The column `split` has no part in cross-validation")
    # Every fold is split before the first is trained: a mistake ends the command here.
    rounds = {
        run / runs.FOLDS / str(fold): fold_roles(rows, fold, config.split)
        for fold in sorted(with_lesion(rows)["fold"].unique())
    }
    # All folds have one network, though not every one may have marks to learn from.
    marked = min(count_marked(r[r["role"] == "train"]) for r in rounds.values())
    if is_new and answers_of(config) is None:
        config = settle_lesions(config, marked)
    _describe_marks(rows, "images", config, console, taught=marked)
    if not config.holds_back:
        console.print(
            "Nobody is held back: what the other folds say of whom they have not "
            "learned from places each fold's threshold and calibration",
            highlight=False,
            soft_wrap=True,
        )
    names = fold_names(rows, config.split) if config.split.by is not None else {}
    called = {int(part.name): "" for part in rounds}
    called |= {fold: f": tests {name}" for fold, name in names.items()}
    if is_new:
        # All folds are to have one batch size, though one may have fewer images.
        fewest = min((r["role"] == "train").sum() for r in rounds.values())
        config = settle_batch(config, int(fewest), gpus=len(usable_gpus()))
        prepare_run(run, config, splits_table(rows), folds=True)
        config = load_config(run / runs.CONFIG)  # settled, as a resume finds it
    with runs.removed_if_empty(run, is_new):
        if has_companions(config):
            beside = functools.partial(cross_validate, checked=checked)
            train_companions(run, config, console, beside, runs.PREDICTIONS)
        for number, (part, roles) in enumerate(rounds.items(), start=1):
            console.rule(f"Fold {number} of {len(rounds)}{called[int(part.name)]}")
            done = runs.PREDICTIONS if config.holds_back else runs.MODEL
            if (part / done).exists():
                console.print("Done before")
                continue
            if not part.exists():
                prepare_run(part, _of_one_fold(config), splits_table(roles))
            if not config.holds_back:
                train_network(part, roles, config, console)
            elif not (part / runs.THRESHOLD).exists():
                fit(part, None, console, brief=True, checked=checked)
            if config.holds_back:
                predict(part, console, checked=checked)
            keras.backend.clear_session()
    if not config.holds_back:
        choose_across_folds(rounds, config)
    pooled = _pool_folds(run, list(rounds))
    if config.split.by is not None:
        site_of = site_names(rows, config.split.by)
        pooled = pooled.assign(**{SITE: pooled["fold"].astype(int).map(site_of)})
    compare_sites(run, pooled, config, console)
    if config.model.inputs != "image":
        tests = ((p, r[r["role"] == "test"]) for p, r in rounds.items())
        measure_importance(run, tests, config, console, full=full)
    if has_companions(config):
        write_logistic(run, list(map(with_lesion, rounds.values())), config)
        compare_sides(run, pooled, config, console, full=full)
    # This file comes last, as it means the end.
    write_predictions(pooled, run / runs.PREDICTIONS)


def _of_one_fold(config: Config) -> Config:
    """A fold has no companions of its own: they are beside all folds."""
    clinical = config.clinical.model_copy(update={"companions": False})
    return config.model_copy(update={"clinical": clinical})


def _pool_folds(run: Path, parts: list[Path]) -> pd.DataFrame:
    """Writes what the folds have in common and returns what they say of test rows."""
    tables = [
        read_predictions(part / runs.PREDICTIONS).assign(fold=part.name)
        for part in parts
    ]
    environments = [read_json(part / runs.ENVIRONMENT) for part in parts]
    whole = {k: v for k, v in environments[0].items() if k not in OF_ONE_FOLD}
    whole["training_seconds"] = sum(x["training_seconds"] for x in environments)
    write_json(run / runs.ENVIRONMENT, whole)
    calibrations = {
        part.name: read_calibration(part / runs.CALIBRATION) for part in parts
    }
    write_calibration(run / runs.CALIBRATION, {"folds": calibrations})
    thresholds = {part.name: read_thresholds(part / runs.THRESHOLD) for part in parts}
    write_thresholds(run / runs.THRESHOLD, Thresholds.of_folds(thresholds))
    return pd.concat(table[table["role"] == "test"] for table in tables)


def _describe(rows: pd.DataFrame, config: Config, console: Console) -> None:
    """One line on who trains, who chooses and who tests."""
    parts = []
    for role, part in with_lesion(rows).groupby("role"):
        patients = part.groupby("patient_id")["label"].max()
        parts.append(
            f"{role} {len(part)} images of {len(patients)} patients "
            f"({(patients == 0).sum()} benign, {patients.sum()} malignant)"
        )
    console.print("; ".join(parts), highlight=False, soft_wrap=True)
    training = rows[rows["role"] == "train"]
    _describe_marks(training, "training images", config, console)


def _describe_marks(
    rows: pd.DataFrame,
    what: str,
    config: Config,
    console: Console,
    *,
    taught: int | None = None,
) -> None:
    """One line on how many images say where the lesion is, and one on what follows.

    `taught` is how many of them the fold with the fewest learns from.
    """
    if not takes_images(config):
        return
    lesions = with_lesion(rows)
    line = f"The lesion is marked in {count_marked(lesions)} of {len(lesions)} {what}"
    if len(lesions) < len(rows):
        line += f"; {len(rows) - len(lesions)} more show none and train its map alone"
    if not count_marked(rows):
        line += ": the network is not taught to find it"
    elif taught == 0:
        line += ": a fold has none to learn from, so no network is taught to find it"
    console.print(line, highlight=False, soft_wrap=True)
    share = config.augmentation.equalize_size
    if config.has_lesion_head or share:
        console.print(
            f"model.lesion_head is {str(config.model.lesion_head).lower()}, "
            f"augmentation.equalize_size {share:g}: a recipe that holds in other "
            "hospitals, and may lose a little where it was trained",
            highlight=False,
            soft_wrap=True,
        )
