"""One file of a scanner to its pictures and to what is known of it."""

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np

from usgland.errors import UserError
from usgland.ingest.burned_text import Box, mask_text, text_boxes
from usgland.ingest.dicom_frames import count_frames, iter_frames
from usgland.ingest.headers import (
    HeaderFields,
    PrivateFields,
    fields_of,
    rounded_spacing,
)
from usgland.ingest.identifiers import (
    Identifier,
    identifiers_of,
    identifiers_of_path,
    output_words,
)
from usgland.ingest.leaks import Needles, search_picture
from usgland.ingest.pseudonyms import Key, normalize_id
from usgland.ingest.removals import removed_counts
from usgland.ingest.safe_dicom import read_header
from usgland.ingest.safe_pictures import png_bytes, read_picture
from usgland.ingest.scan_regions import (
    OUTSIDE,
    REGION_FLAGS,
    Region,
    detect_scan_area,
    grey_of,
    regions_of,
)
from usgland.ingest.source_files import SourceFile, stamp
from usgland.ingest.unreadable import UnreadableFileError
from usgland.ingest.workers import Alive

IMAGES = "images"  # folder of OUT
SAMPLES = 5  # frames of a cine in which its scan area is looked for
TEXT_SAMPLES = 3  # and its text, where more are written: that takes a second a frame
TEXT, MASKED, NOT_LOOKED = "burned_in_text", "text_masked", "text_not_looked_for"
FROM_FOLDER, FROM_NAME = "patient_from_folder", "patient_from_file_name"
NOT_ULTRASOUND = "not ultrasound"
# All that `Picture.flags` may hold, beside the marks of headers.
FRAME_MARKS = (*REGION_FLAGS, FROM_FOLDER, FROM_NAME, TEXT, MASKED, NOT_LOOKED)


class Setup(NamedTuple):
    """What all files share."""

    out: Path
    key: Key
    frames: str  # `all`, `first`, `every:N` or `sharpest`
    text: str = "flag"  # or `mask` or `off`


class Picture(NamedTuple):
    """A picture that was written: a region of a frame."""

    image: str  # below OUT
    size: int  # bytes of its file
    frame: int  # from 1
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 of the region in the frame
    region: str
    spacing_x_mm: str
    spacing_y_mm: str
    flags: tuple[str, ...]
    leaks: tuple[str, ...]


class Record(NamedTuple):
    """What became of a file. All but its pictures and columns is private."""

    fields: HeaderFields
    exclusion: str
    frames: int
    pictures: tuple[Picture, ...]
    identifiers: frozenset[Identifier]
    removed: tuple[tuple[str, str, int], ...]  # action, tag, count


def extract(setup: Setup, file: SourceFile, alive: Alive) -> Record:
    """Writes the pictures of a file.

    Args:
        setup: What all files share.
        file: A DICOM file or a picture.
        alive: Called at every frame.

    Raises:
        UnreadableFileError: If it cannot be used; then none of its pictures is left.
        UserError: If there is no room to write.
    """
    before = stamp(file.path)
    if before == (0, 0):
        raise UnreadableFileError("gone, or a link or a pipe since it was listed")
    writer = _Writer(setup, file)
    with contextlib.ExitStack() as undo:
        undo.callback(writer.remove)
        extracted = _from_picture if file.kind == "picture" else _from_dicom
        record = extracted(setup, file, writer, alive)
        if not record.pictures:
            raise UnreadableFileError("no frame of it could be read")
        if stamp(file.path) != before:  # Its pixels may be another's than its header.
            raise UnreadableFileError("changed while it was read")
        undo.pop_all()
    return record


