"""The server's log: one JSON object a line, and nothing of a patient in it.

Requests are logged by model, code, size and time: no bytes, no values, no names of
files, no path, no address. Of an unexpected error its type and place are logged, but
not its message, which may quote a value.
"""

import contextlib
import faulthandler
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

REPEAT_SECONDS = 1.0  # for which a line is not repeated
MOST_REMEMBERED = 1000  # lines, for that
LOGGER = logging.getLogger("usgland.serving")
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def log(level: str, event: str, **fields: object) -> None:
    """Writes one line: what happened, as one word, and facts of no patient."""
    LOGGER.log(LEVELS[level], event, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """One JSON object a record; of foreign records only where they come from."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
        }
        if record.name == LOGGER.name:
            line["event"] = record.msg
            line.update(getattr(record, "fields", {}))
        else:
            line["event"] = "library"
            line["library"] = record.name
        if repeated := getattr(record, "repeated", 0):
            line["repeated"] = repeated
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["where"] = [
                f"{frame.filename}:{frame.lineno}" for frame in frames[-8:]
            ]
        return json.dumps(line)


class OncePerSecond(logging.Filter):
    """Of lines that say the same one a second passes, with the number of the others.

    Those of requests all pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[
            tuple, list[float]
        ] = {}  # when it passed, and how many did not

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        fields = getattr(record, "fields", {})
        named = sorted((key, str(value)) for key, value in fields.items())
        key = (record.name, record.msg, record.lineno, *named)
        last = self._last.get(key)
        if last is not None and record.created - last[0] < REPEAT_SECONDS:
            last[1] += 1
            return False
        if last is not None and last[1]:
            record.repeated = int(last[1])
        if len(self._last) >= MOST_REMEMBERED:
            self._last.clear()
        self._last[key] = [record.created, 0]
        return True


@contextlib.contextmanager
def native_lines_logged() -> Iterator[None]:
    """Logs that native code wrote to stderr, past Python, while the block runs.

    libjpeg tells there of damaged files, in lines that are no JSON. Their words are not
    logged: nobody knows what they hold. The lines of this log pass by.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
    ]
    with os.fdopen(os.dup(stderr), "w", buffering=1, encoding="utf-8") as own:
        for handler in handlers:
            handler.setStream(own)
        # What a crash says must not wait for anyone who reads it.
        own_faults = not faulthandler.is_enabled()
        if own_faults:
            faulthandler.enable(own)
        thread = threading.Thread(target=_read_lines, args=(reading,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)  # The last end of the pipe that writes: the thread ends.
            thread.join(5)
            if own_faults:
                faulthandler.disable()
            for handler in handlers:
                handler.setStream(sys.stderr)
            os.close(stderr)


def _read_lines(reading: int) -> None:
    with os.fdopen(reading, "rb", buffering=0) as file:
        while text := file.read(65536):
            library = "libjpeg" if b"JPEG" in text else "native"
            LOGGER.warning("library", extra={"fields": {"library": library}})


def start_logging() -> None:
    """Sends this package's lines, and the warnings of others, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(OncePerSecond())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(logging.INFO)
    for name in ("tensorflow", "absl", "uvicorn", "uvicorn.error", "grpc"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.ERROR)
