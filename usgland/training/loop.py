"""The epochs: fit, validate, remember the best, save, until done."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from usgland.config import Config
from usgland.data.kept_pictures import ordered_batches, pictures_of
from usgland.data.pipeline import WAITING, make_batches, without_tuning
from usgland.errors import UserError
from usgland.models.augmentation import make_augment, make_rand_augment
from usgland.models.metrics import training_metrics
from usgland.training.averaging import WeightAverage, arrays_of, assign_arrays
from usgland.training.checkpoint import State, load_state, save_state
from usgland.training.optimizers import make_optimizer
from usgland.training.parts import Part, make_form_batches

VALIDATION_BATCH = 64


def train(
    model: keras.Model,
    train_part: Part,
    val_part: Part,
    config: Config,
    folder: Path,
    *,
    image_layers: Sequence[str],
    on_epoch: Callable[[State], None],
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> State:
    """Trains `model` from the newest checkpoint in `folder` to the last epoch.

    Args:
        model: Maps preprocessed pixels, encoded forms or both to a logit.
        train_part: What it learns from.
        val_part: What chooses the epoch that is kept.
        config: Gives `train` and `augmentation`.
        folder: Where the state after each epoch is kept.
        image_layers: Layers with weights that belong to the image branch.
        on_epoch: Called with the state after each epoch.
        callbacks: Further Keras callbacks, for progress.

    Returns:
        The last state; `model` has the kept weights.

    Raises:
        UserError: If the loss is no number any more.
    """
    settings = config.train
    state = load_state(folder)
    batches = _Batches(train_part, config)
    total = settings.frozen_epochs + settings.epochs
    average = WeightAverage(model, settings.ema_momentum)
    compiled_frozen = None
    restored = state.epoch == 0
    val_data = _validation_data(val_part)
    while state.epoch < total and not _is_out_of_patience(state, config):
        start = time.monotonic()
        frozen = state.epoch < settings.frozen_epochs
        if frozen is not compiled_frozen:
            _compile(model, config, batches.steps, image_layers, frozen=frozen)
            compiled_frozen = frozen
        if not restored:
            _restore(model, average, state)
            restored = True
        logs = model.fit(
            batches.of_epoch(state.epoch),
            initial_epoch=state.epoch,
            epochs=state.epoch + 1,
            shuffle=False,
            verbose=0,
            callbacks=[average, *callbacks],
        ).history
        row = {name: float(values[-1]) for name, values in logs.items()}
        if config.augmentation.mixup:  # An image has no single label to be scored by.
            row = {name: row[name] if name == "loss" else math.nan for name in row}
        with average.in_place():
            val_logs = model.evaluate(val_data, verbose=0, return_dict=True)
            row |= {f"val_{name}": float(value) for name, value in val_logs.items()}
            _note_epoch(state, row, model, config, time.monotonic() - start)
        state.weights["model"] = arrays_of(model.variables)
        state.weights["optimizer"] = arrays_of(model.optimizer.variables)
        state.weights["average"] = average.arrays()
        save_state(state, folder)
        on_epoch(state)
    assign_arrays(model.variables, state.weights["best"])
    return state


def kept_epoch(state: State) -> int:
    """Number, from 0, of the epoch whose weights the state keeps."""
    if state.best_epoch is None:
        raise ValueError("`state` must have an epoch behind it. Received: a new one")
    return state.best_epoch


class _Batches:
    """The batches of each epoch of one training part."""

    def __init__(self, part: Part, config: Config):
        self._config = config
        self._labels = part.labels
        self._weights = _image_weights(part.labels, config.train.class_weights)
        self._augment = make_augment(config.augmentation)
        self._pixels = None
        with tf.device("CPU"):
            if part.pixels is not None:
                self._pixels = pictures_of(part.pixels).gather
            self._form = make_form_batches(part, config.model)
        self.steps = max(1, len(part.labels) // config.train.batch_size)

    def of_epoch(self, epoch: int) -> tf.data.Dataset:
        settings = self._config.train
        dataset = make_batches(
            self._pixels,
            self._labels,
            self._weights,
            self._augment,
            form=self._form,
            batch_size=settings.batch_size,
            seed=settings.seed,
            epoch=epoch,
        )
        magnitude = self._config.augmentation.rand_augment
        if not magnitude or self._pixels is None:
            return dataset
        seed = int(np.random.default_rng([settings.seed, epoch, 2]).integers(2**31))
        change = make_rand_augment(magnitude, seed)

        def change_images(inputs, *rest):
            if self._form is None:
                return change(inputs), *rest
            return (change(inputs[0]), *inputs[1:]), *rest

        return without_tuning(dataset.map(change_images).prefetch(WAITING))


def _image_weights(labels: np.ndarray, class_weights: str | None) -> np.ndarray:
    """Weight of each image in the loss; balanced classes have the same sum."""
    if class_weights is None:
        return np.ones(len(labels))
    counts = np.bincount(labels, minlength=2)
    return (len(labels) / (2 * counts))[labels]


def _validation_data(part: Part) -> tf.data.Dataset:
    labels = part.labels.astype("float32")[:, None]
    return ordered_batches(part.inputs(), VALIDATION_BATCH, labels)


def _compile(
    model: keras.Model,
    config: Config,
    steps: int,
    image_layers: Sequence[str],
    *,
    frozen: bool,
) -> None:
    """A fresh optimizer for what joins the image branch or, later, for all layers."""
    settings = config.train
    for layer in model.layers:
        layer.trainable = (
            not (frozen or settings.freeze_image) or layer.name not in image_layers
        )
    smoothing = settings.label_smoothing
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    if settings.loss == "focal":
        loss = keras.losses.BinaryFocalCrossentropy(
            from_logits=True, label_smoothing=smoothing, apply_class_balancing=False
        )
    model.compile(
        make_optimizer(config, steps, image_layers, frozen=frozen),
        loss,
        metrics=training_metrics(from_logits=True),
        jit_compile=settings.xla,
    )
    # Keras has wrapped the optimizer under float16.
    model.optimizer.build(model.trainable_variables)


def _restore(model: keras.Model, average: WeightAverage, state: State) -> None:
    assign_arrays(model.variables, state.weights["model"])
    average.restore(state.weights["average"])
    # At the step from the head to all layers the new optimizer has no past.
    if len(state.weights["optimizer"]) == len(model.optimizer.variables):
        assign_arrays(model.optimizer.variables, state.weights["optimizer"])


def _note_epoch(
    state: State,
    row: dict[str, float],
    model: keras.Model,
    config: Config,
    seconds: float,
) -> None:
    """Adds an epoch to the state and keeps its weights if they are the best."""
    for name in ("loss", "val_loss"):
        if not math.isfinite(row[name]):
            raise UserError(
                f"Training diverged: expected a finite {name}. Received: {row[name]} "
                f"in epoch {state.epoch + 1}. Start a new run with a lower "
                f"train.learning_rate (now {config.train.learning_rate}) or with "
                "train.clip_norm=1"
            )
    settings = config.train
    state.history.append({"epoch": state.epoch, **row})
    state.seconds += seconds
    score = row[settings.monitor]
    if settings.monitor == "val_loss":
        score = -score
    best = state.best_score
    better = best is None or math.isnan(best) or score > best
    if better or settings.keep == "last":
        state.best_epoch, state.best_score = state.epoch, score
        state.weights["best"] = arrays_of(model.variables)
    state.epoch += 1


def _is_out_of_patience(state: State, config: Config) -> bool:
    """Whether no epoch of all layers was better for as long as the settings allow."""
    patience = config.train.early_stopping_epochs
    if patience is None or state.best_epoch is None:
        return False
    since = max(state.best_epoch, config.train.frozen_epochs - 1)
    return state.epoch - 1 - since >= patience
