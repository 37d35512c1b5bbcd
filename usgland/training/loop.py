"""The epochs: fit, validate, remember the best, save, until done."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from usgland.config import Config
from usgland.data.kept_pictures import ordered_batches, pictures_of
from usgland.data.pipeline import WAITING, make_batches, without_tuning
from usgland.errors import UserError
from usgland.models.augmentation import make_augment, make_rand_augment
from usgland.models.metrics import training_metrics
from usgland.models.views import whole_view
from usgland.training.automatic import batch_size_of, predicted_at_once, usable_gpus
from usgland.training.averaging import WeightAverage, arrays_of, assign_arrays
from usgland.training.checkpoint import State, load_state, save_state
from usgland.training.device import in_smaller_batches
from usgland.training.gradient_step import Outcome, make_step, make_steps
from usgland.training.losses import make_loss
from usgland.training.optimizers import make_optimizer
from usgland.training.parts import Part, make_form_batches

VALIDATION_BATCH = 64
# Steps run in one graph for about this long, in which neither Ctrl-C nor a bar can act.
SECONDS_OF_STEPS = 0.25
SHORTEST_STEP = 1e-6  # seconds, where a clock is too coarse to tell
MAP_LOSS = "lesion_loss"  # of the maps, beside the loss of the labels
SCORED_AT_ONCE = 4096  # cases, compared with every threshold of the ROC curve


def train(
    model: keras.Model,
    train_part: Part,
    val_part: Part | None,
    config: Config,
    folder: Path,
    *,
    image_layers: Sequence[str],
    on_epoch: Callable[[State], None],
    on_steps: Callable[[int, int, int, float], None] = lambda *progress: None,
    xla: bool = False,
    augment_in_step: bool | None = None,
) -> State:
    """Trains `model` from the newest checkpoint in `folder` to the last epoch.

    Args:
        model: Maps views, encoded forms or both to a logit; see `view_network`.
        train_part: What it learns from.
        val_part: What chooses the epoch that is kept; None: the last one is.
        config: Gives `train` and `augmentation`.
        folder: Where the state after each epoch is kept.
        image_layers: Layers with weights that belong to the image branch.
        on_epoch: Called with the state after each epoch.
        on_steps: Called every now and then in an epoch, with its number from 0, the
            steps done and all steps of it, and the mean loss so far.
        xla: Whether XLA compiles the steps.
        augment_in_step: Whether images are changed where the network is, not while
            batches are made; None: on a GPU.

    Returns:
        The last state; `model` has the kept weights.

    Raises:
        UserError: If the loss is no number any more.
    """
    settings = config.train
    state = load_state(folder)
    in_step = bool(usable_gpus()) if augment_in_step is None else augment_in_step
    batches = _Batches(model, train_part, config, augment_in_step=in_step)
    total = settings.frozen_epochs + settings.epochs
    average = WeightAverage(model, settings.ema_momentum)
    metrics = training_metrics(from_logits=True)
    loss = make_loss(settings, taught=train_part.teacher is not None)
    judge = None if val_part is None else _make_judge(model, val_part, loss)
    compiled_frozen = None
    restored = state.epoch == 0
    while state.epoch < total and not _is_out_of_patience(state, config):
        start = time.monotonic()
        frozen = state.epoch < settings.frozen_epochs
        if frozen is not compiled_frozen:
            _compile(model, config, batches.steps, image_layers, frozen=frozen)
            step = make_step(
                model,
                loss,
                average,
                batch_size=batches.size,
                partly_labelled=bool((train_part.labels < 0).any()),
                augment=batches.later,
                xla=xla,
            )
            steps = make_steps(step)
            compiled_frozen = frozen
        if not restored:
            _restore(model, average, state)
            restored = True
        outcome = _run_epoch(
            steps,
            iter(batches.of_epoch(state.epoch)),
            batches.steps,
            functools.partial(on_steps, state.epoch),
        )
        row = _row(outcome, metrics, batches.size)
        if config.augmentation.mixup:  # An image has no single label to be scored by.
            row |= {metric.name: math.nan for metric in metrics}
        with average.in_place():
            if judge is not None:
                validated, size = judge()
                judged = _row(validated, metrics, size)
                row |= {f"val_{name}": value for name, value in judged.items()}
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
    """The batches of each epoch of one training part.

    keras-cv's RandAugment keeps random state, draws in order and follows the other
    changes: with it all of them stay here, on the processor.

    Attributes:
        later: What the step does to the pixels, or None.
        size: Images a batch.
        steps: Batches an epoch.
    """

    def __init__(
        self, model: keras.Model, part: Part, config: Config, *, augment_in_step: bool
    ):
        self._config = config
        self._targets = part.targets()
        self._weights = _image_weights(part.labels, config.train.class_weights)
        has_images, size = part.pixels is not None, model.inputs[0].shape[1]
        grid = model.outputs[1].shape[1] if len(model.outputs) > 1 else None
        self._lesions = part.lesions
        if grid and self._lesions is None:  # No image says where its lesion is.
            self._lesions = np.full((len(part.labels), 4), np.nan)
        augment = make_augment(
            config.augmentation, size=size if has_images else None, grid=grid
        )
        in_step = (
            augment_in_step and has_images and not config.augmentation.rand_augment
        )
        self.later = augment if in_step else None
        self._augment = None if in_step else augment
        self._pixels = None
        with tf.device("CPU"):
            if part.pixels is not None:
                self._pixels = pictures_of(part.pixels).gather
            self._form = make_form_batches(part, config.model)
        # As many for each of the devices that share them.
        images, sharing = len(part.labels), tf.distribute.get_strategy()
        devices = sharing.num_replicas_in_sync
        if images < devices:
            raise UserError(
                f"train.devices: expected at most as many as training images, {images}."
                f" Received: {devices}. Leave it out"
            )
        self.size = min(batch_size_of(config), images)
        self.size -= self.size % devices
        self.steps = images // self.size

    def of_epoch(self, epoch: int) -> tf.data.Dataset:
        settings = self._config.train
        dataset = make_batches(
            self._pixels,
            self._targets,
            self._weights,
            self._augment,
            form=self._form,
            lesions=self._lesions,
            batch_size=self.size,
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
    """Weight of each image in the loss; balanced classes have the same sum.

    Images without a lesion, of the label -1, have none.
    """
    if class_weights is None:
        return (labels >= 0).astype("float64")
    counts = np.bincount(labels[labels >= 0], minlength=2)
    return np.where(labels >= 0, (sum(counts) / (2 * counts))[labels], 0.0)


def _run_epoch(
    steps: Callable[[Iterator, int], Outcome],
    batches: Iterator,
    count: int,
    on_steps: Callable[[int, int, float], None],
) -> Outcome:
    """Runs as many steps in one call as fit into `SECONDS_OF_STEPS`."""
    outcomes: list[Outcome] = []
    done, at_once, total = 0, 1, 0.0
    while done < count:
        at_once = min(at_once, count - done)
        start = time.perf_counter()
        outcomes.append(steps(batches, at_once))
        pace = (time.perf_counter() - start) / at_once
        done += at_once
        at_once = max(1, int(SECONDS_OF_STEPS / max(pace, SHORTEST_STEP)))
        losses = outcomes[-1].losses  # of the labels, and perhaps of the maps
        total += float(np.sum(losses if losses.ndim == 1 else losses[:, 0]))
        on_steps(done, count, total / done)
    return Outcome(*map(np.concatenate, zip(*outcomes, strict=True)))


def _make_judge(
    model: keras.Model, part: Part, loss: keras.losses.Loss
) -> Callable[[], tuple[Outcome, int]]:
    """What runs the model on the cases that judge an epoch, in one traced graph.

    Returns:
        Gives what they come to and the size of their batches, which are smaller from
        the first on that memory is too small for.
    """
    inputs, labels = part.inputs(), part.labels.astype("float32")[:, None]
    view = None if part.pixels is None else model.inputs[0].shape[1]
    size = predicted_at_once(VALIDATION_BATCH)
    batches_of = functools.cache(lambda size: ordered_batches(inputs, size, labels))

    @tf.function(input_signature=[batches_of(size).element_spec])
    @tf.autograph.experimental.do_not_convert
    def run(batch):
        outputs = model(_at_first_sight(batch[0], view), training=False)
        logits = outputs[0] if isinstance(outputs, list) else outputs
        cases = tf.cast(tf.shape(logits)[0], tf.float32)
        return sum(model.losses, start=loss(batch[1], logits) / cases), logits

    def run_all(batch_size: int) -> Outcome:
        losses, logits = zip(*map(run, batches_of(batch_size)), strict=True)
        return Outcome(np.stack(losses), np.concatenate(logits), labels)

    def judge() -> tuple[Outcome, int]:
        nonlocal size
        outcome, size = in_smaller_batches(run_all, size)
        return outcome, size

    return judge


def _at_first_sight(inputs: Any, view: int | None) -> Any:
    """The same inputs, with views of the whole pictures in place of these."""
    if view is None:
        return inputs
    if not isinstance(inputs, tuple):
        return whole_view(inputs, view)
    return (whole_view(inputs[0], view), *inputs[1:])


def _row(
    outcome: Outcome, metrics: Sequence[keras.metrics.Metric], batch_size: int
) -> dict[str, float]:
    """Loss and metrics of the cases of one epoch, in the order of their names."""
    # Of a network that is taught, the teacher's share stands behind the label.
    labels, logits = (
        part.reshape(-1, part.shape[-1])[:, :1]
        for part in (outcome.labels, outcome.logits)
    )
    losses = outcome.losses.reshape(len(outcome.losses), -1)
    starts = np.arange(len(outcome.losses)) * batch_size
    sizes = np.minimum(batch_size, len(labels) - starts).astype("float32")
    # Added up as Keras adds up a running mean, to the last digit.
    row = {
        name: float(np.cumsum(column * sizes)[-1] / sizes.sum())
        for name, column in zip(("loss", MAP_LOSS), losses.T, strict=False)
    }
    is_case = labels[:, 0] >= 0  # An image without a lesion is none.
    labels, logits = labels[is_case], logits[is_case]
    for metric in metrics:
        metric.reset_state()
        for start in range(0, len(labels), SCORED_AT_ONCE):
            cases = slice(start, start + SCORED_AT_ONCE)
            metric.update_state(labels[cases], logits[cases])
        row[metric.name] = float(metric.result())
    return dict(sorted(row.items()))


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
    # Keras wraps the optimizer under float16.
    optimizer = make_optimizer(config, steps, image_layers, frozen=frozen)
    model.compile(optimizer, jit_compile=False)
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
        if name in row and not math.isfinite(row[name]):
            raise UserError(
                f"Training diverged: expected a finite {name}. Received: {row[name]} "
                f"in epoch {state.epoch + 1}. Start a new run with a lower "
                f"train.learning_rate (now {config.train.learning_rate}) or with "
                "train.clip_norm=1"
            )
    settings = config.train
    state.history.append({"epoch": state.epoch, **row})
    state.seconds += seconds
    score = row.get(settings.monitor, math.nan)
    if settings.monitor == "val_loss":
        score = -score
    best = state.best_score
    better = best is None or math.isnan(best) or score > best
    if better or config.keeps_last:
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
