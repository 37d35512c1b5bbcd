"""Augmentation in the step, and GPUs that share a batch: processors in their place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from usgland.config import load_config
from usgland.data.kept_pictures import pictures_of
from usgland.data.pipeline import make_batches
from usgland.models.augmentation import make_augment
from usgland.training.averaging import WeightAverage, arrays_of
from usgland.training.device import precision
from usgland.training.gradient_step import make_step
from usgland.training.loop import train
from usgland.training.optimizers import make_optimizer
from usgland.training.parts import Form, Part

SIZE, IMAGES, BATCH = 16, 24, 8
SETTINGS = (
    f"train={{batch_size: {BATCH}, epochs: 2, precision: float32, optimizer: sgd, "
    "learning_rate: 0.05, weight_decay: 0.01, ema_momentum: 0.9, warmup_epochs: 0}",
)
STILL = (
    "augmentation={horizontal_flip: false, rotation_degrees: 0, zoom: 0, translation: "
    "0, brightness: 0, contrast: 0, blur_pixels: 0}"
)

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def config_of(*overrides):
    return load_config(None, [*SETTINGS, *overrides])


def part_of(images=IMAGES, *, form=False):
    rng = np.random.default_rng(0)
    labels = (np.arange(images) % 3 == 0).astype(int)
    pixels = rng.integers(0, 256, (images, SIZE, SIZE, 1), dtype=np.uint8)
    pixels[labels == 1] //= 2
    if not form:
        return Part(pixels, labels)
    features = rng.normal(size=(images, 2)).astype("float32")
    ones, missing = np.ones((images, 1), "float32"), np.zeros(2, "float32")
    return Part(pixels, labels, Form(features, ones, missing, ["a", "b"]))


def network_of(config):
    """Without dropout and normalization, of which each device has its own."""
    keras.utils.set_random_seed(0)
    with precision(config.train.precision):
        pixels = keras.Input((SIZE, SIZE, 1))
        x = keras.layers.Rescaling(1 / 255)(pixels)
        x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        inputs = [pixels]
        if config.model.inputs == "both":
            inputs += [keras.Input((n,)) for n in (2, 1, 1)]
            x = keras.layers.Concatenate()([x, *inputs[1:]])
        x = keras.layers.Dense(1, dtype="float32", name="logit")(x)
        return keras.Model(tuple(inputs) if len(inputs) > 1 else pixels, x)


def trained(config, folder, part=None, **options):
    network, part = network_of(config), part_of() if part is None else part
    state = train(
        network,
        part,
        part,
        config,
        folder,
        image_layers=["conv"],
        on_epoch=lambda state: None,
        **options,
    )
    return arrays_of(network.variables), state.history


def assert_close(first, second, tolerance):
    for array, other in zip(first[0], second[0], strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=tolerance)
    for row, other in zip(first[1], second[1], strict=True):
        assert row["loss"] == pytest.approx(other["loss"], abs=tolerance)
        assert row["val_loss"] == pytest.approx(other["val_loss"], abs=tolerance)


def test_images_are_the_same_whether_changed_in_the_step_or_before():
    settings = ("augmentation.mixup=0.4", "model.lesion_head=false")
    part, config = part_of(), config_of(*settings)
    augment = make_augment(config.augmentation)

    def batches(augment):
        return make_batches(
            pictures_of(part.pixels).gather,
            part.labels,
            np.ones(IMAGES),
            augment,
            batch_size=BATCH,
            seed=1,
            epoch=2,
        )

    step = tf.function(lambda pixels, labels, seed: augment(pixels, labels, seed))
    for before, raw in zip(batches(augment), batches(None), strict=True):
        pixels, labels, weights, seed = raw
        assert pixels.dtype == tf.uint8
        images, mixed = step(pixels, labels, seed)
        # A mean over an image may be added up by other threads: the last digits.
        np.testing.assert_allclose(before[0], images, rtol=0, atol=1e-3)
        np.testing.assert_array_equal(before[1], mixed)
        np.testing.assert_array_equal(before[2], weights)


@pytest.mark.parametrize("inputs", ["image", "both"])
def test_training_is_the_same_whether_images_are_changed_in_the_step(tmp_path, inputs):
    config = config_of(f"model.inputs={inputs}")
    part = part_of(form=inputs == "both")
    before, within = (
        trained(config, tmp_path / str(choice), part, augment_in_step=choice)
        for choice in (False, True)
    )
    assert_close(before, within, 1e-6)


def test_rand_augment_stays_where_batches_are_made(tmp_path, monkeypatch):
    seen = []

    def note(*arguments, augment, **options):
        seen.append(augment)
        return make_step(*arguments, augment=augment, **options)

    monkeypatch.setattr("usgland.training.loop.make_step", note)
    monkeypatch.setattr(
        "usgland.training.loop.make_rand_augment", lambda *_: lambda images: images
    )
    config = config_of("augmentation.rand_augment=0.2", "train.epochs=1")
    trained(config, tmp_path / "with", augment_in_step=True)
    trained(config_of("train.epochs=1"), tmp_path / "out", augment_in_step=True)
    assert seen[0] is None
    assert seen[1] is not None


def test_xla_compiles_the_step_but_not_the_augmentation(tmp_path):
    config = config_of()
    plain = trained(config, tmp_path / "plain", augment_in_step=True)
    compiled = trained(config, tmp_path / "xla", augment_in_step=True, xla=True)
    assert_close(plain, compiled, 1e-4)


@pytest.mark.parametrize("xla", [False, True])
def test_xla_is_asked_for_where_it_is_wanted(xla):
    config = config_of()
    network = network_of(config)
    network.compile(make_optimizer(config, 10, [], frozen=False), jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    step = make_step(
        network,
        keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum"),
        WeightAverage(network, 0.9),
        batch_size=BATCH,
        xla=xla,
    )
    shapes = ((BATCH, SIZE, SIZE, 1), (BATCH, 1), (BATCH,))
    graph = tf.function(step).get_concrete_function(*map(tf.TensorSpec, shapes)).graph
    nodes = graph.as_graph_def().node
    assert sum(node.attr["_XlaMustCompile"].b for node in nodes) == xla


def two_processors(*overrides, still=True):
    """What one device and two that share each batch come to, in a process anew."""
    settings = json.dumps([*overrides, *([STILL] if still else [])])
    command = [sys.executable, __file__, settings]
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, env=ENVIRONMENT
    )
    alone, sharing = json.loads(answer.stdout.splitlines()[-1])
    return alone, sharing


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("train.clip_norm=0.01",),  # clipped as a whole, not device by device
        ("model.inputs=both", "model.value_dropout=0", "model.modality_dropout=0"),
        ("train.precision=mixed_float16", "train.frozen_epochs=1"),
    ],
)
def test_two_devices_that_share_each_batch_equal_one(overrides):
    alone, sharing = two_processors(*overrides)
    tolerance = 1e-3 if "16" in overrides[0] else 1e-5
    for array, other in zip(alone["weights"], sharing["weights"], strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        alone["losses"], sharing["losses"], rtol=0, atol=tolerance
    )


@pytest.mark.slow
def test_two_devices_draw_augmentation_of_their_own():
    alone, sharing = two_processors(still=False)
    assert np.isfinite(sharing["losses"]).all()
    assert alone["losses"] != sharing["losses"]


def main(settings):
    """Prints what one processor and two halves of it make of the same training."""
    import tempfile

    from usgland.training.automatic import sharing_scope

    processor = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, halves)
    config, results = config_of(*settings), []
    part = part_of(form=config.model.inputs == "both")
    for devices in ([], ["/device:CPU:0", "/device:CPU:1"]):
        with sharing_scope(devices)(), tempfile.TemporaryDirectory() as folder:
            weights, history = trained(config, Path(folder), part, augment_in_step=True)
        losses = [[row["loss"], row["val_loss"]] for row in history]
        results.append({"weights": [w.tolist() for w in weights], "losses": losses})
    print(json.dumps(results))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
