"""What all tests share: quiet TensorFlow, fixed seeds, no internet, small data."""

import collections
import csv
import importlib.util
import json
import os
import random
import shutil
import socket
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit

from usgland import machine, nvidia
from usgland.config import Config, EvaluationSettings, dump_config
from usgland.nvidia import Cards

# Read once by these libraries when a test first imports them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"

# A slow machine shall not fail an example, nor chance try others in every run.
hypothesis.settings.register_profile("usgland", deadline=None, derandomize=True)
hypothesis.settings.load_profile("usgland")

CHROMIUM, DRIVER = "chromium", "chromedriver"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--force-device-scale-factor=1"),
)
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
# No proxy of this machine stands between a test and its own server.
others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
os.environ["no_proxy"] = ",".join([*LOCAL_HOSTS, others])


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same numbers, alone or in company."""
    random.seed(0)
    np.random.seed(0)
    keras = sys.modules.get("keras")  # A test without Keras shall not wait for it.
    if keras is None:
        yield
        return
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(autouse=True, scope="session")
def ordinary_machine():
    """No test depends on the processor, or on a GPU that nothing can use.

    `train.precision: auto` is float32, and there is no NVIDIA card.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "automatic_precision", lambda *_: "float32")
        patch.setattr(nvidia, "read_cards", Cards)
        yield


@pytest.fixture
def tuned(monkeypatch):
    """Of each dataset that is iterated over, whether TensorFlow tunes it meanwhile."""
    from tensorflow.data import Dataset

    seen, iterate = [], Dataset.__iter__

    def note(dataset):
        seen.append(dataset.options().autotune.enabled is not False)
        return iterate(dataset)

    monkeypatch.setattr(Dataset, "__iter__", note)
    return seen


