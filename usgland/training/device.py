"""What one process must settle before it trains: seeds, devices, number formats."""

import contextlib
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from usgland import __version__

PACKAGES = ("tensorflow", "keras", "keras-cv", "numpy", "pandas")


def prepare_devices(seed: int, *, deterministic: bool = True) -> None:
    """Seeds Python, NumPy and TensorFlow, for the whole process.

    Two runs give the same digits if `deterministic`; Keras does not compile with XLA in
    a process that was asked for this.
    """
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def allow_memory_growth() -> None:
    """Lets other programs have what a GPU's memory is not used for."""
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


def describe_environment() -> dict:
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
        "git_commit": _git_commit(),
        "command": " ".join(sys.argv),
    }


def _git_commit() -> str | None:
    """The commit of the code that runs, or None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    folder, silent = Path(__file__).parent, subprocess.DEVNULL
    try:
        answer = subprocess.check_output(command, cwd=folder, stderr=silent, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.strip()
