"""The folder of a converted model appears whole, numbered on, and is no version."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.serving.portable_runs import images
from usgland.errors import UserError
from usgland.serving.interface.versions import find_models
from usgland.serving.portable import portable_folder, preprocess
from usgland.serving.portable.portable_folder import (
    compare_pixels,
    make_example,
    write_folder,
)

SETTINGS = {"image_size": 64, "grey_percentiles": None, "speckle_filter": "none"}
SHEET = {"name": "mine", "version": None, "preprocessing": SETTINGS}
CONTENTS = {"fp32.tflite": b"abc"}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_everything_is_written_under_the_next_number(tmp_path):
    home = tmp_path / "mine"
    assert write_folder(home, "litert", CONTENTS, SHEET) == home / "litert-1"
    (home / "litert-9").mkdir()
    (home / "litert-x").mkdir()
    (home / "onnx-20").mkdir()
    (home / "30").mkdir()
    folder = write_folder(home, "litert", CONTENTS, SHEET)
    assert folder == home / "litert-10"
    assert names_in(folder) == ["fp32.tflite", "model.json", "preprocess.py"]
    assert (folder / "fp32.tflite").read_bytes() == b"abc"
    sheet = json.loads((folder / "model.json").read_text("utf-8"))
    assert sheet["version"] == 10 and sheet["name"] == "mine"
    digest = hashlib.sha256((folder / "fp32.tflite").read_bytes()).hexdigest()
    assert sheet["sha256"] == {"fp32.tflite": digest}
    source = Path(preprocess.__file__).read_bytes()
    assert (folder / "preprocess.py").read_bytes() == source


def test_no_server_takes_it_for_a_version(tmp_path):
    write_folder(tmp_path / "mine", "litert", CONTENTS, SHEET)
    write_folder(tmp_path / "mine", "onnx", CONTENTS, SHEET)
    assert find_models(tmp_path, None) == {}
    (tmp_path / "mine" / "1").mkdir()
    assert list(find_models(tmp_path, None)) == ["mine"]


def test_a_form_alone_needs_no_preprocessing_of_images(tmp_path):
    sheet = {**SHEET, "preprocessing": None}
    folder = write_folder(tmp_path / "mine", "onnx", CONTENTS, sheet)
    assert names_in(folder) == ["fp32.tflite", "model.json"]


def test_a_number_that_another_process_took_is_not_overwritten(tmp_path, monkeypatch):
    home = tmp_path / "mine"
    write_json = portable_folder.write_json

    def publish_meanwhile(path, value):
        if value["version"] == 1:
            (home / "litert-1").mkdir()
            (home / "litert-1" / "of_the_other").touch()
        write_json(path, value)

    monkeypatch.setattr(portable_folder, "write_json", publish_meanwhile)
    folder = write_folder(home, "litert", CONTENTS, SHEET)
    assert folder == home / "litert-2"
    assert json.loads((folder / "model.json").read_text("utf-8"))["version"] == 2
    assert names_in(home / "litert-1") == ["of_the_other"]


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write a model under .*/file/mine: Not"):
        write_folder(tmp_path / "file" / "mine", "litert", CONTENTS, SHEET)

    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(portable_folder, "write_json", full)
    with pytest.raises(UserError, match="mine: No space left on device"):
        write_folder(tmp_path / "mine", "litert", CONTENTS, SHEET)
    assert names_in(tmp_path) == ["file"]


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, content in zip(paths, images(3), strict=True):
        path.write_bytes(content)
    return paths


def test_preprocessing_is_compared_image_by_image(paths):
    pixels = np.concatenate([preprocess.read_pixels(p, SETTINGS) for p in paths])
    pixels[1, 20, 20] ^= 1
    paths[2].write_bytes(b"no image")
    compared, received = compare_pixels(paths, pixels, SETTINGS, [0, 1, 2])
    expected = {"images": 3, "unread": 1, "equal": 1, "largest_share": 1 / 64**2}
    assert compared == expected
    assert received[1, 20, 20] == pixels[1, 20, 20] ^ 1
    np.testing.assert_array_equal(received[2], pixels[2])


def test_other_preprocessing_is_an_error(paths):
    pixels = np.zeros((3, 64, 64, 1), "uint8")
    message = r"repeat the model's preprocessing. Received .*% other pixels of .*/1.png"
    with pytest.raises(UserError, match=message):
        compare_pixels(paths, pixels, SETTINGS, [1])


def test_the_example_is_a_phantom_with_what_each_file_says_of_it():
    asked = []

    def run(case):
        asked.append(case)
        return 0.0, 0.5

    inputs = {
        "pixels": {"dtype": "uint8"},
        "age_years": {"dtype": "float32"},
        "shape": {"dtype": "string"},
    }
    example, contents = make_example(SETTINGS, {"a.tflite": run}, inputs)
    assert example["probability"] == {"a.tflite": 0.5}
    assert set(contents) == {example["image"], example["pixels"]}
    assert "synthetic" in example["image"]
    (case,) = asked
    assert np.isnan(case["age_years"]).tolist() == [True]
    assert case["shape"].tolist() == [""]
    image = preprocess.read_pixels(contents[example["image"]], SETTINGS)
    np.testing.assert_array_equal(case["pixels"], image)
    # Whoever reads the PNG of the pixels has the same.
    again = preprocess.grey_levels(contents[example["pixels"]])
    np.testing.assert_array_equal(again, image[0, :, :, 0])
