"""What each signature of an exported model costs, one case at a time.

    python scripts/benchmark_signatures.py saved_models/squeeze/1 [--rounds 30]

Asks the version that was exported, in the session that `usgland serve` uses, about a
made-up case with a picture of 600 x 800 pixels and an ordinary form, all signatures in
turns, so that what else the machine does hits all alike. Prints the median of each in
milliseconds, its ratio to `serving_default`, and the size of the folder. Takes about
half a minute on 2 cores.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from usgland.serving.interface.versions import WARMUP_REQUESTS
from usgland.serving.server.servable import Servable, warmup_inputs, warmup_logs

HEIGHT, WIDTH = 600, 800


def main() -> None:
    """Prints one line a signature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    servable = Servable(arguments.version, "model", 1)
    servable.warm_up(60.0)
    rng = np.random.default_rng(0)
    grey = np.clip(90 * rng.rayleigh(0.8, (HEIGHT, WIDTH, 1)), 0, 255).astype("uint8")
    content = np.array([tf.io.encode_png(grey).numpy()], object)
    requests = {}
    for log in warmup_logs(arguments.version / WARMUP_REQUESTS):
        request = log.predict_log.request
        signature = servable.signature(request.model_spec.signature_name)
        inputs = warmup_inputs(request, signature)
        picture = {"image_bytes": content, "pixels": grey[None]}
        inputs |= {name: picture[name] for name in picture.keys() & inputs.keys()}
        requests[request.model_spec.signature_name] = inputs
    taken: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(arguments.rounds):
        for name, inputs in requests.items():
            outputs = sorted(servable.signature(name).outputs)
            start = time.perf_counter()
            servable.run(name, outputs, inputs, 60.0)
            taken[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(times[3:]) for name, times in taken.items()}
    for name, median in medians.items():
        ratio = median / medians["serving_default"]
        print(f"{name:16} {median:7.1f} ms  {ratio:5.2f}")
    size = sum(p.stat().st_size for p in arguments.version.rglob("*") if p.is_file())
    print(f"{arguments.version}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
