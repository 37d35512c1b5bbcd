import hashlib
import io
import warnings

import numpy as np
import pytest
from PIL import Image

from usgland.data.images import check_images


def noise(side=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def encode(pixels, file_format="PNG", mode=None, **options):
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, file_format, **options)
    return buffer.getvalue()


def problem(tmp_path, data, name="image.png"):
    path = tmp_path / name
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [check] = check_images([path])
    assert check.sha256 == hashlib.sha256(data).hexdigest()
    return check.problem


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_passes(tmp_path, mode):
    assert problem(tmp_path, encode(noise(), mode=mode)) == ""


def test_a_dark_16_bit_png_passes(tmp_path):
    assert problem(tmp_path, encode(noise().astype("uint16"))) == ""


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg_passes(tmp_path, mode, progressive):
    data = encode(noise(), "JPEG", mode, progressive=progressive)
    assert problem(tmp_path, data, "image.jpg") == ""


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_plain_bmp_passes(tmp_path, mode):
    assert problem(tmp_path, encode(noise(), "BMP", mode), "image.bmp") == ""


@pytest.mark.parametrize("cut", [1, 4, 8, 12, 13, 20, 500])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP"])
def test_truncation_is_found_to_the_last_byte(tmp_path, file_format, cut):
    data = encode(noise(), file_format)[:-cut]
    assert "expected a whole" in problem(tmp_path, data)


def test_a_flipped_bit_in_a_png_is_found(tmp_path):
    data = bytearray(encode(noise()))
    data[len(data) // 2] ^= 1
    assert "truncated or damaged PNG" in problem(tmp_path, bytes(data))


def test_a_palette_bmp_is_refused(tmp_path):
    image = Image.fromarray(noise()).convert("P")
    image.putpalette([255 - grey for grey in range(256) for _ in range(3)])
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    assert "save it as PNG" in problem(tmp_path, buffer.getvalue())


def test_a_jpeg_cut_inside_its_header_is_damaged(tmp_path):
    assert "Received: " in problem(tmp_path, encode(noise(), "JPEG")[:40])


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (b"", r"an empty file \(0 bytes\)"),
        (b"hello", "no image"),
        (encode(noise(), "GIF"), "a GIF file"),
        (encode(noise(), "TIFF"), "a TIFF file"),
        (b"<!DOCTYPE html><title>404</title>", "a HTML"),
        (b"\0" * 128 + b"DICM" + b"\0" * 99, "a DICOM file"),
    ],
)
def test_other_files_are_named(tmp_path, data, received):
    with pytest.raises(ValueError, match=received):
        raise ValueError(problem(tmp_path, data))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20000, 3), (31, 32)])
def test_too_small_images_are_refused(tmp_path, width, height):
    pixels = np.arange(width * height, dtype=np.uint8).reshape(height, width)
    text = f"expected at least 32 pixels on each side. Received: {width}x{height}"
    assert problem(tmp_path, encode(pixels)) == text


def test_the_smallest_side_passes(tmp_path):
    assert problem(tmp_path, encode(noise(32))) == ""


@pytest.mark.parametrize("side", [4001, 10_000, 20_000])
def test_too_large_images_are_refused_without_decoding_them(tmp_path, side):
    header = bytearray(encode(np.zeros((1, 1), np.uint8)))
    header[16:24] = side.to_bytes(4) * 2  # width and height of IHDR
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (tmp_path / "image.png").write_bytes(_with_checksum(header))
        [check] = check_images([tmp_path / "image.png"])
    assert "expected at most 16000000 pixels. Received: " in check.problem


def _with_checksum(png):
    import zlib

    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4)
    return bytes(png)


def test_too_large_files_are_not_read(tmp_path):
    path = tmp_path / "image.png"
    with path.open("wb") as file:
        file.truncate(9 * 16_000_000 + 1)  # sparse: takes no space on the disk
    [check] = check_images([path])
    assert check.problem.endswith("144000000 bytes. Received: 144000001 bytes")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_constant_grey_is_no_picture(tmp_path, mode):
    data = encode(np.full((40, 40), 255, np.uint8), mode=mode)
    assert problem(tmp_path, data).endswith("the same grey level everywhere")


def test_constant_16_bit_grey_is_no_picture(tmp_path):
    data = encode(np.full((40, 40), 700, np.uint16))
    assert problem(tmp_path, data).endswith("the same grey level everywhere")


def test_a_wholly_transparent_image_is_no_picture(tmp_path):
    pixels = np.dstack([noise()] * 3 + [np.zeros((40, 40), np.uint8)])
    assert problem(tmp_path, encode(pixels)).endswith("grey level everywhere")


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_rotation_is_refused(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(noise(), "JPEG", exif=exif.tobytes())
    expected = "" if orientation == 1 else f"Received: orientation {orientation}"
    message = problem(tmp_path, data, "image.jpg")
    assert (message == "") == (expected == "")
    assert expected in message


def test_broken_exif_does_not_matter_and_does_not_warn(tmp_path):
    data = encode(noise(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12")
    assert problem(tmp_path, data, "image.jpg") == ""


def test_an_animated_png_is_refused(tmp_path):
    more = [Image.fromarray(noise(seed=1))]
    data = encode(noise(), save_all=True, append_images=more)
    assert "an animated PNG; save one frame" in problem(tmp_path, data)


def test_missing_files_and_folders_are_named_in_order(tmp_path):
    good = tmp_path / "good.png"
    good.write_bytes(encode(noise()))
    checks = check_images([tmp_path / "none.png", good, tmp_path])
    assert [check.problem.split("Received: ")[-1] for check in checks] == [
        f"no file at {tmp_path / 'none.png'}",
        "",
        "a folder or device",
    ]


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "image.png"
    path.write_bytes(encode(noise()))
    monkeypatch.setattr("pathlib.Path.read_bytes", deny)
    [check] = check_images([path])
    assert check.problem == "expected a file that can be read. Received: " + (
        "Permission denied"
    )


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    data = encode(noise(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    data = data[:-2] + data[last:-2] * 5_000 + data[-2:]
    assert "at most 100 scans. Received: more" in problem(tmp_path, data)
