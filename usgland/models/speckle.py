"""The median filter against speckle, as graph operations on whole images."""

import tensorflow as tf


def median_filter(image: tf.Tensor, side: int) -> tf.Tensor:
    """Replaces every pixel by the median of its `side` x `side` neighbourhood.

    Pixels beyond the border repeat the border (`cv2.medianBlur`). Runs as a network
    of minima and maxima on shifted copies of the whole image, an order of
    magnitude faster than sorting patches (`scripts/benchmark_median.py`).

    The image is `(height, width, 1)` of any numeric type, the side 3 or 5.
    """
    if side not in (3, 5):
        raise ValueError(f"`side` must be 3 or 5. Received: side={side}")
    # The minima of float32 are vectorized, those of bytes are not.
    padded = tf.cast(image, tf.float32) if image.dtype == tf.uint8 else image
    for _ in range(side // 2):  # One pixel at a time repeats the border pixel.
        padded = tf.pad(padded, [[1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    # Columns are sorted once, before they are shifted against each other.
    bands = _sort([padded[row : row + height] for row in range(side)])
    columns = [[band[:, col : col + width] for band in bands] for col in range(side)]
    median = tf.cast(_median_of_sorted_columns(columns), image.dtype)
    return tf.reshape(median, tf.shape(image))


def _sort(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sorts elementwise by odd-even transposition."""
    values = list(values)
    for step in range(len(values)):
        for i in range(step % 2, len(values) - 1, 2):
            values[i], values[i + 1] = (
                tf.minimum(values[i], values[i + 1]),
                tf.maximum(values[i], values[i + 1]),
            )
    return values


def _median_of_sorted_columns(columns: list[list[tf.Tensor]]) -> tf.Tensor:
    """The median of a square whose columns are sorted, by forgetting extremes.

    With n values left, a value that at least half of them surely exceed cannot be the
    median. After rows are sorted too, entry (i, j) is no smaller than the
    (i + 1) * (j + 1) entries above and left of it.
    """
    side = len(columns)
    rows = [_sort(list(row)) for row in zip(*columns, strict=True)]
    half = (side * side + 1) // 2
    left = [
        rows[i][j]
        for i in range(side)
        for j in range(side)
        if (i + 1) * (j + 1) <= half and (side - i) * (side - j) <= half
    ]
    return _median_by_forgetting(left)


def _median_by_forgetting(values: list[tf.Tensor]) -> tf.Tensor:
    """The median of an odd number of values: extremes are dropped until it is left."""
    values = list(values)
    while len(values) > 1:
        for i in range(len(values) - 1):  # The largest moves to the end.
            values[i], values[i + 1] = (
                tf.minimum(values[i], values[i + 1]),
                tf.maximum(values[i], values[i + 1]),
            )
        for i in range(len(values) - 2, 0, -1):  # The smallest moves to the front.
            values[i - 1], values[i] = (
                tf.minimum(values[i - 1], values[i]),
                tf.maximum(values[i - 1], values[i]),
            )
        values = values[1:-1]
    return values[0]
