"""`serve`: the real TensorFlow Serving if it is here, else the built-in server."""

import asyncio
from collections.abc import Callable

from usgland.errors import UserError
from usgland.serving.server.builtin_server import run_server
from usgland.serving.server.listening import stop_on_signals
from usgland.serving.server.logs import native_lines_logged, start_logging
from usgland.serving.server.server_options import (
    ServerOptions,
    check_tls,
    listens_beyond,
)
from usgland.serving.server.tf_serving import choose_server, run_tf_serving
from usgland.serving.server.tokens import is_exposed
from usgland.training.device import show_device

NOT_PASSED_ON = (
    "TensorFlow Serving has limits of its own, but for --timeout of REST: --max-body, "
    "--max-requests, --max-rows and --max-batch are for the built-in server, and for "
    "the page's address"
)


def _check_options(options: ServerOptions) -> None:
    for name in ("rest_port", "grpc_port"):
        if not 0 <= getattr(options, name) < 65536:
            raise UserError(
                f"--{name.replace('_', '-')}: expected a number from 0 to 65535. "
                f"Received: {getattr(options, name)}"
            )
    check_tls(options)


def _warn(options: ServerOptions, echo: Callable[[str], None]) -> None:
    """Tells in a line each what its user may not have meant."""
    missing = [
        name
        for name, present in (
            ("--token-file", options.has_token),
            ("--tls-cert", options.tls_certificate is not None),
        )
        if not present
    ]
    if missing and listens_beyond(options.host):
        echo(
            f"Warning: --host {options.host} without {' and '.join(missing)}: other "
            "machines can ask, or read what is asked"
        )
    file = options.token_file
    if file is not None and file.exists() and is_exposed(file):
        echo(f"Warning: others on this machine may read {file}: chmod 600 {file}")


def serve(
    options: ServerOptions, echo: Callable[[str], None], *, builtin: bool
) -> None:
    """Serves until it is told to stop; TensorFlow Serving, unless `builtin` is asked.

    `echo` shows a line to whoever started it.
    """
    _check_options(options)
    _warn(options, echo)
    choice = None if builtin else choose_server(options)
    if choice is None or not choice.server:
        show_device(echo)  # TensorFlow Serving computes in a process of its own.
    if choice is None:
        echo("Built-in server, as asked")
    else:
        echo(choice.reason)
        if choice.server:
            echo(NOT_PASSED_ON)
            status = run_tf_serving(choice, options, echo)
            if status > 0:
                raise UserError(
                    f"TensorFlow Serving ended with status {status}; its messages "
                    "stand above. --builtin starts the server of this package"
                )
            return
    start_logging()

    def started(rest_port: int, grpc_port: int, served: list[str]) -> None:
        host = f"[{options.host}]" if ":" in options.host else options.host
        if options.page:
            echo(f"Page  {options.url(rest_port)}")
        echo(f"REST  {options.url(rest_port)}v1/models/NAME")
        echo(f"gRPC  {host}:{grpc_port}")
        echo(f"Serving {', '.join(served) or 'nothing yet: the log says why'}")
        echo("Stop with Ctrl-C")

    async def main() -> None:
        await run_server(options, started, stop_on_signals())

    with native_lines_logged():
        asyncio.run(main())
