"""PNG and JPEG files, in and out."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.dicom_files import picture
from usgland.ingest.leaks import png_chunks
from usgland.ingest.safe_pictures import png_bytes, read_picture
from usgland.ingest.unreadable import UnreadableFileError

BOMB = zlib.compress(bytes(9_000_000))


def written(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    return buffer


def test_a_picture_comes_back_and_has_no_chunk_but_its_pixels():
    for pixels in (picture(), np.stack([picture(), picture(seed=1), picture()], -1)):
        data = png_bytes(pixels)
        np.testing.assert_array_equal(read_picture(io.BytesIO(data)), pixels)
        assert {kind for kind, _ in png_chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}


def test_colours_that_are_grey_are_one_channel():
    pixels = picture()
    data = png_bytes(np.stack([pixels] * 3, axis=-1))
    np.testing.assert_array_equal(read_picture(io.BytesIO(data)), pixels)


def test_a_picture_is_turned_as_it_is_seen():
    exif = Image.Exif()
    exif[0x0112] = 6  # 90 degrees
    file = written(Image.fromarray(picture()), exif=exif)
    np.testing.assert_array_equal(read_picture(file), np.rot90(picture(), -1))


def test_what_is_transparent_is_black():
    pixels = np.full((4, 6, 4), 200, np.uint8)
    pixels[:2, :, 3] = 0  # not seen, and could spell a name
    found = read_picture(written(Image.fromarray(pixels)))
    assert not found[:2].any()
    assert (found[2:] > 150).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_shades_of_transparency_spell_nothing(mode):
    white, alpha = np.full((4, 20), 255, np.uint8), np.full((4, 20), 255, np.uint8)
    alpha[1] = np.frombuffer(b"A PATIENT'S NAME 123", np.uint8)
    bands = [*[white] * (len(mode) - 1), alpha]
    file = written(Image.merge(mode, [Image.fromarray(band) for band in bands]))
    assert set(np.unique(read_picture(file))) == {0, 255}


def test_sixteen_bits_lose_their_lower_eight():
    values = np.array([[0, 0x1234, 0xFFFF]], np.uint16)
    found = read_picture(written(Image.fromarray(values)))
    np.testing.assert_array_equal(found, [[0, 0x12, 0xFF]])


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK"])
def test_other_modes_are_read(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    file = written(Image.fromarray(picture()).convert(mode), kind)
    assert read_picture(file).shape[:2] == (48, 64)


def _with_chunk(kind, content):
    data = png_bytes(picture())
    chunk = kind + content
    made = (
        struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    return io.BytesIO(data[:33] + made + data[33:])


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (io.BytesIO(png_bytes(picture())[:-900]), "a broken picture: image file is tr"),
        (written(Image.new("1", (20_000, 20_000))), "a broken picture: more pixels"),
        (written(Image.new("1", (9_000, 9_000))), "too large: 9000 x 9000 pixels"),
        (
            _with_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(9_000_000))),
            "Decompressed",
        ),
        (io.BytesIO(b"\x89PNG\r\n\x1a\n"), "a broken picture"),
        (written(Image.new("L", (9, 9)), "BMP"), "a broken picture: cannot identify"),
    ],
)
def test_a_broken_or_huge_picture_is_told(file, expected):
    with pytest.raises(UnreadableFileError, match=expected):
        read_picture(file)
