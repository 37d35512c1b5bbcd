"""Small SavedModels, and servers of them that run in this process.

With USGLAND_TFS=host[:rest_port[:grpc_port]] the tests of REST and gRPC ask a
TensorFlow Serving there instead, which serves what
`python tests/serving/conftest.py FOLDER` writes.
"""

import asyncio
import base64
import http.client
import io
import json
import os
import shutil
import socket
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from usgland.serving.server.builtin_server import run_server
from usgland.serving.server.server_options import ServerOptions

TFS_PORTS = (8501, 8500)  # of REST and gRPC, where TensorFlow Serving listens
FORM = {"age_years": 54.0, "shape": "irregular"}


class Tiny(tf.Module):
    """Mean grey level of an image, shifted by what the form says."""

    def __init__(self, version):
        super().__init__()
        self.version = version
        self.weight = tf.Variable(float(version))
        text = tf.TensorSpec([None], tf.string, name="image_bytes")
        age = tf.TensorSpec([None], tf.float32, name="age_years")
        shape = tf.TensorSpec([None], tf.string, name="shape")
        pixels = tf.TensorSpec([None, 4, 4], tf.float32, name="pixels")
        self.exports = {
            "serving_default": tf.function(
                self.form, input_signature=[text, age, shape]
            ),
            "image_only": tf.function(self.image_only, input_signature=[text]),
            "explain": tf.function(self.explain, input_signature=[text]),
            "from_pixels": tf.function(self.from_pixels, input_signature=[pixels]),
            "count": tf.function(
                self.count, input_signature=[tf.TensorSpec([], tf.int32, name="to")]
            ),
        }

    def logit(self, image_bytes):
        def mean(content):
            image = tf.io.decode_image(content, channels=1, expand_animations=False)
            return tf.reduce_mean(tf.cast(image, tf.float32))

        grey = tf.map_fn(mean, image_bytes, fn_output_signature=tf.float32)
        return self.weight * (grey - 128) / 64

    def answer(self, logit):
        rows = tf.shape(logit)
        return {
            "probability": tf.sigmoid(logit),
            "logit": logit,
            "label": tf.where(logit >= 0, "malignant", "benign"),
            "model_version": tf.fill(rows, f"v{self.version}"),
        }

    def form(self, image_bytes, age_years, shape):
        older = tf.where(tf.math.is_nan(age_years), 0.0, (age_years - 50) / 50)
        irregular = tf.cast(shape == "irregular", tf.float32)
        return self.answer(self.logit(image_bytes) + older + irregular)

    def image_only(self, image_bytes):
        return {"probability": tf.sigmoid(self.logit(image_bytes))}

    def explain(self, image_bytes):
        return {
            "probability": tf.sigmoid(self.logit(image_bytes)),
            "heatmap_bytes": tf.strings.join(["\x89PNG", image_bytes]),
        }

    def count(self, to):
        """Takes as long as it is asked to, and is no signature of rows."""
        number = tf.while_loop(lambda i: i < to, lambda i: [i + 1], [tf.constant(0)])
        return {"number": number[0]}

    def from_pixels(self, pixels):
        return {"mean": tf.reduce_mean(pixels, [1, 2]), "copy": pixels}


def export_tiny(folder, version):
    module = Tiny(version)
    tf.saved_model.save(module, str(folder / str(version)), module.exports)
    return folder / str(version)


def png(grey, size=(12, 16)):
    """A plain image of a grey level, or an array as an image."""
    pixels = grey if isinstance(grey, np.ndarray) else np.full(size, grey, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def expected_logit(grey, version=1, age=54.0, shape="irregular"):
    """By hand, what `Tiny` computes."""
    older = 0.0 if np.isnan(age) else (age - 50) / 50
    return version * (grey - 128) / 64 + older + (shape == "irregular")


class Client:
    """A plain HTTP client: what a user's program would send."""

    def __init__(self, port, token=None, host="127.0.0.1"):
        self.host, self.port, self.token = host, port, token

    def call(self, method, path, body=None, headers=(), timeout=60):
        """Status and body of the answer, JSON where it is JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        sent = dict(headers)
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if isinstance(body, dict | list):
            body = json.dumps(body)
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.getheader("content-type") == "application/json":
            content = json.loads(content)
        return response.status, content

    def get(self, path):
        return self.call("GET", path)

    def predict(self, body, model="tiny", where=""):
        return self.call("POST", f"/v1/models/{model}{where}:predict", body)


class RunningServer:
    """A server in a thread of this process, on free ports."""

    def __init__(self, options):
        self.options = replace(options, rest_port=0, grpc_port=0)
        self.ready = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._serve)

    def _serve(self):
        async def main():
            self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
            await run_server(self.options, self._started, self.stop)

        try:
            asyncio.run(main())
        except BaseException as error:  # Shown by the test that started it.
            self.error = error
        finally:
            self.ready.set()

    def _started(self, rest_port, grpc_port, served):
        self.rest_port, self.grpc_port, self.served = rest_port, grpc_port, served
        self.ready.set()

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(60)
        if self.error:
            raise self.error
        self.client = Client(self.rest_port, self.options.token)
        return self

    def __exit__(self, *_):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def tiny_versions(tmp_path_factory):
    """Three exported versions, to be copied by tests: loading is slower than that."""
    folder = tmp_path_factory.mktemp("exported")
    return {number: export_tiny(folder, number) for number in (1, 2, 3)}


@pytest.fixture(scope="session")
def models_dir(tiny_versions, tmp_path_factory):
    """A folder with the model `tiny`, version 1."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_versions[1], folder / "tiny" / "1")
    return folder


@pytest.fixture(scope="session")
def server(models_dir):
    """A running server of `tiny`, version 1, with the default limits."""
    with RunningServer(ServerOptions(models_dir, poll_seconds=0.05)) as running:
        yield running


@pytest.fixture(scope="session")
def address(request):
    """Host and ports of REST and gRPC: of ours, or of a TensorFlow Serving."""
    address = os.environ.get("USGLAND_TFS")
    if address:
        host, *ports = address.split(":")
        rest_port, grpc_port = (*map(int, ports), *TFS_PORTS[len(ports) :])
        return SimpleNamespace(host=host, rest=rest_port, grpc=grpc_port, ours=False)
    server = request.getfixturevalue("server")
    return SimpleNamespace(
        host="127.0.0.1", rest=server.rest_port, grpc=server.grpc_port, ours=True
    )


@pytest.fixture(scope="session")
def client(address):
    return Client(address.rest, host=address.host)


@pytest.fixture(scope="session")
def says(address):
    """Checks the words of an error, which are our own; the codes are not."""

    def check(text, message):
        assert text
        if address.ours:
            assert message in text

    return check


@pytest.fixture(scope="session")
def serving():
    """The names above, as test files cannot import one another."""
    return SimpleNamespace(
        Client=Client,
        RunningServer=RunningServer,
        free_port=free_port,
        FORM=FORM,
        png=png,
        b64=b64,
        expected_logit=expected_logit,
    )


if __name__ == "__main__":
    print(f"Wrote {export_tiny(Path(sys.argv[1]) / 'tiny', 1)}")
