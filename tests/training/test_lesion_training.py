"""What the lesion's marks change in training, on a network of two convolutions."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from usgland.config import load_config
from usgland.models.lesion_head import MAP, LesionPooling
from usgland.training.averaging import WeightAverage, arrays_of
from usgland.training.device import prepare_devices
from usgland.training.gradient_step import make_step
from usgland.training.loop import train
from usgland.training.optimizers import make_optimizer
from usgland.training.parts import Part

PICTURE, VIEW = 30, 24
SETTINGS = (
    "train={batch_size: 8, epochs: 2, learning_rate: 0.01, warmup_epochs: 0}",
    "augmentation={blur_pixels: 0}",
)


@pytest.fixture(autouse=True)
def no_metrics(monkeypatch):
    """Each costs time to trace; test_metrics.py tests them."""
    monkeypatch.setattr(
        "usgland.training.loop.training_metrics",
        lambda from_logits: [keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)],
    )


def network_of(seed=0):
    prepare_devices(seed)
    view = keras.Input((VIEW, VIEW, 1))
    x = keras.layers.Rescaling(1 / 255)(view)
    options = {"padding": "same", "activation": "relu"}
    x = keras.layers.Conv2D(8, 5, strides=2, name="conv", **options)(x)
    drawn = keras.layers.Conv2D(1, 3, padding="same", name=MAP)(x)
    x = LesionPooling(name="mean")([x, drawn])
    logit = keras.layers.Dense(1, kernel_initializer="zeros", name="logit")(x)
    return keras.Model(view, [logit, drawn])


def part_of(images, seed):
    """A bright ellipse each, larger in the malignant; the last two show none."""
    draws = np.random.default_rng(seed)
    labels = np.arange(images) % 2
    centres, halves = draws.uniform(0.3, 0.7, (images, 2)), np.full((images, 2), 0.12)
    halves[labels == 1] += 0.1
    lesions = np.concatenate([centres, halves], axis=1).astype("float32")
    lesions[-2:], labels[-2:] = 0, -1
    y, x = (np.mgrid[:PICTURE, :PICTURE] + 0.5) / PICTURE
    centre_y, centre_x, height, width = lesions.T[:, :, None, None]
    inside = ((y - centre_y) * width) ** 2 + ((x - centre_x) * height) ** 2
    grey = 60 + 120 * (inside < (height * width) ** 2)
    pixels = np.clip(grey + draws.normal(0, 10, grey.shape), 0, 255)
    return Part(pixels[..., None].astype("uint8"), labels, None, lesions)


def run(folder, *overrides, part=None, **options):
    model = network_of()
    part = part_of(26, 1) if part is None else part
    val = part_of(14, 2)
    val = Part(val.pixels[:12], val.labels[:12])
    config = load_config(None, [*SETTINGS, *overrides])
    options = {"on_epoch": lambda state: None, **options}
    state = train(model, part, val, config, folder, image_layers=["conv"], **options)
    return model, state


def step_of(model, **options):
    config = load_config(None, [*SETTINGS, "train.optimizer=sgd"])
    model.compile(make_optimizer(config, 4, [], frozen=False), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
    average = WeightAverage(model, None)
    return make_step(model, loss, average, batch_size=4, **options)


def test_the_loss_is_that_of_labels_and_half_of_that_of_maps():
    draws = np.random.default_rng(0)
    views = draws.uniform(0, 255, (4, VIEW, VIEW, 1)).astype("float32")
    labels = np.array([[0], [1], [1], [-1]], "float32")
    weights = np.array([1, 1, 1, 0], "float32")
    maps = draws.uniform(size=(4, 12, 12, 1)).astype("float32")
    maps[1], maps[3] = np.nan, 0
    model = network_of()
    before = arrays_of(model.trainable_variables)
    drawn = scipy.special.expit(np.asarray(model(views)[1], "float64"))
    step = step_of(model, partly_labelled=True)
    told, logits = step(*map(tf.constant, (views, labels, weights, maps)))
    assert not logits.numpy().any()  # from zeros
    entropy = -(maps * np.log(drawn) + (1 - maps) * np.log(1 - drawn)).mean((1, 2, 3))
    both = 2 * (drawn * maps).sum((1, 2, 3)) + 1
    each = entropy + 1 - both / ((drawn + maps).sum((1, 2, 3)) + 1)
    # Three images have a label, three say where the lesion is.
    np.testing.assert_allclose(told, [np.log(2), each[[0, 2, 3]].mean()], rtol=1e-4)
    # What the bias of the map has learned, by differences of half of that.
    moved = model.get_layer(MAP).bias.numpy()[0] - before[3][0]
    cells = drawn * (1 - drawn)
    of_entropy = (drawn - maps).mean((1, 2, 3))
    below = (drawn + maps).sum((1, 2, 3)) + 1
    of_dice = -(2 * (cells * maps).sum((1, 2, 3)) * below - both * cells.sum((1, 2, 3)))
    gradient = 0.5 * (of_entropy + of_dice / below**2)[[0, 2, 3]].mean()
    assert moved == pytest.approx(-0.01 * gradient, rel=0.02)


def test_an_image_without_a_mark_changes_nothing_in_the_term_of_the_maps():
    draws = np.random.default_rng(0)
    views = draws.uniform(0, 255, (4, VIEW, VIEW, 1)).astype("float32")
    labels, weights = np.zeros((4, 1), "float32"), np.ones(4, "float32")
    maps = draws.uniform(size=(4, 12, 12, 1)).astype("float32")
    maps[2:] = np.nan
    learned = []
    for noise in (0, 100):
        views[2:] = np.clip(views[2:] + noise, 0, 255)
        model = network_of()
        told, _ = step_of(model)(*map(tf.constant, (views, labels, weights, maps)))
        learned.append((told[1].numpy(), *arrays_of(model.get_layer(MAP).variables)))
    for first, second in zip(*learned, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_resumed_run_with_marks_ends_where_an_uninterrupted_one_does(tmp_path):
    class KilledError(Exception):
        pass

    def kill(state):
        if state.epoch == 1:
            raise KilledError

    model, state = run(tmp_path / "whole")
    assert {"loss", "lesion_loss", "val_loss"} <= state.history[0].keys()
    assert "val_lesion_loss" not in state.history[0]
    with pytest.raises(KilledError):
        run(tmp_path / "killed", on_epoch=kill)
    resumed, again = run(tmp_path / "killed")
    assert str(state.history) == str(again.history)
    for array, other in zip(
        arrays_of(model.variables), arrays_of(resumed.variables), strict=True
    ):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("xla", [False, True])
def test_training_is_the_same_with_views_drawn_in_the_step(tmp_path, xla):
    state = run(tmp_path / "before", augment_in_step=False)[1]
    again = run(tmp_path / "within", augment_in_step=True, xla=xla)[1]
    for row, same in zip(state.history, again.history, strict=True):
        assert row["loss"] == pytest.approx(same["loss"], abs=1e-4)
        assert row["lesion_loss"] == pytest.approx(same["lesion_loss"], abs=1e-4)


def test_without_a_mark_the_head_learns_nothing(tmp_path):
    part = part_of(26, 1)
    part = Part(part.pixels[:24], part.labels[:24])
    before = arrays_of(network_of().get_layer(MAP).variables)
    settings = "train={batch_size: 8, epochs: 1, weight_decay: 0.0}"
    model, state = run(tmp_path, settings, part=part)
    assert state.history[0]["lesion_loss"] == 0
    for array, other in zip(
        before, arrays_of(model.get_layer(MAP).variables), strict=True
    ):
        np.testing.assert_allclose(array, other, atol=1e-6)  # of the moving average


def test_images_without_a_label_do_not_thin_the_loss_of_the_others(tmp_path):
    cases, none = part_of(18, 1), np.full(16, -1)
    pixels = np.concatenate([cases.pixels[:16], cases.pixels[:16]])
    lesions = np.zeros((32, 4), "float32")
    part = Part(pixels, np.concatenate([cases.labels[:16], none]), None, lesions)
    rate = "train={batch_size: 16, epochs: 1, learning_rate: 1.0e-7}"
    _, state = run(tmp_path, rate, part=part)
    # From zeros; half of a batch would halve it.
    assert state.history[0]["loss"] == pytest.approx(np.log(2), rel=1e-3)


def test_the_head_finds_what_is_bright(tmp_path):
    settings = "train={batch_size: 8, epochs: 12, learning_rate: 0.03, keep: last}"
    model, _ = run(tmp_path, settings, "augmentation.contrast=0.1")
    unseen = part_of(34, 5)
    views = tf.image.resize(unseen.pixels[:32], (VIEW, VIEW))
    drawn = np.asarray(model(views)[1])[..., 0]
    peaks = np.stack(np.unravel_index(drawn.reshape(32, -1).argmax(1), (12, 12)), 1)
    off = np.abs((peaks + 0.5) / 12 - unseen.lesions[:32, :2])
    assert (off < unseen.lesions[:32, 2:] + 1 / 24).all(axis=1).mean() > 0.9
