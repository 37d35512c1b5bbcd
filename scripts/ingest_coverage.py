"""Which of pydicom's own files with pixels are decoded, and why the others are not.

    python scripts/ingest_coverage.py

Needs the package pydicom-data, whose files lie on the disk.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom

from usgland.ingest.dicom_frames import iter_frames
from usgland.ingest.safe_dicom import read_header
from usgland.ingest.unreadable import UnreadableFileError

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def test_files() -> Iterator[Path]:
    """The DICOM files of pydicom and pydicom-data that have pixels."""
    for package in ("pydicom", "data_store"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"Expected the package of the module {package}")
        for path in sorted((Path(spec.origin).parent / "data").rglob("*")):
            if path.is_file() and has_pixels(path):
                yield path


def has_pixels(path: Path) -> bool:
    """Whether pydicom itself reads the file and finds pixels in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, defer_size=1000)
    except (pydicom.errors.InvalidDicomError, ValueError, OSError, LookupError):
        return False
    return any(name in dataset for name in PIXELS)


def main() -> None:
    files, decoded, ultrasound = 0, 0, 0
    for path in test_files():
        files += 1
        try:
            dataset = read_header(path)
            frames = sum(1 for _ in iter_frames(path, dataset))
        except UnreadableFileError as error:
            print(f"{path.name}: {error}")
            continue
        decoded += frames > 0
        ultrasound += dataset.get("Modality") == "US"
    print(f"decoded {decoded} of {files} files, {ultrasound} of them ultrasound")


if __name__ == "__main__":
    main()
