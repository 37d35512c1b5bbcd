"""`usgland serve` as a process: the end of a reader, of a power cut, of a bad file."""

import contextlib
import io
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

ROOT = Path(__file__).parents[2]
SERVE = "from usgland.cli.main import cli; cli()"

pytestmark = pytest.mark.slow


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def process_of(models_dir, port, *arguments, log=subprocess.DEVNULL):
    """The command, as soon as it answers."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", SERVE, "serve", "--builtin", "--grpc-port", "0"),
            *("--models-dir", str(models_dir), "--rest-port", str(port), *arguments),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert process.stdout.readline().endswith(", float32\n")  # what it computes on
        for line in process.stdout:
            if line.startswith("Stop with"):
                break
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def memory_of(process):
    """Megabytes in memory now, and the most there ever were."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    sizes = dict(line.split(":") for line in status if line.startswith("Vm"))
    return tuple(int(sizes[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def image_only(serving, *contents):
    instances = [serving.b64(content) for content in contents]
    return {"signature_name": "image_only", "instances": instances}


def test_sigterm_ends_it_after_the_last_answer(models_dir, serving, tmp_path):
    port, log = free_port(), tmp_path / "log"
    client = serving.Client(port)
    with (
        log.open("w") as file,
        process_of(models_dir, port, "--timeout", "60", log=file) as process,
    ):
        answers = []
        request = {"signature_name": "count", "inputs": 200_000}
        thread = threading.Thread(
            target=lambda: answers.append(client.predict(request))
        )
        thread.start()
        while (
            b"usgland_requests 1.0"
            not in client.get("/monitoring/prometheus/metrics")[1]
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        thread.join()
        assert answers == [(200, {"outputs": 200_000})]
        assert process.wait(60) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        *("loaded", "draining", "predict", "unloaded", "stopped")
    ]


def test_clients_that_retry_lose_nothing_when_the_server_is_killed(models_dir, serving):
    port = free_port()
    end, answers, retries = threading.Event(), [], []

    def ask(first):
        client, number = serving.Client(port), first
        while not end.is_set():
            grey = number % 251
            body = image_only(serving, serving.png(grey))
            while True:  # As a client of any server must: the request has no effect.
                try:
                    status, answer = client.predict(body)
                except OSError:
                    retries.append(1)
                    time.sleep(0.05)
                    continue
                if status == 200:
                    break
                retries.append(status)
                time.sleep(0.05)
            answers.append((grey, answer["predictions"][0]))
            number += 4

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    with process_of(models_dir, port) as process:
        for thread in threads:
            thread.start()
        while len(answers) < 100:
            time.sleep(0.01)
        process.kill()
        process.wait()
    before = len(answers)
    with process_of(models_dir, port):
        while len(answers) < before + 100:
            time.sleep(0.01)
        end.set()
        for thread in threads:
            thread.join()
    assert retries
    assert not {status for status in retries if status != 1}
    greys, received = np.array(answers).T
    np.testing.assert_allclose(received, 1 / (1 + np.exp(-(greys - 128) / 64)), 1e-5)


def gif(frames):
    """An animation."""
    buffer = io.BytesIO()
    images = [Image.new("L", (40, 30), 10 * number) for number in range(frames)]
    images[0].save(buffer, "gif", save_all=True, append_images=images[1:])
    return buffer.getvalue()


def huge_png(side):
    """A black PNG of `side` squared pixels in a few kilobytes."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    packer = zlib.compressobj(9)
    row = bytes(1 + side)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )


def test_whatever_is_sent_the_server_lives_and_its_memory_stays_flat(
    models_dir, serving
):
    port = free_port()
    client = serving.Client(port)
    good = image_only(serving, serving.png(128))
    path = "/v1/models/tiny:predict"
    noise = np.random.default_rng(0).integers(0, 255, (90, 120)).astype(np.uint8)
    rows = image_only(serving, *[serving.png(noise)] * 1000)
    with process_of(models_dir, port) as process:
        for _ in range(20):
            client.predict(rows)
        start, _ = memory_of(process)
        for _ in range(5):
            assert client.call("POST", path, bytes(200 * 2**20))[0] == 413
            status, body = client.predict(rows)
            assert status == 200
            assert len(body["predictions"]) == 1000
            for body, expected in (
                (b"{" * 100, 400),
                (image_only(serving, serving.png(noise)[:200]), 400),
                (image_only(serving, gif(5)), 400),  # this graph takes no GIF
                ({"signature_name": "nope", "instances": [1]}, 400),
                ({"signature_name": "image_only", "instances": [3.5]}, 400),
                ({"signature_name": "image_only", "inputs": {"x": ["y"]}}, 400),
            ):
                assert client.predict(body)[0] == expected
            assert client.predict(good) == (200, {"predictions": [0.5]})
        now, most = memory_of(process)
        assert now < start + 100  # megabytes
        assert most < start + 300


def test_an_image_the_graph_refuses_is_a_bad_request(tmp_path, serving):
    """The guard stands in the exported graph; here a graph with such a guard."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def guarded(image_bytes):
        header = tf.strings.substr(image_bytes, 16, 8)
        sides = tf.reshape(tf.io.decode_raw(header, tf.int32, False), [-1, 2])
        side = tf.reduce_max(sides)
        check = tf.debugging.assert_less(side, 4096, "expected fewer pixels")
        with tf.control_dependencies([check]):
            return {"side": tf.reduce_max(sides, 1)}

    module = tf.Module()
    module.guarded = guarded
    folder = tmp_path / "guarded" / "1"
    tf.saved_model.save(module, str(folder), guarded)
    content = huge_png(30_000)
    assert len(content) < 1_000_000
    port = free_port()
    with process_of(tmp_path, port) as process:
        client = serving.Client(port)
        body = {"instances": [serving.b64(content)]}
        status, answer = client.predict(body, model="guarded")
        assert status == 400
        assert "expected fewer pixels" in answer["error"]
        small = {"instances": [serving.b64(serving.png(1, (20, 30)))]}
        assert client.predict(small, model="guarded")[1] == {"predictions": [30]}
        now, most = memory_of(process)
        assert most < now + 200
