"""The connections of REST: never more than this process has descriptors for.

An idle one gives way to a new one, so that who only holds connections keeps nobody out.
"""

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from usgland.serving.server.logs import log

SPARE = 48  # descriptors for files of models and what else a process opens
MOST = 1024  # connections of an interface, however many descriptors there are
FEWEST = 8
HANDSHAKE_SECONDS = 5  # of TLS, and of HTTP/2 in gRPC
SLOW_SECONDS = 1.0  # after which a request that is still on its way may be ended
PAUSE_SECONDS = 0.1  # after the system has refused a connection
# Bytes that are read of a connection before others have their turn: as many as take no
# longer than a few milliseconds. Chunks of one byte are a thousand times dearer.
SMALLEST_PIECE, LARGEST_PIECE = 512, 2**17
TURN_SECONDS = 0.003
# Keys of the ASGI scope's state: ends the connection at once; what its end calls.
ABORT, LOST = "usgland.abort", "usgland.lost"


def most_connections() -> int:
    """How many each of REST and gRPC may have, by what is left to this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST
    free = soft - len(os.listdir("/proc/self/fd")) - SPARE
    return max(FEWEST, min(MOST, free // 2))


class HttpProtocol(H11Protocol):
    """Ends a connection whose request does not come, and lets others have their turn.

    uvicorn waits for the first request, and for the end of its headers, without end;
    and it reads all that has come at once.
    """

    heard = 0.0  # when something last came, in seconds of `time.monotonic`
    piece = 2**12
    held = b""  # what has come and has not been read
    lost = False  # whether its descriptor has been given back

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.when_lost: set[Callable[[], None]] = set()
        own = {ABORT: transport.abort, LOST: self.when_lost}
        self.app_state = {**self.app_state, **own}
        self.heard = time.monotonic()
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost = True
        for tell in list(self.when_lost):
            tell()

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        waits = bool(self.held)
        self.held += data
        if not waits:
            self._read_piece()

    def _read_piece(self) -> None:
        if self.transport.is_closing():
            self.held = b""
            return
        piece, self.held = self.held[: self.piece], self.held[self.piece :]
        start = time.monotonic()
        super().data_received(piece)
        slow = time.monotonic() - start > TURN_SECONDS
        size = self.piece // 4 if slow else self.piece * 2
        self.piece = min(max(size, SMALLEST_PIECE), LARGEST_PIECE)
        if self.held:
            self.loop.call_soon(self._read_piece)

    @property
    def rank(self) -> tuple[int, float] | None:
        """What gives way first is smallest; None for one whose request runs."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or self.transport.is_closing():
            return 0, self.heard
        if cycle.response_complete:
            return 2, self.heard
        is_slow = cycle.more_body or self.flow.write_paused
        if is_slow and time.monotonic() - self.heard > SLOW_SECONDS:
            return 1, self.heard
        return None

    def _look_again(self) -> None:
        cycle = self.cycle
        self.loop.call_later(self.timeout_keep_alive, lambda: self._look(cycle))

    def _look(self, before: object) -> None:
        if self.transport.is_closing():
            # It waits for a client that does not take its answer, if it is still open.
            self.transport.abort()
            return
        if self.cycle is before and (before is None or self.cycle.response_complete):
            self.transport.close()
        else:
            self._look_again()


class Connections:
    """Accepts connections one at a time, as long as there is a place or one is made.

    asyncio takes all that wait at once, and when the system has no descriptor left it
    says so a thousand times.
    """

    def __init__(
        self,
        listening: socket.socket,
        config: uvicorn.Config,
        make: Callable[[], HttpProtocol],
    ):
        self.listening, self.config, self.make = listening, config, make
        self.most = most_connections()
        self.open: dict[socket.socket, tuple[float, HttpProtocol | None]] = {}
        self._tasks: set[asyncio.Task] = set()
        listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self.listening)
            except OSError as error:
                log("warning", "no_connection", reason=error.strerror)
                self._make_room()
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._drop_closed()
            if len(self.open) >= self.most and not self._make_room():
                log("warning", "connection_refused", most=self.most)
                connection.close()
                continue
            self.open[connection] = time.monotonic(), None
            task = asyncio.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        seconds = None if self.config.ssl is None else HANDSHAKE_SECONDS
        try:
            _, protocol = await loop.connect_accepted_socket(
                self.make,
                connection,
                ssl=self.config.ssl,
                ssl_handshake_timeout=seconds,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            self.open.pop(connection, None)
            connection.close()
        else:
            self.open[connection] = time.monotonic(), protocol

    def _drop_closed(self) -> None:
        for connection, (_, protocol) in list(self.open.items()):
            if connection.fileno() < 0 or (protocol and protocol.lost):
                del self.open[connection]

    def _make_room(self) -> bool:
        """Ends what has been idle for longest, and tells whether anything was."""
        ranks = {}
        for connection, (since, protocol) in self.open.items():
            rank = (0, since) if protocol is None else protocol.rank
            if rank is not None:
                ranks[connection] = rank
        if not ranks:
            return False
        connection = min(ranks, key=lambda key: ranks[key])
        _, protocol = self.open.pop(connection)
        log("warning", "idle_connection_closed", most=self.most)
        if protocol is None:  # Its handshake fails, and closes it.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        else:
            protocol.transport.abort()
        return True

    def close(self) -> None:
        """Takes no new ones."""
        self._accepting.cancel()

    async def wait_closed(self) -> None:
        """Waits for the end of the acceptance."""
        await asyncio.gather(self._accepting, return_exceptions=True)


class HttpServer(uvicorn.Server):
    """Leaves the signals to us, as gRPC must drain as well, and the connections."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()

        def make() -> HttpProtocol:
            return HttpProtocol(self.config, self.server_state, self.lifespan.state)

        taken: list[Any] = []
        for listening in sockets or []:
            taken.append(Connections(listening, self.config, make))
        self.servers = taken
        self.started = True
