"""What all tests share: quiet TensorFlow, fixed seeds, no internet, small data."""

import csv
import os
import random
import socket
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

# Read once by these libraries when a test first imports them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"

# A slow machine shall not fail an example, nor chance try others in every run.
hypothesis.settings.register_profile("usgland", deadline=None, derandomize=True)
hypothesis.settings.load_profile("usgland")

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


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
        tiny = BACKBONES["squeezenet1_1"]._replace(build=build)
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
