import io
import json
import struct
import zlib
from pathlib import PurePath

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from usgland.ingest.headers import quietly
from usgland.ingest.identifiers import (
    fold,
    identifiers_of,
    identifiers_of_path,
    output_words,
    parts_of_text,
)
from usgland.ingest.leaks import Needles, png_chunks, search, search_picture

NAMES = {
    "ISO_IR 100": "Müller^Zoë",
    "ISO_IR 144": "\u041b\u044e\u043a^\u0410\u043d\u043d\u0430",
    "ISO_IR 192": "王^小东",
    "GB18030": "王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


def header():
    """A header with a value in every kind of place."""
    inner = Dataset()
    inner.PersonName = "Nested^Name"
    middle = Dataset()
    middle.ContentSequence = Sequence([inner])
    dataset = Dataset()
    with quietly():
        dataset.PatientName = "Muster^Anna"
        dataset.PatientID = "MRN-00471"
        dataset.PatientBirthDate = "19700131"
        dataset.StudyTime = "101112.123"
        dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.4711"
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
        dataset.PatientComments = "Sister of Berta Beispiel, tel. 030/901820"
        dataset.PatientWeight = "64.5"
        dataset.PatientAge = "034Y"
        dataset.Manufacturer = "Philips"
        dataset.ImageType = ["ORIGINAL", "Tokenized"]
        dataset.ContentSequence = Sequence([middle])
        dataset.add_new(0x60000022, "LO", "Overlaytext")
        dataset.add_new(0x60003000, "OW", b"\1\2Bitsoverlay\0")
        dataset.add_new(0x50003000, "OW", "Curvetext".encode("utf-16-le"))
        dataset.add_new(0x00090010, "LO", "Maker")
        dataset.add_new(0x00091001, "UN", b"Privatus")
        dataset.add_new(0x7FE00010, "OW", b"Pixelwords")
        dataset.add_new(0xFFFCFFFC, "OB", b"Paddedtext")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.SourceApplicationEntityTitle = "METATITLE"
    dataset.preamble = b"Preambletext".ljust(128, b"\0")
    return dataset


def test_identifiers_come_from_every_place_of_a_header():
    values = identifiers_of(header())
    expected = "Muster^Anna Muster Anna MRN-00471 00471 19700131 31.01.1970 1970-01-31"
    expected += " 1.2.826.0.1.3680043.8.498.4711 Nested Name Overlaytext Bitsoverlay"
    expected += " Curvetext Privatus Paddedtext METATITLE Preambletext Tokenized"
    expected += " Beispiel 901820 101112"
    assert set(expected.split()) <= values
    texts = {value for value in values if isinstance(value, str)}
    # What many files share, and what is measured, tells nobody.
    assert not texts & {"64.5", "034Y", "1.2.840.10008.5.1.4.1.1.6.1", "Pixelwords"}


@pytest.mark.parametrize("charset", NAMES)
def test_names_are_read_in_their_encodings(charset):
    dataset = Dataset()
    dataset.SpecificCharacterSet = charset.split("\\")
    dataset.PatientName = NAMES[charset]
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=False, little_endian=True)
    from pydicom import dcmread

    with quietly():
        read = dcmread(io.BytesIO(stream.getvalue()), force=True)
    needles = Needles(identifiers_of(read))
    for group in NAMES[charset].split("="):
        for part in group.split("^"):
            assert needles.in_text(f"x,{part},y"), part
            assert needles.in_text(f"{part.upper()}.png"), part


def test_a_path_names_people_too():
    values = identifiers_of_path(PurePath("DOE_JOHN 1970/IM01/a.dcm"))
    assert {"DOE", "JOHN"} <= values
    assert not values & {"IM01", "1970", "a"} - {"IM01"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("640", set()),
        ("0.0781", set()),
        ("12345", {"12345"}),
        ("Al", set()),
        ("abc", {"abc"}),
        ("1.2.840.113619.2.55", {"1.2.840.113619.2.55"}),
        ("", set()),
    ],
)
def test_what_counts(text, expected):
    assert parts_of_text(text) == expected


def test_text_is_compared_without_case_accents_and_signs():
    assert fold("MÜLLER^Anna \uff21\uff22") == "muller anna ab"
    needles = Needles({"Müller^Anna", "Doe", "12-345-67", "1970-01-31"})
    assert needles.in_text("a,MULLER_ANNA,b") == {"muller anna"}
    assert needles.in_text("x doe y") == {"doe"}
    assert not needles.in_text("doenitz, 1970-01-3")
    assert needles.in_text("n1234567") == {"1234567"}
    assert needles.in_text("of 1.2.826.0.1.3680043.8.498.1 and 1.2.3.4")


