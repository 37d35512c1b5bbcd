"""Our speed over that of others, in one interleaved run, as one table.

    python scripts/benchmark_speed.py [bytes] [train] [pipeline] [--rounds 30]

`bytes`: one file of 600 x 800 pixels to P(malignant) by the served signature, over
OpenCV (grey, shrunk by area) and ONNX Runtime or OpenVINO, of two threads each. These
leave out checks of the header, grey stretch and calibration. It also prints the least
time of each of our stages.

`train`: an epoch of SqueezeNet 1.1 at 224 pixels as `usgland fit` runs it, over a plain
PyTorch loop (channels last, AdamW). Both flip, turn, zoom, shift, scale grey and blur
half of the images, a batch at a time, beside the step: ours in tf.data, PyTorch's by
affine_grid and grid_sample in one worker. It leaves out metrics, the moving average,
validation (of 16 images) and checkpoints, which ours has.

`pipeline`: the steps of `fit` on a batch in memory, over the same with its batches.

A ratio is of times: the median over rounds in which both took their turns, who first
in turns, with quartiles. The others have a process and an environment of their own,
made in build/anchors from the package index: what a part needs, at its first run. A
PyTorch without CUDA does; where the index has none for the platform, the other comes
(several GB).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

ANCHORS = Path(__file__).parent.parent / "build" / "anchors"
# What the others of a part need.
PACKAGES = {
    "bytes": ("onnxruntime", "openvino", "opencv-python-headless"),
    "train": ("torch", "numpy"),
}
SIZE, THREADS, IMAGES = 224, 2, 192
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
DCT = "INTEGER_ACCURATE"
Row = tuple[str, list[float], list[float]]  # what, seconds of ours and of the other


def serve_turns(folder: Path) -> None:
    """The others' process: answers each line of JSON by the seconds its turn took."""
    turns: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        kind, *options = json.loads(line)
        if line not in turns:
            make = {"bytes": file_turn, "train": torch_turn}[kind]
            turns[line] = make(folder, *options)
            turns[line]()  # The first is slower.
        print(seconds(turns[line]), flush=True)


def file_turn(folder: Path, file: str, runtime: str) -> Callable[[], object]:
    import cv2
    import numpy as np

    cv2.setNumThreads(THREADS)
    data = np.frombuffer((folder / file).read_bytes(), np.uint8)
    path = str(folder / "network.onnx")
    if runtime == "ONNX Runtime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options)
        name = session.get_inputs()[0].name
        network = lambda pixels: session.run(None, {name: pixels})  # noqa: E731
    else:
        import openvino

        settings = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_PRECISION_HINT"] = "f32"
        network = openvino.compile_model(path, "CPU", settings)

    def turn() -> object:
        grey = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        height, width = (side * SIZE // max(grey.shape) for side in grey.shape)
        top, left = (SIZE - height) // 2, (SIZE - width) // 2
        square = np.zeros((1, SIZE, SIZE, 1), "float32")
        shrunk = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        square[0, top : top + height, left : left + width, 0] = shrunk
        return network(square)

    return turn


def torch_turn(folder: Path, batch: int, precision: str) -> Callable[[], object]:
    """An epoch of a plain PyTorch loop."""
    import torch

    torch.set_num_threads(THREADS)
    pixels = torch.randint(0, 256, (IMAGES, 1, SIZE, SIZE), dtype=torch.uint8)
    loader = torch.utils.data.DataLoader(
        range(IMAGES),
        batch,
        shuffle=True,
        num_workers=1,
        persistent_workers=True,
        collate_fn=lambda rows: (torch_augment(pixels[rows]), torch.tensor(rows) % 2.0),
    )
    model = torch_squeezenet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    dtype, loss_of = getattr(torch, precision), torch.nn.BCEWithLogitsLoss()

    def turn() -> None:
        for images, labels in loader:
            images = images.expand(-1, 3, -1, -1)
            images = images.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=precision != "float32"):
                logits = model(images)
            loss_of(logits[:, 0].float(), labels).backward()
            optimizer.step()

    return turn


