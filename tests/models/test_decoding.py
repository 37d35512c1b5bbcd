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


# Every kind of file, against all four channels of it in float32


def png(samples, depth, colour, *chunks, interlaced=False):
    """A PNG file of samples `(height, width, channels)`, each of `depth` bits."""
    height, width = samples.shape[:2]
    # First row, first column and their steps of the seven passes of Adam7.
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
    passes += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = b""
    for top, left, down, right in passes if interlaced else [(0, 0, 1, 1)]:
        for row in samples[top::down, left::right]:
            bits = (row.reshape(-1, 1) >> np.arange(depth)[::-1]) & 1
            lines += b"\0" + np.packbits(bits).tobytes() if row.size else b""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = [
        (b"IHDR", header),
        *chunks,
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def sum_in_float32(colours):
    """Luma as `decode_grey` documents it, one rounded operation after the other."""
    red, green, blue = (
        colours[..., channel].astype("float32") * np.float32(weight)
        for channel, weight in enumerate((0.299, 0.587, 0.114))
    )
    return (red + green) + blue


def flatten_four_channels(data):
    """What an 8-bit PNG, or a JPEG, is: all its channels, and alpha on black."""
    if data[:2] == b"\xff\xd8":
        image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        return np.round(sum_in_float32(image.numpy()))
    image = tf.io.decode_png(data, channels=4).numpy()
    alpha = image[..., 3].astype("float32") / np.float32(255)
    return np.round(sum_in_float32(image) * alpha)


KINDS = [  # colour type, its channels, its depths; PNG, table 11.1
    (0, 1, (1, 2, 4, 8, 16)),
    (2, 3, (8, 16)),
    (3, 1, (1, 2, 4, 8)),
    (4, 2, (8, 16)),
    (6, 4, (8, 16)),
]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(
    ("colour", "channels", "depth"),
    [(kind, channels, depth) for kind, channels, all_ in KINDS for depth in all_],
)
def test_every_kind_of_png_is_what_its_four_channels_are(
    colour, channels, depth, transparent, interlaced
):
    rng = np.random.default_rng(depth)
    samples = rng.integers(0, 2**depth, (37, 51, channels))
    levels = rng.integers(0, 256, (2 ** min(depth, 8), 3), np.uint8)
    opaque = np.full(len(levels), 255, np.uint8)
    chunks = [(b"PLTE", levels.tobytes())] if colour == 3 else []
    if transparent and colour in (0, 2):
        chunks.append((b"tRNS", samples[3, 4].astype(">u2").tobytes()))
    if transparent and colour == 3:
        opaque = rng.integers(0, 256, len(levels), np.uint8)
        chunks.append((b"tRNS", opaque.tobytes()))
    if transparent and colour in (4, 6):
        chunks.append((b"tEXt", b"Comment\0no tRNS"))
    data = png(samples, depth, colour, *chunks, interlaced=interlaced)
    received = decode_grey(tf.constant(data)).numpy()[..., 0]
    if depth == 8:
        expected = flatten_four_channels(data)
    elif depth == 16:
        image = tf.io.decode_png(data, channels=4, dtype=tf.uint16).numpy()
        alpha = image[..., 3].astype("float32") / np.float32(65535)
        expected = sum_in_float32(image) * alpha * np.float32(255 / 65535)
        assert sum_in_float32(image).max() > 2**15  # else the scale is of fewer bits
    elif colour == 0:  # TensorFlow knows no transparent level of so few bits.
        expected = samples[..., 0] * (255 / (2**depth - 1))
    else:
        alpha = opaque[samples[..., 0]].astype("float32") / np.float32(255)
        expected = np.round(sum_in_float32(levels[samples[..., 0]]) * alpha)
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("shape", [(64, 48), (64, 48, 3), (64, 48, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_random_pngs_are_what_their_four_channels_are(shape, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    data = encode(pixels, "png", compress_level=seed)
    received = decode_grey(tf.constant(data)).numpy()[..., 0]
    np.testing.assert_array_equal(received, flatten_four_channels(data))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg_is_what_its_three_channels_are(mode, progressive):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels).convert(mode)
    image.save(buffer, "jpeg", quality=80, progressive=progressive)
    data = buffer.getvalue()
    received = decode_grey(tf.constant(data)).numpy()[..., 0]
    np.testing.assert_array_equal(received, flatten_four_channels(data))


@pytest.mark.slow
def test_the_grey_of_all_colours_is_their_luma_in_float32():
    green, blue = (side.ravel() for side in np.indices((256, 256), np.uint8))
    for red in range(256):
        pixels = np.stack([np.full_like(green, red), green, blue], axis=-1)[None]
        received = grey_of_pixels(tf.constant(pixels)).numpy()[..., 0]
        np.testing.assert_array_equal(received, np.round(sum_in_float32(pixels)))


@pytest.mark.parametrize(("scans", "is_read"), [(90, True), (101, False)])
def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded(read, scans, is_read):
    """Also by the check of a manifest, which runs first in `fit`."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
    data = encode(pixels, "jpeg", progressive=True)
    last = data.rindex(b"\xff\xda")
    more = scans - data.count(b"\xff\xda")
    data = data[:-2] + data[last:-2] * more + data[-2:]
    if is_read:
        assert read(data).shape == (32, 32, 1)
        return
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 100 scans"):
        read(data)
