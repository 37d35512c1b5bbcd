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
    """Seeds everything, makes operations deterministic, for the whole process.

    Args:
        seed: Of Python, NumPy and TensorFlow.
        deterministic: Whether two runs give the same digits. Keras does not compile
            with XLA in a process that was asked for this.
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


def list_devices() -> list[str]:
    """Names of the processors that TensorFlow can use."""
    return [
        tf.config.experimental.get_device_details(device).get(
            "device_name", device.device_type
        )
        for device in tf.config.list_physical_devices()
    ]


def describe_environment() -> dict:
    """Versions, devices and the state of the code, for `environment.json`."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "usgland": __version__,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "devices": list_devices(),
        "git_commit": _git_commit(),
        "command": " ".join(sys.argv),
    }


def _git_commit() -> str | None:
    """The commit of the code that runs, or None outside a checkout."""
    folder = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
