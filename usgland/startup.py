"""Loads what is slow and talkative, late and in silence."""

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def load_steps(name: str, verbose: bool) -> ModuleType:
    """Imports `usgland.steps.<name>`, and with it TensorFlow, without its messages."""
    if not verbose:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        os.environ["TF_CPP_MAX_VLOG_LEVEL"] = "-1"
        # Its Python side, which warns of graphs that are traced more than once.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with contextlib.nullcontext() if verbose else _native_stderr_hidden():
        steps = importlib.import_module(f"usgland.steps.{name}")
        from usgland.training.device import allow_memory_growth

        allow_memory_growth()  # The first look at the devices talks most.
    return steps


def make_console() -> Any:
    """A terminal for progress and tables."""
    from rich.console import Console  # Slow, and `--help` does without.

    return Console()


@contextlib.contextmanager
def _native_stderr_hidden() -> Iterator[None]:
    """Keeps what native code writes to stderr, and shows it only after a failure.

    TensorFlow's C++ logs before any setting can reach it.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            file.seek(0)
            os.write(2, file.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
