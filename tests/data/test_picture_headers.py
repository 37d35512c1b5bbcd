"""What a picture costs, by its marks: the graph and the check of a manifest agree."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from usgland.data.images import check_images
from usgland.data.picture_headers import MOST_SEGMENTS, area_of, jpeg_cost
from usgland.models.decoding import _count_scans, decode_grey

SCAN_MARK = b"\xff\xda"
NOISE = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
count_scans = tf.function(_count_scans)


def jpeg(**options):
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "jpeg", **options)
    return buffer.getvalue()


def segment(code, content):
    return b"\xff" + bytes([code]) + struct.pack(">H", 2 + len(content)) + content


def with_segments(*segments):
    """A picture that has them behind its first mark."""
    plain = jpeg()
    return plain[:2] + b"".join(segments) + plain[2:]


def scans_of(data):
    """As both count them."""
    counted = jpeg_cost(data)[1]
    assert int(count_scans(tf.constant(data))) == counted
    return counted


def test_a_header_is_not_searched_byte_by_byte():
    start = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x0b\x08\x00\x07\x00\x09"
    assert area_of(start + bytes(9)) == 63
    assert area_of(b"\xff\xd8" + bytes(2**20)) == 0
    assert area_of(b"\xff\xd8" + b"\xff" * 2**20) == 0


@pytest.mark.parametrize(
    "data",
    [
        jpeg() + SCAN_MARK * 200,  # what an editor, or another picture, adds
        jpeg() + jpeg(progressive=True) * 30,
        with_segments(segment(0xE1, jpeg(progressive=True) * 20)),  # small pictures
        with_segments(*[segment(0xE2, SCAN_MARK * 30_000)] * 4),
        with_segments(segment(0xFE, SCAN_MARK * 200), b"\xff" * 70_000),
        jpeg(comment=b"\xff\xd9" + SCAN_MARK * 200),
    ],
)
def test_marks_that_are_none_of_its_scans_do_not_count(data, tmp_path):
    assert data.count(SCAN_MARK) > 100
    assert scans_of(data) == 1
    assert area_of(data) == NOISE.size
    expected = decode_grey(tf.constant(jpeg()))
    np.testing.assert_array_equal(decode_grey(tf.constant(data)), expected)
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    [check] = check_images([path])
    assert check.problem == ""


def bombs():
    data = jpeg(progressive=True)
    last = data.rindex(SCAN_MARK)
    more = data[last:-2] * 101
    header = segment(0xDA, data[last + 4 : last + 10])
    yield data[:-2] + more + data[-2:]
    yield data[:-2] + more  # without an end
    yield data[:-2] + header * 101 + b"\xff\xd9"
    # Between them: what fills, a restart, no length, and a false end in a segment.
    for between in (b"\xff\xff", b"\xff\xd0", b"\xff\x01", b"abc", b"\xff\xfe\0\0"):
        yield data[:-2] + (between + data[last:-2]) * 101 + data[-2:]
    yield data[:-2] + segment(0xFE, b"\xff\xd9" * 30_000) + more + data[-2:]


@pytest.mark.parametrize("data", list(bombs()))
def test_hidden_scans_are_counted(data, tmp_path):
    assert scans_of(data) > 100
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 100 scans"):
        decode_grey(tf.constant(data))
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    [check] = check_images([path])
    assert "at most 100 scans" in check.problem or "damaged" in check.problem


def test_segments_without_end_are_too_many():
    data = with_segments(segment(0xFE, b"") * (MOST_SEGMENTS + 1))
    assert scans_of(data) > 100


PARTS = st.lists(
    st.sampled_from(
        [b"\xff", b"\xda", b"\xd9", b"\xff\xda", b"\0", b"\xfe\0\x07", b"x"]
    )
    | st.integers(0, 255).map(lambda code: b"\xff" + bytes([code]) + b"\0\x04ab"),
    max_size=60,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(PARTS, st.sampled_from([0, 2**16 - 9, 2**16 - 3]))
def test_the_graph_counts_as_the_check_of_a_manifest(parts, filled):
    scans_of(b"\xff\xd8" + bytes(filled) + b"".join(parts))
