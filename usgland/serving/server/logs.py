"""The server's log: one JSON object a line, and nothing of a patient in it.

Requests are logged by model, code, size and time: no bytes, no values, no names of
files, no path, no address. Of an unexpected error its type and place are logged, but
not its message, which may quote a value.
"""

import json
import logging
import sys
import time
import traceback
from typing import Any

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
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["where"] = [
                f"{frame.filename}:{frame.lineno}" for frame in frames[-8:]
            ]
        return json.dumps(line)


def start_logging() -> None:
    """Sends this package's lines, and the warnings of others, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(logging.INFO)
    for name in ("tensorflow", "absl", "uvicorn", "uvicorn.error", "grpc"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.ERROR)
