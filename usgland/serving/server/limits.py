"""What the server takes in: so many requests, and so many bytes, at one time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from usgland.serving.interface.status import RequestError
from usgland.serving.server.connections import ABORT, LOST
from usgland.serving.server.places import (
    Place,
    Places,
    Sender,
    end_now,
    full,
    sender_of,
)
from usgland.serving.server.server_options import ServerOptions

# Bodies that are held at one time, as a multiple of the largest one.
BODIES = 4
# A body that is too large is read and forgotten up to here, so that its sender sees
# the answer and not a broken connection.
DISCARDED_BYTES = 2**30
HELD = "usgland.held"  # key of the ASGI scope
LARGE_ANSWER = 2**16  # bytes; what is shorter needs no place while it is sent


class Admission:
    """Counts requests and their bytes, and turns away what is too much.

    Nothing waits here: a request is taken at once or refused at once, so that
    memory has a bound and a client learns early that it should try again. A body
    holds no place until it has come, and of bodies on their way the largest gives way.
    """

    def __init__(self, max_requests: int, max_bytes: int):
        self.places = Places(max_requests, "requests")
        self.max_bytes = max_bytes
        self.bytes = 0
        self.readings: set[Reading] = set()

    @property
    def requests(self) -> int:
        return len(self.places.held)

    @contextlib.asynccontextmanager
    async def admit(self, size: int, client: Sender) -> AsyncIterator[Place]:
        """Holds a place for a request of `size` bytes.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if there is none.
        """
        while self.requests and self.bytes + size > self.max_bytes:
            self._end_largest(size)
        self.bytes += size
        try:
            async with self.places.hold(client) as place:
                yield place
        finally:
            self.bytes -= size

    def make_room(self, reading: "Reading", size: int) -> None:
        """Lets a body grow, if need be at the cost of the largest on its way.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if it is the largest itself.
        """
        while self.bytes + size > self.max_bytes:
            self._end_largest(reading.size + size, reading)
        self.bytes += size

    def _end_largest(self, size: int, reading: "Reading | None" = None) -> None:
        """Ends the largest body on its way, if another one and larger than `size`."""
        largest = max(self.readings, key=lambda other: other.size, default=None)
        if largest is None or largest is reading or largest.size <= size:
            raise full(f"{self.max_bytes} bytes of requests")
        largest.end()


class Held:
    """What a request holds until its answer has been sent."""

    def __init__(self, stack: contextlib.AsyncExitStack):
        self.stack = stack
        self.place: Place | None = None


class WholeAnswers:
    """An application before another: an answer holds its place until it is taken.

    A client that takes a large one too slowly loses its connection, as memory is held;
    of one that has gone the request ends.
    """

    def __init__(self, app: Any, options: ServerOptions):
        self.app, self.options = app, options

    async def __call__(
        self, scope: dict[str, Any], receive: Callable, send: Callable
    ) -> None:
        """Answers a request of ASGI."""
        started = False

        async def answer(message: dict[str, Any]) -> None:
            nonlocal started
            started = True
            if len(message.get("body", b"")) <= LARGE_ANSWER:
                await send(message)
                return
            if held.place is not None:
                held.place.sending = time.monotonic()
            async with asyncio.timeout(self.options.timeout_seconds):
                await send({**message, "more_body": True})
                # This one waits until nearly all of it has gone.
                await send({**message, "body": b""})

        def gone() -> None:
            if held.place is not None:
                held.place.end(RequestError("CANCELLED", "The client has gone"))

        lost: set[Callable[[], None]] = scope["state"][LOST]
        try:
            async with contextlib.AsyncExitStack() as stack:
                held = scope[HELD] = Held(stack)
                lost.add(gone)
                stack.callback(lost.discard, gone)
                await self.app(scope, receive, answer)
        except (RequestError, TimeoutError) as error:
            if isinstance(error, RequestError) and not started:
                await error_response(error)(scope, receive, send)
                return
            scope["state"][ABORT]()
            await asyncio.sleep(0)  # The connection hears of its end.


def error_response(error: RequestError) -> JSONResponse:
    """The body of an error: `{"error": "..."}`."""
    headers = {"WWW-Authenticate": "Bearer"} if error.http_status == 401 else None
    return JSONResponse({"error": error.message}, error.http_status, headers)


class Reading:
    """A body on its way."""

    def __init__(self, admission: Admission, limit: asyncio.Timeout):
        self.admission, self.limit = admission, limit
        self.parts: list[bytes] = []
        self.size = 0
        self.ended = False
        admission.readings.add(self)

    def add(self, part: bytes) -> None:
        """Takes a part in.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if there is no place for it.
        """
        self.check()
        self.admission.make_room(self, len(part))
        self.size += len(part)
        self.parts.append(part)

    def check(self) -> None:
        """Raises a RequestError where it was ended while its last part came."""
        if self.ended:
            raise full(f"{self.admission.max_bytes} bytes of requests")

    def end(self) -> None:
        """Forgets what has come, and ends the wait for more."""
        self.ended = True
        self.close()
        end_now(self.limit)

    def close(self) -> None:
        """Gives its bytes back."""
        self.admission.readings.discard(self)
        self.admission.bytes -= self.size
        self.size = 0
        self.parts = []


def declared_size(request: Request) -> int | None:
    """The bytes that the client says it sends; None if it does not say."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) < 16 else None


async def admitted_body(
    request: Request, admission: Admission, options: ServerOptions
) -> bytes:
    """The whole body, which has a place, once it has come, until its answer is sent.

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
    body = await _read_body(request, admission, options)
    held: Held = request.scope[HELD]
    place = admission.admit(len(body), sender(request))
    held.place = await held.stack.enter_async_context(place)
    return body


def sender(request: Request) -> Sender:
    """Who sends a request over HTTP."""
    client = request.client
    return Sender() if client is None else sender_of(client.host, client.port)


async def _read_body(
    request: Request, admission: Admission, options: ServerOptions
) -> bytes:
    reading = None
    try:
        async with asyncio.timeout(options.timeout_seconds) as limit:
            reading = Reading(admission, limit)
            async for part in request.stream():
                if reading.size + len(part) > options.max_body_bytes:
                    raise _too_large(options)
                reading.add(part)
            reading.check()
            return b"".join(reading.parts)
    except TimeoutError as error:
        if reading is not None and reading.ended:
            limit_text = f"{admission.max_bytes} bytes of requests"
            raise full(limit_text) from error
        raise RequestError(
            "DEADLINE_EXCEEDED", "Expected the whole body in time", 408
        ) from error
    except ClientDisconnect as error:
        raise RequestError("CANCELLED", "The client has gone") from error
    finally:
        if reading is not None:
            reading.close()


def _too_large(options: ServerOptions) -> RequestError:
    message = f"Expected a body of at most {options.max_body_bytes} bytes"
    return RequestError("RESOURCE_EXHAUSTED", message, 413)
