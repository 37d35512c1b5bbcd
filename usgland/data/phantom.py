"""Synthetic parotid phantoms: images, masks and a manifest, for demos and tests.

docs/phantoms.md says what they are, what they are not, and how they repeat.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from usgland.cache import cache_folder
from usgland.data.phantom_clinical import CLINICAL, draw_patients
from usgland.data.phantom_draws import make_bits, permutation
from usgland.data.phantom_image import draw_image, draw_patient
from usgland.errors import UserError
from usgland.table_files import normalize_word

VERSION = "v1"  # of the pixels: raise it when any of them changes
MANIFEST = "manifest.csv"
MARKER = "SYNTHETIC.txt"
MOST_IMAGES = 5  # of a patient
NOTICE = """\
*******************************************************************
*                                                                 *
*    S Y N T H E T I C   I M A G E S ,   N O   P A T I E N T S    *
*                                                                 *
*******************************************************************

Every image, mask and clinical value in this folder was computed by
usgland/data/phantom.py. None comes from a patient. Results on them say nothing
about patients. Keep this file beside manifest.csv.
"""


def write_phantoms(
    folder: Path,
    *,
    patients_per_class: tuple[int, int] = (87, 86),
    images: int = 458,
    seed: int = 0,
) -> Path:
    """Writes images/, masks/, manifest.csv and SYNTHETIC.txt, all or nothing.

    Args:
        folder: Where to; it must not exist yet, or be empty.
        patients_per_class: Benign and malignant patients; the defaults are the
            paper's (Table 1).
        images: Of all patients together, 1 to 5 each.
        seed: In [0, 2**32).

    Returns:
        The path of the manifest.

    Raises:
        UserError: If the folder holds something or cannot be written.
    """
    _check_numbers(patients_per_class, images, seed)
    with _whole_folder(folder) as temporary:
        _write_set(temporary, patients_per_class, images, seed)
    return folder / MANIFEST


def cached_phantoms(cache: Path | None = None, *, seed: int = 0) -> Path:
    """The manifest of the default set, made on first use (under a minute)."""
    folder = (cache or cache_folder()) / f"phantoms-{VERSION}-{seed}"
    manifest = folder / MANIFEST
    if manifest.exists():
        return manifest
    try:
        return write_phantoms(folder, seed=seed)
    except UserError:
        if manifest.exists():  # another process was faster, with the same bytes
            return manifest
        raise


def is_synthetic(manifest: Path, rows: pd.DataFrame) -> bool:
    """Whether a manifest holds phantoms: so says a marker beside it, or a column."""
    words = set(map(normalize_word, set(rows.get("synthetic", ()))))
    marked = (manifest.parent / MARKER).exists()
    return marked or not words.isdisjoint(("1", "true", "yes"))


def _check_numbers(patients_per_class: tuple[int, int], images: int, seed: int) -> None:
    if min(patients_per_class) < 1:
        raise ValueError(
            "`patients_per_class` must be two numbers of at least 1. "
            f"Received: patients_per_class={patients_per_class}"
        )
    patients = sum(patients_per_class)
    if not patients <= images <= MOST_IMAGES * patients:
        raise ValueError(
            f"`images` must be in [{patients}, {MOST_IMAGES * patients}], 1 to "
            f"{MOST_IMAGES} a patient. Received: images={images}"
        )
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` must be in [0, 2**32). Received: seed={seed}")


def _write_set(
    folder: Path, patients_per_class: tuple[int, int], images: int, seed: int
) -> None:
    bits = make_bits(seed)
    patients = draw_patients(bits, patients_per_class)
    counts = _count_images(bits, len(patients), images)
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    lines = []
    for number in range(1, len(patients) + 1):
        values = {str(key): value for key, value in patients.iloc[number - 1].items()}
        device, anatomy, lesion = draw_patient(values, make_bits(seed, number))
        for view in range(1, counts[number - 1] + 1):
            stream = make_bits(seed, number, view)
            image, mask = draw_image(device, anatomy, lesion, stream)
            name = f"P{number:03d}_{view}.png"
            _write_png(folder / "images" / name, image)
            _write_png(folder / "masks" / name, mask)
            lines.append(
                {
                    "image": f"images/{name}",
                    "mask": f"masks/{name}",
                    "patient_id": f"P{number:03d}",
                    **{name: values[name] for name in ("label", "histology")},
                    "device": device.name,
                    **{name: values[name] for name in CLINICAL},
                    "synthetic": 1,
                }
            )
    pd.DataFrame(lines).to_csv(folder / MANIFEST, index=False, lineterminator="\n")
    (folder / MARKER).write_text(NOTICE, encoding="utf-8")


def _count_images(bits: np.random.PCG64, patients: int, images: int) -> list[int]:
    """One image each; the rest go to places drawn among four more a patient."""
    places = permutation(bits, patients * (MOST_IMAGES - 1))[: images - patients]
    counts = 1 + np.bincount(places // (MOST_IMAGES - 1), minlength=patients)
    return counts.tolist()


def _write_png(path: Path, pixels: np.ndarray) -> None:
    import cv2  # Slow to load, and a manifest is checked without it.

    encoded = cv2.imencode(".png", pixels)[1]
    path.write_bytes(encoded.tobytes())


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Gives a temporary sibling that becomes `folder` only if the block succeeds."""
    temporary = None
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(
                "Expected a new or empty folder for the phantoms. "
                f"Received: {folder}. Remove it or choose another"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        name = tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent)
        temporary = Path(name)
        temporary.chmod(0o755)  # mkdtemp's is for the owner alone
        yield temporary
        if folder.exists():
            folder.rmdir()  # fails unless empty
        temporary.rename(folder)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(
            f"Cannot write the phantoms to {folder}: {reason}. Free the disk or "
            "choose another folder"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
