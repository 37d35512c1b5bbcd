"""Reads the body of an HTTP request within the server's limits."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from usgland.serving.interface.status import RequestError
from usgland.serving.server.limits import ServerOptions

# A body that is too large is read and forgotten up to here, so that its sender sees
# the answer and not a broken connection.
DISCARDED_BYTES = 2**30


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
