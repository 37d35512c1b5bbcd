"""Trains one model into a run directory."""

import functools
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from rich.console import Console

from usgland import runs
from usgland.config import Config, dump_config, load_config
from usgland.data.kept_pictures import changed_images_told
from usgland.data.manifest import NO_LESION
from usgland.errors import UserError
from usgland.files import remove_leftovers, write_json, write_text, write_whole
from usgland.models.classifier import (
    build_classifier,
    image_layers,
    pixels_to_logit,
    view_network,
)
from usgland.models.clinical import learn_encoding
from usgland.training.automatic import (
    batch_size_of,
    choose_manner,
    settle_batch,
    sharing_scope,
    unrepeatable_told,
    usable_gpus,
)
from usgland.training.averaging import arrays_of, assign_arrays
from usgland.training.checkpoint import State, load_state
from usgland.training.device import (
    batch_advice,
    describe_environment,
    memory_errors_told,
    must_repeat,
    precision,
    prepare_devices,
    settle_precision,
)
from usgland.training.loop import kept_epoch, train
from usgland.training.parts import Part, keep_parts
from usgland.training.predict import answer_batch
from usgland.training.progress import ProgressBar, write_history, write_tensorboard

WARM_UP_PASSES, TIMED_PASSES = 3, 15
# The paper's settings can fail: its rate, on networks of bare convolutions.
STEEP_RATE = 0.01
WITHOUT_NORMALIZATION = ("squeezenet", "vgg")


def fit_run(run: Path, rows: pd.DataFrame, console: Console) -> None:
    """Trains the model of a prepared run, from its newest checkpoint if it has one.

    Writes `history.csv` and TensorBoard logs after each epoch, at the end
    `model.keras` and what `environment.json` says of time and size, and removes the
    checkpoint. Where the model stands, the rest does, and nothing is trained.

    Args:
        run: A run directory with config.yaml and splits.csv.
        rows: Checked manifest rows with `role`, of which only `train` and `val` are
            read, and `synthetic`, "1" for phantoms; no row of `val` where nothing is
            held back; with `TEACHER` where others teach.
        console: Where progress is shown.

    Raises:
        UserError: If the starting weights are missing or training diverges.
    """
    remove_leftovers(run)
    checkpoint = run / runs.CHECKPOINT
    if (run / runs.MODEL).exists():
        shutil.rmtree(checkpoint, ignore_errors=True)
        return
    config = settle_precision(load_config(run / runs.CONFIG))
    manner = choose_manner(config, usable_gpus(), repeating=must_repeat())
    if manner.line is not None:
        console.print(manner.line, highlight=False, soft_wrap=True)
    prepare_devices(config.train.seed, deterministic=not manner.xla)
    scope = sharing_scope(manner.shared)
    epochs_done = load_state(checkpoint).epoch
    encoding = None
    cases = rows[rows["label"] != NO_LESION]
    if not config.has_lesion_head:
        rows = cases  # Images without a lesion teach nothing else.
    if config.model.inputs != "image":
        encoding = learn_encoding(cases[cases["role"] == "train"], config.clinical)
    with scope(), precision(config.train.precision):
        # A checkpoint holds all weights: where they began is no longer needed.
        start = _without_weights(config) if epochs_done else config
        model = build_classifier(start, encoding)
        learned = view_network(model)  # Keras scales its loss under float16.
    parts = _read_parts(model, rows, config, console)
    layers = image_layers(model, config)
    size, how = batch_size_of(config), (epochs_done, manner.xla, console)
    sharing = max(1, len(manner.shared))
    with (
        changed_images_told(rows[rows["role"].isin(["train", "val"])]),
        memory_errors_told(lambda: batch_advice(size, checkpoint, devices=sharing)),
        unrepeatable_told(),
        scope(),
    ):
        state = _train(learned, parts, config, run, layers, *how)
    finished = checkpoint / runs.MODEL
    model_bytes = _save_model(model, config, encoding, finished)
    environment = describe_environment(config.train.precision) | {
        "batch_size": size,
        "gpus_sharing": sharing if usable_gpus() else 0,
        "xla": manner.xla,
        "synthetic": bool((rows["synthetic"] == "1").all()),
        "training_seconds": round(state.seconds, 1),
        "epochs": state.epoch,
        "kept_epoch": kept_epoch(state),
        "parameters": model.count_params(),
        "model_bytes": model_bytes,
        "seconds_per_image": _seconds_per_image(model, parts[1] or parts[0]),
    }
    write_json(run / runs.ENVIRONMENT, environment)
    finished.rename(run / runs.MODEL)
    shutil.rmtree(checkpoint)


def _read_parts(
    model: keras.Model, rows: pd.DataFrame, config: Config, console: Console
) -> tuple[Part, Part | None]:
    """What the network learns from, and what chooses the epoch that is kept, if any."""
    say = functools.partial(console.print, highlight=False, soft_wrap=True)
    start = time.monotonic()
    tables = [rows[rows["role"] == role] for role in ("train", "val")]
    tables = [table for table in tables if len(table)]
    (train_part, *others), where = keep_parts(model, tables, config.data.cache, say)
    val_part = others[0] if others else None
    judging = "" if val_part is None else f" and {len(val_part.labels)} validation"
    say(
        f"Read {len(train_part.labels)} training{judging} images in "
        f"{time.monotonic() - start:.0f} s" + (f", {where}" if where else "")
    )
    return train_part, val_part


