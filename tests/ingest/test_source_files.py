"""Which files of a folder are read, and why others are not."""

import os

import pytest

from tests.dicom_files import write_dicom
from usgland.ingest.source_files import Skipped, SourceFile, walk


def seen(source):
    """Path -> kind of what is read, or why it is not."""
    return {
        item.relative: item.kind if isinstance(item, SourceFile) else item.reason
        for item in walk(source)
    }


def test_files_are_known_by_their_bytes(tmp_path):
    write_dicom(tmp_path / "b/no suffix")
    whole = (tmp_path / "b/no suffix").read_bytes()
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "c.dcm").write_bytes(b"\xff\xd8\xff\xe0")
    # No preamble: the data set begins with group 2, or with group 8.
    (tmp_path / "d").write_bytes(whole[132:])
    (tmp_path / "e").write_bytes(b"\x08\x00\x05\x00\x0a\0\0\0ISO_IR 100")
    (tmp_path / "f.dcm").write_bytes(b"")
    (tmp_path / "g.txt").write_text("a note")
    assert seen(tmp_path) == {
        "a.png": "picture",
        "c.dcm": "picture",
        "d": "dicom",
        "e": "dicom",
        "f.dcm": "an empty file",
        "g.txt": "no DICOM, PNG or JPEG file",
        "b/no suffix": "dicom",
    }


def test_a_dicomdir_is_known_by_its_class(tmp_path):
    whole = write_dicom(tmp_path / "renamed").read_bytes()
    image, directory = b"1.2.840.10008.5.1.4.1.1.6.1\0", b"1.2.840.10008.1.3.10"
    renamed = whole.replace(image, directory.ljust(len(image), b"\0"))
    (tmp_path / "renamed").write_bytes(renamed)
    (reason,) = seen(tmp_path).values()
    assert reason.startswith("a DICOMDIR")


def test_links_and_pipes_are_not_followed(tmp_path):
    source = tmp_path / "source"
    write_dicom(source / "in/a.dcm")
    write_dicom(tmp_path / "outside.dcm")
    (source / "in/loop").symlink_to("..")
    (source / "circle").symlink_to("circle")
    (source / "outside").symlink_to("../outside.dcm")
    (source / "nowhere").symlink_to("no file")
    (source / "same.dcm").symlink_to("in/a.dcm")
    os.mkfifo(source / "pipe.dcm")
    assert seen(source) == {
        "in/a.dcm": "dicom",
        "in/loop": "a link that loops",
        "circle": "a link that loops",
        "outside": "a link that leaves the source",
        "nowhere": "a link that leads nowhere",
        "same.dcm": "a link to what is read under its own name",
        "pipe.dcm": "a pipe, a socket or a device, which may never end",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_skipped(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    assert list(walk(tmp_path)) == [
        Skipped("closed", "cannot be read: Permission denied")
    ]


def test_a_name_that_is_no_text_is_shown_with_escapes(tmp_path):
    name = os.fsdecode(b"\xff.png")
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    assert seen(tmp_path) == {r"\udcff.png": "picture"}