class _Writer:
    """Writes the pictures of one file, and searches each for the file's identifiers."""

    def __init__(self, setup: Setup, file: SourceFile) -> None:
        self.setup, self.file = setup, file
        self.pictures: list[Picture] = []
        self.identifiers = identifiers_of_path(PurePosixPath(file.relative))
        self.needles: Needles | None = None
        self.boxes: dict[int, list[Box]] = {}  # region -> where all frames have text

    def write(self, frame: np.ndarray, number: int, regions: list[Region]) -> None:
        for index, region in enumerate(regions):
            self.write_region(frame, number, index, region)

    def write_region(
        self, frame: np.ndarray, number: int, index: int, region: Region
    ) -> None:
        if self.needles is None:
            self.needles = Needles(self.identifiers, output_words(IMAGES))
        picture, flags = self.without_text(region.of(frame), index)
        data = png_bytes(picture)
        code = self.setup.key.image(f"{self.file.relative}\0{number}\0{index}")
        path = self.setup.out / IMAGES / f"{code}.png"
        try:
            path.write_bytes(data)
        except OSError as error:
            path.unlink(missing_ok=True)
            reason = "no space left" if error.errno == errno.ENOSPC else error.strerror
            raise UserError(
                f"Cannot write to {path.parent}: {reason}. Make room, then repeat the "
                "command with --resume"
            ) from error
        x, y = (
            tuple(map(rounded_spacing, region.spacing_mm))
            if region.spacing_mm
            else ("", "")
        )
        leaks = search_picture(path, data, picture, self.needles)
        self.pictures.append(
            Picture(
                f"{IMAGES}/{path.name}",
                len(data),
                number,
                (region.x0, region.y0, region.x1, region.y1),
                region.source,
                x,
                y,
                (*region.flags, *flags),
                tuple(sorted({leak.where for leak in leaks})),
            )
        )

    def look_for_text(
        self, frames: Iterator[np.ndarray], regions: list[Region]
    ) -> None:
        """Takes the text of some frames for that of all that are written."""
        if self.setup.text == "off":
            return
        for frame in frames:
            for index, region in enumerate(regions):
                self.boxes.setdefault(index, []).extend(text_boxes(region.of(frame)))

    def without_text(
        self, picture: np.ndarray, index: int
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """A picture as it is to be written, and flags of its text."""
        if self.setup.text == "off":
            return picture, (NOT_LOOKED,)
        boxes = self.boxes.get(index)
        boxes = text_boxes(picture) if boxes is None else boxes
        if not boxes:
            return picture, ()
        if self.setup.text == "flag":
            return picture, (TEXT,)
        return mask_text(picture, boxes), (TEXT, MASKED)

    def remove(self) -> None:
        for picture in self.pictures:
            (self.setup.out / picture.image).unlink(missing_ok=True)


def _from_picture(
    setup: Setup, file: SourceFile, writer: _Writer, alive: Alive
) -> Record:
    picture = read_picture(file.path)
    alive()
    writer.write(picture, 1, [detect_scan_area([picture])])
    return Record(
        picture_fields(file.relative, setup.key),
        *("", 1, tuple(writer.pictures), frozenset(writer.identifiers), ()),
    )


def picture_fields(relative: str, key: Key) -> HeaderFields:
    """What is known of a picture without a header: its folder is its patient.

    A picture that lies in SOURCE itself is a patient of its own, by its name.
    """
    path = PurePosixPath(relative)
    in_folder = len(path.parts) > 1
    identity = normalize_id(path.parent.name if in_folder else path.stem)
    patient = path.parent.as_posix() if in_folder else identity
    private = PrivateFields(identity, *("",) * (len(PrivateFields._fields) - 1))
    known = {name: "" for name in HeaderFields._fields}
    return HeaderFields(
        **{
            **known,
            "patient_id": key.patient(patient),
            "study_id": key.study(patient),
            "marks": (FROM_FOLDER if in_folder else FROM_NAME,),
            "private": private,
        }  # type: ignore[arg-type]
    )


def _from_dicom(
    setup: Setup, file: SourceFile, writer: _Writer, alive: Alive
) -> Record:
    dataset = read_header(file.path)
    count = count_frames(file.path, dataset)
    writer.identifiers |= identifiers_of(dataset)
    regions, refused = regions_of(dataset, (int(dataset.Rows), int(dataset.Columns)))
    if not regions and refused and OUTSIDE not in refused:
        raise UnreadableFileError(
            "no region of 2D B-mode among those that its header names"
        )
    if not regions:
        samples = sorted({(count - 1) * n // (SAMPLES - 1) for n in range(SAMPLES)})
        area = detect_scan_area(list(iter_frames(file.path, dataset, samples)))
        regions = [area.flagged(*refused)]
    alive()

    def frames(indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        for frame in iter_frames(file.path, dataset, indices):
            alive()
            yield frame

    if setup.frames == "sharpest" and count > 1:
        number, frame = sharpest(frames(), regions[0])
        writer.write(frame, number + 1, regions)
    else:
        indices = chosen_frames(setup.frames, count)
        if len(indices) > TEXT_SAMPLES:
            some = {indices[n] for n in (0, len(indices) // 2, -1)}
            writer.look_for_text(frames(sorted(some)), regions)
        for number, frame in zip(indices, frames(indices), strict=True):
            writer.write(frame, number + 1, regions)
    removed = removed_counts(dataset)
    return Record(
        fields_of(dataset, setup.key, file.relative),
        "" if dataset.get("Modality", "US") == "US" else NOT_ULTRASOUND,
        count,
        tuple(writer.pictures),
        frozenset(writer.identifiers),
        tuple((action, tag, number) for (action, tag), number in removed.items()),
    )


def chosen_frames(frames: str, count: int) -> range:
    """The frames, from 0, that `all`, `first` or `every:N` stands for."""
    if frames == "first":
        return range(1)
    _, _, step = frames.partition(":")
    return range(0, count, int(step or 1))


def sharpest(frames: Iterator[np.ndarray], region: Region) -> tuple[int, np.ndarray]:
    """The frame with the highest variance of the Laplacian in a region, and its number.

    Reference:
        Pech-Pacheco et al., 2000, https://doi.org/10.1109/ICPR.2000.903548
    """
    best, number, kept = -1.0, 0, np.zeros((1, 1), np.uint8)
    for index, frame in enumerate(frames):
        grey = grey_of(region.of(frame))
        sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var())
        if sharpness > best:
            best, number, kept = sharpness, index, frame
    return number, kept
