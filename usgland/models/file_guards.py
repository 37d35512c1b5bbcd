"""Refuses image files that take long to decode for what they show; as graph code."""

import numpy as np
import tensorflow as tf

from usgland.data.picture_headers import (
    END,
    MOST_CHUNKS,
    MOST_PACKED,
    MOST_PACKED_BYTES,
    MOST_SCANS,
    MOST_SEGMENTS,
    PACKED,
    PLAIN,
    SAMPLES,
    SCAN,
    most_packed,
)


def assert_scans(image_bytes: tf.Tensor, is_jpeg: tf.Tensor) -> tf.Operation:
    """Refuses a JPEG of more scans than a picture needs: each decodes all of it again.

    Only one in which the bytes of a scan's mark stand as often is followed from mark to
    mark, as `jpeg_cost` does: they may also stand in a segment, or behind the end.
    """

    def count() -> tf.Tensor:
        mark = bytes([0xFF, SCAN])
        pieces = tf.strings.split(image_bytes[None], mark, maxsplit=MOST_SCANS + 1)
        return tf.size(pieces.values) - 1

    most = tf.cond(is_jpeg, count, lambda: tf.constant(0))
    scans = tf.cond(most > MOST_SCANS, lambda: count_scans(image_bytes), lambda: most)
    message = f"Expected a JPEG of at most {MOST_SCANS} scans. Received more"
    return tf.debugging.Assert(scans <= MOST_SCANS, [message])


def count_scans(image_bytes: tf.Tensor) -> tf.Tensor:
    """The scans of a JPEG as `jpeg_cost` counts them."""
    size, window = tf.strings.length(image_bytes), 2**16
    has_length = np.isin(np.arange(256), PLAIN, invert=True)

    def step(place: tf.Tensor, scans: tf.Tensor, segments: tf.Tensor) -> list:
        piece = tf.strings.substr(image_bytes, place, window)
        codes = tf.cast(tf.io.decode_raw(piece, tf.uint8), tf.int32)
        length = tf.size(codes)
        codes = tf.concat([codes, [0, 0, 0]], 0)
        marked = (codes[:-1] == 0xFF) & tf.gather(has_length, codes[1:])
        at = tf.argmax(marked, output_type=tf.int32)

        def follow() -> list:
            code, high, low = codes[at + 1], codes[at + 2], codes[at + 3]
            behind = place + at + 2 + tf.maximum(256 * high + low, 2)
            behind = tf.where(code == END, size, behind)
            return [behind, scans + tf.cast(code == SCAN, tf.int32), segments + 1]

        def look_on() -> (
            list
        ):  # From the mark, or from the last byte, which may be of one.
            here = tf.where(marked[at], at, tf.maximum(length - 1, 1))
            return [place + here, scans, segments]

        is_whole = marked[at] & ((at == 0) | (at + 4 <= length) | (length < window))
        return tf.cond(is_whole, follow, look_on)

    place, scans, _ = tf.while_loop(
        lambda place, scans, segments: (
            (place < size) & (scans <= MOST_SCANS) & (segments < MOST_SEGMENTS)
        ),
        step,
        [tf.constant(2), tf.constant(0), tf.constant(0)],
        parallel_iterations=1,
    )
    return tf.where(place >= size, scans, MOST_SCANS + 1)


def assert_no_bomb(
    image_bytes: tf.Tensor, header: tf.Tensor, is_png: tf.Tensor
) -> tf.Operation:
    """Refuses a PNG that unpacks to much more than its picture, as `png_bomb` does."""
    sides = tf.cast(
        tf.io.decode_raw(tf.strings.substr(header, 16, 8), tf.int32, False), tf.int64
    )
    kind = tf.cast(
        tf.io.decode_raw(tf.strings.substr(header, 24, 2), tf.uint8), "int64"
    )
    samples = tf.constant([SAMPLES.get(colour, 4) for colour in range(256)], tf.int64)
    row = 1 + (sides[0] * kind[0] * samples[kind[1]] + 7) // 8
    size, most = tf.strings.length(image_bytes), most_packed(row * sides[1])

    def packed() -> tf.Tensor:
        counted = [
            tf.size(tf.strings.split(image_bytes[None], name, MOST_PACKED + 1).values)
            for name in PACKED
        ]
        return tf.add_n(counted) - len(PACKED) > MOST_PACKED

    is_long = is_png & (size > MOST_PACKED_BYTES)
    is_odd = tf.cond(
        is_long,
        lambda: (tf.cast(size, tf.int64) > most) | packed(),
        lambda: tf.constant(False),
    )
    is_bomb = tf.cond(
        is_odd, lambda: _is_bomb(image_bytes, most), lambda: tf.constant(False)
    )
    message = "Expected a PNG of its picture and a few texts. Received more to unpack"
    return tf.debugging.Assert(~is_bomb, [message])


def _is_bomb(image_bytes: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    size = tf.strings.length(image_bytes)

    def step(place: tf.Tensor, chunks: tf.Tensor, sums: tf.Tensor) -> list:
        """The sums are bytes of rows, and number and bytes of packed texts."""
        length = tf.io.decode_raw(
            tf.strings.substr(image_bytes, place, 4), tf.int32, little_endian=False
        )[0]
        name = tf.strings.substr(image_bytes, place + 4, 4)
        # One that is said to be longer than the file ends it.
        ends = tf.equal(name, b"IEND") | (length < 0) | (length > size)
        following = tf.where(ends, size, place + 12 + tf.maximum(length, 0))
        is_packed = tf.cast(tf.reduce_any(tf.equal(name, list(PACKED))), tf.int64)
        long = tf.cast(tf.maximum(length, 0), tf.int64)
        is_row = tf.cast(tf.equal(name, b"IDAT"), tf.int64)
        sums += tf.stack([is_row * long, is_packed, is_packed * long])
        return [following, chunks + 1, sums]

    place, _, sums = tf.while_loop(
        lambda place, chunks, sums: (place + 8 <= size) & (chunks < MOST_CHUNKS),
        step,
        [tf.constant(8), tf.constant(0), tf.zeros(3, tf.int64)],
        parallel_iterations=1,
    )
    is_packed = (sums[1] > MOST_PACKED) & (sums[2] > MOST_PACKED_BYTES)
    return (place + 8 <= size) | (sums[0] > most) | is_packed
