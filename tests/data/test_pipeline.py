"""From rows to batches."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

import usgland
from usgland.data.kept_pictures import hold_pictures, ordered_batches, pictures_of
from usgland.data.pipeline import make_batches
from usgland.models.augmentation import make_augment
from usgland.models.preprocessing import Preprocessing
from usgland.recipe import AugmentationSettings

SIZE = 8


@pytest.fixture
def rows(tmp_path):
    """Rows of 40 images of growing size, in no order of name or label."""
    draws = np.random.default_rng(0)
    records = []
    for i in draws.permutation(40):
        path = tmp_path / f"image {i}.png"
        shape = (64 + i, 64 + 3 * i)
        Image.fromarray(draws.integers(0, 256, shape, dtype=np.uint8)).save(path)
        records.append({"image_path": str(path), "label": i % 2})
    return pd.DataFrame(records, index=range(100, 140))


def numbered(images):
    """Images whose every pixel is their own number, and labels and weights of it."""
    pixels = np.ones((images, SIZE, SIZE, 1), np.uint8)
    pixels *= np.arange(images, dtype=np.uint8)[:, None, None, None]
    numbers = np.arange(images)
    return pictures_of(pixels).gather, numbers % 3 == 0, 1 + numbers / 10


def leave_alone(images, labels, seed):
    return tf.cast(images, tf.float32), labels


def epoch_of(images, augment=leave_alone, batch_size=4, seed=0, epoch=0):
    """The batches of one epoch, as NumPy."""
    pictures, labels, weights = numbered(images)
    dataset = make_batches(
        pictures,
        labels,
        weights,
        augment,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
    )
    return dataset, list(dataset.as_numpy_iterator())


def order_of(batches):
    return [int(image[0, 0, 0]) for images, *_ in batches for image in images]


def test_no_dataset_is_tuned_while_it_runs(rows, tuned):
    pictures = hold_pictures(rows[:2], Preprocessing(64).read, 64)
    epoch_of(8)
    list(ordered_batches(pictures, 2))
    assert tuned == [False] * 3


def test_every_module_that_makes_a_dataset_ends_its_tuning():
    for path in Path(usgland.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "AUTOTUNE" not in text, path
        assert "Dataset.from_" not in text or "without_tuning(" in text, path


def test_every_image_comes_once_an_epoch_with_its_label_and_weight():
    dataset, batches = epoch_of(12)
    assert len(batches) == dataset.cardinality() == 3
    assert sorted(order_of(batches)) == list(range(12))
    for images, labels, weights in batches:
        assert images.shape == (4, SIZE, SIZE, 1)
        assert (images.dtype, labels.dtype, weights.dtype) == (np.float32,) * 3
        assert labels.shape == (4, 1)
        assert weights.shape == (4,)
        numbers = images[:, 0, 0, 0]
        np.testing.assert_array_equal(labels[:, 0], numbers % 3 == 0)
        np.testing.assert_allclose(weights, 1 + numbers / 10)


def test_what_does_not_fill_a_batch_is_left_out_but_not_for_good():
    orders = [order_of(epoch_of(11, epoch=epoch)[1]) for epoch in range(20)]
    assert all(len(set(order)) == len(order) == 8 for order in orders)
    assert set().union(*orders) == set(range(11))
    assert len({frozenset(range(11)) - set(order) for order in orders}) > 5


def test_an_epoch_is_decided_by_seed_and_number_alone():
    orders = {
        (seed, epoch): tuple(order_of(epoch_of(40, seed=seed, epoch=epoch)[1]))
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    }
    assert len(set(orders.values())) == 6
    # Later, in another order of asking, as a resumed run does.
    for (seed, epoch), order in reversed(orders.items()):
        assert tuple(order_of(epoch_of(40, seed=seed, epoch=epoch)[1])) == order


def test_augmentation_repeats_with_the_epoch_and_differs_between_epochs():
    augment = make_augment(AugmentationSettings(noise=0.5))
    first, same, later = (epoch_of(32, augment, epoch=epoch)[1] for epoch in (3, 3, 4))
    for batch, again in zip(first, same, strict=True):
        for a, b in zip(batch, again, strict=True):
            np.testing.assert_array_equal(a, b)
    assert any((a[0] != b[0]).any() for a, b in zip(first, later, strict=True))


def test_every_batch_has_a_seed_of_its_own():
    seeds = []

    def note(images, labels, seed):
        return tf.cast(images, tf.float32), tf.cast(seed, tf.float32)[None]

    for epoch in range(3):
        seeds += [
            tuple(labels[0]) for _, labels, _ in epoch_of(40, note, epoch=epoch)[1]
        ]
    assert len(set(seeds)) == len(seeds) == 30


def test_a_batch_larger_than_the_data_is_all_of_it():
    _, batches = epoch_of(5, batch_size=16)
    assert len(batches) == 1
    assert sorted(order_of(batches)) == [0, 1, 2, 3, 4]


def test_one_image_is_a_batch():
    _, batches = epoch_of(1, batch_size=16)
    assert batches[0][0].shape == (1, SIZE, SIZE, 1)


def test_without_augmentation_the_pixels_are_as_kept_and_the_seed_goes_along():
    _, plain = epoch_of(40, None)
    seeds = []

    def note(images, labels, seed):
        seeds.append(seed)
        return tf.cast(images, tf.float32), tf.cast(seed, tf.float32)[None]

    _, augmented = epoch_of(40, note)
    for (images, labels, weights, seed), theirs in zip(plain, augmented, strict=True):
        assert (images.dtype, seed.dtype, seed.shape) == (np.uint8, np.int32, (2,))
        np.testing.assert_array_equal(images, theirs[0])
        np.testing.assert_array_equal(seed.astype("float32"), theirs[1][0])
        np.testing.assert_array_equal(weights, theirs[2])
        assert labels.shape == (4, 1)
