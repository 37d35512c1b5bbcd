"""The built-in server under load: lost and wrong answers, times, memory.

    usgland export runs/NAME
    python scripts/benchmark_serving.py NAME [--requests 10000] [--connections 16]

Starts `usgland serve --builtin` on free ports and sends images of six sizes as PNG and
JPEG, and among them 5% garbage that must be refused with 400. Every answer is compared
with that of the bare signature, called in this process. Server and bare signature work
in turns, round by round, first with one connection and then with many (the bare
signature in as many threads). Prints lost and wrong answers, the medians and 99th
percentiles of both with their ratio, requests a second, and the server's memory after
its first round, half way and at its end. More arguments go to `usgland serve`, e.g.
--max-batch 1.
"""

import argparse
import base64
import http.client
import io
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

SIZES = ((64, 64), (128, 96), (224, 224), (300, 400), (450, 600), (600, 800))
TOLERANCE = 1e-5  # of a probability
SERVE = "from usgland.cli.main import cli; cli()"
Case = tuple[bytes, float | None]  # body, and the probability; None for garbage


def make_images() -> list[bytes]:
    """Speckle of several sizes as PNG, and two as JPEG."""
    rng = np.random.default_rng(0)
    images = []
    for number, size in enumerate((*SIZES, (450, 600), (600, 800))):
        pixels = np.clip(rng.rayleigh(60, size), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        kind = "png" if number < len(SIZES) else "jpeg"
        Image.fromarray(pixels).save(buffer, kind)
        images.append(buffer.getvalue())
    return images


class Bare:
    """The signature itself, with every value but the image missing."""

    def __init__(self, folder: Path):
        self.signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
        self.others = {
            name: tf.constant([""] if spec.dtype == tf.string else [np.nan], spec.dtype)
            for name, spec in self.signature.structured_input_signature[1].items()
            if name != "image_bytes"
        }

    def __call__(self, image: bytes) -> float:
        batch = tf.constant([image])
        outputs = self.signature(image_bytes=batch, **self.others)
        return float(outputs["probability"].numpy()[0])

    def body(self, image: bytes) -> bytes:
        row = {"image_bytes": {"b64": base64.b64encode(image).decode()}}
        for name, value in self.others.items():
            row[name] = "" if value.dtype == tf.string else float("nan")
        return json.dumps({"instances": [row]}).encode()


def make_garbage(bare: Bare, image: bytes) -> list[Case]:
    """What must be refused with the status 400."""
    body = bare.body(image)
    bodies = [
        bare.body(image[: len(image) // 2]),
        bare.body(b"this is no image"),
        body[: len(body) // 2],
        body.replace(b"image_bytes", b"image_bytez"),
        json.dumps({"signature_name": "nope", "instances": [1]}).encode(),
        json.dumps({"instances": [{"image_bytes": 3.5}]}).encode(),
        b"",
    ]
    return [(garbage, None) for garbage in bodies]


class Load:
    """Sends cases over a number of connections and keeps count."""

    def __init__(self, host: str, port: int, path: str):
        self.host, self.port, self.path = host, port, path
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def ask(self, connection: http.client.HTTPConnection, case: Case) -> str:
        body, expected = case
        try:
            connection.request("POST", self.path, body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            return "lost"
        if expected is None:
            return "refused" if response.status == 400 else "wrong"
        if response.status != 200:
            return f"status {response.status}"
        row = answer["predictions"][0]
        value = row["probability"] if isinstance(row, dict) else row
        return "right" if abs(value - expected) <= TOLERANCE else "wrong"

    def run(self, cases: list[Case], connections: int) -> list[float]:
        """Seconds of each request that was answered with a probability."""

        def worker(part: list[Case], seconds: list[float]) -> None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
            for case in part:
                start = time.perf_counter()
                result = self.ask(connection, case)
                if case[1] is not None:
                    seconds.append(time.perf_counter() - start)
                with self.lock:
                    self.counts[result] += 1
            connection.close()

        return in_threads(worker, cases, connections)


def in_threads(
    worker: Callable[[list, list[float]], None], items: list, threads: int
) -> list[float]:
    """Gives each thread its share of the items, and joins what they measured."""
    seconds: list[list[float]] = [[] for _ in range(threads)]
    started = [
        threading.Thread(target=worker, args=(items[number::threads], seconds[number]))
        for number in range(threads)
    ]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return [measured for part in seconds for measured in part]


def run_bare(bare: Bare, images: list[bytes], threads: int) -> list[float]:
    """Seconds of each call."""

    def worker(part: list[bytes], seconds: list[float]) -> None:
        for image in part:
            start = time.perf_counter()
            bare(image)
            seconds.append(time.perf_counter() - start)

    return in_threads(worker, images, threads)


def memory_of(process: int) -> float:
    """Megabytes in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def start_server(models_dir: Path, more: list[str]) -> tuple[subprocess.Popen, int]:
    """Starts the server; gives its process and port once it answers."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", SERVE, "serve", "--builtin"),
            *("--models-dir", str(models_dir), "--rest-port", "0", "--grpc-port", "0"),
            *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stdout or ():
        if line.startswith("REST"):
            return process, int(line.split(":")[2].split("/")[0])
    raise SystemExit("The server did not start; `usgland serve --builtin` says why")


def report(name: str, served: list[float], bare: list[float], clock: dict) -> None:
    for who, seconds in (("server", served), ("bare signature", bare)):
        p50, p99 = np.percentile(seconds, (50, 99)) * 1000
        print(
            f"{name}, {who}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
            f"{len(seconds) / clock[who]:.1f} requests/s"
        )
    ratios = np.percentile(served, (50, 99)) / np.percentile(bare, (50, 99))
    print(f"{name}, ratio: p50 {ratios[0]:.2f}, p99 {ratios[1]:.2f}")


def measure(
    load: Load,
    bare: Bare,
    drawn: list[tuple[Case, bytes]],
    connections: int,
    after_round: Callable[[], None],
) -> None:
    """Runs both in turns, 250 requests a round, and prints what came of it."""
    served, alone = [], []
    clock = {"server": 0.0, "bare signature": 0.0}
    for number, start in enumerate(range(0, len(drawn), 250)):
        cases = [case for case, _ in drawn[start : start + 250]]
        images = [
            image for case, image in drawn[start : start + 250] if case[1] is not None
        ]
        turns = [
            ("server", served, lambda cases=cases: load.run(cases, connections)),
            (
                "bare signature",
                alone,
                lambda images=images: run_bare(bare, images, connections),
            ),
        ]
        # Who goes first changes, as what else the machine does may.
        for who, seconds, turn in turns[:: 1 if number % 2 else -1]:
            begin = time.perf_counter()
            seconds += turn()
            clock[who] += time.perf_counter() - begin
        after_round()
    report(f"{connections} connection(s)", served, alone, clock)


def main() -> None:
    """Prints counts, times and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model in --models-dir")
    parser.add_argument("--models-dir", type=Path, default=Path("saved_models"))
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--garbage", type=float, default=0.05, help="share of requests")
    arguments, more = parser.parse_known_args()
    versions = (arguments.models_dir / arguments.name).iterdir()
    version = max(int(path.name) for path in versions if path.name.isdecimal())
    bare = Bare(arguments.models_dir / arguments.name / str(version))
    images = make_images()
    good = [(bare.body(image), bare(image)) for image in images]
    bad = make_garbage(bare, images[0])
    rng = np.random.default_rng(1)

    def draw(requests: int) -> list[tuple[Case, bytes]]:
        chosen = rng.integers(0, len(images), requests)
        spoilt = rng.random(requests) < arguments.garbage
        return [
            (bad[rng.integers(len(bad))] if wrong else good[number], images[number])
            for number, wrong in zip(chosen, spoilt, strict=True)
        ]

    process, port = start_server(arguments.models_dir, more)
    memory: list[float] = []
    try:
        load = Load("127.0.0.1", port, f"/v1/models/{arguments.name}:predict")
        load.run([case for case, _ in draw(50)], 1)  # Warms both up.
        measure(load, bare, draw(500), 1, lambda: None)
        requests = draw(arguments.requests)
        measure(
            load,
            bare,
            requests,
            arguments.connections,
            lambda: memory.append(memory_of(process.pid)),
        )
    finally:
        process.terminate()
        process.wait()
    print("answers: " + ", ".join(f"{n} {what}" for what, n in load.counts.items()))
    print(
        f"lost {load.counts['lost']}, wrong {load.counts['wrong']} of "
        f"{load.counts.total()}"
    )
    first, half, last = memory[0], memory[len(memory) // 2], memory[-1]
    print(
        f"memory of the server: {first:.0f} MB after the first round, {half:.0f} MB "
        f"half way, {last:.0f} MB at the end"
    )


if __name__ == "__main__":
    main()
