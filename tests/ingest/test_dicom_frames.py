"""Pixels as they are seen, of every kind of file that scanners write."""

import io
import runpy
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from tests.dicom_files import dataset_of, picture, write_dicom
from usgland.ingest import safe_dicom
from usgland.ingest.dicom_frames import iter_frames
from usgland.ingest.safe_dicom import read_header
from usgland.ingest.unreadable import UnreadableFileError

PYDICOM = Path(pydicom.__file__).parent / "data/test_files"


def frames_of(path, indices=None):
    return list(iter_frames(path, read_header(path), indices))


def smooth(rows=48, columns=64):
    """A picture that JPEG keeps within few grey levels."""
    y, x = np.mgrid[:rows, :columns]
    return np.rint(127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 11)).astype(np.uint8)


def coded(path, syntax, codes, pixels, **values):
    """Writes a file whose frames are coded already."""
    dataset = dataset_of(pixels, syntax, **values)
    dataset.PixelData = encapsulate(codes)
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def jpeg(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def refusal(path):
    with pytest.raises(UnreadableFileError) as error:
        frames_of(path)
    return str(error.value)


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
def test_pixels_that_are_not_coded_come_back(tmp_path, syntax):
    pixels = picture(frames=3)
    dataset = dataset_of(pixels, syntax=syntax)
    dataset["PixelData"].VR = "OB"  # the bytes of words are swapped in big endian
    path = tmp_path / "a.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    np.testing.assert_array_equal(frames_of(path), pixels)
    np.testing.assert_array_equal(frames_of(path, [2]), pixels[2:])


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("colour", [False, True])
def test_pixels_that_are_coded_without_loss_come_back(tmp_path, syntax, colour):
    pixels = picture(frames=3)
    values = {}
    if colour:
        pixels = np.stack([pixels, pixels[:, ::-1], pixels[:, :, ::-1]], axis=-1)
        values = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
    dataset = dataset_of(pixels, **values)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(frames_of(tmp_path / "a.dcm"), pixels)


def test_jpeg_comes_back_within_a_few_levels(tmp_path):
    pixels = smooth()
    cine = np.stack([pixels] * 2)
    path = coded(tmp_path / "a.dcm", uid.JPEGBaseline8Bit, [jpeg(pixels)] * 2, cine)
    found = frames_of(path)
    assert len(found) == 2
    assert np.abs(found[1].astype(int) - pixels).max() <= 3


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("SC_rgb_rle_16bit.dcm", "SC_rgb_rle.dcm"),
        ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm"),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_rle.dcm"),
        ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm"),
    ],
)
def test_files_that_others_have_coded_are_read(name, reference):
    (found,) = frames_of(PYDICOM / name)
    assert found.dtype == np.uint8
    (expected,) = frames_of(PYDICOM / reference)
    difference = np.abs(found.astype(int) - expected).max()
    assert difference <= (12 if "dcmtk" in name else 0)