def torch_augment(pixels):
    """What the recipe does to a batch, uint8 `(batch, 1, size, size)`, in PyTorch."""
    import torch
    from torch.nn import functional

    size = len(pixels)

    def uniform(low: float, high: float):
        return torch.empty(size).uniform_(low, high)

    angle, zoom = uniform(-0.175, 0.175), torch.exp(uniform(-0.37, 0.37))
    flip = torch.sign(uniform(-1, 1))
    sine, cosine = torch.sin(angle) / zoom, torch.cos(angle) / zoom
    rows = [flip * cosine, -flip * sine, uniform(-0.2, 0.2)]
    rows += [sine, cosine, uniform(-0.2, 0.2)]
    grid = functional.affine_grid(
        torch.stack(rows, 1).reshape(-1, 2, 3), list(pixels.shape), align_corners=False
    )
    images = functional.grid_sample(pixels.float(), grid, align_corners=False)
    contrast = uniform(0.6, 1.4)[:, None, None, None]
    mean = images.mean((1, 2, 3), keepdim=True)
    shift = 255 * uniform(-0.1, 0.1)[:, None, None, None]
    images = images * contrast + (mean * (1 - contrast) + shift)
    chosen = torch.rand(size) < 0.5
    sigma = 1.5 * torch.empty(()).uniform_(0.3, 1.0)
    kernel = torch.exp(-((torch.arange(-3, 4) / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    blurred = functional.pad(images[chosen], (3, 3, 3, 3), "reflect")
    blurred = functional.conv2d(blurred, kernel.reshape(1, 1, 7, 1))
    blurred = functional.conv2d(blurred, kernel.reshape(1, 1, 1, 7))
    share = uniform(0.0, 1.0)[chosen][:, None, None, None]
    images[chosen] += share * (blurred - images[chosen])
    return images.clamp(0, 255) - 115


def torch_squeezenet():
    """SqueezeNet 1.1 with one logit, in PyTorch."""
    import torch
    from torch import nn

    class Fire(nn.Module):
        def __init__(self, channels: int, squeeze: int, expand: int):
            super().__init__()
            self.squeeze = nn.Conv2d(channels, squeeze, 1)
            self.narrow = nn.Conv2d(squeeze, expand, 1)
            self.wide = nn.Conv2d(squeeze, expand, 3, padding=1)

        def forward(self, x):
            x = self.squeeze(x).relu_()
            return torch.cat([self.narrow(x).relu_(), self.wide(x).relu_()], 1)

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, 2), nn.ReLU(inplace=True), pool()),
        *(Fire(64, 16, 64), Fire(128, 16, 64), pool()),
        *(Fire(128, 32, 128), Fire(256, 32, 128), pool()),
        *(Fire(256, 48, 192), Fire(384, 48, 192)),
        *(Fire(384, 64, 256), Fire(512, 64, 256)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 1)),
    )


