"""What stands at an address over HTTP: the port, the protocol, the wish to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from usgland.errors import UserError
from usgland.serving.server.connections import HttpProtocol
from usgland.serving.server.server_options import ServerOptions

KEEP_ALIVE_SECONDS = 75  # of an idle connection, or one whose headers do not end
BACKLOG = 128  # connections that wait to be accepted
HEADER_BYTES = 32768  # of a request's line and headers


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@contextlib.contextmanager
def listen(options: ServerOptions) -> Iterator[socket.socket]:
    """The port of REST, taken first: a second server fails before it loads models.

    Raises:
        UserError: If it cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listening = socket.create_server(
            (options.host, options.rest_port), family=family, backlog=BACKLOG
        )
        # asyncio leaves it out on such a socket, and each answer waits 40 ms for an
        # acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"Expected to listen on {options.host} port {options.rest_port}. Received: "
            f"{reason}. Choose another port or --host"
        ) from error
    with listening:
        yield listening


def http_config(app: Starlette, options: ServerOptions) -> uvicorn.Config:
    """How an application is served over HTTP.

    Raises:
        UserError: If the files of TLS cannot be used.
    """
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(options.timeout_seconds) + 1,
        h11_max_incomplete_event_size=HEADER_BYTES,
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise UserError(
            "--tls-cert, --tls-key: expected a certificate and its key as PEM files. "
            f"Received: {options.tls_certificate}, {options.tls_key} ({error})"
        ) from error
    return config
