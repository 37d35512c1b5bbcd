"""The preprocessed pictures of some rows, wherever they are kept."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from usgland.data.pipeline import WAITING, WORKERS, without_tuning
from usgland.errors import UserError

# Maps the bytes of an image file, a scalar string, to uint8 `(size, size, 1)`: the
# `read` of the model's own preprocessing layer.
Read = Callable[[tf.Tensor], tf.Tensor]
# Graph code that maps numbers of pictures, int32 `(batch,)`, to the pictures.
Source = Callable[[tf.Tensor], tf.Tensor]
FEW = 16  # pictures; more are read on all cores
ALIGNMENT = 64  # bytes; TensorFlow's kernels expect their arrays at multiples of it


class Pictures:
    """Pictures of rows, uint8 `(rows, size, size, 1)`, of which any can be taken.

    What training and prediction see are these pictures and nothing else. To who wants
    a few it is an array: it has a length and a shape, and `pictures[3]`,
    `pictures[3:9]` and `pictures[[5, 3]]` are NumPy's, read anew each time.

    Args:
        source: Where the pictures come from; of identical files it has one.
        numbers: The picture of each row, in the numbers that `source` takes.
        size: Side of a picture.
    """

    def __init__(self, source: Source, numbers: np.ndarray, size: int):
        self._source, self._numbers = source, numbers
        self.shape = (len(numbers), size, size, 1)
        with tf.device("CPU"):
            self._number_of_row = tf.constant(numbers, tf.int32)
        signature = [tf.TensorSpec([None], tf.int32)]
        self._take = tf.function(self.gather, input_signature=signature)

    @tf.autograph.experimental.do_not_convert
    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        """Graph code for a dataset: the pictures of rows, int32 `(batch,)`."""
        pictures = self._source(tf.gather(self._number_of_row, indices))
        return tf.ensure_shape(pictures, (None, *self.shape[1:]))

    def of_rows(self, rows: np.ndarray) -> "Pictures":
        """The pictures of some of the rows; no picture is read or copied."""
        return Pictures(self._source, self._numbers[rows], self.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(len(self), dtype="int32")[key]
        if np.ndim(rows) and len(rows) > FEW:
            pictures = np.empty((len(rows), *self.shape[1:]), "uint8")
            batches = ordered_batches(self.of_rows(rows), FEW).as_numpy_iterator()
            for number, (batch,) in enumerate(batches):
                pictures[number * FEW : number * FEW + len(batch)] = batch
            return pictures
        with tf.device("CPU"):
            pictures = self._take(tf.constant(np.atleast_1d(rows))).numpy()
        return pictures if np.ndim(rows) else pictures[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("Expected `copy` None or True. Received: False")
        return self[:] if dtype is None else self[:].astype(dtype)


def held_pictures(pixels: np.ndarray) -> Source:
    """Pictures of an array in memory, uint8 `(pictures, size, size, 1)`."""
    with tf.device("CPU"):
        if pixels.ctypes.data % ALIGNMENT == 0 and pixels.flags.c_contiguous:
            # `tf.constant` would double what is most of the memory of a run.
            held = tf.experimental.dlpack.from_dlpack(pixels.__dlpack__())
        else:
            held = tf.constant(pixels)
    return lambda numbers: tf.gather(held, numbers)


def decoded_pictures(paths: Sequence[str], read: Read, size: int) -> Source:
    """Pictures that are decoded from their files each time they are asked for."""
    with tf.device("CPU"):
        path_of_picture = tf.constant(paths)
    form = tf.TensorSpec((size, size, 1), tf.uint8)

    def source(numbers: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(path_of_picture, numbers)
        return tf.map_fn(
            lambda path: read(tf.io.read_file(path)), chosen, fn_output_signature=form
        )

    return source


def pictures_of(pixels: "Pictures | np.ndarray") -> Pictures:
    """Pictures of an array, one a row; pictures as they are."""
    if isinstance(pixels, Pictures):
        return pixels
    return Pictures(held_pictures(pixels), np.arange(len(pixels)), pixels.shape[1])


def distinct_files(rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Of identical image files the first; and which of these each row has.

    Returns:
        `image_path` and `sha256`, the path where no digest is known, one row a file;
        and numbers of these, `(rows,)`.
    """
    paths = rows["image_path"]
    table = pd.DataFrame({"image_path": paths, "sha256": rows.get("sha256", paths)})
    numbers, _ = pd.factorize(table["sha256"])
    return table.drop_duplicates("sha256").reset_index(drop=True), numbers


