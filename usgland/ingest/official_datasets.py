"""Public sets of breast ultrasound, as their authors publish them, to a manifest.

A set is a folder, a ZIP file, or a folder with its ZIP file. Nothing is unpacked: each
member is read within bounds, so that no name in an archive leads outside.

Reference:
    BUSI: Al-Dhabyani et al., Data in Brief 2020;28:104863. BrEaST: Pawlowska et al.,
    Sci Data 2024;11:148. BUS-BRA: Gomez-Flores et al., Med Phys 2024;51:3110.
    BreastMNIST: Yang et al., Sci Data 2023;10:41.
"""

import csv
import functools
import hashlib
import io
import re
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from usgland.errors import UserError
from usgland.files import write_text, write_whole
from usgland.ingest.safe_pictures import png_bytes, read_picture
from usgland.ingest.unreadable import UnreadableFileError
from usgland.table_files import check_columns, is_missing, read_table

LARGEST_MEMBER = 200_000_000  # bytes, unpacked; BreastMNIST's largest file has 40 MB
LARGEST_SET = 5_000_000_000  # bytes, unpacked; BUSI has 260 MB
APPLE = "__MACOSX"  # folder of an archive that macOS packed, with no picture in it
TWO_LABELS = "one picture under two labels"
OTHER_PART = "a copy in another part of the official split"
BREAST_COLUMNS = (
    *("Age", "Tissue_composition", "Signs", "Symptoms", "Shape", "Margin"),
    *("Echogenicity", "Posterior_features", "Halo", "Calcifications"),
    *("Skin_thickening", "Interpretation", "BIRADS", "Verification", "Diagnosis"),
)
# MedMNIST counts normal and benign as 1, "normal, benign", and malignant as 0.
MNIST_LABELS = {0: "malignant", 1: "benign"}


class Case(NamedTuple):
    """A picture of a set: its pixels, those of its lesion, and its row."""

    picture: np.ndarray  # uint8 (height, width) or (height, width, 3)
    mask: np.ndarray | None  # bool (height, width)
    row: dict[str, str]  # `image` without folder and suffix, patient_id, label, ...


