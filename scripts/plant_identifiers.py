"""Plants identifiers in files as scanners write them, ingests these, and looks again.

    PYTHONPATH=. python scripts/plant_identifiers.py [--files N] [--seed N] [--keep DIR]

Prints, for each kind of place, how many were planted and how many survived, in any
form: as text of any encoding, reversed, in hexadecimal or base64, as an unkeyed hash,
in file names, PNG chunks, inflated pixel data, rows, columns and planes of pixels. The
exit code is 1 if any survived.
"""

import argparse
import base64
import datetime
import hashlib
import io
import re
import shutil
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from rich.console import Console

from usgland.ingest.identifiers import fold
from usgland.ingest.leaks import PNG, png_chunks
from usgland.steps.ingestion import ingest

SYNTAXES = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian),
    *(DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGBaseline8Bit),
)
# Character set -> the letters that names are drawn from.
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHARSETS = {
    "": LATIN,
    "ISO_IR 100": LATIN + "\xc4\xd6\xdc\xe9\xf1\xe5",
    "ISO_IR 144": "".join(map(chr, range(0x410, 0x430))),
    "ISO_IR 192": LATIN + "\u0141\u0159\u015f\u03a9",
    "GB18030": "".join(map(chr, range(0x4E00, 0x4F00))),
    "\\ISO 2022 IR 87": "\u5c71\u7530\u592a\u90ce\u6771\u4eac\u5927\u962a\u82b1\u5b50",
    "ISO_IR 13": "".join(map(chr, range(0xFF71, 0xFF9D))),
    "\\ISO 2022 IR 149": "\uae40\ud76c\uc911\uc774\ubc15\uc815\uc6b0\ucd5c\ubbfc\uc218",
}
LENGTH = 10  # letters of a token
ROWS, COLUMNS = 48, 64
HASHES = ("md5", "sha1", "sha256", "sha512", "blake2b")
START = 5  # bytes, not more than the shortest form has
HASH_SHOWN = 12  # hexadecimal digits of a hash that are looked for
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "gb18030", "iso2022_jp")
ENCODINGS += ("iso8859_5", "shift_jis", "euc_kr", "utf-32-le")


class Token(NamedTuple):
    """A value that identifies somebody, and where it was put."""

    value: str
    kind: str


class Planter:
    """Makes tokens, and keeps them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tokens: list[Token] = []
        self.letters = LATIN

    def word(self, kind: str, letters: str = LATIN, length: int = LENGTH) -> str:
        value = "".join(self.rng.choice(list(letters), length))
        return self.keep(value, kind)

    def name(self, kind: str) -> str:
        """In the letters of the file's character set, where the kind may have them."""
        return self.word(kind, self.letters)

    def digits(self, kind: str, length: int = LENGTH) -> str:
        return self.word(kind, "123456789", length)

    def uid(self, kind: str) -> str:
        parts = self.rng.integers(10**6, 10**9, 3)
        return self.keep("1.2.826.0.1." + ".".join(map(str, parts)), kind)

    def date(self, kind: str) -> str:
        day = datetime.date(1930, 1, 1) + datetime.timedelta(
            int(self.rng.integers(0, 33_000))
        )
        return self.keep(day.strftime("%Y%m%d"), kind)

    def raw(self, kind: str) -> bytes:
        return self.word(kind).encode()

    def keep(self, value: str, kind: str) -> str:
        self.tokens.append(Token(value, kind))
        return value


