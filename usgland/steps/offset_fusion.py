"""`model.fusion: offset`: a logistic regression on the form, and what an image adds.

What an image adds is learned from logits of training images by networks that have not
learned from them: those of inner folds, or one of an earlier run, as it is.
"""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from rich.console import Console

from usgland import runs
from usgland.config import Config, SplitSettings
from usgland.data.given_splits import UNUSED
from usgland.data.manifest import NO_LESION
from usgland.data.sources import with_lesion
from usgland.data.splits import NO_FOLD, make_folds, splits_table
from usgland.errors import UserError
from usgland.files import read_json, remove_leftovers, write_json
from usgland.models.classifier import LOGIT, build_classifier
from usgland.models.fusion import FORM_LOGIT, IMAGE_LOGIT, OFFSET
from usgland.steps.models import config_of_model, load_model
from usgland.training.device import describe_environment, precision
from usgland.training.fit import fit_run, prepare_run
from usgland.training.logistic import FormRegression, fit_form_regression
from usgland.training.offset_weight import PENALTIES, OffsetWeight, fit_offset_weight
from usgland.training.predict import predict_rows

INNER_FOLDS = 3
WHOLE = "whole"  # folder of the network of all training rows, in the checkpoint
RECORD = "offset.json"
# Settings in which a run whose answers are taken as they are must agree.
SHARED = ("backbone", "alpha", "lesion_head", "second_view", "mirror")


def joins_by_offset(config: Config) -> bool:
    """Whether a run is `fit_offset`'s."""
    return config.model.inputs == "both" and config.model.fusion == OFFSET


def answers_of(config: Config) -> Path | None:
    """The earlier run whose network stays as it is, with its last layer, or None.

    Raises:
        UserError: If that is no run of images alone, or looks at them in another way.
    """
    settings = config.model
    if not (joins_by_offset(config) and config.train.freeze_image and settings.weights):
        return None
    run = Path(settings.weights)
    if not run.is_dir():
        return None
    runs.find_run(run, runs.MODEL, runs.SPLITS, runs.ENVIRONMENT)
    theirs = config_of_model(run)
    pairs: dict[str, tuple[Any, Any]] = {
        "preprocessing": (config.preprocessing, theirs.preprocessing)
    }
    for name in SHARED:
        values = (getattr(settings, name), getattr(theirs.model, name))
        pairs[f"model.{name}"] = values
    pairs["model.inputs"] = ("image", theirs.model.inputs)
    for name, (ours, other) in pairs.items():
        if ours != other:
            raise UserError(
                f"model.weights: expected a run with {name}: {ours}, as "
                "fusion=offset with freeze_image takes its answers as they are. "
                f"Received: {other} in {run}; set {name} likewise, or "
                "train.freeze_image=false"
            )
    return run


def fit_offset(run: Path, rows: pd.DataFrame, config: Config, console: Console) -> None:
    """Makes the model of a prepared run, or finishes it, as `fit_run` does.

    Args:
        run: A run directory with config.yaml and splits.csv.
        rows: Checked manifest rows with the form and `role`.
        config: The run's own.
        console: Where progress is shown.
    """
    remove_leftovers(run)
    checkpoint = run / runs.CHECKPOINT
    if (run / runs.MODEL).exists():
        shutil.rmtree(checkpoint, ignore_errors=True)
        return
    rows = rows.assign(fold=_inner_folds(rows, config))
    train = with_lesion(rows)
    train = train[train["role"] == "train"]
    regression = fit_form_regression(train, config.clinical)
    has_form = regression.has_form(train)  # Without one the image answers alone.
    if train.loc[has_form, "fold"].nunique() < 2:
        raise UserError(
            "model.fusion=offset: expected training patients with a form in two of "
            f"{INNER_FOLDS} inner folds, to learn from some what an image adds to the "
            "others'. Received: fewer; fill in more forms, or use model.inputs=image"
        )
    source, said, seconds = _image_logits(run, rows, train, config, console)
    offsets = np.zeros(len(train))
    for fold in range(INNER_FOLDS):
        held_out = (train["fold"] == fold).to_numpy()
        others = fit_form_regression(train[~held_out], config.clinical)
        offsets[held_out] = others.logits(train[held_out])
    columns = (offsets, said, train["label"], train["patient_id"], train["fold"])
    fit = fit_offset_weight(*(np.asarray(column)[has_form] for column in columns))
    console.print(_describe(fit), highlight=False, soft_wrap=True)
    model = _joined(load_model(source), regression, fit, config)
    checkpoint.mkdir(exist_ok=True)
    finished = checkpoint / runs.MODEL
    model.save(finished)
    environment = read_json(source / runs.ENVIRONMENT)
    environment |= describe_environment(config.train.precision) | {
        "synthetic": bool((rows["synthetic"] == "1").all()),
        "training_seconds": round(seconds, 1),
        "parameters": model.count_params(),
        "model_bytes": finished.stat().st_size,
    }
    write_json(run / runs.ENVIRONMENT, environment)
    losses = dict(zip(map(str, PENALTIES), fit.losses, strict=True))
    record = fit._asdict() | {"penalty": str(fit.penalty), "losses": losses}
    write_json(run / RECORD, record | {"inner_folds": INNER_FOLDS})
    if (source / runs.HISTORY).exists() and source.is_relative_to(run):
        shutil.copy(source / runs.HISTORY, run / runs.HISTORY)
    finished.rename(run / runs.MODEL)
    shutil.rmtree(checkpoint)


