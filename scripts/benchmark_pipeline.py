"""Whether training waits for its images: `fit` against the same step on one batch.

    python scripts/benchmark_pipeline.py [--backbone squeezenet1_1] [--rounds 5]

Trains on drawn images with the default settings in two ways, in turns: an epoch as
`usgland fit` runs it (shuffled, augmented, prefetched) and as many steps on one batch
that is held in memory. Prints images/s of both and the ratio, which should be at least
0.9, and the ratio of the processor time, which what else runs on the machine disturbs
less. Takes under two minutes on 2 cores.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from usgland.config import Config, load_config
from usgland.data.pipeline import make_batches
from usgland.models.augmentation import make_augment
from usgland.models.classifier import build_classifier, pixels_to_logit
from usgland.models.metrics import training_metrics
from usgland.training.averaging import WeightAverage
from usgland.training.device import prepare_devices
from usgland.training.progress import ProgressBar


class Contest:
    """One model, and the ways to feed it that are compared.

    Args:
        config: The settings.
        steps: Steps of one turn.
    """

    def __init__(self, config: Config, steps: int):
        prepare_devices(config.train.seed)
        self.config, self.steps = config, steps
        self.images = steps * config.train.batch_size
        size = config.preprocessing.image_size
        draws = np.random.default_rng(0)
        self.labels = draws.integers(0, 2, self.images)
        shape = (self.images, size, size, 1)
        self.pixels = tf.constant(draws.integers(0, 256, shape, dtype=np.uint8))
        self.augment = make_augment(config.augmentation)
        self.model = pixels_to_logit(build_classifier(config))
        self.model.compile(
            keras.optimizers.AdamW(1e-5),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=training_metrics(from_logits=True),
        )
        self.held = next(iter(self.epoch(0)))
        self.callbacks = [
            WeightAverage(self.model, config.train.ema_momentum),
            ProgressBar(Console(), 1),
        ]

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """The batches of an epoch of `usgland fit`."""
        return make_batches(
            self.pixels,
            self.labels,
            np.ones(self.images),
            self.augment,
            batch_size=self.config.train.batch_size,
            seed=self.config.train.seed,
            epoch=epoch,
        )

    def in_memory(self) -> tf.data.Dataset:
        """The same number of times one batch that is held in memory."""
        return tf.data.Dataset.from_tensors(self.held).repeat(self.steps)

    def turn(self, way: str, epoch: int) -> np.ndarray:
        """Trains an epoch: images a second, of clock and of processor.

        The way of `fit` has its callbacks and builds its batches.
        """
        clock, processor = time.perf_counter(), time.process_time()
        dataset, callbacks = self.in_memory(), []
        if way == "fit":
            dataset, callbacks = self.epoch(epoch), self.callbacks
        self.model.fit(dataset, shuffle=False, verbose=0, callbacks=callbacks)
        seconds = time.perf_counter() - clock, time.process_time() - processor
        return self.images / np.array(seconds)


def main() -> None:
    """Prints the speeds of each round and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="squeezenet1_1")
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    config = load_config(
        None, [f"model.backbone={arguments.backbone}", "model.weights=null"]
    )
    contest = Contest(config, arguments.steps)
    for way in ("fit", "memory"):  # Traces both graphs.
        contest.turn(way, 0)
    ratios = []
    print("images/s: fit  in memory  ratio  ratio of processor time")
    for number in range(arguments.rounds):
        speeds = {}
        # Who goes first changes, as what else the machine does may.
        for way in ("fit", "memory")[:: 1 if number % 2 else -1]:
            speeds[way] = contest.turn(way, number)
        ratios.append(speeds["fit"] / speeds["memory"])
        print(
            f"{speeds['fit'][0]:13.1f} {speeds['memory'][0]:10.1f} "
            f"{ratios[-1][0]:6.2f} {ratios[-1][1]:10.2f}",
            flush=True,
        )
    print(
        f"{arguments.backbone}, batch {config.train.batch_size}, "
        f"{config.preprocessing.image_size} pixels, median of {len(ratios)} rounds:"
    )
    for name, values in zip(("clock", "processor"), np.transpose(ratios), strict=True):
        low, middle, high = np.percentile(values, (25, 50, 75))
        print(f"ratio by {name} {middle:.2f} (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
