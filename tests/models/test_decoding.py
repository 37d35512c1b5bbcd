"""Files that promise too much, nothing or no image: refused by their headers."""

import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from usgland.data.images import LARGEST_AREA
from usgland.models.decoding import decode_grey, grey_of_pixels
from usgland.models.preprocessing import Preprocessing

MEGABYTE = 2**20


def encode(pixels, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name, content):
    checksum = zlib.crc32(name + content)
    return (
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    )


@functools.cache
def png_bomb(width, height):
    """A whole, black PNG of one bit a pixel: about a thousandth of its pixels."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, content)
        for name, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def jpeg_of(width, height):
    """A JPEG whose header tells another size than it has."""
    data = encode(np.zeros((8, 8, 3), np.uint8), "jpeg")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def bmp_of(width, height):
    data = encode(np.zeros((8, 8, 3), np.uint8), "bmp")
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


def peak_of(call):
    """Bytes that a call needs on top of what this process has."""
    Path("/proc/self/clear_refs").write_text("5")  # Forgets the earlier peak.
    before = _resident("VmHWM")
    call()
    return _resident("VmHWM") - before


def _resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


@pytest.fixture(scope="module")
def read():
    """Reads one file as a served graph does."""
    return tf.function(
        Preprocessing(32).read, input_signature=[tf.TensorSpec([], tf.string)]
    )


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png_bomb(30000, 30000), "30000 30000"),
        (png_bomb(4001, 4000), "4000 4001"),
        (jpeg_of(65000, 64000), "64000 65000"),
        (jpeg_of(0, 8), "0"),
        (bmp_of(30000, -40000), "40000 30000"),
        (bmp_of(-(2**31), 1), "1 2147483648"),
        (bmp_of(0, 5), "5 0"),
        (b"\x89PNG", "0 0"),
    ],
)
def test_a_header_of_too_many_pixels_or_none_is_refused(read, data, size):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        read(data)
    message = str(error.value)
    # libjpeg itself refuses a side of 0.
    assert "Invalid JPEG data" in message or (
        "Expected an image of 1 to 16000000 pixels. Received height, width" in message
        and f"[{size}]" in message
    )


def test_refusing_nine_hundred_megapixels_takes_no_memory(read):
    data = png_bomb(30000, 30000)
    assert len(data) < 200_000
    read(encode(np.zeros((40, 50), np.uint8), "png"))  # what the first call needs

    def refuse():
        with pytest.raises(tf.errors.InvalidArgumentError):
            read(data)

    assert peak_of(refuse) < 20 * MEGABYTE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>a patient's name</html>",
        b"\x1f\x8b\x08 gzip: its first bytes are no UTF-8",
        b"\x89",
        encode(np.zeros((40, 40), np.uint8), "gif"),
        encode(np.zeros((40, 40), np.uint8), "webp"),
    ],
)
def test_what_is_no_image_of_ours_is_named_by_two_bytes(read, data):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Expected a PNG, JPEG or BMP file"
    ) as error:
        read(data)
    assert "patient" not in str(error.value)


def test_an_animated_gif_is_refused(read):
    frames = [Image.fromarray(np.full((40, 40), 80 * i, np.uint8)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"begins with.*GI"):
        read(buffer.getvalue())


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp"])
def test_a_truncated_file_is_refused_wherever_it_ends(read, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = encode(pixels, kind)
    for end in (2, 3, 20, 60, len(data) // 2, len(data) - 30):
        with pytest.raises(tf.errors.InvalidArgumentError):
            read(data[:end])


def test_sixteen_megapixels_are_read():
    data = png_bomb(4000, LARGEST_AREA // 4000)
    assert decode_grey(tf.constant(data)).shape == (4000, 4000, 1)


def test_pixels_of_more_are_refused_as_files_are():
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Expected an image of 1 to 16000000"
    ):
        grey_of_pixels(tf.zeros((4001, 4000, 1), tf.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_become_the_grey_levels_of_their_png(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (31, 47, channels), np.uint8)
    data = encode(pixels[..., 0] if channels == 1 else pixels, "png")
    expected = decode_grey(tf.constant(data))
    received = grey_of_pixels(tf.constant(pixels))
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("shape", [(0, 4, 1), (4, 0, 3), (4, 4, 2), (4, 4, 4)])
def test_pixels_of_no_picture_are_refused(shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected"):
        grey_of_pixels(tf.zeros(shape, tf.uint8))
