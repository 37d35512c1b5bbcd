"""`usgland export --format litert` and `onnx` from end to end."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.special import expit

from tests.serving.portable_runs import logits_of, make_run
from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.serving.portable.preprocess import read_pixels
from usgland.steps import conversion
from usgland.steps.conversion import CALIBRATION_IMAGES, calibration_rows
from usgland.steps.models import load_model

pytest.importorskip("ai_edge_litert", reason="needs the extra `litert`")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]
# What a user without TensorFlow does with the folder.
CLIENT = """
import sys

for name in ("tensorflow", "keras", "usgland"):
    sys.modules[name] = None  # To import it is an error from here on.
import json
from ai_edge_litert.interpreter import Interpreter
from preprocess import read_pixels

sheet = json.load(open("model.json"))
pixels = read_pixels(sys.argv[1], sheet["preprocessing"])
model = Interpreter("fp32.tflite").get_signature_runner()
print(json.dumps(float(model(pixels=pixels)["probability"][0])))
"""


@pytest.fixture(scope="module")
def run(tiny_network, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "tiny")


def export(run, folder, *options):
    arguments = ["export", run, "--models-dir", folder, "--name", "mine", *options]
    return CliRunner().invoke(cli, list(map(str, arguments)))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    done = export(run, folder, "--format", "litert")
    assert done.exit_code == 0, done.output
    return folder / "mine" / "litert-1", done


def test_three_files_are_written_with_what_goes_with_them(exported):
    folder, done = exported
    assert names_in(folder) == [
        "dynamic.tflite",
        "example_synthetic.pixels.png",
        "example_synthetic.png",
        "fp32.tflite",
        "int8.tflite",
        "model.json",
        "preprocess.py",
    ]
    assert done.stdout.splitlines()[-1] == f"Wrote {folder}"
    assert done.stderr == ""
    assert "int8 by 4 training images" in done.stdout
    assert "Few validation images: one pair that swaps moves the AUC by 0.250" in (
        done.stdout
    )
    assert "preprocess.py makes the same pixels of 4 of 4 images" in done.stdout


def test_the_sheet_says_what_goes_in_and_how_well_it_did(exported, run):
    folder, _ = exported
    sheet = json.loads((folder / "model.json").read_text("utf-8"))
    assert sheet["graph_inputs"] == {
        "pixels": {
            "dtype": "uint8",
            "shape": [1, 64, 64, 1],
            "takes": "grey levels 0 to 255 as preprocess.py makes them of an image",
        }
    }
    patients = {"images": 4, "malignant": 2, "patients": 4}
    assert sheet["validation"] == {"role": "val", **patients}
    assert sheet["run"]["roc_auc"] == 1.0 and sheet["trained_on"]["synthetic"] is False
    assert sheet["trained_on"]["patients"] == {"train": 4, "val": 4, "test": 4}
    assert sheet["operating_point"]["probability"] == 0.4
    assert (sheet["name"], sheet["version"], sheet["format"]) == ("mine", 1, "litert")
    for name, file in sheet["files"].items():
        assert file["bytes"] == (folder / name).stat().st_size
        assert file["roc_auc"] == 1.0 and file["refused"] is None
    content = (folder / "example_synthetic.png").read_bytes()
    expected = expit(logits_of(load_model(run), np.array([content], object)))[0]
    received = sheet["example"]["probability"]["fp32.tflite"]
    assert received == pytest.approx(expected, abs=1e-6)


def test_a_program_without_tensorflow_gives_the_probability_of_the_run(exported, run):
    folder, _ = exported
    image = run.parent / "case5.png"
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(image)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = np.array([image.read_bytes()], object)
    expected = expit(logits_of(load_model(run), content))[0]
    assert json.loads(done.stdout) == pytest.approx(expected, abs=1e-5)


def test_int8_sees_training_images_and_no_others(run, tmp_path, monkeypatch):
    seen = []

    def spy(model, calibration, training):
        seen.extend(case["pixels"] for case in training)
        raise UserError("enough")

    monkeypatch.setattr(conversion, "convert_litert", spy)
    done = export(run, tmp_path, "--format", "litert")
    assert done.stderr == "Error: enough\n"
    settings = conversion.preprocessing_settings(
        load_model(run).get_layer("preprocessing")
    )
    training = [
        read_pixels(run.parent / f"case{number}.png", settings) for number in range(4)
    ]
    np.testing.assert_array_equal(np.stack(seen), np.stack(training))


def test_int8_is_calibrated_on_a_part_of_many_training_images():
    roles = np.repeat(["train", "val", "test"], [500, 100, 100])
    rows = pd.DataFrame({"role": roles, "image": np.arange(700)})
    chosen = calibration_rows(rows.sample(frac=1, random_state=0))
    assert len(chosen) == CALIBRATION_IMAGES == chosen["image"].nunique()
    assert chosen["image"].max() < 500
    with pytest.raises(UserError, match="expected training images, from which int8"):
        calibration_rows(rows[rows["role"] != "train"])


@pytest.fixture
def with_a_bad_int8(monkeypatch):
    """An int8 that takes benign for malignant: the logit of its network is negated."""
    convert = conversion.convert_litert

    def worse(model, calibration, training):
        turned = {"slope": -1.0, "intercept": 0.0}
        bad = convert(model, turned, training)["int8.tflite"]
        return {**convert(model, calibration, training), "int8.tflite": bad}

    monkeypatch.setattr(conversion, "convert_litert", worse)


@pytest.mark.usefixtures("with_a_bad_int8")
def test_a_file_that_loses_auc_is_left_out_and_named(run, tmp_path):
    done = export(run, tmp_path, "--format", "litert")
    folder = tmp_path / "mine" / "litert-1"
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: Wrote {folder} without int8.tflite, which loses 1.0000 of the AUC, "
        "more than 0.005. --force writes it all the same\n"
    )
    assert "int8.tflite" not in names_in(folder)
    sheet = json.loads((folder / "model.json").read_text("utf-8"))
    assert list(sheet["files"]) == ["fp32.tflite", "dynamic.tflite"]
    assert list(sheet["example"]["probability"]) == list(sheet["files"])


@pytest.mark.usefixtures("with_a_bad_int8")
def test_force_writes_it_all_the_same_and_the_sheet_says_so(run, tmp_path):
    done = export(run, tmp_path, "--format", "litert", "--force")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "mine" / "litert-1"
    assert "int8.tflite" in names_in(folder)
    sheet = json.loads((folder / "model.json").read_text("utf-8"))
    assert sheet["files"]["int8.tflite"]["refused"].startswith(
        "loses 1.0000 of the AUC"
    )


def test_nothing_is_written_where_every_file_is_refused(run, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx", reason="needs the extra `onnx`")
    convert = conversion.convert_onnx
    turned = {"slope": -1.0, "intercept": 0.0}
    monkeypatch.setattr(
        conversion, "convert_onnx", lambda model, calibration: convert(model, turned)
    )
    done = export(run, tmp_path, "--format", "onnx")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Nothing was written: model.onnx, which loses")
    assert names_in(tmp_path) == []


def test_one_onnx_file_is_written(run, tmp_path):
    pytest.importorskip("tf2onnx", reason="needs the extra `onnx`")
    done = export(run, tmp_path, "--format", "onnx")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "mine" / "onnx-1"
    assert done.stdout.splitlines()[-1] == f"Wrote {folder}" and done.stderr == ""
    sheet = json.loads((folder / "model.json").read_text("utf-8"))
    assert list(sheet["files"]) == ["model.onnx"]
    assert sheet["graph_inputs"]["pixels"]["shape"] == [None, 64, 64, 1]
    assert math.isclose(sheet["files"]["model.onnx"]["max_difference"], 0, abs_tol=1e-4)


def test_what_cannot_be_exported_is_one_line(run, tmp_path, monkeypatch):
    done = export(run, tmp_path, "--format", "tflite")
    assert done.exit_code == 2
    assert "'tflite' is not one of 'savedmodel', 'litert', 'onnx'" in done.stderr
    done = export(run, tmp_path, "--force")
    assert done.stderr.startswith("Error: --force: expected --format litert or onnx")
    done = export(tmp_path, tmp_path, "--format", "litert")
    assert done.stderr.startswith("Error: Expected a run directory with config.yaml")
    other = tmp_path / "other"
    shutil.copytree(run, other)
    table = pd.read_csv(other / "splits.csv")
    table["role"] = table["role"].replace("val", "test")
    table.to_csv(other / "splits.csv", index=False)
    done = export(other, tmp_path, "--format", "onnx")
    assert done.exit_code == 1 and "expected benign and malignant" in done.stderr
    assert done.stderr.count("\n") == 1
    (run.parent / "case1.png").rename(run.parent / "gone.png")
    done = export(run, tmp_path, "--format", "litert")
    (run.parent / "gone.png").rename(run.parent / "case1.png")
    assert "case1.png: expected an image file" in done.stderr
    assert names_in(tmp_path) == ["other"]
