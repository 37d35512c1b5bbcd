"""Loads what is slow and talkative, late and in silence."""

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import click

from usgland.native import native_stderr_hidden


def load_steps(name: str, verbose: bool) -> ModuleType:
    """Imports `usgland.steps.<name>`, and with it TensorFlow, without its messages."""
    if not verbose:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        os.environ["TF_CPP_MAX_VLOG_LEVEL"] = "-1"
        # Its Python side warns of graphs that are traced more than once.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with contextlib.nullcontext() if verbose else native_stderr_hidden():
        steps = importlib.import_module(f"usgland.steps.{name}")
        from usgland.training.device import open_devices

        open_devices()  # The first look at the devices talks most.
    return steps


@contextlib.contextmanager
def computing(policy: str = "float32") -> Iterator[None]:
    """Around what a command computes: what it does so on, and a memory that is full.

    Args:
        policy: Keras dtype policy of what is computed.
    """
    from usgland.training.device import memory_errors_told, show_device

    show_device(click.echo, policy)
    with memory_errors_told():
        yield


def make_console() -> Any:
    """A terminal for progress and tables."""
    from rich.console import Console  # Slow, and `--help` does without.

    return Console()
