"""The checks of `scripts/check_gpu`, each on its own, in as few processes as can be.

Starting TensorFlow takes seconds, so that checks share a process; where one ends its
process, the rest of them go on in another. Phantoms of 16 patients and random weights
are all that is needed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PASSED, FAILED, UNCHECKED = "passed", "FAILED", "not checked"
ROOT = Path(__file__).parent.parent
DEADLINE = 235  # seconds, of the 240 that all may take
START_UP = 5  # seconds, within which no process comes to its first check
NO_GPU = 3
LIMIT = 1e-3  # of P(malignant) on the GPU against the processor
BATCHES, TIMED_STEPS, WARM_UP = (16, 64), 50, 5
MODEL = ["--set", "model.weights=null"]
SHORT = ["--set", "train.epochs=2", "--set", "evaluation.bootstrap_resamples=20"]
FLOAT32 = ["--set", "train.precision=float32"]
Check = Callable[["Place"], str]


class UncheckedError(Exception):
    """This machine lacks what a check is of."""


class Place:
    """Where the checks of one call leave their files.

    Args:
        folder: Of this call alone.
        cpu: Whether the processor stands for the GPU.
    """

    def __init__(self, folder: Path, *, cpu: bool):
        self.folder, self.cpu, self.runs = folder, cpu, folder / "runs"
        self.manifest = folder / "phantoms/manifest.csv"

    def fit_arguments(self, name: str, *more: str) -> list[str]:
        size = ["--set", "preprocessing.image_size=64"] if self.cpu else []
        options = ["--manifest", str(self.manifest), "--runs-dir", str(self.runs)]
        return ["fit", *options, "--name", name, *MODEL, *SHORT, *size, *more]

    def command(self, *arguments: str) -> None:
        """Runs a command of the package in this process."""
        from usgland.cli.main import cli

        try:
            cli(list(arguments), standalone_mode=False)
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"usgland ended with {end.code}") from end

    def pace(self, name: str) -> str:
        run = self.runs / name
        environment = json.loads((run / "environment.json").read_text())
        images = (run / "splits.csv").read_text().count(",train")
        pace = images * environment["epochs"] / environment["training_seconds"]
        return f"{pace:.0f} images/s with compilation, {environment['precision']}"


def prepared_step(
    place: Place, policy: str, batch: int, *, xla: bool = False, devices: Any = ()
) -> tuple[Callable, Any, Callable]:
    """The step of the default network, what a batch is, and the step many times."""
    import keras
    import numpy as np
    import tensorflow as tf

    from usgland.config import load_config
    from usgland.models.augmentation import make_augment
    from usgland.models.classifier import build_classifier, view_network
    from usgland.training.automatic import sharing_scope
    from usgland.training.averaging import WeightAverage
    from usgland.training.device import precision
    from usgland.training.gradient_step import make_step, make_steps
    from usgland.training.optimizers import make_optimizer

    size = 64 if place.cpu else 224
    config = load_config(
        None, ["model.weights=null", f"preprocessing.image_size={size}"]
    )
    draws = np.random.default_rng(0)
    side = config.preprocessing.picture_side
    pixels = draws.integers(0, 256, (batch, side, side, 1), dtype=np.uint8)
    labels = draws.integers(0, 2, (batch, 1)).astype("float32")
    seed = np.array([1, 2], "int32")
    lesions = draws.uniform(0.2, 0.8, (batch, 4)).astype("float32")
    values = (pixels, labels, np.ones(batch, "float32"), seed, lesions)
    scope = sharing_scope(list(devices))
    with scope(), precision(policy):
        network = view_network(build_classifier(config))
        grid = network.outputs[1].shape[1]
        network.compile(
            make_optimizer(config, 100, [], frozen=False), jit_compile=False
        )
        network.optimizer.build(network.trainable_variables)
        step = make_step(
            network,
            keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum"),
            WeightAverage(network, 0.99),
            batch_size=batch,
            augment=make_augment(config.augmentation, size=size, grid=grid),
            xla=xla,
        )
    many, data = make_steps(step), tf.data.Dataset.from_tensors(values).repeat()
    iterator = iter(data)

    def run(count: int) -> Any:
        with scope():
            return many(iterator, count)

    return step, values, run


def placement(place: Place) -> str:
    """Every operation of a step, with its augmentation, by the device it ran on."""
    import tensorflow as tf

    step, values, _ = prepared_step(place, "mixed_bfloat16", BATCHES[0])
    traced = tf.function(step)
    folder = place.folder / "trace"
    with tf.summary.create_file_writer(str(folder)).as_default():
        tf.summary.trace_on(graph=True)
        traced(*values)
        tf.summary.trace_export("step", step=0)
    floats = {tf.float32.as_datatype_enum, tf.bfloat16.as_datatype_enum}
    total, elsewhere = 0, set()
    for node in placed_nodes(folder):
        total += 1
        types = {v.type for v in node.attr.values() if v.WhichOneof("value") == "type"}
        carries = node.op.lstrip("_") in CARRIERS
        if "CPU" in node.device and types & floats and not carries:
            elsewhere.add(node.op)
    if not total:
        raise RuntimeError("TensorFlow named the device of no operation")
    if elsewhere and not place.cpu:
        raise RuntimeError(f"left to the processor: {', '.join(sorted(elsewhere))}")
    where = "the processor" if place.cpu else "the GPU, all that compute in floats"
    return f"{total} operations, on {where}"


CARRIERS = {"Arg", "Retval", "Recv", "Send", "HostRecv", "HostSend", "Const"}
CARRIERS |= {"Identity", "IdentityN", "NoOp", "Placeholder", "PartitionedCall"}
CARRIERS |= {"StatefulPartitionedCall", "ReadVariableOp", "VarHandleOp"}


def placed_nodes(folder: Path) -> Iterator[Any]:
    """The nodes of the graphs that ran, as `tf.summary.trace_export` wrote them."""
    import tensorflow as tf

    for path in folder.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                for text in value.tensor.string_val:
                    metadata = tf.compat.v1.RunMetadata()
                    metadata.ParseFromString(text)
                    for function in metadata.function_graphs:
                        for graph in function.partition_graphs:
                            yield from graph.node


def bare_step(policy: str, *, xla: bool = False) -> Check:
    def check(place: Place) -> str:
        figures = []
        batches = BATCHES[:1] if place.cpu else BATCHES
        for batch in batches[-1:] if xla else batches:  # XLA takes long to compile.
            run = prepared_step(place, policy, batch, xla=xla)[-1]
            steps = 2 if place.cpu else TIMED_STEPS
            losses = run(1 if place.cpu else WARM_UP).losses
            start = time.perf_counter()
            run(steps)
            pace = batch * steps / (time.perf_counter() - start)
            if not all(loss == loss for loss in losses):
                raise RuntimeError("the loss is no number")
            figures.append(f"{pace:.0f} images/s at batch {batch}")
        return ", ".join(figures)

    return check


def shared(place: Place) -> str:
    import numpy as np
    import tensorflow as tf

    kind = "CPU" if place.cpu else "GPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        raise UncheckedError("there is one GPU")
    alone = prepared_step(place, "float32", 64)[-1](1)
    both = prepared_step(place, "float32", 64, devices=devices[:2])[-1]
    # Before the first update the logits are 0, whatever each has drawn.
    np.testing.assert_allclose(alone.losses, both(1).losses, atol=1e-5)
    start = time.perf_counter()
    steps = 2 if place.cpu else TIMED_STEPS
    if not np.isfinite(both(steps).losses).all():
        raise RuntimeError("the loss is no number")
    return f"{64 * steps / (time.perf_counter() - start):.0f} images/s at batch 64"


def fit(name: str, *more: str) -> Check:
    def check(place: Place) -> str:
        place.command(*place.fit_arguments(name, *more))
        return place.pace(name)

    return check


def predict(place: Place) -> str:
    run = str(place.runs / "float32")
    place.command("predict", run, "--manifest", str(place.manifest))
    path = place.runs / "float32/predictions-phantoms.csv"
    return f"{len(path.read_text().splitlines()) - 1} images"


def explain(place: Place) -> str:
    methods = ["--method", "gradcam", "--method", "smoothgrad"]
    run = str(place.runs / "float32")
    place.command("explain", run, "--role", "val", "--limit", "2", *methods)
    pictures = len(list((place.runs / "float32/heatmaps").rglob("*.png")))
    return f"{pictures} pictures"


def export(place: Place) -> str:
    models = str(place.folder / "models")
    place.command("export", str(place.runs / "float32"), "--models-dir", models)
    return "SavedModel written"


def answers(place: Place) -> Any:
    """What the SavedModel says of some images, on the device of this process."""
    import numpy as np
    import tensorflow as tf

    (path,) = (place.folder / "models").glob("*/[0-9]*")
    model = tf.saved_model.load(str(path))
    files = sorted((place.folder / "phantoms/images").glob("*.png"))[:8]
    images = tf.constant([file.read_bytes() for file in files])
    signature = model.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    outputs = signature(**{name: images})
    return np.asarray(outputs["probability"], "float64").ravel()


def answers_here(place: Place) -> str:
    values = answers(place)
    (place.folder / "answers.json").write_text(json.dumps(values.tolist()))
    return f"{len(values)} answers"


def answers_of_processor(place: Place) -> str:
    expected = json.loads((place.folder / "answers.json").read_text())
    pairs = zip(expected, answers(place), strict=True)
    difference = max(abs(a - b) for a, b in pairs)
    if difference > LIMIT:
        raise RuntimeError(f"P(malignant) differs by {difference:.1e} from the CPU's")
    return f"P(malignant) within {difference:.1e} of the CPU's"


# Checks of one process: those of the first need not repeat, which is asked of a whole
# process, those of the second must; the last sees no GPU.
FREE: dict[str, Check] = {
    "placement of the step": placement,
    "bare step, float32": bare_step("float32"),
    "bare step, bfloat16": bare_step("mixed_bfloat16"),
    "bare step, bfloat16, XLA": bare_step("mixed_bfloat16", xla=True),
    "two GPUs share a batch": shared,
    "fit, XLA": fit("xla", "--set", "train.xla=true"),
}
REPEATING: dict[str, Check] = {
    "fit, float32": fit("float32", *FLOAT32),
    "fit, bfloat16": fit("bfloat16", "--set", "train.precision=mixed_bfloat16"),
    "predict": predict,
    "explain": explain,
    "export": export,
    "SavedModel here": answers_here,
}
PROCESSOR: dict[str, Check] = {"SavedModel, GPU and CPU": answers_of_processor}
ALL = FREE | REPEATING | PROCESSOR
RESUMED = "fit, killed and resumed"


def run_checks(place: Place, names: list[str], report: Path) -> None:
    """In a process of its own: each check, with a line of the report after it."""
    import tensorflow as tf

    from usgland.startup import load_steps

    load_steps("training", verbose=False)  # settles the devices, as commands do
    if place.cpu and names[0] in FREE:
        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
    for name in names:
        start, result = time.monotonic(), PASSED
        try:
            figure = ALL[name](place)
        except UncheckedError as reason:
            figure, result = str(reason), UNCHECKED
        except Exception as error:  # Whatever it is, the other checks go on.
            traceback.print_exc()
            text = " ".join(str(error).split()) or "no message"
            figure, result = f"{type(error).__name__}: {text:.150}", FAILED
        seconds = time.monotonic() - start
        with report.open("a") as file:
            file.write(json.dumps([name, result, figure, round(seconds, 1)]) + "\n")


class Session:
    """The processes of one call, until its time is over."""

    def __init__(self, place: Place):
        # A processor alone is slower, and has no time to keep.
        seconds = 10 * DEADLINE if place.cpu else DEADLINE
        self.place, self.end = place, time.monotonic() + seconds
        self.rows: list[list[Any]] = []

    def left(self) -> float:
        return max(0.0, self.end - time.monotonic())

    def run(self, checks: dict[str, Check], *, hidden: bool = False) -> None:
        """Runs checks in a process, and those that it did not live to see in a next."""
        names = list(checks)
        while names and self.left() > START_UP:
            report = self.place.folder / f"report-{len(self.rows)}.jsonl"
            arguments = ["--child", json.dumps(names), "--report", str(report)]
            process = self.start(
                [*arguments, "--folder", str(self.place.folder)], hidden
            )
            reason = self.wait(process)
            rows = report.read_text().splitlines() if report.exists() else []
            self.rows += map(json.loads, rows)
            names = names[len(rows) :]
            if names:
                self.rows.append([names.pop(0), FAILED, f"its process {reason}", 0.0])
        self.rows += [[name, FAILED, "the time was over", 0.0] for name in names]

    def start(self, arguments: list[str], hidden: bool = False) -> subprocess.Popen:
        cache = str(self.place.folder / "cache")  # nothing remembered, nothing left
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        if hidden or self.place.cpu:
            environment["CUDA_VISIBLE_DEVICES"] = "-1"
        cpu = ["--cpu"] if self.place.cpu else []
        log = (self.place.folder / "log.txt").open("ab")
        command = [sys.executable, __file__, *cpu, *arguments]
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def wait(self, process: subprocess.Popen) -> str:
        try:
            return f"ended with {process.wait(self.left())}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "was stopped: the time was over"

    def kill_and_resume(self) -> None:
        """A `fit` that is killed after its first epoch, and what it is resumed to."""
        start, place = time.monotonic(), self.place
        if self.left() <= START_UP:
            self.rows.append([RESUMED, FAILED, "the time was over", 0.0])
            return
        command = place.fit_arguments("killed", *FLOAT32)
        process = self.start(["--command", json.dumps(command)])
        checkpoint = place.runs / "killed/checkpoint"
        learned = False
        while process.poll() is None and self.left() > 0 and not learned:
            learned = any(checkpoint.glob("epoch-*.npz"))
            time.sleep(0 if learned else 0.01)
        process.kill()
        killed = process.wait() == -signal.SIGKILL and learned
        resume = ["fit", "--resume", "--runs-dir", str(place.runs), "--name", "killed"]
        reason = self.wait(self.start(["--command", json.dumps(resume)]))
        histories = [
            place.runs / name / "history.csv" for name in ("killed", "float32")
        ]
        texts = [path.read_text() if path.exists() else None for path in histories]
        passed = killed and texts[0] is not None and texts[0] == texts[1]
        figure = "the history of the run that was not killed, to the digit"
        if not passed:
            figure = f"other than the run that was not killed; the process {reason}"
        if not killed:
            figure = "it ended, or the time did, before it could be killed"
        seconds = round(time.monotonic() - start, 1)
        result = PASSED if killed and passed else FAILED
        self.rows.append([RESUMED, result, figure, seconds])


def gpu_names() -> list[str]:
    """The GPUs that TensorFlow can use, asked in a process that ends at once."""
    question = (
        "import tensorflow as tf\n"
        "for gpu in tf.config.list_physical_devices('GPU'):\n"
        "    details = tf.config.experimental.get_device_details(gpu)\n"
        "    print('GPU:', details.get('device_name', gpu.name))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"TensorFlow cannot be loaded: {said[-1]}")
    lines = answer.stdout.splitlines()
    return [line.removeprefix("GPU: ") for line in lines if line.startswith("GPU: ")]


def show(rows: list[list[Any]], devices: list[str], seconds: float) -> None:
    print(f"{len(devices)} x {devices[0]}, {seconds:.0f} s\n")
    print("| check | result | seconds | figure |\n|---|---|---|---|")
    for name, result, figure, taken in rows:
        print(f"| {name} | {result} | {taken} | {figure} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="prove the script itself")
    for name in ("--child", "--report", "--folder", "--command"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.command:
        from usgland.cli.main import cli

        cli(json.loads(options.command))
    if options.child:
        place = Place(Path(options.folder), cpu=options.cpu)
        run_checks(place, json.loads(options.child), Path(options.report))
        return 0
    start = time.monotonic()
    devices = ["the processor, which proves nothing about a GPU"]
    if not options.cpu:
        try:
            devices = gpu_names()
        except RuntimeError as error:
            print(f"{error}. `usgland doctor` says what is wrong", file=sys.stderr)
            return 1
    if not devices:
        print("No GPU that TensorFlow can use: nothing was checked. `usgland doctor`")
        return NO_GPU
    with tempfile.TemporaryDirectory() as name:
        from usgland.data.phantom import write_phantoms

        place = Place(Path(name), cpu=options.cpu)
        patients, images = ((6, 6), 24) if options.cpu else ((16, 16), 96)
        write_phantoms(
            place.manifest.parent, patients_per_class=patients, images=images
        )
        session = Session(place)
        session.run(REPEATING)
        session.run(PROCESSOR, hidden=True)
        session.kill_and_resume()
        session.run(FREE)
        show(session.rows, devices, time.monotonic() - start)
        failed = any(result == FAILED for _, result, *_ in session.rows)
        if failed:
            print("\nThe end of what the processes said:\n", file=sys.stderr)
            log = (place.folder / "log.txt").read_text(errors="replace")
            print("\n".join(log.splitlines()[-60:]), file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
