"""Holds back what native code writes to stderr, past every setting of Python."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator


def native_stderr_hidden() -> contextlib.AbstractContextManager[None]:
    """Shows nothing of what a block writes to stderr, unless it fails.

    TensorFlow's C++ logs before any setting can reach it.
    """
    return _stderr_held(lambda line, failed: failed)


def native_lines_hidden(*known: str) -> contextlib.AbstractContextManager[None]:
    """Shows what a block writes to stderr when it ends, but for the lines known.

    Args:
        known: Regular expressions, each for the beginning of a line.
    """

    def is_unknown(line: bytes, failed: bool) -> bool:
        text = line.decode("utf-8", "replace")
        return not any(re.match(pattern, text) for pattern in known)

    return _stderr_held(is_unknown)


@contextlib.contextmanager
def _stderr_held(shown: Callable[[bytes, bool], bool]) -> Iterator[None]:
    """Holds back what a block writes to stderr, until it ends.

    Args:
        shown: Whether a line is shown then, by the line and whether the block failed.
    """
    sys.stderr.flush()
    stderr, failed = os.dup(2), True
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield
                failed = False
            finally:
                sys.stderr.flush()
                os.dup2(stderr, 2)
                file.seek(0)
                for line in file:
                    if shown(line, failed):
                        os.write(2, line)
    finally:
        os.close(stderr)
