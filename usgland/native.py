"""Keeps known lines of native code from stderr, and nothing else."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def native_lines_hidden(*known: str) -> Iterator[None]:
    """Drops the lines that match a pattern from what a block writes to stderr.

    All others are shown when it ends. Native code writes past every Python setting.

    Args:
        known: Regular expressions, each for the beginning of a line.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
                file.seek(0)
                for line in file:
                    text = line.decode("utf-8", "replace")
                    if not any(re.match(pattern, text) for pattern in known):
                        os.write(2, line)
    finally:
        os.close(kept)


@contextlib.contextmanager
def native_stderr_hidden() -> Iterator[None]:
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
