"""From a folder of scanners' files to pictures and a manifest."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.commands import call, files_in, read_csv, refusal
from tests.dicom_files import picture, region, write_dicom
from usgland.steps import ingestion


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """A worker's process takes a second to start; test_workers.py has some."""

    def run(work, setup, tasks, jobs):
        from usgland.ingest.unreadable import UnreadableFileError

        for task in tasks:
            try:
                yield task, work(setup, task, lambda: None)
            except UnreadableFileError as error:
                yield task, error

    monkeypatch.setattr(ingestion, "run_tasks", run)


def ingest(tmp_path, *options):
    return call(
        *("ingest", tmp_path / "source", tmp_path / "out"),
        *("--private", tmp_path / "private", *options),
    )


def test_a_file_becomes_a_picture_of_its_region_and_a_row(tmp_path):
    pixels = picture()
    tags = {"SequenceOfUltrasoundRegions": [region(4, 6, 43, 35)]}
    write_dicom(
        tmp_path / "source/Muster Anna/a.dcm",
        pixels,
        PatientAge="034Y",
        PatientSex="F",
        **tags,
    )
    ingest(tmp_path)
    (row,) = read_csv(tmp_path / "out/manifest.csv")
    written = np.asarray(Image.open(tmp_path / "out" / row["image"]))
    np.testing.assert_array_equal(written, pixels[6:36, 4:44])
    assert (row["age"], row["sex"], row["study_day"]) == ("34", "female", "0")
    assert (row["spacing_x_mm"], row["spacing_y_mm"]) == ("0.1", "0.2")
    assert (row["frame"], row["region"], row["marks"]) == ("1", "tag", "")
    assert files_in(tmp_path / "out") == ["images", "manifest.csv", "removed.json"]
    assert json.loads((tmp_path / "out/removed.json").read_text())["files"] == 1
    (known,) = read_csv(tmp_path / "private/out/paths.csv")
    assert known["file"] == "./Muster Anna/a.dcm"
    assert known["patient"] == "4711"


def test_a_private_folder_within_out_is_refused(tmp_path):
    write_dicom(tmp_path / "source/a.dcm")
    line = refusal(
        *("ingest", tmp_path / "source", tmp_path / "out"),
        *("--private", tmp_path / "out/private"),
    )
    assert "Expected --private and --key outside of OUT" in line
    assert files_in(tmp_path) == ["source"]
