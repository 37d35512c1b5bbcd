"""Memory and rate of `usgland ingest`: one large cine, many small files.

    python scripts/benchmark_ingest.py --cine-mb 2000 --files 10000 --text off

The files are made here, of noise, below a temporary folder: it takes three times
`--cine-mb` of disk. Memory is the sum of all processes, pages that they share counted
in each.
"""

import argparse
import io
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 480, 640
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"
SECONDS = 0.2  # between two looks at the memory


def header(frames: int, patient: int) -> bytes:
    """A file of an ultrasound machine up to its pixels, grey."""
    dataset = FileDataset("", {}, preamble=b"\0" * 128)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = ULTRASOUND
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = ULTRASOUND
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.StudyDate = "US", "20200302"
    dataset.PatientID, dataset.PatientName = f"P{patient:06}", f"Muster^Nr{patient:06}"
    dataset.StudyInstanceUID = generate_uid()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = ROWS, COLUMNS, frames
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def write_file(path: Path, frames: int, patient: int) -> None:
    """Writes a file frame by frame: it may be larger than the memory."""
    rng = np.random.default_rng(patient)
    frame = rng.integers(20, 220, (ROWS, COLUMNS), dtype=np.uint8)
    with path.open("wb") as file:
        file.write(header(frames, patient))
        length = frames * frame.size
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, length))
        for number in range(frames):
            file.write(np.roll(frame, 7 * number, axis=1).tobytes())


def tree_memory(root: int) -> int:
    """Resident bytes of a process and of all below it."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It has ended.
            continue
        parents[int(folder.name)] = int(fields[1])
        sizes[int(folder.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    below = {root}
    while new := {x for x, parent in parents.items() if parent in below} - below:
        below |= new
    return sum(sizes.get(process, 0) for process in below)


def measure(source: Path, work: Path, options: list[str]) -> tuple[float, int]:
    """Runs the command; gives seconds and the peak of its memory."""
    command = [sys.executable, "-c", "from usgland.cli.main import cli; cli()"]
    command += ["ingest", str(source), str(work / "out")]
    command += ["--private", str(work / "private"), *options]
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, tree_memory(process.pid))
        time.sleep(SECONDS)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.monotonic() - start, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cine-mb", type=int, default=2000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--text", default="off")
    parser.add_argument("--jobs", default="2")
    options = parser.parse_args()
    shared = ["--text", options.text, "--jobs", options.jobs]
    for files, frames in (
        (1, options.cine_mb * 1_000_000 // (ROWS * COLUMNS)),
        (options.files // 10, 1),
        (options.files, 1),
    ):
        if not files or not frames:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            source.mkdir()
            for number in range(files):
                write_file(source / f"{number}.dcm", frames, number)
            size = sum(path.stat().st_size for path in source.iterdir())
            seconds, peak = measure(source, Path(folder), shared)
        print(
            f"{files} files, {size / 1e6:.0f} MB, {files * frames} pictures: "
            f"{seconds:.0f} s, {files * frames / seconds:.1f} pictures a second, "
            f"at most {peak / 1e6:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
