"""The SavedModel in C++, by the loader of TensorFlow Serving, on real images."""

import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from tests.explanation.networks import ENCODING, WORDS
from usgland.config import load_config
from usgland.evaluation.cases.calibration import apply_calibration
from usgland.models.classifier import build_classifier
from usgland.serving.export.answer_network import Decision
from usgland.serving.export.saved_model import export_model
from usgland.training.predict import predict_rows

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).with_name("load_saved_model.cc")
CALIBRATION = {"method": "platt", "slope": 0.8, "intercept": 0.1}
IMAGES = 60
KINDS = ("png", "jpeg", "bmp")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program, or a skip where this machine cannot make it."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to build the program (Debian: apt-get install g++)")
    libraries = Path(tf.sysconfig.get_lib())
    names = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
    lacking = [name for name in names if not (libraries / name).exists()]
    if lacking:
        pytest.skip(f"this TensorFlow comes without {', '.join(lacking)}")
    path = tmp_path_factory.mktemp("cpp") / "load_saved_model"
    flags = [flag for flag in tf.sysconfig.get_compile_flags() if "std=" not in flag]
    # By their full names: the wheel has no libtensorflow_cc.so to find with -l.
    command = [compiler, "-std=c++17", "-O1", *flags, str(SOURCE), "-o", str(path)]
    # All of them: sessions and operations register themselves, nobody calls them.
    command += ["-Wl,--no-as-needed", *(str(libraries / name) for name in names)]
    command += [f"-Wl,-rpath,{libraries}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return path


@pytest.fixture(scope="module")
def rows(shared, tmp_path_factory):
    """Real images of two hospitals, each in one of three formats."""
    images = []
    for name in ("busi", "breast_usg"):
        folder = shared / "data" / name / "images"
        some = sorted(folder.glob("*.[jp][pn]g"))[:: 1 if name == "busi" else 2]
        if len(some) < IMAGES // 2:
            pytest.skip(f"needs {IMAGES // 2} images in {folder}")
        images += some[: IMAGES // 2]
    folder = tmp_path_factory.mktemp("real")
    paths, sizes = [], set()
    for number, source in enumerate(images):
        kind = KINDS[number % len(KINDS)]
        path = folder / f"{number}.{kind}"
        with Image.open(source) as image:
            # Grey files and coloured ones.
            image.convert("L" if number % 2 else "RGB").save(path, kind)
            sizes.add(image.size)
        paths.append(str(path))
    assert len(sizes) > IMAGES // 3  # or a batch would hardly be ragged
    unknown = {"patient_id": "", "role": "test", "label": -1, "synthetic": "0"}
    unknown |= {"age_years": np.nan, "margin": ""}  # as the program leaves them
    return pd.DataFrame({"image": paths, "image_path": paths}).assign(**unknown)


@pytest.fixture(scope="module", params=["image", "both"])
def exported(request, rows, tmp_path_factory):
    """A network that spreads these images around one half, and its export."""
    settings = ["model.weights=null", "preprocessing.image_size=128", "train.seed=3"]
    settings += [f"model.inputs={request.param}", "model.fusion=concat"]
    model = build_classifier(load_config(None, settings), [*ENCODING, WORDS])
    head = model.get_layer("logit")
    head.kernel.assign(keras.random.normal(head.kernel.shape, seed=1))
    logits = predict_rows(model, rows)["logit"].to_numpy()
    head.kernel.assign(head.kernel / logits.std())
    head.bias.assign([-logits.mean() / logits.std()])
    some = {"image_bytes": [Path(p).read_bytes() for p in rows["image_path"][:3]]}
    if request.param == "both":
        some |= {"age_years": [40.0, 50.0, np.nan], "margin": ["clear", "", "unclear"]}
    decision = Decision(CALIBRATION["slope"], CALIBRATION["intercept"], 0.5)
    folder = tmp_path_factory.mktemp("models") / "mine"
    return model, export_model(model, folder, some, decision, {})


@pytest.mark.parametrize("signature", ["serving_default", "image_only", "explain"])
def test_the_loader_of_tensorflow_serving_repeats_predict(
    signature, program, exported, rows
):
    model, version = exported
    done = subprocess.run(
        [program, version, signature, *rows["image_path"]],
        env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = [line.split() for line in done.stdout.splitlines()]
    predicted = apply_calibration(predict_rows(model, rows), CALIBRATION)
    expected = predicted["probability"].to_numpy()
    assert len(answers) == IMAGES
    assert np.ptp(expected) > 0.2  # or any constant would pass
    received = np.array([float(probability) for probability, _ in answers])
    np.testing.assert_allclose(received, expected, atol=1e-5)
    words = np.where(expected >= 0.5, "malignant", "benign")
    assert [word for _, word in answers] == words.tolist()


def test_the_loader_refuses_what_is_no_image(program, exported, tmp_path):
    path = tmp_path / "report.png"
    path.write_text("a patient's report")
    done = subprocess.run(
        [program, exported[1], "serving_default", path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "INVALID_ARGUMENT" in done.stderr
    assert "Expected a PNG, JPEG or BMP file" in done.stderr
    assert "patient" not in done.stderr
