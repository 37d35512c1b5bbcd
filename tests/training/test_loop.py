"""The epochs, on a network of one convolution: seeds, resuming, what is kept."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_sample_weight

from usgland.config import load_config
from usgland.data.kept_pictures import ordered_batches
from usgland.errors import UserError
from usgland.models.classifier import LOGIT
from usgland.models.metrics import training_metrics
from usgland.training.averaging import arrays_of
from usgland.training.checkpoint import load_state
from usgland.training.device import precision, prepare_devices, taken_precision
from usgland.training.loop import _image_weights, kept_epoch, train
from usgland.training.parts import Part

SIZE = 16
# All that a test relies on, whatever the recommended recipe is.
SETTINGS = (
    "train.batch_size=8",
    "train.epochs=3",
    "train.learning_rate=0.02",
    "train.optimizer=adamw",
    "train.schedule=cosine",
    "train.warmup_epochs=1",
    "train.ema_momentum=null",
    "train.frozen_epochs=0",
    "train.class_weights=null",
    "train.label_smoothing=0",
    "train.keep=best",
    "train.monitor=val_loss",
    "train.early_stopping_epochs=null",
    "augmentation.rand_augment=0",
    "augmentation.mixup=0",
)
STILL = (  # no augmentation
    "augmentation={horizontal_flip: false, rotation_degrees: 0, zoom: 0, aspect: 0, "
    "translation: 0, brightness: 0, contrast: 0, gamma: 0, blur_pixels: 0, noise: 0, "
    "cutout: 0}"
)


@pytest.fixture(autouse=True)
def few_metrics(monkeypatch):
    """Each metric costs time to trace; test_metrics.py tests them."""
    monkeypatch.setattr(
        "usgland.training.loop.training_metrics",
        lambda from_logits: [
            metric
            for metric in training_metrics(from_logits)
            if metric.name in ("auc", "f1")
        ],
    )


@pytest.fixture(autouse=True)
def one_step_at_once(monkeypatch):
    """So that a test can look at each."""
    monkeypatch.setattr("usgland.training.loop.SECONDS_OF_STEPS", 0)


class KilledError(Exception):
    """Stands for kill -9: nothing of the process is left but its files."""


class Steps:
    """Notes something after every step; may be killed at one."""

    def __init__(self, look=None, killed_at=None):
        self.look, self.killed_at, self.seen, self.model = look, killed_at, [], None

    def __call__(self, epoch, done, steps, loss):
        if self.look:
            self.seen.append(self.look(self.model))
        if self.killed_at == done:
            raise KilledError


class Full:
    """Batches that the memory has no room for."""

    def __init__(self, dataset):
        self.element_spec = dataset.element_spec

    def __iter__(self):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")


def config_of(*overrides, still=False):
    return load_config(None, [*SETTINGS, *([STILL] if still else []), *overrides])


def part_of(images, seed):
    """Bright images are malignant, a third of all."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(images) % 3 == 0).astype(int)
    pixels = rng.integers(0, 156, (images, SIZE, SIZE, 1)) + 100 * labels[
        :, None, None, None
    ] * rng.integers(0, 2, (images, 1, 1, 1))
    return Part(pixels.astype("uint8"), labels)


def network_of(config):
    prepare_devices(config.train.seed)
    with precision(taken_precision(config)):
        pixels = keras.Input((SIZE, SIZE, 1))
        x = keras.layers.Rescaling(1 / 255)(pixels)
        x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
        x = keras.layers.BatchNormalization(name="norm")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dropout(0.5, seed=config.train.seed)(x)
        logit = keras.layers.Dense(
            1, kernel_initializer="zeros", dtype="float32", name=LOGIT
        )(x)
        return keras.Model(pixels, logit)


def run(config, folder, *, on_epoch=lambda state: None, steps=None, val=None):
    model = network_of(config)
    if steps:
        steps.model = model
    state = train(
        model,
        part_of(20, 1),
        val or part_of(12, 2),
        config,
        folder,
        image_layers=["conv", "norm"],
        on_epoch=on_epoch,
        on_steps=steps or (lambda *progress: None),
    )
    return model, state


def flipped(part):
    """What is learned from training is wrong here."""
    return Part(part.pixels, 1 - part.labels)


def kernel_of(model):
    return model.get_layer("conv").kernel.numpy().copy()


def text_of(state):
    """All digits of the history, NaN included."""
    return json.dumps(state.history)


def assert_same(trained, trained_again):
    (model, state), (other_model, other_state) = trained, trained_again
    assert text_of(state) == text_of(other_state)
    assert kept_epoch(state) == kept_epoch(other_state)
    for array, again in zip(
        arrays_of(model.variables), arrays_of(other_model.variables), strict=True
    ):
        np.testing.assert_array_equal(array, again)