@pytest.mark.skipif(not shutil.which("dcmdjpeg"), reason="needs dcmtk")
def test_jpeg_of_12_bits_is_what_dcmtk_makes_of_it(tmp_path):
    path = PYDICOM / "JPGExtended.dcm"
    command = ["dcmdjpeg", str(path), str(tmp_path / "a.dcm")]
    subprocess.run(command, check=True, capture_output=True)
    (found,), (expected,) = frames_of(path), frames_of(tmp_path / "a.dcm")
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_twelve_bits_are_scaled_and_bits_above_are_dropped(tmp_path):
    values = np.array([[0, 4095, 2048, 16]], np.uint16)
    hidden = values | 0x5000  # four bits that nobody sees, and that may spell a name
    path = write_dicom(tmp_path / "a.dcm", hidden, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(frames_of(path), [[[0, 255, 128, 1]]])


@pytest.mark.parametrize("coded_in_runs", [False, True])
def test_bits_below_those_that_are_stored_are_dropped(tmp_path, coded_in_runs):
    values = np.array([[0, 255, 128, 16]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", values << 4 | 0xF)
    dataset = pydicom.dcmread(path)
    if coded_in_runs:
        dataset.compress(uid.RLELossless)
    dataset.BitsStored, dataset.HighBit = 8, 11
    dataset.save_as(path)
    np.testing.assert_array_equal(frames_of(path), [values])


def test_signed_values_begin_at_black(tmp_path):
    values = np.array([[-128, 0, 127]], np.int8)
    path = write_dicom(tmp_path / "a.dcm", values, PixelRepresentation=1)
    np.testing.assert_array_equal(frames_of(path), [[[0, 128, 255]]])


def test_monochrome1_is_inverted(tmp_path):
    pixels = picture()
    path = write_dicom(
        tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1"
    )
    np.testing.assert_array_equal(frames_of(path), [255 - pixels])


@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (16, 8), (16, 0)])
def test_a_palette_is_applied(tmp_path, bits, shift):
    table = np.array([[10, 20, 30, 0], [0, 128, 255, 1], [255, 1, 2, 9]])
    values = {"PhotometricInterpretation": "PALETTE COLOR"}
    entry = "<u2" if bits == 16 else "u1"
    for name, column in zip(("Red", "Green", "Blue"), table, strict=True):
        values[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, bits]
        data = (column << shift).astype(entry).tobytes()
        values[f"{name}PaletteColorLookupTableData"] = data
    path = write_dicom(tmp_path / "a.dcm", np.array([[0, 1, 2, 1]], np.uint8), **values)
    np.testing.assert_array_equal(frames_of(path), [table.T[[[0, 1, 2, 1]]]])


def test_luminance_and_colour_differences_become_rgb(tmp_path):
    # ITU-R BT.601 of pure red, as PS3.3 C.7.6.3.1.2 has YBR_FULL.
    pixels = np.full((4, 6, 3), (76, 85, 255), np.uint8)
    values = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL"}
    path = write_dicom(tmp_path / "a.dcm", pixels, **values)
    (found,) = frames_of(path)
    assert np.abs(found.astype(int) - (255, 0, 0)).max() <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"Rows": 65535, "Columns": 65535},
            "too large: 65535 x 65535 pixels, 1",
        ),
        ({"NumberOfFrames": 2_000_000_000}, "too large: 64 x 48 pixels, 2,000,000,000"),
        ({"Rows": 0}, "broken pixel attributes: 0 x 64 x 1, 1 frames"),
        ({"NumberOfFrames": 2}, "cut off: it ends before its pixels do"),
        ({"PhotometricInterpretation": "HSV"}, "colours that are not read: HSV"),
        ({"BitsStored": 9}, "pixels not decoded: A (0028,0101) 'Bits Stored' value of"),
        ({"syntax": "1.2.840.10008.1.2.4.100"}, "its pixels are not coded as it says"),
    ],
)
def test_a_claim_that_cannot_be_is_refused(tmp_path, values, expected):
    path = tmp_path / "a.dcm"
    dataset = dataset_of(picture(), **values)
    with safe_dicom.warnings.catch_warnings():
        safe_dicom.warnings.simplefilter("ignore")
        if "syntax" in values:
            dataset["PixelData"].is_undefined_length = False
        path.write_bytes(_written(dataset))
    assert refusal(path).startswith(expected)


