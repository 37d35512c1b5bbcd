"""What the server takes in: so many requests, and so many bytes, at one time."""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator

from starlette.requests import ClientDisconnect, Request

from usgland.serving.interface.status import RequestError
from usgland.serving.server.server_options import ServerOptions

# Bodies that are held at one time, as a multiple of the largest one.
BODIES = 4
# A body that is too large is read and forgotten up to here, so that its sender sees
# the answer and not a broken connection.
DISCARDED_BYTES = 2**30
# Messages of gRPC that are read at one time: how long one is, is known once it is here.
MESSAGES = 3
SMALL_MESSAGE = 2**18  # bytes; the last place is for clients whose last was not larger
UNKNOWN_MESSAGE = 2**20  # bytes that are expected of a client that has sent none
PATIENCE = 10.0  # seconds for which a message may hold its place while another waits
SHORTEST_PATIENCE = 2.0  # while many do
LOOK = 0.1  # seconds after which who waits looks who has held one for too long
CLIENTS = 1000  # whose last message is remembered


class Admission:
    """Counts requests and their bytes, and turns away what is too much.

    Nothing waits here: a request is taken at once or refused at once, so that
    memory has a bound and a client learns early that it should try again. A body
    holds no place until it has come, and of bodies on their way the largest gives way.
    """

    def __init__(self, max_requests: int, max_bytes: int):
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.requests = self.bytes = 0
        self.readings: set[Reading] = set()

    @contextlib.contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Holds a place for a request of `size` bytes.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if there is none.
        """
        if self.requests >= self.max_requests:
            raise _full(f"{self.max_requests} requests")
        while self.requests and self.bytes + size > self.max_bytes:
            self._end_largest(size)
        self.requests += 1
        self.bytes += size
        try:
            yield
        finally:
            self.requests -= 1
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
            raise _full(f"{self.max_bytes} bytes of requests")
        largest.end()


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
            raise _full(f"{self.admission.max_bytes} bytes of requests")

    def end(self) -> None:
        """Forgets what has come, and ends the wait for more."""
        self.ended = True
        self.close()
        _end_now(self.limit)

    def close(self) -> None:
        """Gives its bytes back."""
        self.admission.readings.discard(self)
        self.admission.bytes -= self.size
        self.size = 0
        self.parts = []


def _end_now(limit: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # It is ending already.
        limit.reschedule(asyncio.get_running_loop().time())


def _full(limit: str) -> RequestError:
    return RequestError(
        "RESOURCE_EXHAUSTED",
        f"Expected at most {limit} at one time. Try again later",
    )


def declared_size(request: Request) -> int | None:
    """The bytes that the client says it sends; None if it does not say."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) < 16 else None


@contextlib.asynccontextmanager
async def admitted_body(
    request: Request, admission: Admission, options: ServerOptions
) -> AsyncIterator[bytes]:
    """The whole body, which has a place, once it has come, until the block ends.

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
    with admission.admit(len(body)):
        yield body


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
            raise _full(limit_text) from error
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


class Messages:
    """Places for messages of gRPC while they are read.

    gRPC tells the length of a message only with the whole of it, so any may be as large
    as the largest. Who has sent small ones comes first, and a message that does not
    come loses its place to those that wait.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.readings: dict[
            asyncio.Timeout, float
        ] = {}  # since when each holds a place
        self._last: OrderedDict[str, int] = OrderedDict()
        self._waiting: list[tuple[int, int, asyncio.Future]] = []
        self._order = itertools.count()

    @contextlib.asynccontextmanager
    async def place(self, client: str, seconds: float) -> AsyncIterator[None]:
        """Holds a place while the block reads a message of a client.

        Raises:
            RequestError: DEADLINE_EXCEEDED if it does not come in time.
        """
        turn = asyncio.get_running_loop().create_future()
        expected = self._last.get(client, UNKNOWN_MESSAGE)
        heapq.heappush(self._waiting, (expected, next(self._order), turn))
        self._give()
        limit = None
        try:
            async with asyncio.timeout(seconds) as limit:
                while not turn.done():
                    await asyncio.wait({turn}, timeout=LOOK)
                    if not turn.done():
                        self._end_oldest()
                self.readings[limit] = time.monotonic()
                yield
        except TimeoutError as error:
            raise RequestError(
                "DEADLINE_EXCEEDED", "Expected the whole message in time"
            ) from error
        finally:
            if limit is not None:
                self.readings.pop(limit, None)
            self.taken -= not turn.cancel()  # What has been given is given back.
            self._give()

    def note(self, client: str, size: int) -> None:
        """Remembers how long a client's message was."""
        self._last[client] = size
        self._last.move_to_end(client)
        if len(self._last) > CLIENTS:
            self._last.popitem(last=False)

    def _give(self) -> None:
        """Gives free places away, the last one only for a small message."""
        while self._waiting:
            expected, _, turn = self._waiting[0]
            if not turn.done():
                if self.taken >= MESSAGES - (expected > SMALL_MESSAGE):
                    return
                self.taken += 1
                turn.set_result(None)
            heapq.heappop(self._waiting)

    def _end_oldest(self) -> None:
        if not self.readings:
            return
        oldest = min(self.readings, key=lambda limit: self.readings[limit])
        patience = max(PATIENCE / (len(self._waiting) or 1), SHORTEST_PATIENCE)
        if time.monotonic() - self.readings[oldest] >= patience:
            del self.readings[oldest]
            _end_now(oldest)