@pytest.fixture(autouse=True)
def offline(request, monkeypatch):
    """Fails what would reach the internet unless it is marked `network`."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def connect_locally(self, address):
        if self.family != socket.AF_UNIX and address[0] not in LOCAL_HOSTS:
            pytest.fail(f"Expected no network, or the mark. Received: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


@pytest.fixture(scope="session")
def shared(request) -> Path:
    """The folder of public data and weights beside the repository, or a skip."""
    path = request.config.rootpath.parent / "shared"
    if not path.is_dir():
        pytest.skip("needs the folder ../shared of public data beside the repository")
    return path


@pytest.fixture(scope="session")
def tiny_manifest(tmp_path_factory) -> Path:
    """A manifest.csv of 16 patients, 20 images of 64 to 96 pixels, for short runs.

    Benign lesions are dark smooth ovals, malignant ones bright and striped, so
    that a network can tell them apart after a few steps. Every fourth patient has
    two images. Columns: image, patient_id, label.
    """
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    records = []
    for patient in range(16):
        label = ("benign", "malignant")[patient % 2]
        for shot in range(2 if patient % 4 < 1 else 1):
            name = f"patient{patient:02d}_{shot}.png"
            Image.fromarray(_draw(rng, label)).save(folder / name)
            records.append((name, f"P{patient:02d}", label))
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "patient_id", "label"))
        writer.writerows(records)
    return path


@pytest.fixture
def checked(monkeypatch) -> collections.Counter:
    """Counts how often each image is hashed and decoded by the checks."""
    from usgland.data import images

    counts = collections.Counter()
    check = images._check_image

    def counted(path, *, pixels):
        counts.update([path] if pixels else [])
        return check(path, pixels=pixels)

    monkeypatch.setattr(images, "_check_image", counted)
    return counts


@pytest.fixture(scope="module")
def tiny_network():
    """One convolution stands in for SqueezeNet 1.1: a run takes a second or two."""
    keras = pytest.importorskip("keras")
    from usgland.models.backbones import BACKBONES

    def build(pixels, alpha):
        x = keras.layers.Conv2D(4, 5, strides=4, activation="relu", name="conv1")(
            pixels
        )
        return keras.layers.BatchNormalization(name="norm1")(x)

    with pytest.MonkeyPatch.context() as patch:
        tiny = BACKBONES["squeezenet1_1"]._replace(build=build, earlier="conv1")
        patch.setitem(BACKBONES, "squeezenet1_1", tiny)
        yield


def _draw(rng: np.random.Generator, label: str) -> np.ndarray:
    """Grey levels `(height, width)`, uint8, of an oval in speckle."""
    height, width = rng.integers(64, 97, 2)
    y, x = np.mgrid[:height, :width]
    inside = ((y / height - 0.5) / 0.3) ** 2 + ((x / width - 0.5) / 0.35) ** 2 < 1
    lesion = 30.0 if label == "benign" else 150 + 80 * np.sin(x + y)
    grey = np.where(inside, lesion, 110.0) * rng.rayleigh(0.8, (height, width))
    return np.clip(grey, 0, 255).astype(np.uint8)


@pytest.fixture
def settings():
    """Few resamples: what is tested is not the width of the intervals."""
    return EvaluationSettings(bootstrap_resamples=40, seed=3)


@pytest.fixture
def predictions():
    """Images of 30 patients of the roles val and test, one to four a patient."""
    rng = np.random.default_rng(0)
    records = []
    for patient in range(30):
        label = patient % 2
        role = "val" if patient < 10 else "test"
        for image in range(1 + patient % 4):
            logit = rng.normal(1.4 * label - 0.7, 1.5)
            name = f"p{patient}_{image}.png"
            records.append((name, f"p{patient}", role, label, expit(logit), logit))
    columns = ["image", "patient_id", "role", "label", "probability", "logit"]
    return pd.DataFrame(records, columns=columns)


@pytest.fixture
def history():
    """Three epochs, counted from 0, as training writes them."""
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "loss": [0.7, 0.5, 0.4],
            "val_loss": [0.7, 0.6, 0.62],
            "accuracy": [0.5, 0.7, 0.9],
            "val_accuracy": [0.5, 0.6, 0.65],
        }
    )


@pytest.fixture
def run(tmp_path, settings, predictions, history, monkeypatch):
    """A run directory as `fit` and `predict` leave it, of phantoms."""
    # A coarse plot is drawn sooner.
    monkeypatch.setattr("usgland.evaluation.shown.plot_frame.DPI", 40)
    folder = tmp_path / "run"
    folder.mkdir()
    config = Config(evaluation=settings)
    (folder / "config.yaml").write_text(dump_config(config))
    predictions.to_csv(folder / "predictions.csv", index=False)
    history.to_csv(folder / "history.csv", index=False)
    (folder / "threshold.json").write_text(json.dumps({"threshold": 0.45}))
    environment = {
        "synthetic": True,
        "training_seconds": 61.5,
        "seconds_per_image": 0.0061,
        "model_bytes": 2_912_345,
        "parameters": 722_497,
        "kept_epoch": 1,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Opens headless browsers, each with a profile of its own."""
    missing = [name for name in (CHROMIUM, DRIVER) if shutil.which(name) is None]
    if importlib.util.find_spec("selenium") is None:
        missing.append("the package selenium")
    if missing:
        pytest.skip(f"The page is tested in Chromium. Missing: {', '.join(missing)}")
    from selenium import webdriver

    opened = []

    def open_browser(*flags, width=1280, height=900):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which(CHROMIUM)
        profile = tmp_path_factory.mktemp("profile")
        size = f"--window-size={width},{height}"
        for flag in (*FLAGS, f"--user-data-dir={profile}", size, *flags):
            options.add_argument(flag)
        logs = {"performance": "ALL", "browser": "ALL"}
        options.set_capability("goog:loggingPrefs", logs)
        service = webdriver.ChromeService(shutil.which(DRIVER))
        driver = webdriver.Chrome(options, service)
        opened.append(driver)
        return driver

    yield open_browser
    for driver in opened:
        driver.quit()