def _inner_folds(rows: pd.DataFrame, config: Config) -> pd.Series:
    """The inner fold of each training row; that of others is not theirs."""
    train = rows[rows["role"] == "train"]
    settings = SplitSettings(folds=INNER_FOLDS, seed=config.split.seed)
    try:
        drawn = make_folds(train.drop(columns="fold", errors="ignore"), settings)
    except UserError as error:
        raise UserError(
            f"model.fusion=offset: expected benign and malignant training patients for "
            f"each of {INNER_FOLDS} inner folds. {error}"
        ) from error
    return drawn["fold"].reindex(rows.index, fill_value=NO_FOLD)


def _image_logits(
    run: Path,
    rows: pd.DataFrame,
    train: pd.DataFrame,
    config: Config,
    console: Console,
) -> tuple[Path, np.ndarray, float]:
    """The run of the network that is kept; logits of training images it must not know.

    The logits are of networks that have not learned from their images; the last are the
    seconds that training took.
    """
    source = answers_of(config)
    if source is not None:
        said = predict_rows(load_model(source), train)
        return source, said["logit"].to_numpy("float64"), 0.0
    console.print(
        f"model.fusion=offset: {INNER_FOLDS} networks of inner folds, then that of all "
        "training images: three times the time of one",
        highlight=False,
        soft_wrap=True,
    )
    alone = config.model_copy(
        update={"model": config.model.model_copy(update={"inputs": "image"})}
    )
    logits = pd.Series(np.nan, train.index)
    seconds = 0.0
    for fold in range(INNER_FOLDS):
        roles = rows["role"].replace("test", UNUSED)
        roles = roles.mask(rows["fold"] == fold, "test")
        # Images without a lesion, of patients who are held out.
        roles = roles.mask((roles == "test") & (rows["label"] == NO_LESION), UNUSED)
        part = run / runs.CHECKPOINT / f"inner-{fold}"
        console.rule(f"Inner fold {fold + 1} of {INNER_FOLDS}")
        seconds += _fit_part(part, rows.assign(role=roles), alone, console)
        held_out = train[train["fold"] == fold]
        answers = predict_rows(load_model(part), held_out)
        logits[held_out.index] = answers["logit"].to_numpy("float64")
        keras.backend.clear_session()
    console.rule("All training images")
    source = run / runs.CHECKPOINT / WHOLE
    seconds += _fit_part(source, rows, alone, console)
    keras.backend.clear_session()
    return source, logits.to_numpy(), seconds


def _fit_part(
    part: Path, rows: pd.DataFrame, config: Config, console: Console
) -> float:
    if not part.exists():
        prepare_run(part, config, splits_table(rows))
    fit_run(part, rows, console)
    return float(read_json(part / runs.ENVIRONMENT)["training_seconds"])


def _joined(
    image: keras.Model, regression: FormRegression, fit: OffsetWeight, config: Config
) -> keras.Model:
    """One model, in float32, of a network, a logistic regression and a weight."""
    settings = config.model.model_copy(update={"weights": None})
    with precision("float32"):
        model = build_classifier(
            config.model_copy(update={"model": settings}), regression.encoding
        )
    for layer in image.layers:
        if layer.weights:
            name = IMAGE_LOGIT if layer.name == LOGIT else layer.name
            model.get_layer(name).set_weights(layer.get_weights())
    kernel, bias = regression.coefficients[:, None], [regression.intercept]
    model.get_layer(FORM_LOGIT).set_weights([kernel, np.array(bias)])
    values = (fit.weight, fit.mean, fit.deviation)
    model.get_layer(LOGIT).set_weights(list(map(np.array, values)))
    return model


def _describe(fit: OffsetWeight) -> str:
    if fit.weight == 0:
        return (
            "The image adds nothing to the form that inner folds could show: its "
            "weight is 0, and the answer is that of the logistic regression"
        )
    return (
        f"The image's logit, {fit.mean:.2f} on average and {fit.deviation:.2f} spread, "
        f"has the weight {fit.weight:.2f} beside the form (penalty {fit.penalty:g})"
    )
