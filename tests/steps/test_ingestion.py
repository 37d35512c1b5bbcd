"""From a folder of scanners' files to pictures and a manifest."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.commands import call, files_in, full_disk, read_csv, refusal
from tests.dicom_files import picture, region, write_dicom
from usgland.config import Config
from usgland.data.columns import check_header
from usgland.ingest import extraction
from usgland.ingest.burned_text import Box
from usgland.ingest.unreadable import UnreadableFileError
from usgland.steps import ingestion


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """A worker's process takes a second to start; test_workers.py has some.

    So does the detector of text, which tests/ingest/test_burned_text.py has.
    """

    def run(work, setup, tasks, jobs, log):
        for task in tasks:
            try:
                yield task, work(setup, task, lambda: None)
            except UnreadableFileError as error:
                yield task, error

    monkeypatch.setattr(ingestion, "run_tasks", run)
    monkeypatch.setattr(extraction, "text_boxes", lambda picture: [])


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


def command(tmp_path, *options):
    return (
        *("ingest", tmp_path / "source", tmp_path / "out"),
        *("--private", tmp_path / "private", *options),
    )


def ingest(tmp_path, *options):
    """Runs the command; gives what it says and the rows of the manifest."""
    said = call(*command(tmp_path, *options))
    return said, read_csv(tmp_path / "out/manifest.csv")


def pixels_of(tmp_path, row):
    return np.asarray(Image.open(tmp_path / "out" / row["image"]))


def reasons(tmp_path):
    return {
        row["file"]: row["reason"]
        for row in read_csv(tmp_path / "private/out/skipped.csv")
    }


def test_a_file_becomes_a_picture_of_its_region_and_a_row(source, tmp_path):
    pixels = picture()
    write_dicom(
        source / "Muster Anna/a.dcm",
        pixels,
        SequenceOfUltrasoundRegions=[region(4, 6, 43, 35)],
        PatientAge="034Y",
        PatientSex="F",
    )
    _, (row,) = ingest(tmp_path)
    np.testing.assert_array_equal(pixels_of(tmp_path, row), pixels[6:36, 4:44])
    assert (row["age"], row["sex"], row["study_day"]) == ("34", "female", "0")
    assert (row["spacing_x_mm"], row["spacing_y_mm"]) == ("0.1", "0.2")
    assert (row["frame"], row["region"], row["marks"]) == ("1", "tag", "")
    assert files_in(tmp_path / "out") == ["images", "manifest.csv", "removed.json"]
    assert json.loads((tmp_path / "out/removed.json").read_text())["files"] == 1
    (known,) = read_csv(tmp_path / "private/out/paths.csv")
    assert known["file"] == "./Muster Anna/a.dcm"
    assert known["patient"] == "4711"
    modes = [path.stat().st_mode & 0o77 for path in (tmp_path / "private").rglob("*")]
    assert not any(modes)  # nobody else reads what is private


def test_days_count_from_the_first_study_and_rows_tell_no_order(source, tmp_path):
    for number, day in enumerate(("20200305", "20200302", "20210302")):
        study = {"StudyInstanceUID": f"1.2.3.4.{number}", "StudyDate": day}
        write_dicom(source / f"{number}.dcm", picture(seed=number), **study)
    _, rows = ingest(tmp_path)
    assert [row["study_day"] for row in rows] == ["0", "3", "365"]
    assert len({row["patient_id"] for row in rows}) == 1


@pytest.mark.parametrize(
    ("frames", "expected"),
    [("all", [1, 2, 3, 4, 5]), ("first", [1]), ("every:2", [1, 3, 5])],
)
def test_frames_of_a_cine_are_chosen(source, tmp_path, frames, expected):
    pixels = picture(frames=5)
    write_dicom(source / "cine.dcm", pixels)
    _, rows = ingest(tmp_path, "--frames", frames)
    assert sorted(int(row["frame"]) for row in rows) == expected
    for row in rows:
        np.testing.assert_array_equal(
            pixels_of(tmp_path, row), pixels[int(row["frame"]) - 1]
        )


def test_the_sharpest_frame_has_most_of_what_a_blur_takes(source, tmp_path):
    blurred = [np.asarray(Image.fromarray(picture()).reduce(4).resize((64, 48)))] * 4
    write_dicom(source / "cine.dcm", np.stack([*blurred[:2], picture(), *blurred[2:]]))
    _, (row,) = ingest(tmp_path, "--frames", "sharpest")
    assert row["frame"] == "3"


def test_frames_that_mean_nothing_are_refused(tmp_path):
    with pytest.raises(AssertionError, match=r"expected all, first, every:N or sharp"):
        call(*command(tmp_path, "--frames", "every:0"))


def test_a_picture_without_a_header_is_of_its_folders_patient(source, tmp_path):
    for name in ("Muster/1.png", "Muster/2.png", "3.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        text = PngImagePlugin.PngInfo()
        text.add_text("Patient", "Muster Anna")
        Image.fromarray(picture(seed=len(name))).save(source / name, pnginfo=text)
    _, rows = ingest(tmp_path)
    marks = sorted(row["marks"].split()[-2] for row in rows)
    assert marks == [*["patient_from_file_name"], *["patient_from_folder"] * 2]
    assert len({row["patient_id"] for row in rows}) == 2
    for row in rows:
        data = (tmp_path / "out" / row["image"]).read_bytes()
        assert b"Muster" not in data
        assert b"tEXt" not in data


def test_text_is_named_or_filled(source, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "text_boxes", lambda _: [Box(3, 2, 20, 9, 0.9)])
    write_dicom(source / "a.dcm")
    _, (row,) = ingest(tmp_path, "--text", "mask")
    assert row["marks"].endswith("burned_in_text text_masked")
    seen = pixels_of(tmp_path, row)
    assert not seen[2:9, 3:20].any()
    assert seen[9:].all()


def test_of_a_long_cine_the_text_of_three_frames_counts_for_all(
    source, tmp_path, monkeypatch
):
    looked = []
    monkeypatch.setattr(
        extraction, "text_boxes", lambda x: looked.append(x) or [Box(0, 0, 9, 9, 0.9)]
    )
    write_dicom(source / "cine.dcm", picture(frames=9))
    _, rows = ingest(tmp_path)
    assert len(looked) == 3
    assert all("burned_in_text" in row["marks"] for row in rows)


def test_labels_join_by_the_patient_and_the_rest_is_excluded(source, tmp_path):
    for patient in ("1", "2", "3"):
        values = {"PatientID": patient, "StudyInstanceUID": f"1.2.3.{patient}"}
        write_dicom(source / f"{patient}.dcm", picture(seed=int(patient)), **values)
    table = tmp_path / "labels.csv"
    table.write_text("patient_id,label\n1,benign\n2,malignant\n9,benign\n")
    said, rows = ingest(tmp_path, "--labels", table)
    assert "1 patient without a label, 1 label without images" in said
    found = sorted((row["label"], row["exclusion"]) for row in rows)
    assert found == [("", "no label"), ("benign", ""), ("malignant", "")]
    # `fit` takes the columns as they are.
    check_header(Config(data={"manifest": tmp_path / "out/manifest.csv"}))


def test_what_is_no_ultrasound_is_written_and_excluded(source, tmp_path):
    write_dicom(source / "a.dcm", Modality="CT")
    _, (row,) = ingest(tmp_path)
    assert row["exclusion"] == "not ultrasound"


def test_two_patients_of_one_id_are_told(source, tmp_path):
    for number, born in enumerate(("19500101", "19800101")):
        write_dicom(source / f"{number}.dcm", PatientBirthDate=born)
    said, rows = ingest(tmp_path)
    assert "1 ids seem to be of two patients each" in said
    assert all("two_patients_of_one_id" in row["marks"] for row in rows)


def test_a_bad_file_is_skipped_and_the_rest_goes_on(source, tmp_path):
    write_dicom(source / "good.dcm")
    whole = (source / "good.dcm").read_bytes()
    (source / "=cut.dcm").write_bytes(whole[:-100])
    (source / "notes.txt").write_text("x")
    said, rows = ingest(tmp_path)
    assert len(rows) == 1
    assert "Skipped 1: cut off\nSkipped 1: no DICOM, PNG or JPEG file\n" in said
    assert reasons(tmp_path) == {
        "./=cut.dcm": "cut off: it ends before its pixels do",
        "./notes.txt": "no DICOM, PNG or JPEG file",
    }


def test_a_file_that_changes_under_the_run_is_skipped(source, tmp_path, monkeypatch):
    for name in "abc":
        write_dicom(source / f"{name}.dcm")
    read = extraction.read_header

    def change(path):
        if path.name == "a.dcm":
            path.write_bytes(path.read_bytes() + b"x")
            (source / "b.dcm").unlink()
            (source / "b.dcm").symlink_to(source / "c.dcm")
        return read(path)

    monkeypatch.setattr(extraction, "read_header", change)
    _, rows = ingest(tmp_path)
    assert len(rows) == len(list((tmp_path / "out/images").iterdir())) == 1
    assert reasons(tmp_path) == {
        "./a.dcm": "changed while it was read",
        "./b.dcm": "gone, or a link or a pipe since it was listed",
    }


def test_a_source_without_a_picture_makes_no_out(source, tmp_path):
    source.mkdir()
    (source / "notes.txt").write_text("x")
    line = refusal(*command(tmp_path))
    assert "Expected ultrasound pictures in SOURCE. Received: none that" in line
    assert files_in(tmp_path) == ["private", "source"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("source", "out", "--private", "out/private"), "--key outside of OUT"),
        (("source", "out", "--key", "out/key"), "--key outside of OUT"),
        (("source", "source/out"), "OUT: expected a folder outside of SOURCE"),
        (
            ("source/inner", "source", "--private", "../p"),
            "OUT: expected a folder without SOURCE in it",
        ),
        (("source", "key"), "OUT: expected another name than that of a file of"),
        (("source/a.dcm", "out"), "SOURCE: expected a folder. Received:"),
        (("source", "filled"), "OUT: expected a folder that is not there yet"),
    ],
)
def test_places_within_each_other_are_refused(
    source, tmp_path, monkeypatch, options, expected
):
    monkeypatch.chdir(tmp_path)
    write_dicom(source / "a.dcm")
    (source / "inner").mkdir()
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled/file").touch()
    before = files_in(tmp_path)
    private = () if "--private" in options else ("--private", "private")
    assert expected in refusal("ingest", *options, *private)
    assert files_in(tmp_path) == before


def test_a_key_of_another_run_is_refused(source, tmp_path):
    write_dicom(source / "a.dcm")
    ingest(tmp_path)
    line = refusal(
        *("ingest", source, tmp_path / "out2", "--private", tmp_path / "private"),
        *("--key", tmp_path / "other"),
    )
    assert "Expected the key of the earlier run" in line


def test_a_run_that_was_interrupted_goes_on_and_ends_the_same(
    source, tmp_path, monkeypatch
):
    for number in range(4):
        write_dicom(source / f"{number}.dcm", picture(seed=number))
    ingest(tmp_path)
    expected = {p.name: p.read_bytes() for p in (tmp_path / "out/images").iterdir()}
    manifest = (tmp_path / "out/manifest.csv").read_bytes()
    (tmp_path / "out").rename(tmp_path / "earlier")
    run = ingestion.run_tasks

    def interrupted(work, setup, tasks, jobs, log):
        for number, result in enumerate(run(work, setup, tasks, jobs, log)):
            if number == 2:  # as after a kill: written, and not noted
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(ingestion, "run_tasks", interrupted)
    with pytest.raises(AssertionError):
        ingest(tmp_path)
    assert files_in(tmp_path) == [".out.partial", "earlier", "private", "source"]
    assert "Expected no interrupted run" in refusal(*command(tmp_path))
    with (tmp_path / "private/out/journal").open("ab") as file:
        file.write(b'["half a line')
    (tmp_path / ".out.partial/.manifest-abcdefgh.csv").write_text("half a manifest")
    line = refusal(*command(tmp_path, "--resume", "--frames", "first"))
    assert "expected the options of the run that was interrupted" in line
    worked_on = []

    def going_on(work, setup, tasks, jobs, log):
        for task, result in run(work, setup, tasks, jobs, log):
            worked_on.append(task.relative)
            yield task, result

    monkeypatch.setattr(ingestion, "run_tasks", going_on)
    ingest(tmp_path, "--resume")
    assert worked_on == ["2.dcm", "3.dcm"]
    images = (tmp_path / "out/images").iterdir()
    assert {path.name: path.read_bytes() for path in images} == expected
    assert (tmp_path / "out/manifest.csv").read_bytes() == manifest
    assert files_in(tmp_path / "out") == ["images", "manifest.csv", "removed.json"]


def test_a_public_set_becomes_pictures_with_labels(source, tmp_path):
    for name in ("benign (1)", "benign (1)_mask", "malignant (1)"):
        path = source / name.split()[0] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed=len(name))).save(path)
    said = call("ingest", source, tmp_path / "out", "--dataset", "busi")
    assert "2 pictures of 2 patients, 1 with a lesion outline" in said
    rows = read_csv(tmp_path / "out/manifest.csv")
    assert sorted(row["label"] for row in rows) == ["benign", "malignant"]
    assert files_in(tmp_path) == ["out", "source"]


def test_a_public_set_that_is_none_leaves_nothing(source, tmp_path):
    source.mkdir()
    line = refusal("ingest", source, tmp_path / "out", "--dataset", "busi")
    assert "expected the pictures of busi. Received: none" in line
    assert files_in(tmp_path) == ["source"]
    line = refusal("ingest", tmp_path / "no.zip", tmp_path / "out", "--dataset", "busi")
    assert "SOURCE: expected a folder or ZIP file" in line


def test_outs_of_one_name_keep_their_private_files_apart(source, tmp_path):
    write_dicom(source / "a.dcm")
    ingest(tmp_path)
    other = ("ingest", source, tmp_path / "b/out", "--private", tmp_path / "private")
    call(*other)
    private = tmp_path / "private"
    assert files_in(private) == ["key", "key_fingerprint", "out", "out-2"]
    for folder, out in (("out", "out"), ("out-2", "b/out")):
        (row,) = read_csv(tmp_path / out / "manifest.csv")
        (known,) = read_csv(private / folder / "paths.csv")
        assert known["image"] == row["image"]


@pytest.mark.parametrize("size", [100, 2500, 3500])
def test_a_disk_that_is_full_is_told_and_the_run_goes_on_later(source, tmp_path, size):
    for number in range(3):
        write_dicom(source / f"{number}.dcm", picture(seed=number))
    with full_disk(size):
        line = refusal(*command(tmp_path))
    assert "Cannot write" in line
    assert "Make room" in line
    assert not (tmp_path / "out").exists()
    _, rows = ingest(tmp_path, "--resume")
    assert len(rows) == 3
