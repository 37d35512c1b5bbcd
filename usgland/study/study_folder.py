"""The two folders of a study: what is served, and what its owner alone shall have.

`STUDY/` has the design, the images and the answers, and nothing that says whose an
image is or what became of it. `STUDY-private/` has that, the keys and the protocol; a
machine that serves the study does without it.
"""

import hmac
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic
from PIL import Image

from usgland.errors import UserError
from usgland.files import read_json
from usgland.study.design import Design, digest
from usgland.table_files import show_some

DESIGN, IMAGES, ANSWERS = "design.json", "images", "answers.sqlite"
TRUTH, KEYS, PROTOCOL = "cases.csv", "keys.txt", "protocol.md"
TRUTH_COLUMNS = ("case", "image", "patient_id", "label")
PRIVATE = "-private"
SIGNS = "23456789abcdefghijkmnpqrstuvwxyz"  # none that is mistaken for another; 5 bits
GROUP = 4  # signs of a key that stand together; the first group is the study's
GROUPS = 4  # behind it: 80 bits


class Study(NamedTuple):
    """What a machine that serves a study needs."""

    folder: Path
    design: Design
    sha256: str  # of design.json as it is now


def private_folder(folder: Path) -> Path:
    """Where the owner's files of a study stand."""
    folder = folder.absolute()
    return folder.with_name(folder.name + PRIVATE)


def write_study(
    folder: Path,
    design: Design,
    images: Mapping[str, bytes],
    private: Mapping[str, str],
) -> None:
    """Writes both folders, whole or not at all, for their owner's eyes alone.

    Args:
        folder: Of the study; neither it nor the private one may exist.
        design: Becomes design.json.
        images: Name of a file in it -> content.
        private: Name of a file of the private folder -> content.
    """
    check_new(folder)
    secret = {name: text.encode() for name, text in private.items()}
    public = {**images, DESIGN: design.text().encode()}
    made: list[Path] = []
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        for target, files in ((private_folder(folder), secret), (folder, public)):
            parent = target.absolute().parent
            temporary = Path(tempfile.mkdtemp(prefix=".study-", dir=parent))
            made.append(temporary)
            for name, content in files.items():
                path = temporary / name
                path.parent.mkdir(mode=0o700, exist_ok=True)
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        for temporary, target in zip(
            made.copy(), (private_folder(folder), folder), strict=True
        ):
            temporary.rename(target)
            made.append(target)
    except OSError as error:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)
        raise UserError(
            f"Cannot write {folder}: {error.strerror}. Make room or choose another "
            "folder with --output"
        ) from error


def check_new(folder: Path) -> None:
    """Checks that no study would be written over.

    Raises:
        UserError: If one of its folders exists.
    """
    for path in (folder, private_folder(folder)):
        if path.exists():
            raise UserError(
                f"Expected no earlier study. Received: {path}, which exists. Choose "
                "another folder with --output; a study is never replaced"
            )


def read_study(folder: Path) -> Study:
    """Reads the design of a study.

    Raises:
        UserError: If there is none, or it is not as it was written.
    """
    path = folder / DESIGN
    if not path.is_file():
        raise UserError(
            f"Expected the folder of a study, with {DESIGN}. Received: {folder}. "
            "`usgland study new` makes one"
        )
    try:
        design = Design.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(
            f"{path}: expected what `usgland study new` wrote. Received: "
            f"{where or 'all'}: {error.errors()[0]['msg']}. Take the file from a backup"
        ) from error
    return Study(folder, design, digest(path.read_bytes()))


def changed_images(study: Study) -> list[str]:
    """Cases whose image is lost or is another one than when the study was made."""
    return [
        case.name
        for case in study.design.cases
        if read_image(study, case.name, case.file, case.sha256) is None
    ]


def check_images(study: Study) -> None:
    """Checks that all images are there, before a reader comes.

    Raises:
        UserError: With the cases whose image is lost or another one.
    """
    lost = changed_images(study)
    if lost:
        raise UserError(
            f"{study.folder / IMAGES}: expected the images that `usgland study new` "
            f"wrote. Received: none or others for {show_some(lost)}. Take the folder "
            "from a backup: answers are kept"
        )


def read_image(study: Study, name: str, file: str, sha256: str) -> bytes | None:
    """The image of a case; None if it is lost or another one."""
    try:
        content = (study.folder / file).read_bytes()
    except OSError:
        return None
    return content if digest(content) == sha256 else None


def plain_image(path: str | Path) -> bytes:
    """The pixels of an image alone, as PNG of 8 bits.

    Metadata, comments, profiles and thumbnails stay behind; what is written into the
    picture does not.
    """
    with Image.open(path) as opened:
        if opened.mode.startswith("I"):  # 16 bits; the graph drops the lower ones, too
            grey = np.asarray(opened).astype(np.uint32) >> 8
            image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
        elif opened.has_transparency_data:
            black = Image.new("RGBA", opened.size, (0, 0, 0, 255))
            image = Image.alpha_composite(black, opened.convert("RGBA")).convert("RGB")
        else:
            image = opened.convert("L" if opened.mode in ("1", "L") else "RGB")
    bare = Image.frombytes(image.mode, image.size, image.tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, "PNG")
    return buffer.getvalue()


def new_name() -> str:
    """A name that tells nothing, for a file."""
    return f"{IMAGES}/{secrets.token_hex(8)}.png"


def new_study_sign() -> str:
    return _signs(GROUP)


def new_key(study: str) -> str:
    """A secret that a reader types, e.g. `k7mp-2xqd-9trw-hv4c-8gne`."""
    return "-".join([study, *(_signs(GROUP) for _ in range(GROUPS))])


def _signs(number: int) -> str:
    return "".join(secrets.choice(SIGNS) for _ in range(number))


def plain_key(typed: str) -> str:
    """A key as it was made, however it was typed: case, spaces and dashes."""
    signs = "".join(sign for sign in typed.lower() if sign.isalnum())
    return "-".join(signs[i : i + GROUP] for i in range(0, len(signs), GROUP))


def reader_of_key(design: Design, typed: str) -> str | None:
    """Whose key it is; every key is compared, and each in constant time."""
    received = digest(plain_key(typed))
    same = [
        reader
        for reader, known in design.keys.items()
        if hmac.compare_digest(received, known)
    ]
    return same[0] if same else None