class Members:
    """The files of a set, by the end of their path, whatever folder it was put in."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._read: dict[str, Callable[[], bytes]] = {}
        total = 0
        archives = [source] if source.is_file() else []
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.is_symlink() or not path.is_file() or APPLE in path.parts:
                    continue
                if path.suffix.lower() == ".zip":
                    archives.append(path)
                else:
                    name = path.relative_to(source).as_posix()
                    self._read[name] = functools.partial(_read_file, path)
        for path in archives:
            total += self._open(path)
        if total > LARGEST_SET:
            raise UserError(
                f"{source}: expected at most {LARGEST_SET:,} bytes, unpacked. "
                f"Received: {total:,}"
            )

    def matching(self, pattern: str) -> list[tuple[str, re.Match[str]]]:
        """Paths whose end matches, in the order of names as people count them."""
        ends = re.compile(rf"(?:.*/)?{pattern}")
        hits = ((name, ends.fullmatch(name)) for name in self._read)
        return sorted(
            ((name, match) for name, match in hits if match),
            key=lambda hit: [int(n) if n.isdigit() else n for n in _parts(hit[0])],
        )

    def only(self, pattern: str, what: str) -> str:
        names = [name for name, _ in self.matching(pattern)]
        if len(names) != 1:
            raise UserError(
                f"{self.source}: expected {what}. Received: "
                f"{f'{len(names)} of them' if names else 'no such file'}"
            )
        return names[0]

    def read(self, name: str) -> bytes:
        return self._read[name]()

    def picture(self, name: str) -> np.ndarray:
        try:
            return read_picture(io.BytesIO(self.read(name)))
        except UnreadableFileError as error:
            raise UserError(
                f"{self.source}: expected a sound picture. Received: {name}: {error}"
            ) from error

    def mask(self, names: list[str], shape: tuple[int, ...]) -> np.ndarray | None:
        """The lesions of several masks together; None if none of them has a pixel."""
        whole = np.zeros(shape[:2], bool)
        for name in names:
            drawn = self.picture(name)
            drawn = drawn.max(axis=2) if drawn.ndim == 3 else drawn
            if drawn.shape != whole.shape:
                raise UserError(
                    f"{self.source}: expected a mask of {whole.shape[1]} x "
                    f"{whole.shape[0]} pixels. Received: {name}, {drawn.shape[1]} x "
                    f"{drawn.shape[0]}"
                )
            whole |= drawn > 127 if drawn.max() > 1 else drawn > 0
        return whole if whole.any() else None

    def table(self, name: str) -> Iterator[dict[str, str]]:
        """Rows of a CSV or .xlsx, which is read as all tables are."""
        suffix = PurePosixPath(name).suffix
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            file.write(self.read(name))
            file.flush()
            rows = read_table(file.name)
        for record in rows.to_dict("records"):
            yield {str(name): str(cell) for name, cell in record.items()}

    def _open(self, path: Path) -> int:
        """Adds the members of a ZIP file; how many bytes they say to have."""
        try:
            archive = zipfile.ZipFile(path)
            members = [info for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise UserError(
                f"{path}: expected a ZIP file or a folder. Received: {error}"
            ) from error
        for info in members:
            pure = PurePosixPath(info.filename.replace("\\", "/"))
            if pure.is_absolute() or ".." in pure.parts:
                raise UserError(
                    f"{path}: expected names within the archive. Received: "
                    f"{info.filename!r}"
                )
            if APPLE not in pure.parts:
                read = functools.partial(_read_member, archive, info)
                self._read[pure.as_posix()] = read
        return sum(info.file_size for info in members)


def convert_dataset(name: str, source: Path, out: Path) -> list[str]:
    """Writes OUT/images, OUT/masks and OUT/manifest.csv of a public set.

    Args:
        name: Of `DATASETS`.
        source: The folder or ZIP file, see `Members`.
        out: A folder that is empty or new.

    Returns:
        What was met, a line each, for the screen.
    """
    rows: list[dict[str, str]] = []
    hashes: list[str] = []
    for case in DATASETS[name](Members(source)):
        file = f"{case.row['image']}.png"
        row = {**case.row, "image": f"images/{file}", "mask": ""}
        with write_whole(out / "images" / file) as path:
            path.write_bytes(png_bytes(case.picture))
        if case.mask is not None:
            row["mask"] = f"masks/{file}"
            with write_whole(out / "masks" / file) as path:
                path.write_bytes(png_bytes(case.mask.astype(np.uint8) * 255))
        rows.append(row)
        shape = str(case.picture.shape).encode()
        hashes.append(hashlib.sha256(shape + case.picture.tobytes()).hexdigest())
    if not rows:
        raise UserError(f"{source}: expected the pictures of {name}. Received: none")
    mark_copies(rows, hashes)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / "manifest.csv", stream.getvalue())
    left_out = sum(bool(row["exclusion"]) for row in rows)
    return [
        f"{len(rows)} pictures of {len({row['patient_id'] for row in rows})} patients, "
        f"{sum(bool(row['mask']) for row in rows)} with a lesion outline",
        f"{left_out} are copies of others under another label or in another part, and "
        "say so in `exclusion`",
    ]


def mark_copies(rows: list[dict[str, str]], hashes: list[str]) -> None:
    """Joins pictures of the same pixels, and leaves out those that contradict.

    Of two labels nobody knows the right one, so none of the pictures is used, but for
    those of an official test part, whose number is compared with others'. Of the same
    label in two parts, the test part's is used, or else the first.
    """
    same: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row, digest in zip(rows, hashes, strict=True):
        row["exclusion"] = ""
        row["group_id"] = row["patient_id"]
        same[digest].append(row)
    for copies in same.values():
        for row in copies:
            row["group_id"] = copies[0]["group_id"]
        tested = [row for row in copies if row.get("split") == "test"]
        if len({row["label"] for row in copies}) > 1:
            kept = tested if len({row["label"] for row in tested}) == 1 else []
            reason = TWO_LABELS
        else:
            kept = tested or copies[:1]
            part = [kept[0].get(column) for column in ("split", "fold")]
            kept = [r for r in copies if [r.get(c) for c in ("split", "fold")] == part]
            reason = OTHER_PART
        for row in copies:
            if not any(row is other for other in kept):
                row["exclusion"] = reason


def _busi(members: Members) -> Iterator[Case]:
    """`benign/benign (1).png`, `benign (1)_mask.png`, `benign (4)_mask_1.png`, ...

    Patients are not named, so each picture is one; `usgland check` joins copies.
    """
    label = r"(benign|malignant|normal)"
    outlines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, match in members.matching(rf"{label} ?\((\d+)\)_mask(?:_\d+)?\.png"):
        outlines[match[1], match[2]].append(name)
    for name, match in members.matching(rf"{label} ?\((\d+)\)\.png"):
        picture = members.picture(name)
        image = f"{match[1]}_{int(match[2]):03d}"
        mask = members.mask(outlines[match[1], match[2]], picture.shape)
        yield Case(picture, mask, _row(image, image, match[1]))


def _breast_usg(members: Members) -> Iterator[Case]:
    """`case001.png`, `case001_tumor.png` and, beside them, an .xlsx."""
    sheet = members.only(
        r"[^/]*clinical[^/]*\.xlsx", "the clinical data (.xlsx) beside"
    )
    names = {PurePosixPath(name).name: name for name, _ in members.matching(r".*\.png")}
    for record in members.table(sheet):
        wanted = ("CaseID", "Image_filename", "Mask_tumor_filename", "Classification")
        check_columns(members.source, (*wanted, "Pixel_size"), list(record), "See TCIA")
        picture = members.picture(_named(members, names, record["Image_filename"]))
        drawn = re.split(r"\s*&\s*", record["Mask_tumor_filename"])
        outlines = [_named(members, names, x) for x in drawn if not is_missing(x)]
        patient = f"case{int(record['CaseID']):03d}"
        row = _row(patient, patient, record["Classification"].lower())
        row["spacing_mm"] = _millimetres(record["Pixel_size"])
        for column in BREAST_COLUMNS:
            cell = record.get(column, "")
            row[column.lower()] = "" if is_missing(cell) else cell
        yield Case(picture, members.mask(outlines, picture.shape), row)


def _bus_bra(members: Members) -> Iterator[Case]:
    """`Images/bus_0001-l.png`, `Masks/mask_0001-l.png`, bus_data.csv, 5-fold-cv.csv.

    A patient (`Case`) has one or two views, which stay in one fold.
    """
    folds = {
        record["ID"]: record["kFold"]
        for record in members.table(members.only(r"5-fold-cv\.csv", "5-fold-cv.csv"))
    }
    names = {PurePosixPath(name).name: name for name, _ in members.matching(r".*\.png")}
    for record in members.table(members.only(r"bus_data\.csv", "bus_data.csv")):
        wanted = ("ID", "Case", "Pathology")
        check_columns(
            members.source, wanted, list(record), "See doi 10.5281/zenodo.8231412"
        )
        name = record["ID"].removesuffix(".png")
        if record["ID"] not in folds:
            raise UserError(
                f"{members.source}: expected a fold of each image in 5-fold-cv.csv. "
                f"Received: none of {name}"
            )
        picture = members.picture(_named(members, names, f"{name}.png"))
        outline = names.get(f"{name.replace('bus_', 'mask_', 1)}.png")
        mask = members.mask([outline] if outline else [], picture.shape)
        patient = f"case{int(record['Case']):04d}"
        row = _row(name.replace("-", "_"), patient, record["Pathology"].lower())
        row["fold"] = folds[record["ID"]]
        for column in ("Histology", "BIRADS", "Device", "Side"):
            row[column.lower()] = record.get(column, "")
        yield Case(picture, mask, row)


def _breastmnist(members: Members) -> Iterator[Case]:
    """breastmnist.npz or breastmnist_64.npz ...: `train_images`, `train_labels`, ..."""
    name = members.only(r"breastmnist[^/]*\.npz", "one file breastmnist*.npz")
    try:
        arrays = np.load(io.BytesIO(members.read(name)), allow_pickle=False)
        parts = {
            part: (arrays[f"{part}_images"], arrays[f"{part}_labels"].ravel())
            for part in ("train", "val", "test")
        }
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{members.source}: expected the arrays of MedMNIST in {name}. Received: "
            f"{error}"
        ) from error
    for part, (pictures, labels) in parts.items():
        for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            image = f"{part}_{number:03d}"
            row = {**_row(image, image, MNIST_LABELS[int(label)]), "split": part}
            yield Case(np.asarray(picture, np.uint8), None, row)


DATASETS: dict[str, Callable[[Members], Iterator[Case]]] = {
    "busi": _busi,
    "breast_usg": _breast_usg,
    "bus_bra": _bus_bra,
    "breastmnist": _breastmnist,
}


def _row(image: str, patient: str, label: str) -> dict[str, str]:
    named = {"image": image, "patient_id": patient, "group_id": patient}
    return {**named, "label": label, "mask": "", "exclusion": ""}


def _named(members: Members, names: dict[str, str], file: str) -> str:
    if file not in names:
        raise UserError(
            f"{members.source}: expected the picture {file}. Received: none"
        )
    return names[file]


def _millimetres(centimetres: str) -> str:
    return "" if is_missing(centimetres) else f"{10 * float(centimetres):.4g}"


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(LARGEST_MEMBER + 1), path.name)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Reads what a member has, not what it says to have."""
    try:
        with archive.open(info) as file:
            return _bounded(file.read(LARGEST_MEMBER + 1), info.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(
            f"{archive.filename}: expected a sound archive. Received: {error}"
        ) from error


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > LARGEST_MEMBER:
        raise UserError(
            f"Expected at most {LARGEST_MEMBER:,} bytes a file. Received: {name}, more"
        )
    return data