def _written(dataset):
    """A file as it is in memory, however wrong its transfer syntax is."""
    syntax, dataset.file_meta.TransferSyntaxUID = (
        dataset.file_meta.TransferSyntaxUID,
        uid.ExplicitVRLittleEndian,
    )
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    old, new = uid.ExplicitVRLittleEndian + "\0", str(syntax)
    if syntax == uid.ExplicitVRLittleEndian:
        return buffer.getvalue()
    data = buffer.getvalue()
    place = data.index(old.encode()) - 2
    length = struct.unpack_from("<I", data, 140)[0]
    even = new + "\0" * (len(new) % 2)
    longer = len(even) - len(old)
    head = data[:140] + struct.pack("<I", length + longer) + data[144:place]
    return (
        head
        + struct.pack("<H", len(even))
        + even.encode()
        + data[place + 2 + len(old) :]
    )


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "syntax", [None, uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGBaseline8Bit]
)
def test_a_file_that_is_cut_off_is_told(tmp_path, syntax, share):
    path = tmp_path / "a.dcm"
    if syntax == uid.JPEGBaseline8Bit:
        coded(path, syntax, [jpeg(picture())], picture())
    else:
        dataset = dataset_of(picture())
        if syntax:
            dataset.compress(syntax)
        dataset.save_as(path, enforce_file_format=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert refusal(path) == "cut off: it ends before its pixels do"


def test_a_code_that_is_cut_off_within_a_whole_file_is_told(tmp_path):
    code = jpeg(picture())
    path = coded(
        tmp_path / "a.dcm", uid.JPEGBaseline8Bit, [code[: len(code) // 2]], picture()
    )
    assert refusal(path).startswith("pixels not decoded: ")


def test_run_lengths_that_explode_are_told(tmp_path):
    code = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 100_000
    path = coded(tmp_path / "a.dcm", uid.RLELossless, [code], picture())
    assert refusal(path) == "too large: its run lengths exceed its pixels"


def test_a_jpeg_that_is_larger_than_its_header_says_is_told(tmp_path):
    code = bytearray(jpeg(picture()))
    size = code.index(b"\xff\xc0") + 5
    code[size : size + 4] = struct.pack(">HH", 65500, 65500)
    path = coded(tmp_path / "a.dcm", uid.JPEGBaseline8Bit, [bytes(code)], picture())
    assert refusal(path).startswith("pixels not decoded: ")


def test_a_deflated_file_that_explodes_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_dicom, "LARGEST_INFLATED", 10_000_000)
    path = write_dicom(tmp_path / "a.dcm", syntax=uid.DeflatedExplicitVRLittleEndian)
    whole = path.read_bytes()
    start = 144 + struct.unpack_from("<I", whole, 140)[0]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(20_000_000)) + deflater.flush()
    path.write_bytes(whole[:start] + bomb)
    assert refusal(path) == "deflated, it unpacks to more than 10,000,000 bytes"
    path.write_bytes(whole[:-20])
    assert refusal(path) == "a deflated file that is cut off"


def _with_elements(path, elements):
    """Puts bytes before the pixels of a file."""
    whole = write_dicom(path).read_bytes()
    pixels = whole.index(struct.pack("<HH", 0x7FE0, 0x0010))
    path.write_bytes(whole[:pixels] + elements + whole[pixels:])
    return path


@pytest.mark.parametrize("defined", [False, True])
def test_sequences_that_are_nested_too_deep_are_told(tmp_path, defined):
    elements = b""
    for _ in range(3000):
        length = len(elements) if defined else 0xFFFFFFFF
        item = struct.pack("<HHI", 0xFFFE, 0xE000, length) + elements
        if not defined:
            item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        length = len(item) if defined else 0xFFFFFFFF
        elements = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, length) + item
        if not defined:
            elements += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path = _with_elements(tmp_path / "a.dcm", elements)
    assert "nested" in refusal(path)


def test_a_header_of_too_many_elements_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_dicom, "MOST_ELEMENTS", 100)
    elements = b"".join(
        struct.pack("<HH2sH", 0x0041, 0x1000 + number, b"LO", 2) + b"aa"
        for number in range(100)
    )
    path = _with_elements(tmp_path / "a.dcm", elements)
    assert refusal(path) == "more than 100 elements in its header"


def test_a_value_that_is_too_long_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_dicom, "LONGEST_VALUE", 100)
    path = write_dicom(tmp_path / "a.dcm", PatientComments="x" * 102)
    assert refusal(path) == "a value of 102 bytes at (0010,4000) of its header"


def test_a_report_has_no_pixels(tmp_path):
    path = write_dicom(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData, dataset.Rows
    dataset.save_as(path)
    assert refusal(path) == "no pixels: a report or other object"


@pytest.mark.parametrize("content", [b"", b"nothing", b"\0" * 128 + b"DICM"])
def test_what_has_no_header_is_told(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"no DICOM file|a broken header"):
        read_header(tmp_path / "a.dcm")


@pytest.mark.slow
def test_pydicoms_own_files_are_decoded(capsys):
    root = Path(__file__).parents[2]
    runpy.run_path(str(root / "scripts/ingest_coverage.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "decoded 167 of 173 files, 21 of them ultrasound" in said
    assert "decoded 167 of 173 files" in (root / "docs/ingest.md").read_text()


def test_a_value_of_half_a_number_is_told(tmp_path):
    elements = struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 3, 48) + b"\0"
    path = tmp_path / "a.dcm"
    whole = write_dicom(path).read_bytes()
    rows = struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, 48)
    assert rows in whole
    path.write_bytes(whole.replace(rows, elements))
    assert refusal(path).startswith("broken pixel attributes: Expected total bytes")
