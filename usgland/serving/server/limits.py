"""What the server takes in: so many requests, and so many bytes, at one time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

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
        limit = None
        if self.requests >= self.max_requests:
            limit = f"{self.max_requests} requests"
        elif self.requests and self.bytes + size > self.max_bytes:
            limit = f"{self.max_bytes} bytes of requests"
        if limit is not None:
            raise RequestError(
                "RESOURCE_EXHAUSTED",
                f"Expected at most {limit} at one time. Try again later",
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


@contextlib.asynccontextmanager
async def admitted_body(
    request: Request, admission: Admission, options: ServerOptions
) -> AsyncIterator[bytes]:
    """The whole body, which keeps its place until the block ends.

    Raises:
        RequestError: If it is too large or too slow, its client has gone, or there is
            no place.
    """
    size = declared_size(request)
    if size is not None and size > options.max_body_bytes:
        if size <= DISCARDED_BYTES:
            with contextlib.suppress(TimeoutError, ClientDisconnect):
                async with asyncio.timeout(options.timeout_seconds):
                    async for _ in request.stream():
                        pass
        raise _too_large(options)
    with admission.admit(options.max_body_bytes if size is None else size):
        yield await _read_body(request, options)


async def _read_body(request: Request, options: ServerOptions) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(options.timeout_seconds):
            async for part in request.stream():
                size += len(part)
                if size > options.max_body_bytes:
                    raise _too_large(options)
                parts.append(part)
    except TimeoutError as error:
        raise RequestError(
            "DEADLINE_EXCEEDED", "Expected the whole body in time", 408
        ) from error
    except ClientDisconnect as error:
        raise RequestError("CANCELLED", "The client has gone") from error
    return b"".join(parts)


def _too_large(options: ServerOptions) -> RequestError:
    message = f"Expected a body of at most {options.max_body_bytes} bytes"
    return RequestError("RESOURCE_EXHAUSTED", message, 413)
