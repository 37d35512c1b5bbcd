"""Measures training on 200,000 references to 2,000 images, wherever pictures are kept.

    python scripts/benchmark_cache.py [check] [feed] [steps]
        [--images 2000] [--references 200000] [--distinct] [--rounds 15]

`check` times the manifest's check, the first and the second one. `feed` compares the
batches a second that come from memory, from disk and by decoding, and `steps` the same
with SqueezeNet 1.1 learning from them, in turns; the peak memory of each is that of a
process of its own. With `--distinct` every reference is a file with bytes of its own.
Nothing is written but into a temporary folder, 11 GB of it with `--distinct`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PICTURE, VIEW, BATCH = 320, 224, 16  # pixels, pixels, images
CACHES = ("memory", "disk", "none")
BATCHES = {"feed": 100, "steps": 12}  # of a turn
ALONE = 600  # batches of a process whose peak memory is told


def make_images(folder: Path, images: int, references: int, *, distinct: bool) -> Path:
    """Writes images of some kilobytes, links to them, and their manifest."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for number in range(images):
        coarse = rng.integers(20, 236, (12, 16), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)
        smooth.save(sources / f"{number}.jpg", quality=80)
    lines = ["image,patient_id,label"]
    for number in range(references):
        source = sources / f"{number % images}.jpg"
        path = folder / f"{number // 1000}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        if distinct:  # What follows the end of a JPEG is not decoded.
            path.write_bytes(source.read_bytes() + number.to_bytes(4))
        else:
            path.symlink_to(source)
        who = number if distinct else number % images
        label = ("benign", "malignant")[who % 2]
        lines.append(f"{path.relative_to(folder)},P{who},{label}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def rows_of(manifest: Path):
    """The checked rows."""
    from usgland.config import DataSettings
    from usgland.data.manifest import load_manifest

    return load_manifest(manifest, DataSettings(), parts=("split", "fold"))


def batches_of(rows, cache: str) -> Callable[[int, bool], Iterator]:
    """Maps an epoch, and whether it is augmented, to its batches."""
    import numpy as np

    from usgland.data.picture_cache import PictureKey, keep_pictures
    from usgland.data.pipeline import make_batches
    from usgland.models.augmentation import make_augment
    from usgland.models.preprocessing import Preprocessing
    from usgland.recipe import AugmentationSettings

    layer = Preprocessing(PICTURE)
    key, say = PictureKey(*layer.fingerprint()), lambda line: print(" ", line)
    kept = keep_pictures(rows, layer.read, PICTURE, key, cache=cache, say=say)
    augment = make_augment(AugmentationSettings(), size=VIEW)
    labels = rows["label"].to_numpy()

    def batches(epoch: int, augmented: bool):
        return make_batches(
            kept.pictures.gather,
            labels,
            np.ones(len(labels)),
            augment if augmented else None,
            batch_size=BATCH,
            seed=0,
            epoch=epoch,
        )

    return batches


def peak_gigabytes() -> float:
    """Of this process, ever."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_a_process(part: str, manifest: Path, cache: str) -> dict[str, float]:
    """What `alone` of a process of its own says."""
    command = [sys.executable, __file__, part, "--alone", str(manifest), cache]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def alone(part: str, manifest: Path, cache: str) -> None:
    """Does one thing, and prints its time and peak memory."""
    start = time.perf_counter()
    if part != "check":
        import pandas as pd

        batches = batches_of(pd.read_pickle(manifest), cache)
        ready = time.perf_counter() - start
        for number, _ in enumerate(batches(0, True), start=1):
            if number == ALONE:
                break
        print(json.dumps({"ready": ready, "peak": peak_gigabytes()}))
        return
    rows_of(manifest)
    seconds = time.perf_counter() - start
    told = {"seconds": seconds, "cpu": time.process_time(), "peak": peak_gigabytes()}
    print(json.dumps(told))


def part_check(manifest: Path, rounds: int) -> None:
    """The first check, and the second."""
    for name in ("first", "second"):
        told = in_a_process("check", manifest, "memory")
        print(
            f"{name} check of the manifest: {told['seconds']:.1f} s, of processors "
            f"{told['cpu']:.1f} s, {told['peak']:.2f} GB",
            flush=True,
        )


def part_feed(manifest: Path, rounds: int) -> None:
    """Batches a second without a network, plain and augmented; and peak memory."""
    rows = rows_of(manifest)
    rows.to_pickle(manifest.with_name("rows.pickle"))
    for cache in CACHES:
        told = in_a_process("feed", manifest.with_name("rows.pickle"), cache)
        print(
            f"{cache}: ready in {told['ready']:.1f} s, peak memory "
            f"{told['peak']:.2f} GB",
            flush=True,
        )
    sources = {cache: batches_of(rows, cache) for cache in CACHES}
    for augmented in (False, True):

        def turn(cache: str, epoch: int, augmented=augmented) -> float:
            iterator = iter(sources[cache](epoch, augmented))
            next(iterator)
            start = time.perf_counter()
            for _ in range(BATCHES["feed"]):
                next(iterator)
            return time.perf_counter() - start

        compare(f"feed{', augmented' if augmented else ''}", "feed", turn, rounds)


def part_steps(manifest: Path, rounds: int) -> None:
    """Images a second that SqueezeNet 1.1 learns from, with augmentation."""
    from usgland.config import load_config
    from usgland.models.classifier import build_classifier, view_network

    # No image has a mark here.
    config = load_config(None, ["model.weights=null", "model.lesion_head=false"])
    model = view_network(build_classifier(config))
    model.compile("adamw", "mse", jit_compile=False)
    rows = rows_of(manifest)
    sources = {cache: batches_of(rows, cache) for cache in CACHES}

    def turn(cache: str, epoch: int) -> float:
        dataset = sources[cache](epoch, True).take(BATCHES["steps"])
        start = time.perf_counter()
        model.fit(dataset, shuffle=False, verbose=0)
        return time.perf_counter() - start

    compare("steps of SqueezeNet 1.1", "steps", turn, rounds)


def compare(what: str, part: str, turn: Callable, rounds: int) -> None:
    """Prints images a second of each, and the ratios within a round."""
    import numpy as np

    for cache in CACHES:
        turn(cache, 0)
    seconds = {cache: np.empty(rounds) for cache in CACHES}
    for number in range(rounds):
        # Whoever comes first shall not always be the same.
        for cache in (CACHES, CACHES[::-1])[number % 2]:
            seconds[cache][number] = turn(cache, 1 + number)
    for cache in CACHES:
        speed = BATCH * BATCHES[part] / np.median(seconds[cache])
        ratios = seconds["memory"] / seconds[cache]
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        print(
            f"{what}, {cache}: {speed:.0f} images/s, {middle:.2f} of memory "
            f"({low:.2f} to {high:.2f})",
            flush=True,
        )


PARTS = {"check": part_check, "feed": part_feed, "steps": part_steps}


def main() -> None:
    """Prints what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--references", type=int, default=200_000)
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    least = BATCH * (1 + max(BATCHES.values()))
    if arguments.references < least:
        parser.error(
            f"--references: expected at least {least}, the images of a turn. "
            f"Received: {arguments.references}"
        )
    if arguments.alone:
        manifest, cache = arguments.alone
        alone(arguments.parts[0], Path(manifest), cache)
        return
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        count = (arguments.images, arguments.references)
        manifest = make_images(Path(name) / "data", *count, distinct=arguments.distinct)
        time.sleep(3)  # What was written a moment ago is not remembered.
        for part in arguments.parts or PARTS:
            PARTS[part](manifest, arguments.rounds)


if __name__ == "__main__":
    main()
