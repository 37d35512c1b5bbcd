import io

import cv2
import numpy as np
from rich.console import Console

from tests.drawn_frames import draw_frame, write_table
from usgland.config import Config, DataSettings
from usgland.data import images
from usgland.data.manifest import load_manifest
from usgland.quality import confounding, first_look
from usgland.quality.first_look import hashes_of, near_pairs
from usgland.steps.before_training import warn_of_images


def warnings_of(manifest, **columns):
    """What is said of a table whose rows have some more columns."""
    config = Config(data=DataSettings(manifest=manifest))
    rows = load_manifest(manifest, config.data).assign(**columns)
    shown = io.StringIO()
    warn_of_images(rows, config, Console(file=shown, width=200))
    return shown.getvalue()


def test_copies_in_two_parts_and_with_two_labels_are_told(tmp_path):
    frame = draw_frame(0)
    small = cv2.resize(frame, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    manifest = write_table(
        tmp_path, [frame, draw_frame(1), small], label=["benign", "benign", "malignant"]
    )
    text = warnings_of(manifest, role=["train", "val", "test"])
    assert (
        "1 pairs of images that look alike stand in two parts: images/000.png" in text
    )
    assert "1 pairs of images that look alike stand with two labels" in text
    assert f"usgland check {manifest} --out DIR" in text
    text = warnings_of(manifest, fold=[0, 1, 0])
    assert "in two parts" not in text
    assert "in two parts" not in warnings_of(manifest, role=["train", "val", "unused"])


def test_the_command_that_is_named_can_be_copied_whatever_the_folder_is_called(
    tmp_path,
):
    folder = tmp_path / "my [old] images"
    folder.mkdir()
    manifest = write_table(folder, [draw_frame(0)] * 2, label=["benign"] * 2)
    text = warnings_of(manifest, role=["train", "test"])
    assert f"To look at it: usgland check '{manifest}' --out DIR" in text


def test_a_frame_size_and_a_device_that_know_the_label_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(confounding, "TREES", 10)
    labels = ["benign", "malignant"] * 12
    pictures = [
        draw_frame(number, 64 + 8 * (label == "malignant"), 96)
        for number, label in enumerate(labels)
    ]
    manifest = write_table(tmp_path, pictures, label=labels, device=labels)
    text = warnings_of(manifest, role=["train"] * 24)
    assert "Warning: frame size alone predicts the label" in text
    assert "Warning: device alone predicts the label" in text


def test_nothing_is_said_where_nothing_was_seen(tmp_path):
    pictures = [draw_frame(number, 64, 96) for number in range(24)]
    manifest = write_table(tmp_path, pictures, label=["benign", "malignant"] * 12)
    assert warnings_of(manifest, role=["train", "test"] * 12) == ""


def test_pairs_of_a_block_and_of_two_are_those_of_all_by_all(monkeypatch):
    monkeypatch.setattr(first_look, "BLOCK", 3)
    hashes = np.sign(np.random.default_rng(0).normal(size=(10, 256))).astype(np.int8)
    hashes[7] = hashes[2]
    hashes[7, :40] *= -1
    hashes[8] = hashes[1]
    hashes[8, :41] *= -1
    hashes[[4, 9]] = 0  # of no picture
    distances = (hashes[:, None] != hashes[None]).sum(axis=2)
    expected = [
        (a, b)
        for a, b in np.argwhere(distances <= 40)
        if a < b and hashes[a].any() and hashes[b].any()
    ]
    assert near_pairs(hashes) == expected == [(2, 7)]


def test_a_hash_is_remembered_by_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(images, "REMEMBERED", 1)
    monkeypatch.setattr("usgland.data.remembered_checks.SETTLED_NS", -(10**12))
    manifest = write_table(tmp_path, [draw_frame(0), draw_frame(1)])
    paths = [str(tmp_path / f"images/00{n}.png") for n in range(2)]
    first = hashes_of(paths, manifest)
    monkeypatch.setattr(first_look, "read_frame", None)  # not called again
    np.testing.assert_array_equal(hashes_of(paths, manifest), first)
    assert hashes_of([str(tmp_path / "none.png")] * 0, manifest).shape == (0, 256)