def test_words_that_the_output_is_made_of_are_no_hits():
    words = output_words("image")
    needles = Needles({"Linear", "GE", "patient", "Image", "Philips^Linear"}, words)
    assert not needles.in_text("image,patient_id\nlinear,Philips")
    assert Needles({"Philips^Otto"}, words).in_text("philips otto")


def png(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **options)
    return stream.getvalue()


def with_chunk(data, kind, content):
    crc = struct.pack(">I", zlib.crc32(kind + content))
    chunk = struct.pack(">I", len(content)) + kind + content + crc
    return data[:33] + chunk + data[33:]


@pytest.fixture
def needles():
    return Needles(identifiers_of(header()), output_words("image", "picture"))


def test_a_clean_folder_has_no_leak(tmp_path, needles):
    rng = np.random.default_rng(0)
    grey = rng.normal(52, 6, (64, 64)).clip(0, 255).astype(np.uint8)
    (tmp_path / "image.png").write_bytes(png(grey))
    (tmp_path / "manifest.csv").write_text("image,patient_id\nimage.png,bcdfghjk\n")
    # A count may be any number, also that of a patient.
    (tmp_path / "removed.json").write_text(json.dumps({"a": 101112}, indent=2))
    assert search(sorted(tmp_path.iterdir()), needles, tmp_path) == []


def test_leaks_are_noticed_in_names_texts_chunks_and_pixels(tmp_path, needles):
    blank = np.zeros((8, 64), np.uint8)
    spelled = blank.copy()
    spelled[3, 5:16] = np.frombuffer(b"Muster^Anna", np.uint8)
    coloured = np.zeros((8, 64, 3), np.uint8)
    coloured[2, :11, 1] = np.frombuffer(b"Muster^Anna", np.uint8)
    interleaved = np.zeros((8, 64, 3), np.uint8)
    interleaved.reshape(-1)[7:18] = np.frombuffer(b"Muster^Anna", np.uint8)
    deep = blank.astype(np.uint16)
    deep[0, :11] = np.frombuffer(b"Muster^Anna", np.uint8).astype(np.uint16) << 8
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "of Anna", zip=True)
    files = {
        "muster.png": (png(blank), "in its name"),
        "a/19700131.txt": (b"", "in its name"),
        "rows.png": (png(spelled), "in its pixels"),
        "green.png": (png(coloured), "in its pixels"),
        "rgb.png": (png(interleaved), "in its pixels"),
        "high.png": (png(deep), "in its pixels"),
        "zipped.png": (png(blank, pnginfo=text), "a chunk zTXt"),
        "text.png": (with_chunk(png(blank), b"tEXt", b"a\0Anna"), "in its chunk tEXt"),
        "end.png": (png(blank) + b"x", "bytes after its end"),
        "broken.png": (png(blank)[:40], "no picture"),
        "b.csv": (b"id\nMuster\n", "in its text"),
        "c.json": (b'{"a": "x MRN 00471"}', "in its text"),
        "d.html": (b"<p>31.01.1970</p>", "in its text"),
        "e.bin": ("x Beispiel".encode("utf-16-le"), "in its text"),
        "f.csv": (b"1.2.826.0.1.3680043.8.498.9", "in its text"),
    }
    for name, (data, _) in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    for name, (_, where) in files.items():
        leaks = search([tmp_path / name], needles, tmp_path)
        start = f"{(tmp_path / name).name}: {where}"
        assert any(str(leak).startswith(start) for leak in leaks), (name, leaks)
        assert not any("Anna" in f"{leak.where}{leak!r}" for leak in leaks)


def test_a_picture_is_searched_by_the_pixels_at_hand(tmp_path, needles):
    pixels = np.zeros((4, 64), np.uint8)
    assert search_picture(tmp_path / "a.png", png(pixels), pixels, needles) == []
    pixels[0, :11] = np.frombuffer(b"Muster^Anna", np.uint8)
    (leak,) = search_picture(tmp_path / "a.png", png(pixels), pixels, needles)
    assert (leak.where, leak.value) == ("in its pixels", "Muster^Anna")


def test_a_table_of_greys_is_no_text_that_a_ramp_spells(tmp_path):
    dataset = header()
    dataset.add_new(0x00283006, "OW", bytes(range(256)))
    needles = Needles(identifiers_of(dataset))
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    assert search_picture(tmp_path / "a.png", png(ramp), ramp, needles) == []


def test_chunks_are_those_that_pillow_wrote():
    data = png(np.zeros((4, 4), np.uint8))
    assert [kind for kind, _ in png_chunks(data)] == [b"IHDR", b"IDAT", b"IEND"]
    assert list(png_chunks(data + b"more"))[-1] == (b"", b"more")
