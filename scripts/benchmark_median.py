"""How fast the median filter of the graph is, against sorting patches and OpenCV.

    python scripts/benchmark_median.py [--size 224] [--rounds 15]

Prints milliseconds an image and, for each round, how many times longer the others
take: all run in turns, so that what else the machine does hits them alike. Checks
first that all give the same pixels. Takes about 15 seconds after the imports.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from usgland.models.speckle import median_filter


def sort_patches(image: tf.Tensor, side: int) -> tf.Tensor:
    """The usual way: the neighbourhood of every pixel, sorted.

    Args:
        image: `(height, width, 1)`, float32.
        side: 3 or 5.
    """
    return tf.sort(_patches(image, side), axis=-1)[..., side * side // 2, None]


def top_of_patches(image: tf.Tensor, side: int) -> tf.Tensor:
    """As tensorflow-addons did: the upper half of every neighbourhood."""
    half = side * side // 2 + 1
    return tf.math.top_k(_patches(image, side), half).values[..., -1:]


def _patches(image: tf.Tensor, side: int) -> tf.Tensor:
    for _ in range(side // 2):
        image = tf.pad(image, [[1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    sides = [1, side, side, 1]
    return tf.image.extract_patches(image[None], sides, [1] * 4, [1] * 4, "VALID")[0]


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Time of a call, the mean of some."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def compare(image: np.ndarray, side: int, rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each way in each round.

    Args:
        image: Grey levels `(height, width)`, uint8.
        side: 3 or 5.
        rounds: Repetitions of the whole.

    Raises:
        ValueError: If one of them gives other pixels than OpenCV.
    """
    pixels = tf.constant(image[..., None])
    levels = tf.cast(pixels, tf.float32)  # tf.sort and top_k take no uint8 quickly.
    ways = {
        "min/max network, uint8": (median_filter, pixels, 20),
        "min/max network, float32": (median_filter, levels, 20),
        "tf.sort of patches": (sort_patches, levels, 1),
        "tf.math.top_k of patches": (top_of_patches, levels, 1),
    }
    calls: dict[str, tuple[Callable[[], object], int]] = {}
    expected = cv2.medianBlur(image, side)
    for name, (function, argument, repeats) in ways.items():
        graph = tf.function(function, autograph=False)
        if not np.array_equal(graph(argument, side).numpy()[..., 0], expected):
            raise ValueError(f"Expected the pixels of OpenCV. Received others: {name}")
        calls[name] = (lambda g=graph, a=argument: g(a, side).numpy(), repeats)
    calls["cv2.medianBlur"] = (lambda: cv2.medianBlur(image, side), 50)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, repeats) in calls.items():
            times[name].append(seconds(call, repeats))
    return {name: np.array(values) for name, values in times.items()}


def main() -> None:
    """Prints one line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    draws = np.random.default_rng(0)
    shape = (arguments.size, arguments.size)
    image = np.clip(draws.rayleigh(60, shape), 0, 255).astype(np.uint8)
    for side in (3, 5):
        times = compare(image, side, arguments.rounds)
        network = times["min/max network, uint8"]
        print(f"\nmedian {side} x {side} of {shape[0]} x {shape[1]} pixels; all equal")
        for name, values in times.items():
            low, middle, high = np.percentile(values / network, (25, 50, 75))
            print(
                f"{name:26} {1000 * np.median(values):8.3f} ms   "
                f"{middle:7.2f} x the network (quartiles {low:.2f} to {high:.2f})"
            )


if __name__ == "__main__":
    main()
