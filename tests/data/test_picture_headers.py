"""What a picture costs, by its marks: the graph and the check of a manifest agree."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from usgland.data.images import check_images
from usgland.data.picture_headers import MOST_SEGMENTS, area_of, jpeg_cost, png_bomb
from usgland.models import decoding
from usgland.models.file_guards import count_scans

SCAN_MARK = b"\xff\xda"
NOISE = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
counted_in_graph = tf.function(count_scans)
# As a graph: loops are slow without one.
decode_grey = tf.function(
    decoding.decode_grey, input_signature=[tf.TensorSpec([], tf.string)]
)


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
    assert int(counted_in_graph(tf.constant(data))) == counted
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


def chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(*chunks, rows=b"", **options):
    """A picture with chunks before its rows, and more rows than it has."""
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "png", **options)
    data = buffer.getvalue()
    start = data.index(b"IDAT") - 4
    added = chunk(b"IDAT", rows) if rows else b""
    return data[:start] + b"".join(chunks) + data[start:-12] + added + data[-12:]


TEXT = chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(7_900_000), 9))
PNG_BOMBS = {
    "packed texts": png(TEXT * 20),
    "rows beyond": png(rows=zlib.compress(bytes(2**27), 9)),
    "chunks": png(chunk(b"abCd", b"") * 20_000, chunk(b"abCd", bytes(2**16))),
    "texts behind a comment": png(chunk(b"tEXt", b"a\0IEND"), TEXT * 20),
}
LAWFUL = [
    png(TEXT * 15),
    png(chunk(b"zTXt", b"name\0\0" + zlib.compress(b"a word")) * 900),
    png(chunk(b"tEXt", b"name\0" + b"zTXt iTXt" * 50_000)),
    png(chunk(b"iCCP", b"name\0\0" + NOISE.tobytes() * 60)),
    png() + bytes(2**20),
    png(compress_level=0),
]


@pytest.mark.parametrize("kind", PNG_BOMBS)
def test_a_png_of_more_than_its_picture_is_refused(kind, tmp_path):
    data = PNG_BOMBS[kind]
    assert len(data) < 300_000 or kind == "chunks"
    assert png_bomb(data)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more to unpack"):
        decode_grey(tf.constant(data))
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    [check] = check_images([path])
    # Pillow itself refuses texts as long as those.
    assert re.search("its picture and a few texts|too large", check.problem)


@pytest.mark.parametrize("data", LAWFUL)
def test_a_png_with_texts_or_a_tail_is_read(data):
    assert png_bomb(data) == ""
    np.testing.assert_array_equal(decode_grey(tf.constant(data))[..., 0], NOISE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_noise_that_is_not_packed_is_no_bomb(mode):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2**16, (300, 400), np.uint16)
    if mode != "I;16":
        noise = rng.integers(0, 256, (300, 400, 4), np.uint8)
    image = Image.fromarray(noise)
    buffer = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(
        buffer, "png", compress_level=0
    )
    data = buffer.getvalue()
    assert png_bomb(data) == ""
    assert decode_grey(tf.constant(data)).shape == (300, 400, 1)


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
