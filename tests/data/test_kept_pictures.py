"""Pictures are the same wherever they are kept."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from usgland.data.kept_pictures import (
    Pictures,
    hold_pictures,
    ordered_batches,
    pictures_of,
)
from usgland.data.picture_cache import PictureKey, keep_pictures
from usgland.models.preprocessing import Preprocessing

SIZE = 64


@pytest.fixture(scope="module")
def layer():
    return Preprocessing(SIZE)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of 12 images of growing size, in no order; the last two are copies."""
    folder, draws = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    records = []
    for i in draws.permutation(10):
        path = folder / f"image {i}.png"
        shape = (64 + i, 64 + 3 * i)
        Image.fromarray(draws.integers(0, 256, shape, dtype=np.uint8)).save(path)
        records.append((str(path), hashlib.sha256(path.read_bytes()).hexdigest()))
    for i in (3, 7):
        path = folder / f"copy {i}.png"
        shutil.copy(folder / f"image {i}.png", path)
        records.append((str(path), hashlib.sha256(path.read_bytes()).hexdigest()))
    table = pd.DataFrame(records, columns=["image_path", "sha256"])
    return table.set_index(np.arange(100, 112))


@pytest.fixture(scope="module")
def expected(rows, layer):
    """What the model's own layer makes of each file, asked one by one."""
    pictures = []
    for path in rows["image_path"]:
        with open(path, "rb") as file:
            pictures.append(layer(tf.constant([file.read()]))[0].numpy())
    return np.stack(pictures)


@pytest.fixture(params=["memory", "disk", "none"])
def pictures(request, rows, layer, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    key, cache = PictureKey(*layer.fingerprint()), request.param
    return keep_pictures(rows, layer.read, SIZE, key, cache=cache, say=print).pictures


def test_pictures_keep_the_order_of_the_rows(pictures, expected):
    assert len(pictures) == 12
    assert pictures.shape == expected.shape
    np.testing.assert_array_equal(pictures[:], expected)
    np.testing.assert_array_equal(np.asarray(pictures), expected)
    assert pictures[:].dtype == np.uint8


def test_pictures_are_no_array_without_a_copy(pictures):
    with pytest.raises(ValueError, match="`copy` None or True. Received: False"):
        pictures.__array__(copy=False)


def test_pictures_are_taken_as_from_an_array(pictures, expected):
    np.testing.assert_array_equal(pictures[3], expected[3])
    np.testing.assert_array_equal(pictures[-1], expected[-1])
    np.testing.assert_array_equal(pictures[[7, 2, 7]], expected[[7, 2, 7]])
    np.testing.assert_array_equal(pictures[2:5], expected[2:5])
    assert pictures[:0].shape == (0, SIZE, SIZE, 1)
    assert sum(1 for _ in pictures) == 12
    with pytest.raises(IndexError):
        pictures[12]


def test_some_of_the_rows_are_pictures_again(pictures, expected):
    some = pictures.of_rows(np.array([11, 0, 4]))
    assert some.shape == (3, SIZE, SIZE, 1)
    np.testing.assert_array_equal(some[:], expected[[11, 0, 4]])
    np.testing.assert_array_equal(some.of_rows(np.array([2]))[0], expected[4])


def test_identical_files_are_decoded_once_into_memory(rows, layer):
    read = []

    def note(path):
        read.append(path)
        return path

    def counted(image_bytes):
        with tf.control_dependencies([tf.py_function(note, [image_bytes], tf.string)]):
            return layer.read(image_bytes)

    hold_pictures(rows, counted, SIZE)
    assert len(read) == 10


def test_batches_in_order_hold_every_case_once(pictures, expected):
    labels = np.arange(12.0)
    batches = list(ordered_batches(pictures, 5, labels).as_numpy_iterator())
    assert [len(batch[0]) for batch in batches] == [5, 5, 2]
    images, others = (np.concatenate(part) for part in zip(*batches, strict=True))
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(others, labels)


def test_batches_of_image_and_form_are_tuples(pictures, expected):
    form = np.arange(24, dtype="float32").reshape(12, 2)
    batches = list(ordered_batches((pictures, form), 12))
    ((images, values),) = batches[0]
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(values, form)


def test_an_array_stands_for_pictures(expected):
    wrapped = pictures_of(expected)
    assert isinstance(wrapped, Pictures)
    assert pictures_of(wrapped) is wrapped
    np.testing.assert_array_equal(wrapped[[1, 0]], expected[[1, 0]])