def plant(folder: Path, files: int, seed: int = 0) -> list[Token]:
    """Writes DICOM, PNG and JPEG files full of identifiers; what was planted."""
    planter = Planter(seed)
    for number in range(files):
        charset = list(CHARSETS)[number % len(CHARSETS)]
        planter.letters = CHARSETS[charset]
        place = folder / planter.word("folder name") / planter.name("folder name")
        place.mkdir(parents=True)
        path = place / f"{planter.name('file name')}.dcm"
        path.write_bytes(_dicom(planter, charset, SYNTAXES[number % len(SYNTAXES)]))
    planter.letters = LATIN
    for number in range(max(2, files // 6)):
        place = folder / planter.word("folder name")
        place.mkdir()
        for data, suffix in ((_png(planter), "png"), (_jpeg(planter), "jpg")):
            name = f"{planter.word('file name')}_{number}.{suffix}"
            (place / name).write_bytes(data)
    return planter.tokens


def _dicom(planter: Planter, charset: str, syntax: pydicom.uid.UID) -> bytes:
    dataset = _header(planter, charset)
    _nested(planter, dataset)
    _repeating(planter, dataset)
    _private(planter, dataset)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = planter.uid("file meta")
    meta.ImplementationVersionName = planter.word("file meta")
    meta.SourceApplicationEntityTitle = planter.word("file meta")
    meta.PrivateInformationCreatorUID = planter.uid("file meta")
    meta.PrivateInformation = planter.raw("file meta")
    dataset.file_meta = meta
    dataset.preamble = planter.raw("preamble").ljust(64) + planter.raw(
        "preamble"
    ).ljust(64, b"\0")
    _pixels(planter, dataset, syntax)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    data = stream.getvalue()
    if syntax != DeflatedExplicitVRLittleEndian:
        data += planter.raw("bytes after the end")
    return data


def _header(planter: Planter, charset: str) -> Dataset:
    name, word, date = planter.name, planter.word, planter.date
    dataset = Dataset()
    if charset:
        dataset.SpecificCharacterSet = charset.split("\\")
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    dataset.SOPInstanceUID = planter.uid("UI")
    dataset.StudyInstanceUID = planter.uid("UI")
    dataset.SeriesInstanceUID = planter.uid("UI")
    dataset.FrameOfReferenceUID = planter.uid("UI")
    dataset.Modality = "US"
    groups = [f"{name('PN')}^{name('PN')}"]
    if charset not in ("", "ISO_IR 100", "ISO_IR 144", "ISO_IR 13"):
        groups += [name("PN, ideographic"), name("PN, phonetic")]
    dataset.PatientName = "=".join(groups)
    dataset.ReferringPhysicianName = name("PN")
    dataset.OperatorsName = [name("PN"), name("PN")]
    dataset.PatientID = word("LO")
    dataset.IssuerOfPatientID = name("LO")
    dataset.InstitutionName = name("LO")
    dataset.PatientAddress = name("LO")
    dataset.StudyDescription = name("LO")
    dataset.OtherPatientIDs = [word("LO"), planter.digits("LO")]
    dataset.AccessionNumber = word("SH")
    dataset.StudyID = name("SH")
    dataset.StationName = name("SH")
    dataset.PatientTelephoneNumbers = planter.digits("SH")
    dataset.PatientComments = f"Seen with {name('LT')} on {date('LT')}"
    dataset.AdditionalPatientHistory = f"Sister of {name('LT')}"
    dataset.InstitutionAddress = name("ST")
    dataset.DerivationDescription = f"from {name('ST')}"
    dataset.LongCodeValue = name("UC")
    dataset.TextValue = name("UT")
    dataset.RetrieveURL = f"https://{word('UR')}.example/{word('UR')}"
    dataset.RetrieveAETitle = word("AE")
    dataset.ImageType = ["ORIGINAL", word("CS")]
    dataset.BodyPartExamined = word("CS")
    dataset.StudyDate = date("DA")
    dataset.PatientBirthDate = date("DA")
    dataset.LastMenstrualDate = date("DA")
    dataset.AcquisitionDateTime = f"{date('DT')}{planter.digits('DT', 6)}"
    dataset.StudyTime = f"1011{planter.digits('TM', 2)}.{planter.digits('TM', 6)}"
    planter.tokens = [t for t in planter.tokens if len(t.value) > 2]
    dataset.PatientWeight = planter.digits("DS")
    dataset.InstanceNumber = planter.digits("IS", 9)
    # Where columns of the manifest come from.
    dataset.Manufacturer = f"GE {word('column')}"
    dataset.ManufacturerModelName = f"LOGIQ {word('column')}"
    dataset.TransducerData = [word("column"), f"L12-5 {word('column')}"]
    dataset.TransducerType = word("column")
    dataset.PatientSex = word("column")
    dataset.PatientAge = word("column")
    dataset.WindowCenter, dataset.WindowWidth = "128", "256"
    dataset.WindowCenterWidthExplanation = name("LUT explanation")
    return dataset


def _nested(planter: Planter, dataset: Dataset) -> None:
    inner = Dataset()
    inner.PatientName = planter.name("nested sequence")
    for depth in range(12):
        outer = Dataset()
        outer.PatientID = planter.word("nested sequence")
        outer.CodeMeaning = planter.name("nested sequence")
        if depth % 3 == 1:
            outer.add_new(0x00090010, "LO", "MAKER")
            outer.add_new(0x00091001, "SQ", Sequence([inner]))
        else:
            outer.OtherPatientIDsSequence = Sequence([inner])
        inner = outer
    dataset.ReferencedPatientSequence = Sequence([inner])
    reference = Dataset()
    reference.ReferencedSOPClassUID = planter.uid("referenced UID")
    reference.ReferencedSOPInstanceUID = planter.uid("referenced UID")
    dataset.ReferencedStudySequence = Sequence([reference])
    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTExplanation = planter.name("LUT explanation")
    table.LUTData = planter.raw("LUT data").ljust(512, b"\0")
    dataset.VOILUTSequence = Sequence([table])
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = 1, 1
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = COLUMNS, ROWS
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    spacing = planter.digits("number of a region", 12)
    region.PhysicalDeltaX = region.PhysicalDeltaY = float(f"0.00{spacing}")
    region.TransducerFrequency = int(planter.digits("number of a region", 9))
    dataset.SequenceOfUltrasoundRegions = Sequence([region])
    icon = Dataset()
    icon.Rows, icon.Columns, icon.SamplesPerPixel = 2, 8, 1
    icon.BitsAllocated, icon.BitsStored, icon.HighBit = 8, 8, 7
    icon.PixelRepresentation, icon.PhotometricInterpretation = 0, "MONOCHROME2"
    icon.ImageComments = planter.name("icon")
    icon.PixelData = planter.raw("icon").ljust(16, b"\0")
    dataset.IconImageSequence = Sequence([icon])
    report = Dataset()
    report.ValueType = "CONTAINER"
    for value_type, keyword, value in (
        ("TEXT", "TextValue", planter.name("SR text")),
        ("PNAME", "PersonName", planter.name("SR text")),
        ("UIDREF", "UID", planter.uid("SR text")),
        ("DATE", "Date", planter.date("SR text")),
    ):
        item = Dataset()
        item.ValueType = value_type
        setattr(item, keyword, value)
        item.ContentSequence = Sequence([])
        report.ContentSequence = Sequence([*report.get("ContentSequence", []), item])
    dataset.ContentSequence = Sequence([report])


def _repeating(planter: Planter, dataset: Dataset) -> None:
    for group in (0x6000, 0x6002):
        dataset.add_new((group, 0x0010), "US", 8)
        dataset.add_new((group, 0x0011), "US", 16)
        dataset.add_new((group, 0x0022), "LO", planter.name("overlay"))
        dataset.add_new((group, 0x0040), "CS", "G")
        dataset.add_new((group, 0x0050), "SS", [1, 1])
        dataset.add_new((group, 0x0100), "US", 1)
        dataset.add_new((group, 0x0102), "US", 0)
        dataset.add_new((group, 0x1500), "LO", planter.name("overlay"))
        dataset.add_new((group, 0x3000), "OW", planter.raw("overlay").ljust(16, b"\0"))
        dataset.add_new((group, 0x4000), "LT", planter.name("overlay"))
    dataset.add_new((0x5000, 0x0022), "LO", planter.name("curve"))
    dataset.add_new((0x5000, 0x2500), "LO", planter.name("curve"))
    dataset.add_new((0x5000, 0x3000), "OW", planter.raw("curve"))
    padding = planter.raw("DataSetTrailingPadding")
    dataset.add_new((0xFFFC, 0xFFFC), "OB", padding)


def _private(planter: Planter, dataset: Dataset) -> None:
    dataset.add_new(0x00110010, "LO", planter.word("private"))
    dataset.add_new(0x00111001, "LO", planter.name("private"))
    dataset.add_new(0x00111002, "UN", planter.raw("private"))
    dataset.add_new(0x00111003, "OB", planter.word("private").encode("utf-16-le"))
    dataset.add_new(0x00111004, "UT", planter.name("private"))
    dataset.add_new(0x00111005, "PN", planter.name("private"))
    item = Dataset()
    item.add_new(0x00110010, "LO", "MAKER")
    item.add_new(0x00111006, "LO", planter.name("private"))
    dataset.add_new(0x00111007, "SQ", Sequence([item]))
    dataset.EncapsulatedDocument = b"%PDF " + planter.raw("document") + b" "
    dataset.add_new(0x00080001, "LO", planter.name("unknown attribute"))


def _grey(planter: Planter) -> np.ndarray:
    speckle = planter.rng.rayleigh(40, (ROWS, COLUMNS))
    return speckle.clip(0, 254).astype(np.uint8)


def _pixels(planter: Planter, dataset: Dataset, syntax: pydicom.uid.UID) -> None:
    grey = _grey(planter)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
    bits = 16 if syntax in SYNTAXES[:3] else 8
    dataset.BitsAllocated, dataset.BitsStored = bits, 8
    dataset.HighBit = 7
    if bits == 16:
        # A letter in the unused high byte of each of the first pixels.
        words = grey.astype(np.uint16)
        text = planter.raw("unused high bits")
        words[1, : len(text)] |= np.frombuffer(text, np.uint8).astype(np.uint16) << 8
        order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
        dataset.PixelData = words.astype(order).tobytes() + planter.raw("pixel padding")
    elif syntax == JPEGBaseline8Bit:
        stream = io.BytesIO()
        note = planter.raw("comment in the JPEG")
        Image.fromarray(grey).save(stream, "JPEG", quality=95, comment=note)
        frame = stream.getvalue() + planter.raw("bytes after the JPEG")
        dataset.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
        dataset.LossyImageCompression = "01"
    elif syntax in (RLELossless, JPEG2000Lossless):
        dataset.PixelData = grey.tobytes()
        kept = dataset.file_meta.TransferSyntaxUID
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        uid = dataset.SOPInstanceUID
        dataset.compress(kept, grey, generate_instance_uid=False)
        dataset.SOPInstanceUID = uid
    else:
        dataset.PixelData = grey.tobytes() + planter.raw("pixel padding")
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW" if bits == 16 else "OB"


def _png(planter: Planter) -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("Author", planter.word("PNG text"))
    note.add_text("Comment", planter.word("PNG text"), zip=True)
    note.add_itxt("Title", planter.word("PNG text"))
    # Under what is transparent, the text of the pixels is not seen.
    pixels = np.dstack([_grey(planter)] * 3 + [np.full((ROWS, COLUMNS), 255, np.uint8)])
    hidden = planter.raw("PNG, transparent pixels")
    pixels[0, : len(hidden), 0] = np.frombuffer(hidden, np.uint8)
    pixels[0, : len(hidden), 3] = 0
    stream = io.BytesIO()
    profile = planter.raw("PNG profile")
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=note, icc_profile=profile)
    return stream.getvalue() + planter.raw("bytes after the PNG")


def _jpeg(planter: Planter) -> bytes:
    exif = Image.Exif()
    exif[0x013B] = planter.word("EXIF")  # artist
    exif[0x010E] = planter.word("EXIF")  # description
    stream = io.BytesIO()
    note = planter.raw("comment in the JPEG")
    Image.fromarray(_grey(planter)).save(
        stream, "JPEG", quality=95, exif=exif, comment=note
    )
    return stream.getvalue() + planter.raw("bytes after the JPEG")


def survivors(out: Path, tokens: list[Token]) -> list[Token]:
    """The tokens that are seen in a folder, in any of the forms that are looked for."""
    texts, data = [], []
    for path in sorted(out.rglob("*")):
        texts.append(path.relative_to(out).as_posix())
        data.append(texts[-1].encode())
        if path.is_file():
            data += _views(path.read_bytes())
    texts += [
        piece.decode("utf-8", "replace") for piece in data if len(piece) < 1 << 22
    ]
    # Views are put end to end with a gap, so that each form is sought once.
    whole = b"\0\xff\0".join(data)
    lower = whole.lower()
    # Most forms are ruled out by their first bytes, without a pass over all.
    starts = {w[n : n + START] for w in (whole, lower) for n in range(len(w))}
    folded = "\n".join(map(fold, texts))
    packed = folded.replace(" ", "")
    return [
        token
        for token in tokens
        if any(
            (form[:START] in starts and form in whole)
            or (form.lower()[:START] in starts and form.lower() in lower)
            for form in _forms(token.value)
        )
        or fold(token.value) in folded
        or fold(token.value).replace(" ", "") in packed
    ]


def _views(data: bytes) -> Iterator[bytes]:
    """A file's bytes; of a PNG also its pixels, as they can be read."""
    yield data
    if not data.startswith(PNG):
        return
    chunks = list(png_chunks(data))
    for kind, content in chunks:
        if kind in (b"zTXt", b"iCCP"):
            yield zlib.decompress(content.split(b"\0", 1)[1][1:])
    yield zlib.decompress(
        b"".join(content for kind, content in chunks if kind == b"IDAT")
    )
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    planes = [pixels] if pixels.ndim == 2 else [pixels, pixels[..., ::-1]]
    planes += [pixels[..., n] for n in range(pixels.shape[2])] if planes[1:] else []
    for plane in planes:
        yield plane.tobytes()
        yield plane.swapaxes(0, 1).tobytes()
        if plane.dtype == np.uint16:
            yield (plane >> 8).astype(np.uint8).tobytes()
        for bit in range(8):
            yield np.packbits(plane >> bit & 1).tobytes()


def _forms(value: str) -> Iterator[bytes]:
    spellings = {value, value.lower(), value.title(), *_dates(value)}
    for text in spellings | {text[::-1] for text in spellings}:
        for encoding in ENCODINGS:
            try:
                raw = text.encode(encoding)
            except UnicodeEncodeError:
                continue
            yield raw
            yield raw.hex().encode()
            for shift in range(3):
                # Letters of base64 that do not depend on what stands around.
                letters = base64.b64encode(b"\0" * shift + raw)
                yield letters[-(-shift * 8 // 6) : len(raw) * 8 // 6]
    for text in (value, value.lower(), value.upper(), value + " ", value + "\0"):
        for name in HASHES:
            digest = hashlib.new(name, text.encode()).digest()
            yield digest.hex()[:HASH_SHOWN].encode()
            yield base64.b64encode(digest)[:HASH_SHOWN]
            yield str(int.from_bytes(digest[:16], "big"))[:HASH_SHOWN].encode()
        yield f"{zlib.crc32(text.encode()):010d}".encode()


def _dates(value: str) -> set[str]:
    if not re.fullmatch(r"(19|20)\d{6}", value):
        return set()
    day = datetime.datetime.strptime(value, "%Y%m%d")
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%d%m%Y", "%Y/%m/%d")
    return {day.strftime(form) for form in forms}


def run(folder: Path, files: int, seed: int) -> tuple[list[Token], list[Token], int]:
    """Plants, ingests and searches; what was planted, what survived, pictures."""
    source, out = folder / "source", folder / "out"
    source.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
        tokens = plant(source, files, seed)
    summary = ingest(
        source,
        out,
        key=None,
        private=folder / "private",
        frames="all",
        text="off",  # a second a picture; what it adds is in benchmark_text.py
        labels=None,
        jobs=1,
        resume=False,
        console=Console(quiet=True),
    )
    if summary.skipped or summary.quarantined:
        print(f"skipped {dict(summary.skipped)}, quarantined {summary.quarantined}")
    return tokens, survivors(out, tokens), summary.pictures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=28)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="an empty folder for all files")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp())
    try:
        tokens, alive, pictures = run(folder, arguments.files, arguments.seed)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)
    planted, left = (Counter(t.kind for t in some) for some in (tokens, alive))
    print(f"{len(tokens)} identifiers in {arguments.files} DICOM files and pictures;")
    print(f"{pictures} pictures written. Survivors by kind:")
    for kind, count in sorted(planted.items()):
        print(f"  {kind:26} {left[kind]} of {count}")
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
