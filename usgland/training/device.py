"""What one process must settle before it computes: devices, seeds, number formats."""

import contextlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import keras
import tensorflow as tf

from usgland import __version__, machine, nvidia
from usgland.config import Config
from usgland.errors import UserError

Computed = TypeVar("Computed")
PACKAGES = ("tensorflow", "keras", "keras-cv", "numpy", "pandas")
ROOM_ADVICE = (
    "End other programs that use it; of a GPU, `nvidia-smi` lists them, and with "
    "CUDA_VISIBLE_DEVICES=-1 before the command the processor does the work"
)

_settled_in_process = {"repeats": False}  # TensorFlow has no public way to ask.


def prepare_devices(seed: int, *, deterministic: bool = True) -> None:
    """Seeds Python, NumPy and TensorFlow, for the whole process.

    Two runs give the same digits if `deterministic`; Keras does not compile with XLA in
    a process that was asked for this. It is so for the rest of the process:
    TensorFlow has no way back.
    """
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
        _settled_in_process["repeats"] = True


def must_repeat() -> bool:
    """Whether this process was asked for operations that give the same digits twice."""
    return _settled_in_process["repeats"]


def open_devices() -> None:
    """Lets other programs have what a GPU's memory is not used for; float32 is float32.

    Since Ampere, a GPU rounds what it multiplies to TF32, with three digits, unless it
    is told not to. Who wants speed has bfloat16 on the same cards, by
    `train.precision`; what is said to be float32 agrees with a processor.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # This process uses it already.
            tf.config.experimental.set_memory_growth(gpu, True)


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers built in this block compute with the Keras dtype policy `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def taken_precision(config: Config) -> str:
    """The Keras dtype policy that a run computes with: `train.precision`, settled.

    `auto` is bfloat16 where the hardware has it, and float32 elsewhere and for the
    form alone, whose network is too small to gain by it.
    """
    if config.train.precision != "auto":
        return config.train.precision
    if config.model.inputs == "clinical":
        return "float32"
    details = tf.config.experimental.get_device_details
    capabilities = [
        details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.get_visible_devices("GPU")
    ]
    return machine.automatic_precision(machine.has_bfloat16(), capabilities)


def settle_precision(config: Config) -> Config:
    """The settings of a new run, which keeps its precision wherever it is resumed."""
    train = config.train.model_copy(update={"precision": taken_precision(config)})
    return config.model_copy(update={"train": train})


def show_device(say: Callable[[str], object], policy: str = "float32") -> None:
    """Says what a command computes on, and warns of an NVIDIA card that lies idle.

    Args:
        say: Shows the first line of the command.
        policy: Keras dtype policy of what is computed.
    """
    say(describe_device(policy))
    warning = idle_warning()
    if warning is not None:
        print(f"Warning: {warning}", file=sys.stderr)


def describe_device(policy: str) -> str:
    """One line, e.g. `1 x NVIDIA H200, float32` or `CPU, 2 cores, bfloat16`.

    Of several GPUs the first computes; `fit` has a line more where they share batches.
    """
    gpus = tf.config.get_visible_devices("GPU")
    numbers = policy.removeprefix("mixed_")
    if gpus:
        details = tf.config.experimental.get_device_details
        name = details(gpus[0]).get("device_name", "GPU")
        of_several = f" (of {len(gpus)} GPUs)" if len(gpus) > 1 else ""
        return f"1 x {name}{of_several}, {numbers}"
    if policy == "mixed_bfloat16" and not machine.has_bfloat16():
        numbers += ", which this processor imitates slowly"
    cores = machine.usable_cores()
    return f"CPU, {cores} core{'' if cores == 1 else 's'}, {numbers}"


def idle_warning() -> str | None:
    """Why an NVIDIA card of this machine is not used, in one line; None if none is.

    `CUDA_VISIBLE_DEVICES=-1` is what `ROOM_ADVICE` names: it needs no warning.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == "-1"
    if hidden or tf.config.list_physical_devices("GPU"):
        return None
    build = tf.sysconfig.get_build_info()
    cuda = build.get("cuda_version") if build.get("is_cuda_build") else None
    brought = nvidia.Build(cuda, nvidia.missing_cuda_packages())
    return nvidia.idle_reason(nvidia.read_cards(), brought, nvidia.install_command())


def report_tensorflow() -> dict:
    """What `usgland doctor` tells of TensorFlow: facts by name, a warning or None."""
    build = tf.sysconfig.get_build_info()
    cuda = f"built for CUDA {build['cuda_version']}" if "cuda_version" in build else ""
    facts = {
        "computes on": describe_device(taken_precision(Config())),
        "TensorFlow": f"{tf.__version__}, {cuda or 'built without CUDA'}",
        "Keras": f"{keras.__version__}, backend {keras.backend.backend()}",
    }
    return {"facts": facts, "warning": idle_warning()}


@contextlib.contextmanager
def memory_errors_told(advise: Callable[[], str] | None = None) -> Iterator[None]:
    """Makes one line of the error of a device whose memory is full.

    Args:
        advise: Gives what to do, without a full stop; None: to make room.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not is_out_of_memory(error):
            raise
        where = "GPU" if tf.config.get_visible_devices("GPU") else "machine"
        tensor = re.search(r"tensor with (shape ?\[[^]]*\])", str(error))
        what = f"room for a tensor of {tensor[1]}" if tensor else "room for a tensor"
        raise UserError(
            f"Expected {what} in the memory of the {where}. Received: it is full. "
            f"{ROOM_ADVICE if advise is None else advise()}"
        ) from error


def in_smaller_batches(
    compute: Callable[[int], Computed], batch: int
) -> tuple[Computed, int]:
    """Computes by batches of this size, or of the first half that memory is left for.

    Returns:
        What `compute` gives for a batch size, and that size.
    """
    while True:
        try:
            return compute(batch), batch
        except tf.errors.OpError as error:
            if batch == 1 or not is_out_of_memory(error):
                raise
        batch //= 2


def is_out_of_memory(error: tf.errors.OpError) -> bool:
    """Whether an allocation failed; cuDNN, cuBLAS and the driver have other words."""
    told = str(error).upper()
    return isinstance(error, tf.errors.ResourceExhaustedError) or any(
        words in told for words in ("OUT_OF_MEMORY", "OUT OF MEMORY", "ALLOC_FAILED")
    )


def batch_advice(batch_size: int, checkpoint: Path, *, devices: int = 1) -> str:
    """What to do when the memory is full while training with this batch size.

    A batch stays a multiple of the devices that share it.
    """
    half = batch_size // 2 // devices * devices
    smaller = f"--set train.batch_size={half}"
    if half == 0:
        smaller = "a smaller preprocessing.image_size or model.backbone"
    if not any(checkpoint.glob("*")):
        return f"Repeat the command with {smaller}"
    return (
        "The epochs before are kept: end other programs that use the memory, then add "
        f"--resume; or start a new run with {smaller}"
    )


def describe_environment(policy: str) -> dict:
    """Versions, devices and the state of the code, for `environment.json`."""
    details, devices = tf.config.experimental.get_device_details, []
    for device in tf.config.list_physical_devices():
        devices.append(details(device).get("device_name", device.device_type))
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "usgland": __version__,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "devices": devices,
        "precision": policy,
        "git_commit": machine.git_commit(),
        "command": " ".join(sys.argv),
    }
