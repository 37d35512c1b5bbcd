"""How fast Grad-CAM is, against one forward and one backward pass.

    python scripts/benchmark_saliency.py [--backbone squeezenet1_1] [--images 100]

Draws maps of made-up images with the batched graph of `usgland explain`, and runs the
same network forward and backward to all of its weights, in turns, so that what else
the machine does hits both alike. Prints the seconds of both and their ratio, which
should be at most 1.5. Takes about half a minute on 2 cores.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from usgland.config import load_config
from usgland.explanation.explained import make_explained
from usgland.explanation.maps import BATCH, gradcam_graph, make_maps
from usgland.models.classifier import build_classifier

AIM = 1.5  # of one forward and one backward pass


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Prints one line a way, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    settings = [f"model.backbone={arguments.backbone}", "model.weights=null"]
    explained = make_explained(build_classifier(load_config(None, settings)))
    shape = (arguments.images, 224, 224, 1)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    batches = [
        tf.constant(pixels[start : start + BATCH].astype("float32"))
        for start in range(0, len(pixels), BATCH)
    ]
    graph = gradcam_graph(explained, "malignant")
    network = explained.whole
    weights = [variable.value for variable in network.trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec((None, *shape[1:]), tf.float32)])
    def both_ways(batch: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(batch, training=False))
        return tape.gradient(loss, weights)

    calls: dict[str, Callable[[], object]] = {
        "forward and backward": lambda: [
            [gradient.numpy() for gradient in both_ways(batch)] for batch in batches
        ],
        "Grad-CAM, its graph": lambda: [graph(batch).numpy() for batch in batches],
        # The command runs it so, with tracing, resizing and scaling.
        "Grad-CAM, make_maps": lambda: make_maps(
            explained, pixels, method="gradcam", label="malignant"
        ),
    }
    for call in calls.values():
        call()
    rounds = [
        {name: seconds(call) for name, call in calls.items()}
        for _ in range(arguments.rounds)
    ]
    print(f"{arguments.backbone}, {arguments.images} images, {len(rounds)} rounds")
    for name in calls:
        times = np.array([turn[name] for turn in rounds])
        ratios = times / [turn["forward and backward"] for turn in rounds]
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        print(
            f"{name:22} {np.median(times):7.2f} s   {middle:5.2f} x one forward and "
            f"backward (quartiles {low:.2f} to {high:.2f}; aim {AIM:g})"
        )


if __name__ == "__main__":
    main()
