"""What the server takes in: so many requests, and so many bytes, at one time."""

import asyncio
import contextlib
from collections.abc import Iterator

from starlette.requests import ClientDisconnect, Request

from usgland.serving.interface.status import RequestError
from usgland.serving.server.server_options import ServerOptions

# Bodies that are held at one time, as a multiple of the largest one.
BODIES = 4
# A body that is too large is read and forgotten up to here, so that its sender sees
# the answer and not a broken connection.
DISCARDED_BYTES = 2**30


class Admission:
    """Counts requests and their bytes, and turns away what is too much.

    Nothing waits here: a request is taken at once or refused at once, so that
    memory has a bound and a client learns early that it should try again.

    Args:
        max_requests: Most requests at one time.
        max_bytes: Most bytes of requests at one time.
    """

    def __init__(self, max_requests: int, max_bytes: int):
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.requests = self.bytes = 0

    @contextlib.contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Holds a place for a request of at most `size` bytes.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if there is none.
        """
        if self.requests >= self.max_requests:
            raise RequestError(
                "RESOURCE_EXHAUSTED",
                f"Expected at most {self.max_requests} requests at one time. "
                "Try again later",
            )
        if self.requests and self.bytes + size > self.max_bytes:
            raise RequestError(
                "RESOURCE_EXHAUSTED",
                f"Expected at most {self.max_bytes} bytes of requests at one time. "
                "Try again later",
            )
        self.requests += 1
        self.bytes += size
        try:
            yield
        finally:
            self.requests -= 1
            self.bytes -= size


def declared_size(request: Request) -> int | None:
    """The bytes that the client says it sends; None if it does not say."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) < 16 else None


async def refuse_too_large(request: Request, options: ServerOptions) -> None:
    """Turns a body away that says it is too large.

    Raises:
        RequestError: RESOURCE_EXHAUSTED, with the status 413.
    """
    size = declared_size(request)
    if size is not None and size > options.max_body_bytes:
        await _discard(request, size, options.timeout_seconds)
        raise _too_large(options.max_body_bytes)


async def read_body(request: Request, options: ServerOptions) -> bytes:
    """The whole body.

    Raises:
        RequestError: If it is too large or too slow, or its client has gone.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(options.timeout_seconds):
            async for part in request.stream():
                size += len(part)
                if size > options.max_body_bytes:
                    raise _too_large(options.max_body_bytes)
                parts.append(part)
    except TimeoutError as error:
        raise RequestError(
            "DEADLINE_EXCEEDED", "Expected the whole body in time", 408
        ) from error
    except ClientDisconnect as error:
        raise RequestError("CANCELLED", "The client has gone") from error
    return b"".join(parts)


async def _discard(request: Request, size: int, seconds: float) -> None:
    if size > DISCARDED_BYTES:
        return
    try:
        async with asyncio.timeout(seconds):
            async for _ in request.stream():
                pass
    except (TimeoutError, ClientDisconnect):
        return


def _too_large(limit: int) -> RequestError:
    return RequestError(
        "RESOURCE_EXHAUSTED", f"Expected a body of at most {limit} bytes", 413
    )