def decode_each(paths: Sequence[str], read: Read) -> Iterator[np.ndarray]:
    """Reads and preprocesses every file once, several at a time, in their order."""
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(
        lambda path: read(tf.io.read_file(path)), num_parallel_calls=WORKERS
    )
    return without_tuning(dataset).as_numpy_iterator()


def decode_unchanged(
    paths: Sequence[str], digests: Sequence[str], read: Read
) -> Iterator[np.ndarray]:
    """The same of files that must have the content that they were checked with.

    Args:
        paths: The files.
        digests: SHA-256 of each, in hexadecimal.
        read: Maps the bytes of an image file to a picture.

    Raises:
        UserError: If one has another content.
    """

    def read_and_compare(path, expected):
        content = tf.io.read_file(path)
        # Stateful, it would run on one core where runs must repeat.
        digest = tf.numpy_function(_digest, [content], tf.string, stateful=False)
        same = tf.reduce_all(tf.equal(digest, expected))
        # A file that has changed may be none that can be decoded.
        none = tf.zeros([0, 0, 1], tf.uint8)
        return tf.cond(same, lambda: read(content), lambda: none), same

    dataset = tf.data.Dataset.from_tensor_slices((paths, digests)).map(
        read_and_compare, num_parallel_calls=WORKERS
    )
    pictures = without_tuning(dataset).as_numpy_iterator()
    for path, (picture, same) in zip(paths, pictures, strict=True):
        if not same:
            raise UserError(
                f"Expected the image that was checked at {path}. Received: another, it "
                "has changed since it was checked. Repeat the command"
            )
        yield picture


@contextlib.contextmanager
def changed_images_told(rows: pd.DataFrame) -> Iterator[None]:
    """Makes one line of the error of an image that vanished, or changed, meanwhile.

    Args:
        rows: Manifest rows with `image_path` and `sha256`, of which images are read.
    """
    try:
        yield
    except tf.errors.OpError as error:
        files, _ = distinct_files(rows)
        for path, digest in zip(files["image_path"], files["sha256"], strict=True):
            try:
                same = hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
                reason = "another, it has changed since it was checked"
            except OSError as cause:
                same, reason = False, f"none that can be read ({cause.strerror})"
            if not same and path != digest:  # the digest of an image that has none
                raise UserError(
                    f"Expected the image that was checked at {path}. Received: {reason}"
                    ". Put it back and repeat the command with --resume"
                ) from error
        raise


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def hold_pictures(rows: pd.DataFrame, read: Read, size: int) -> Pictures:
    """Decodes the image of every row into memory: 102 kB for 320 pixels.

    Identical files, by their `sha256`, are decoded and held once.
    """
    files, numbers = distinct_files(rows)
    pixels = _aligned_empty((len(files), size, size, 1))
    for place, picture in enumerate(decode_each(files["image_path"].to_list(), read)):
        pixels[place] = picture
    return Pictures(held_pictures(pixels), numbers, size)


def read_on_demand(rows: pd.DataFrame, read: Read, size: int) -> Pictures:
    """Pictures that take no memory and are decoded each time: for a single pass."""
    files, numbers = distinct_files(rows)
    return Pictures(
        decoded_pictures(files["image_path"].to_list(), read, size), numbers, size
    )


def ordered_batches(inputs: Any, batch_size: int, *others: np.ndarray) -> Any:
    """The batches of cases in their order, for validation and prediction.

    Args:
        inputs: What a network takes: pictures, an array, or a tuple of these.
        batch_size: Cases a batch; the last may have fewer.
        others: Further arrays, e.g. labels, that follow the inputs.

    Returns:
        A dataset of tuples: the inputs, then `others`.
    """
    several = isinstance(inputs, tuple)
    parts = inputs if several else (inputs,)
    with tf.device("CPU"):
        gathers = [_gather_of(part) for part in parts]
    rows = np.arange(len(parts[0]), dtype="int32")

    @tf.autograph.experimental.do_not_convert
    def take(indices, *rest):
        taken = tuple(gather(indices) for gather in gathers)
        return taken if several else taken[0], *rest

    dataset = tf.data.Dataset.from_tensor_slices((rows, *others)).batch(batch_size)
    dataset = dataset.map(take, num_parallel_calls=WORKERS, deterministic=True)
    return without_tuning(dataset.prefetch(WAITING))


def _gather_of(part: Pictures | np.ndarray) -> Source:
    if isinstance(part, Pictures):
        return part.gather
    array = tf.constant(part)
    return lambda indices: tf.gather(array, indices)


def _aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialized uint8 array that TensorFlow can take without a copy."""
    size = int(np.prod(shape))
    room = np.empty(size + ALIGNMENT, "uint8")
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].reshape(shape)