@pytest.mark.parametrize("rand_augment", [0, pytest.param(0.2, marks=pytest.mark.slow)])
def test_no_dataset_is_tuned_while_it_runs(tmp_path, tuned, rand_augment):
    run(config_of(f"augmentation.rand_augment={rand_augment}"), tmp_path)
    assert len(tuned) >= 6  # an epoch's batches and the cases that judge it
    assert not any(tuned)


def test_one_seed_gives_one_history_and_another_seed_another(tmp_path):
    settings = ("train.epochs=1", "train.warmup_epochs=0")
    first = run(config_of(*settings), tmp_path / "first")
    assert_same(first, run(config_of(*settings), tmp_path / "again"))
    other = run(config_of(*settings, "train.seed=1"), tmp_path / "other")
    assert text_of(first[1]) != text_of(other[1])


RECIPES = {
    "adamw_average_frozen_mixup": (
        "train.ema_momentum=0.9",
        "train.frozen_epochs=1",
        "train.epochs=2",
        "augmentation.mixup=0.3",
        "model.lesion_head=false",
        "augmentation.cutout=0.3",
        "augmentation.blur_pixels=1",
        "augmentation.noise=0.2",
        "augmentation.gamma=0.3",
    ),
    "sgd_focal_weighted": (
        "train.optimizer=sgd",
        "train.loss=focal",
        "train.label_smoothing=0.1",
        "train.class_weights=balanced",
        "train.clip_norm=1",
        "train.schedule=constant",
        "train.monitor=val_auc",
    ),
    "rand_augment": ("augmentation.rand_augment=0.3", "train.epochs=2"),
    "half_precision_with_its_loss_scale": (
        "train.precision=mixed_float16",
        "train.keep=last",
    ),
}


