"""What a request can end with: the codes of gRPC, and what HTTP calls them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # A page is served without either.
    import grpc
    import tensorflow as tf

# Code -> HTTP status, as TensorFlow Serving translates them (its http_server.cc).
HTTP_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}
LONGEST_MESSAGE = 1000  # characters of a message that TensorFlow wrote


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        code: A key of `HTTP_STATUS`.
        message: What was expected and what came, without a value of the request:
            it is sent back, and may be logged on the way.
        http_status: Only where HTTP knows better than the table, e.g. 413.
    """

    def __init__(self, code: str, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code = code
        # JSON can name half a character ("\ud800"), which no answer can repeat.
        self.message = message.encode("utf-8", "replace").decode("utf-8")
        self.http_status = http_status or HTTP_STATUS[code]

    @property
    def grpc_status(self) -> grpc.StatusCode:
        import grpc

        return grpc.StatusCode[self.code]


def invalid(message: str) -> RequestError:
    """The error of a request that its sender can mend."""
    return RequestError("INVALID_ARGUMENT", message)


def from_tensorflow(error: tf.errors.OpError) -> RequestError:
    """Passes an error of the graph on, without its names of nodes and files."""
    import grpc

    names = {status.value[0]: status.name for status in grpc.StatusCode}
    return RequestError(names.get(error.error_code, "UNKNOWN"), readable(error))


def readable(error: tf.errors.OpError) -> str:
    """The sentence in TensorFlow's message: no nodes, no stack, one line."""
    text = (error.message or type(error).__name__).split("Original stack trace")[0]
    text = text.split("Detected at node")[0].removeprefix("Graph execution error:")
    text = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]", "", text)
    return " ".join(text.split())[:LONGEST_MESSAGE] or type(error).__name__