def start_others(
    folder: Path, parts: Iterable[str]
) -> tuple[subprocess.Popen, Callable[..., float]]:
    """Their process, and what asks it for a turn and says its seconds."""
    python = ANCHORS / "bin" / "python"
    if not python.exists():
        venv.create(ANCHORS, with_pip=True)
    packages = [name for part in parts for name in PACKAGES.get(part, ())]
    ask_version = "import sys; from importlib.metadata import version\n"
    ask_version += "for name in sys.argv[1:]: version(name)"
    asked = subprocess.run([python, "-c", ask_version, *packages], capture_output=True)
    if asked.returncode:
        print(f"Installing {', '.join(packages)} into {ANCHORS}", flush=True)
        install = [python, "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(install, check=True)
    process = subprocess.Popen(
        [python, __file__, "--turns", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(*what: object) -> float:
        print(json.dumps(what), file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return process, ask


def seconds(turn: Callable[[], object]) -> float:
    begin = time.perf_counter()
    turn()
    return time.perf_counter() - begin


def in_turns(rounds: int, ours: Callable, other: Callable[[], float]) -> tuple:
    """Seconds of both; who goes first changes, as what else the machine does may."""
    ours()
    other()
    own, theirs = [], []
    for number in range(rounds):
        for turn in (0, 1) if number % 2 else (1, 0):
            (theirs if turn else own).append(other() if turn else seconds(ours))
    return own, theirs


def part_bytes(ask: Callable[..., float], folder: Path, rounds: int) -> Iterator[Row]:
    import numpy as np
    import tensorflow as tf
    import tf2onnx
    from PIL import Image, ImageFilter

    from usgland.config import load_config
    from usgland.models.answers import Looking
    from usgland.models.classifier import PREPROCESSING, build_classifier, view_network
    from usgland.models.decoding import decode_grey
    from usgland.models.preprocessing import pad_to_square, shrink_to_fit, stretch_grey
    from usgland.serving.export.answer_network import Decision
    from usgland.serving.export.signatures import make_module

    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80), dtype=np.uint8))
    speckle = np.asarray(coarse.resize((800, 600))) * rng.rayleigh(0.6, (600, 800))
    picture = Image.fromarray(np.clip(speckle, 0, 255).astype("uint8"))
    picture = picture.filter(ImageFilter.GaussianBlur(1.2))
    for mode, kind in (("L", "png"), ("RGB", "png"), ("L", "jpeg"), ("RGB", "jpeg")):
        picture.convert(mode).save(folder / f"{mode}.{kind}", quality=90)
    model = build_classifier(load_config(None, []))
    # Theirs is the first of our two views.
    learned, side = view_network(model), model.get_layer(PREPROCESSING).size
    specs = [tf.TensorSpec([None, SIZE, SIZE, 1])]
    network = tf.function(lambda view: learned(view, training=False)[0], specs)
    tf2onnx.convert.from_function(
        network, specs, output_path=str(folder / "network.onnx")
    )
    module, signatures = make_module(model, Decision(1.0, 0.0, 0.5), "x/1")
    tf.saved_model.save(module, str(folder / "saved"), signatures=signatures)
    served = tf.saved_model.load(str(folder / "saved")).signatures["serving_default"]
    file, grey = tf.TensorSpec([], tf.string), tf.TensorSpec([None, None, 1], tf.uint8)
    nothing, decode = (
        tf.function(call, input_signature=[file]) for call in (tf.identity, decode_grey)
    )
    shrink = tf.function(lambda x: shrink_to_fit(x, side), input_signature=[grey])
    stretch = tf.function(
        lambda x: pad_to_square(stretch_grey(x, 1.0, 99.0), side),
        input_signature=[grey],
    )
    looking = Looking(model)
    answer = tf.function(lambda pictures: looking.answer(pictures).logit)
    for path in sorted([*folder.glob("*.png"), *folder.glob("*.jpeg")]):
        content = tf.constant(path.read_bytes())
        for runtime in ("ONNX Runtime", "OpenVINO"):
            what = f"{path.name} to P(malignant), over OpenCV + {runtime}"
            yield (
                what,
                *in_turns(
                    rounds,
                    lambda batch=content[None]: served(image_bytes=batch),
                    lambda turn=("bytes", path.name, runtime): ask(*turn),
                ),
            )
        raw = partial(tf.io.decode_png, channels=1 if path.stem == "L" else 3)
        if path.suffix == ".jpeg":
            raw = partial(tf.io.decode_jpeg, **raw.keywords, dct_method=DCT)
        levels = tf.cast(decode(content), tf.uint8)
        small = shrink(levels)
        pixels = tf.cast(stretch(small)[None], tf.float32)
        stages: dict[str, Callable[[], object]] = {
            "nothing, the call itself": partial(nothing, content),
            "TensorFlow's own decoder": partial(raw, content),
            "header, decoder, grey": partial(decode, content),
            "shrink": partial(shrink, levels),
            "percentiles, stretch, pad": partial(stretch, small),
            "network, both views": partial(answer, pixels),
        }
        times: dict[str, list[float]] = {name: [] for name in stages}
        for _ in range(rounds):
            for name, stage in stages.items():
                times[name].append(1000 * seconds(stage))
        for name, part in times.items():
            print(f"  {path.name}: {name} {min(part):.1f} ms", flush=True)


def part_train(ask: Callable[..., float], folder: Path, rounds: int) -> Iterator[Row]:
    import numpy as np

    from usgland.config import load_config
    from usgland.models.classifier import build_classifier, image_layers, view_network
    from usgland.training.device import precision, prepare_devices
    from usgland.training.loop import train
    from usgland.training.parts import Part

    rng = np.random.default_rng(0)
    side = load_config(None, []).preprocessing.picture_side
    pixels = rng.integers(0, 256, (IMAGES + 16, side, side, 1), dtype=np.uint8)
    labels = np.arange(IMAGES + 16) % 2
    prepare_devices(0)
    for batch, (name, policy) in [(b, p) for b in (16, 32) for p in PRECISIONS.items()]:
        settings = [f"train.batch_size={batch}", f"train.precision={policy}"]
        config = load_config(None, [*settings, f"train.epochs={rounds // 5 + 3}"])
        with precision(policy):
            model = build_classifier(config)
        times = []  # of the end of each turn, and what the other says of its own

        def on_epoch(state: object, times=times, turn=("train", batch, name)) -> None:
            times.extend([time.perf_counter(), ask(*turn), time.perf_counter()])

        with tempfile.TemporaryDirectory(dir=folder) as run:
            train(
                view_network(model),
                Part(pixels[:IMAGES], labels[:IMAGES], None, drawn_lesions()),
                Part(pixels[IMAGES:], labels[IMAGES:]),
                config,
                Path(run),
                image_layers=image_layers(model, config),
                on_epoch=on_epoch,
            )
        # Both trace, or warm up, in their first.
        own = [
            end - begin for begin, end in zip(times[2::3], times[3::3], strict=False)
        ]
        theirs = times[4::3]
        speeds = (IMAGES / np.median(part) for part in (own, theirs))
        print(
            f"  {name}, batch {batch}: images/s", *(f"{speed:.0f}" for speed in speeds)
        )
        yield f"epoch of `fit`, {name}, batch {batch}, over PyTorch", own, theirs


def part_pipeline(
    ask: Callable[..., float], folder: Path, rounds: int
) -> Iterator[Row]:
    import numpy as np
    import tensorflow as tf

    from usgland.config import load_config
    from usgland.data.kept_pictures import pictures_of
    from usgland.data.pipeline import make_batches, without_tuning
    from usgland.models.augmentation import make_augment
    from usgland.models.classifier import MAP, build_classifier, view_network
    from usgland.training.automatic import batch_size_of
    from usgland.training.averaging import WeightAverage
    from usgland.training.device import precision
    from usgland.training.gradient_step import make_step, make_steps

    config, rng = load_config(None, []), np.random.default_rng(0)
    side = config.preprocessing.picture_side
    pixels = rng.integers(0, 256, (IMAGES, side, side, 1), dtype=np.uint8)
    part = (pictures_of(pixels).gather, np.arange(IMAGES) % 2, np.ones(IMAGES))
    grid = build_classifier(config).get_layer(MAP).output.shape[1]
    part += (make_augment(config.augmentation, size=SIZE, grid=grid),)
    size, lesions = batch_size_of(config), drawn_lesions()
    feed = partial(
        make_batches, *part, lesions=lesions, batch_size=size, seed=0, epoch=0
    )
    for name, policy in PRECISIONS.items():
        with precision(policy):
            model = view_network(build_classifier(config))
        model.compile("adamw")
        model.optimizer.build(model.trainable_variables)
        loss = keras_loss()
        average = WeightAverage(model, config.train.ema_momentum)
        steps = make_steps(make_step(model, loss, average, batch_size=size))

        def epoch(dataset: tf.data.Dataset | None = None, steps=steps) -> None:
            if dataset is None:
                dataset = feed()
            steps(iter(dataset), IMAGES // size)

        batch = next(iter(feed()))
        held = tf.data.Dataset.from_tensors(batch).repeat(IMAGES // size)
        held = without_tuning(held)
        yield (
            f"steps on a batch in memory, {name}, over those with their pipeline",
            *in_turns(
                rounds // 5 + 2,
                lambda epoch=epoch, held=held: epoch(held),
                lambda epoch=epoch: seconds(epoch),
            ),
        )


def drawn_lesions() -> object:
    """An ellipse for each image, as if all were marked."""
    import numpy as np

    rng = np.random.default_rng(1)
    parts = rng.uniform(0.3, 0.7, (IMAGES, 2)), rng.uniform(0.1, 0.3, (IMAGES, 2))
    return np.concatenate(parts, axis=1).astype("float32")


def keras_loss() -> object:
    import keras

    return keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")


PARTS = {"bytes": part_bytes, "train": part_train, "pipeline": part_pipeline}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        process, ask = start_others(Path(name), arguments.parts or PARTS)
        rows = [
            row
            for part in arguments.parts or PARTS
            for row in map(shown, PARTS[part](ask, Path(name), arguments.rounds))
        ]
        process.terminate()
    print("\n| | least ms | of the other | ratio (quartiles) |\n|---|---|---|---|")
    print("\n".join(rows))


def shown(row: Row) -> str:
    """A row of the table, which is printed at once: a later part may fail."""
    import numpy as np

    what, own, theirs = row
    low, middle, high = np.percentile(np.divide(own, theirs), (25, 50, 75))
    least = " | ".join(f"{1000 * min(part):.1f}" for part in (own, theirs))
    line = f"| {what} | {least} | {middle:.2f} ({low:.2f} to {high:.2f}) |"
    print(line, flush=True)
    return line


if __name__ == "__main__":
    if sys.argv[1:2] == ["--turns"]:
        serve_turns(Path(sys.argv[2]))
    else:
        main()