@pytest.mark.parametrize(
    "recipe",
    [
        "adamw_average_frozen_mixup",
        pytest.param("sgd_focal_weighted", marks=pytest.mark.slow),
        pytest.param("rand_augment", marks=pytest.mark.slow),
        pytest.param("half_precision_with_its_loss_scale", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_at_any_moment_ends_as_an_uninterrupted_one(tmp_path, recipe):
    config = config_of(*RECIPES[recipe])
    whole = run(config, tmp_path / "whole")
    folder = tmp_path / "killed"

    def die(state):
        raise KilledError

    # It dies in the first epoch, before there is any checkpoint; after that was
    # written; in the middle of the next epoch; after that.
    with pytest.raises(KilledError):
        run(config, folder, steps=Steps(killed_at=1))
    assert load_state(folder).epoch == 0
    with pytest.raises(KilledError):
        run(config, folder, on_epoch=die)
    first = folder / "epoch-00001.npz"
    # A process that was killed while it wrote the second leaves this.
    (folder / ".epoch-00002-a1b2c3d4.npz").write_bytes(first.read_bytes()[:500])
    with pytest.raises(KilledError):
        run(config, folder, steps=Steps(killed_at=1))
    assert load_state(folder).epoch == 1  # one epoch alone is lost
    with pytest.raises(KilledError):
        run(config, folder, on_epoch=die)
    assert load_state(folder).epoch == 2
    assert_same(whole, run(config, folder))


@pytest.mark.parametrize("keep", ["best", pytest.param("last", marks=pytest.mark.slow)])
def test_the_weights_kept_are_those_of_the_epoch_that_was_chosen(tmp_path, keep):
    config = config_of(f"train.keep={keep}", "train.epochs=4", "train.warmup_epochs=0")
    after = []
    model, state = run(
        config,
        tmp_path,
        on_epoch=lambda state: after.append([*state.weights["model"]]),
        val=flipped(part_of(12, 2)),
    )
    losses = [row["val_loss"] for row in state.history]
    chosen = int(np.argmin(losses)) if keep == "best" else 3
    assert kept_epoch(state) == chosen
    for array, kept in zip(after[chosen], arrays_of(model.variables), strict=True):
        np.testing.assert_array_equal(array, kept)
    if keep == "best":
        assert chosen < 3  # or the test would not tell them apart


def test_training_stops_when_no_epoch_was_better_for_a_while(tmp_path):
    config = config_of("train.early_stopping_epochs=2", "train.epochs=12")
    _, state = run(config, tmp_path, val=flipped(part_of(12, 2)))
    losses = [row["val_loss"] for row in state.history]
    assert len(losses) < 12
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


def test_training_does_not_stop_before_all_layers_had_their_turn(tmp_path):
    config = config_of("train.early_stopping_epochs=1", "train.frozen_epochs=4")
    _, state = run(config, tmp_path, val=flipped(part_of(12, 2)))
    assert kept_epoch(state) < 3  # while the head alone learned, nothing got better
    assert state.epoch > 4


def test_frozen_epochs_move_the_head_alone(tmp_path):
    config = config_of("train.frozen_epochs=1", "train.epochs=1", still=True)
    seen = {}
    run(
        config,
        tmp_path,
        on_epoch=lambda state: seen.setdefault(
            state.epoch, [array.copy() for array in state.weights["model"]]
        ),
    )
    model = network_of(config)
    start = arrays_of(model.variables)
    names = [variable.path for variable in model.variables]
    moved = {
        epoch: {
            name.split("/")[0]
            for name, old, new in zip(names, start, arrays, strict=True)
            if not np.array_equal(old, new) and "seed" not in name
        }
        for epoch, arrays in seen.items()
    }
    assert moved == {1: {LOGIT}, 2: {LOGIT, "conv", "norm"}}


def test_the_moving_average_follows_its_formula_and_is_what_is_kept(tmp_path):
    momentum = 0.6
    config = config_of(f"train.ema_momentum={momentum}", "train.keep=last")
    steps = Steps(look=kernel_of)
    expected = kernel_of(network_of(config))
    model, _ = run(config, tmp_path, steps=steps)
    for step, kernel in enumerate(steps.seen, start=1):
        keep = min(momentum, step / (10 + step))
        expected = keep * expected + (1 - keep) * kernel
    kept = kernel_of(model)
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    assert np.abs(kept - steps.seen[-1]).max() > 1e-4


def test_the_learning_rate_warms_up_and_falls_along_a_cosine(tmp_path):
    peak, warmup, steps_an_epoch = 0.02, 2, 2
    config = config_of(f"train.warmup_epochs={warmup}", "train.epochs=6")
    steps = Steps(look=lambda model: float(model.optimizer.learning_rate))
    run(config, tmp_path, steps=steps)
    expected = []
    for step in range(1, 6 * steps_an_epoch + 1):  # read after the step was made
        share = min(1.0, step / (warmup * steps_an_epoch))
        rest = (step - warmup * steps_an_epoch) / ((6 - warmup) * steps_an_epoch)
        fall = (1 + math.cos(math.pi * max(0.0, rest))) / 2
        expected.append((0.1 + 0.9 * share) * peak * fall)
    assert steps.seen == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_a_constant_rate_starts_at_a_tenth_and_the_head_has_the_full_one(tmp_path):
    config = config_of("train.schedule=constant", "train.frozen_epochs=1")
    steps = Steps(look=lambda model: float(model.optimizer.learning_rate))
    run(config, tmp_path, steps=steps)
    assert steps.seen[:2] == pytest.approx([0.02, 0.02])
    assert steps.seen[2] == pytest.approx(0.002)
    assert steps.seen[5:] == pytest.approx([0.02] * 3)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        # Before the first step P(malignant) is one half in every case.
        (("train.label_smoothing=0.2", "train.class_weights=balanced"), math.log(2)),
        (("train.loss=focal", "train.optimizer=sgd"), 0.5**2 * math.log(2)),
    ],
)
def test_the_first_loss_is_that_of_a_model_that_knows_nothing(
    tmp_path, overrides, expected
):
    one_step = ("train.batch_size=20", "train.epochs=1", *overrides)
    _, state = run(config_of(*one_step, still=True), tmp_path)
    assert state.history[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_clipped_step_of_gradient_descent_has_the_length_asked_for(tmp_path):
    config = config_of(
        "train.optimizer=sgd",
        "train.momentum=0",
        "train.weight_decay=0",
        "train.clip_norm=0.001",
        "train.learning_rate=1",
        "train.batch_size=20",
        "train.epochs=1",
    )
    before = arrays_of(network_of(config).trainable_variables)
    model, _ = run(config, tmp_path)
    after = arrays_of(model.trainable_variables)
    moved = math.sqrt(
        sum(np.sum((a - b) ** 2) for a, b in zip(after, before, strict=True))
    )
    assert moved == pytest.approx(0.001, rel=1e-3)


def test_balanced_weights_are_those_of_scikit_learn_with_equal_sums():
    labels = np.array([0, 0, 0, 1, 0, 1, 0])
    weights = _image_weights(labels, "balanced")
    np.testing.assert_allclose(weights, compute_sample_weight("balanced", labels))
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    np.testing.assert_array_equal(_image_weights(labels, None), np.ones(7))


def test_a_loss_that_is_no_number_ends_the_run_and_says_what_to_change(tmp_path):
    config = config_of("train.optimizer=sgd", "train.learning_rate=1e30")
    with pytest.raises(UserError, match="Training diverged: expected a finite") as info:
        run(config, tmp_path)
    assert "train.learning_rate (now 1e+30)" in str(info.value)
    assert "\n" not in str(info.value)


def test_a_monitored_figure_that_is_undefined_gives_way_to_the_first_number(tmp_path):
    benign = Part(part_of(12, 2).pixels, np.zeros(12, int))
    config = config_of("train.monitor=val_f1")
    _, state = run(config, tmp_path, val=benign)
    scores = [row["val_f1"] for row in state.history]
    assert kept_epoch(state) == next(
        (i for i, score in enumerate(scores) if not math.isnan(score)), 2
    )


def test_fewer_images_than_a_batch_still_make_a_step_and_mixup_has_no_labels(tmp_path):
    steps = Steps(look=lambda model: 1)
    config = config_of(
        *("train.batch_size=64", "train.epochs=1", "augmentation.mixup=0.4"),
        "model.lesion_head=false",
    )
    _, state = run(config, tmp_path, steps=steps)
    assert sum(steps.seen) == state.epoch == 1
    # And mixup leaves training metrics, which have no labels then, undefined.
    row = state.history[0]
    assert {name for name, value in row.items() if math.isnan(value)} == {"auc", "f1"}


def test_a_clock_that_stands_still_ends_no_training(tmp_path, monkeypatch):
    monkeypatch.setattr("usgland.training.loop.time.perf_counter", lambda: 1.0)
    _, state = run(config_of("train.epochs=1", "train.batch_size=4"), tmp_path)
    assert state.epoch == 1


def test_validation_goes_on_by_halves_where_the_memory_is_full(tmp_path, monkeypatch):
    whole = run(config_of(), tmp_path / "whole")[1].history
    asked = []

    def batches(inputs, size, *others):
        asked.append(size)
        if size > 5:
            return Full(ordered_batches(inputs, size, *others))
        return ordered_batches(inputs, size, *others)

    monkeypatch.setattr("usgland.training.loop.ordered_batches", batches)
    halved = run(config_of(), tmp_path / "halved")[1].history
    assert asked == [64, 32, 16, 8, 4]  # and 4 in the epochs that follow
    for row, other in zip(whole, halved, strict=True):
        assert other == pytest.approx(row, rel=1e-6, nan_ok=True)


def test_fewer_images_than_devices_that_share_them_are_an_error(tmp_path, monkeypatch):
    class Many:
        num_replicas_in_sync = 21

    monkeypatch.setattr("usgland.training.loop.tf.distribute.get_strategy", Many)
    with pytest.raises(UserError, match=r"images, 20\. Received: 21\. Leave it out"):
        run(config_of(), tmp_path)


def test_several_steps_at_once_are_those_one_at_a_time(tmp_path, monkeypatch):
    config = config_of("train.ema_momentum=0.9", "train.batch_size=4")
    slow, fast = Steps(look=lambda model: 1), Steps(look=lambda model: 1)
    alone = run(config, tmp_path / "alone", steps=slow)
    monkeypatch.setattr("usgland.training.loop.SECONDS_OF_STEPS", 60)
    assert_same(alone, run(config, tmp_path / "several", steps=fast))
    # The first step of an epoch is alone: it tells how long one takes.
    assert (len(slow.seen), len(fast.seen)) == (3 * 5, 3 * 2)


def test_a_penalty_of_weights_is_learned_from_and_shown(tmp_path):
    config = config_of("train.epochs=1", "train.batch_size=20", "train.learning_rate=1")
    start = network_of(config)
    start.get_layer("conv").kernel.regularizer = keras.regularizers.L2(0.5)
    kernel = kernel_of(start)
    state = train(
        start,
        part_of(20, 1),
        part_of(12, 2),
        config,
        tmp_path,
        image_layers=["conv", "norm"],
        on_epoch=lambda state: None,
    )
    penalty = 0.5 * np.sum(kernel**2)
    assert state.history[0]["loss"] == pytest.approx(math.log(2) + penalty, rel=1e-5)
    penalty = 0.5 * np.sum(kernel_of(start) ** 2)
    assert state.history[0]["val_loss"] > penalty
    assert not np.array_equal(kernel, kernel_of(start))


def test_a_state_without_an_epoch_keeps_none(tmp_path):
    with pytest.raises(ValueError, match="must have an epoch behind it. Received"):
        kept_epoch(load_state(tmp_path))
