"""Writes `saved_models/NAME/litert-1`: a model's files, and what goes with them."""

import contextlib
import hashlib
import io
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from usgland.data.phantom import write_phantoms
from usgland.errors import UserError
from usgland.files import write_json
from usgland.serving.portable import preprocess
from usgland.serving.portable.graph import PIXELS, Runner
from usgland.serving.portable.portable_sheet import empty_form

SHEET = "model.json"
PREPROCESS = "preprocess.py"
EXAMPLE, EXAMPLE_PIXELS = "example_synthetic.png", "example_synthetic.pixels.png"
# Of the pixels of one image, on which `preprocess.py` may differ by rounding.
MOST_DIFFERING = 0.001


def make_example(
    settings: Mapping[str, Any],
    runners: Mapping[str, Runner],
    inputs: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A phantom, and what the files say of it, for programs in other languages.

    Args:
        settings: See `usgland.serving.preprocess.read_pixels`.
        runners: File name -> what runs it.
        inputs: As `describe_inputs` gives them.

    Returns:
        What `model.json` says of it: its files, and P(malignant) by each file, the
        form being empty. And the files' contents.
    """
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_phantoms(
            Path(folder) / "phantoms", patients_per_class=(1, 1), images=2
        )
        image = (manifest.parent / "images" / "P001_1.png").read_bytes()
    pixels = preprocess.read_pixels(image, settings)
    case = {PIXELS: pixels, **empty_form(inputs)}
    probability = {name: run(case)[1] for name, run in runners.items()}
    buffer = io.BytesIO()
    Image.fromarray(pixels[0, :, :, 0]).save(buffer, "png")
    return (
        {"image": EXAMPLE, "pixels": EXAMPLE_PIXELS, "probability": probability},
        {EXAMPLE: image, EXAMPLE_PIXELS: buffer.getvalue()},
    )


def compare_pixels(
    paths: Sequence[Path],
    pixels: NDArray[np.uint8],
    settings: Mapping[str, Any],
    chosen: Sequence[int],
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Compares `preprocess.py` with the model's own preprocessing.

    Args:
        paths: Image files.
        pixels: What the model makes of them, uint8 `(images, size, size, 1)`.
        settings: See `usgland.serving.preprocess.read_pixels`.
        chosen: The numbers of those to compare.

    Returns:
        A dict of images; unread, how many of them it refuses; equal, how many are the
        same to the pixel; and largest_share, of the pixels of one image that differ.
        And the pixels as it makes them, the model's where it refuses or was not asked.

    Raises:
        UserError: If more than `MOST_DIFFERING` of an image differ.
    """
    unread, shares = 0, []
    received = pixels.copy()
    for number in chosen:
        try:
            received[number] = preprocess.read_pixels(paths[number], settings)[0]
        except ValueError:  # It says so to whoever runs it, too.
            unread += 1
            continue
        share = float(np.mean(received[number] != pixels[number]))
        if share > MOST_DIFFERING:
            raise UserError(
                f"Expected {PREPROCESS} to repeat the model's preprocessing. Received "
                f"{share:.1%} other pixels of {paths[number]}; nothing was written. "
                "Please report this"
            )
        shares.append(share)
    compared = {
        "images": len(chosen),
        "unread": unread,
        "equal": sum(share == 0 for share in shares),
        "largest_share": max(shares, default=0.0),
    }
    return compared, received


def write_folder(
    home: Path, kind: str, contents: Mapping[str, bytes], sheet: Mapping[str, Any]
) -> Path:
    """Writes `home/KIND-NUMBER`, the next free number, whole or not at all.

    Its name is no number, so that no server takes it for a version.

    Args:
        home: Folder of the model, e.g. `saved_models/squeeze`.
        kind: `"litert"` or `"onnx"`.
        contents: File name -> content.
        sheet: For `model.json`; the version and the digests are added.

    Returns:
        The folder.

    Raises:
        UserError: If it cannot be written.
    """
    temporary = None
    try:
        home.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=home))
        temporary.chmod(0o755)  # mkdtemp's is for the owner alone
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        if sheet["preprocessing"] is not None:
            source = Path(preprocess.__file__).read_bytes()
            (temporary / PREPROCESS).write_bytes(source)
        digests = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in contents.items()
        }
        while True:
            number = _next_number(home, kind)
            whole = {**sheet, "version": number, "sha256": digests}
            write_json(temporary / SHEET, whole)
            target = home / f"{kind}-{number}"
            try:
                temporary.rename(target)  # Fails if another export took the number.
            except OSError:
                if not target.exists():
                    raise
            else:
                return target
    except OSError as error:
        raise UserError(
            f"Cannot write a model under {home}: {error.strerror or error}"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            home.rmdir()  # Only if it is empty: nothing was published there.


def _next_number(home: Path, kind: str) -> int:
    found = (re.fullmatch(rf"{kind}-(\d+)", path.name) for path in home.iterdir())
    return max((int(match[1]) for match in found if match), default=0) + 1