def _train(
    learned: keras.Model,
    parts: tuple[Part, Part | None],
    config: Config,
    run: Path,
    layers: list[str],
    epochs_done: int,
    xla: bool,
    console: Console,
) -> State:
    """Trains to the last epoch, with a line and the files of a run after each."""
    settings = config.train
    if _can_diverge(config):
        console.print(
            f"Plain SGD at {settings.learning_rate} can diverge here, as "
            f"{config.model.backbone} has no normalization layers; the run would then "
            "stop and say so. train.clip_norm=1 prevents it",
            highlight=False,
            soft_wrap=True,
        )
    total = settings.frozen_epochs + settings.epochs
    if epochs_done:
        console.print(f"Resuming after epoch {epochs_done} of {total}", highlight=False)
    with ProgressBar(console, total, epochs_done) as bar:

        def on_epoch(state):
            write_history(state.history, run / runs.HISTORY)
            write_tensorboard(state.history, run / runs.TENSORBOARD)
            bar.show_epoch(state)

        state = train(
            learned,
            *parts,
            config,
            run / runs.CHECKPOINT,
            image_layers=layers,
            on_epoch=on_epoch,
            on_steps=bar.show_steps,
            xla=xla,
        )
    write_history(state.history, run / runs.HISTORY)
    best = f"the best by {settings.monitor} (*)"
    reason = "the last" if config.keeps_last else best
    console.print(f"Kept epoch {kept_epoch(state) + 1}, {reason}", highlight=False)
    return state


def _can_diverge(config: Config) -> bool:
    settings = config.train
    return (
        settings.optimizer == "sgd"
        and config.model.inputs != "clinical"
        and settings.clip_norm is None
        and settings.learning_rate >= STEEP_RATE
        and config.model.backbone.startswith(WITHOUT_NORMALIZATION)
    )


def prepare_run(
    run: Path,
    config: Config,
    splits: pd.DataFrame,
    *,
    folds: bool = False,
    rounds: Sequence[pd.DataFrame] = (),
) -> None:
    """Makes a run directory with its settings and split, whole or not at all.

    Args:
        run: Where.
        config: The resolved settings.
        splits: What splits.csv holds.
        folds: Whether it is to hold one run a fold.
        rounds: What splits.csv holds of each round by which nobody need be held back:
            a run directory each, in the run.

    Raises:
        UserError: If it exists or cannot be written.
    """
    if run.exists():
        raise UserError(
            "A run directory is never overwritten. Received one that exists: "
            f"{run}. Choose another --name, or add --resume to finish it"
        )
    temporary = run.with_name(f".{run.name}-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        settled = _settled(config, splits)
        parts = {temporary / runs.ROUNDS / str(n): own for n, own in enumerate(rounds)}
        for part, table in {temporary: splits, **parts}.items():
            part.mkdir(parents=True, exist_ok=True)
            write_text(part / runs.CONFIG, dump_config(settled))
            with write_whole(part / runs.SPLITS) as path:
                table.to_csv(path, index=False)
        if folds:
            (temporary / runs.FOLDS).mkdir()
        temporary.rename(run)
    except OSError as error:
        raise UserError(
            f"Cannot make the run directory {run}: {error.strerror}. Choose another "
            "--runs-dir or --name"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _settled(config: Config, splits: pd.DataFrame) -> Config:
    """The settings of a new run without what depends on machine and set."""
    images = int((splits["role"] == "train").sum()) if "role" in splits else len(splits)
    return settle_batch(settle_precision(config), images, gpus=len(usable_gpus()))


def _save_model(
    model: keras.Model,
    config: Config,
    encoding: list[dict[str, Any]] | None,
    path: Path,
) -> int:
    """Saves a float32 copy, whatever it was trained in; returns its size in bytes."""
    weights = arrays_of(model.variables)
    with precision("float32"):
        copy = build_classifier(_without_weights(config), encoding)
    assign_arrays(copy.variables, weights)
    with write_whole(path) as temporary:
        copy.save(temporary)
    return path.stat().st_size


def _without_weights(config: Config) -> Config:
    model = config.model.model_copy(update={"weights": None})
    return config.model_copy(update={"model": model})


def _seconds_per_image(model: keras.Model, part: Part) -> float:
    """Time of the answer to one case in a graph, all its views; the median of some."""
    if part.pixels is None:
        network = pixels_to_logit(model)
        answer = tf.function(lambda inputs: (network(inputs, training=False),))
    else:
        answer = answer_batch(model)
    inputs = part.inputs()
    case = keras.tree.map_structure(lambda array: tf.constant(array[:1]), inputs)
    times = []
    for _ in range(WARM_UP_PASSES + TIMED_PASSES):
        start = time.perf_counter()
        answer(case)[0].numpy()
        times.append(time.perf_counter() - start)
    return float(np.median(times[WARM_UP_PASSES:]))
