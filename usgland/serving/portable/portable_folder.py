"""Writes `saved_models/NAME/litert-1`: a model's files, and what goes with them.

`model.json` says what the inputs are, `preprocess.py` makes them of an image, and an
example shows what comes out, for programs in any language.
"""

import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from usgland.data.phantom import write_phantoms
from usgland.errors import UserError
from usgland.files import write_json
from usgland.models.classifier import ENCODING, HAS_IMAGE, PREPROCESSING, layer_names
from usgland.serving.interface.versions import next_number, publish, unpublished
from usgland.serving.portable import preprocess
from usgland.serving.portable.graph import PIXELS, Runner
from usgland.serving.portable.portable_form import accepted_texts

MODEL_JSON = "model.json"
PREPROCESS = "preprocess.py"
EXAMPLE, EXAMPLE_PIXELS = "example_synthetic.png", "example_synthetic.pixels.png"
# Of the pixels of one image, on which `preprocess.py` may differ by rounding.
MOST_DIFFERING = 0.001


def preprocessing_settings(layer: keras.layers.Layer) -> dict[str, Any]:
    """What `preprocess.py` needs to know of a model's preprocessing."""
    percentiles = layer.grey_percentiles
    return {
        "image_size": layer.size,
        "grey_percentiles": None if percentiles is None else list(percentiles),
        "speckle_filter": layer.speckle_filter,
    }


def describe_inputs(model: keras.Model, *, batch: int | None) -> dict[str, Any]:
    """Every input by its name: type, shape and what it takes."""
    inputs: dict[str, Any] = {}
    names = layer_names(model)
    if PREPROCESSING in names:
        size = model.get_layer(PREPROCESSING).size
        inputs[PIXELS] = {
            "dtype": "uint8",
            "shape": [batch, size, size, 1],
            "takes": "grey levels 0 to 255 as preprocess.py makes them of an image",
        }
        if HAS_IMAGE in names:
            inputs[PIXELS]["missing"] = "all 0"
    if ENCODING in names:
        for column in model.get_layer(ENCODING).columns:
            inputs[column["name"]] = _describe_column(column, batch)
    return inputs


def _describe_column(column: Mapping[str, Any], batch: int | None) -> dict[str, Any]:
    if column["kind"] == "number":
        return {
            "dtype": "float32",
            "shape": [batch],
            "takes": f"a number from {column['low']:g} to {column['high']:g}",
            "missing": "NaN",
        }
    return {
        "dtype": "string",
        "shape": [batch],
        "takes": list(accepted_texts(column)),
        "missing": "",
    }


def make_example(
    settings: Mapping[str, Any],
    runners: Mapping[str, Runner],
    inputs: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A phantom, and what the files say of it, for programs in other languages.

    Args:
        settings: See `preprocess.read_pixels`.
        runners: By file name.
        inputs: See `describe_inputs`.

    Returns:
        What `model.json` says of it: its files, and P(malignant) by each file, the
        form being empty. And the files' contents.
    """
    with tempfile.TemporaryDirectory() as folder:
        phantoms = Path(folder) / "phantoms"
        manifest = write_phantoms(phantoms, patients_per_class=(1, 1), images=2)
        image = (manifest.parent / "images" / "P001_1.png").read_bytes()
    pixels = preprocess.read_pixels(image, settings)
    numbers, words = np.array([np.nan], "float32"), np.array([""], object)
    case = {  # Its form is without any value.
        name: numbers if described["dtype"] == "float32" else words
        for name, described in inputs.items()
    }
    case[PIXELS] = pixels
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
        settings: See `preprocess.read_pixels`.
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
        except ValueError:  # Whoever runs it is told so, too.
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

    Its name is no number, so that no server takes it for a version. To the sheet,
    `model.json`, the version and the digests of the contents are added.

    Raises:
        UserError: If it cannot be written.
    """
    digests = {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    with unpublished(home) as temporary:
        while True:
            number = next_number(home, f"{kind}-")
            temporary.mkdir()
            for name, content in contents.items():
                (temporary / name).write_bytes(content)
            if sheet["preprocessing"] is not None:
                source = Path(preprocess.__file__).read_bytes()
                (temporary / PREPROCESS).write_bytes(source)
            numbered = {**sheet, "version": number, "sha256": digests}
            write_json(temporary / MODEL_JSON, numbered)
            target = home / f"{kind}-{number}"
            if publish(temporary, target):
                return target
