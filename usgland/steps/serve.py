"""`serve`: the real TensorFlow Serving if it is here, else the built-in server."""

import asyncio
from collections.abc import Callable

from usgland.errors import UserError
from usgland.serving.server.builtin_server import run_server, stop_on_signals
from usgland.serving.server.logs import start_logging
from usgland.serving.server.server_options import ServerOptions
from usgland.serving.server.tf_serving import choose_server, run_tf_serving
from usgland.training.device import show_device


def _check_options(options: ServerOptions) -> None:
    for name in ("rest_port", "grpc_port"):
        if not 0 <= getattr(options, name) < 65536:
            raise UserError(
                f"--{name.replace('_', '-')}: expected a number from 0 to 65535. "
                f"Received: {getattr(options, name)}"
            )
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise UserError("--tls-cert and --tls-key: expected both. Received: one")


def serve(
    options: ServerOptions, echo: Callable[[str], None], *, builtin: bool
) -> None:
    """Serves until it is told to stop; TensorFlow Serving, unless `builtin` is asked.

    `echo` shows a line to whoever started it.
    """
    _check_options(options)
    choice = None if builtin else choose_server(options)
    if choice is None or not choice.server:
        show_device(echo)  # TensorFlow Serving computes in a process of its own.
    if choice is None:
        echo("Built-in server, as asked")
    else:
        echo(choice.reason)
        if choice.server:
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

    asyncio.run(main())
