"""`serve`: the real TensorFlow Serving if it is here, else the built-in server."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

from usgland.errors import UserError
from usgland.serving.interface.versions import parse_keep_versions
from usgland.serving.server.builtin_server import run_server, stop_on_signals
from usgland.serving.server.logs import start_logging
from usgland.serving.server.server_options import ServerOptions, read_token
from usgland.serving.server.tf_serving import choose_server, run_tf_serving

MOST_THREADS = 4  # that run a model: each already uses all cores for its operations


def read_options(flags: Mapping[str, Any]) -> ServerOptions:
    """Makes checked options of those of the command line."""
    for name in ("rest_port", "grpc_port"):
        if not 0 <= flags[name] < 65536:
            raise UserError(
                f"--{name.replace('_', '-')}: expected a number from 0 to 65535. "
                f"Received: {flags[name]}"
            )
    if (flags["tls_cert"] is None) != (flags["tls_key"] is None):
        raise UserError("--tls-cert and --tls-key: expected both. Received: one")
    token_file = flags["token_file"]
    return ServerOptions(
        models_dir=flags["models_dir"],
        model_config_file=flags["model_config_file"],
        host=flags["host"],
        rest_port=flags["rest_port"],
        grpc_port=flags["grpc_port"],
        keep_versions=parse_keep_versions(flags["keep_versions"]),
        poll_seconds=flags["poll"],
        max_body_megabytes=flags["max_body"],
        max_requests=flags["max_requests"],
        timeout_seconds=flags["timeout"],
        max_batch_size=flags["max_batch"],
        batch_window_milliseconds=flags["batch_window"],
        threads=min(os.cpu_count() or 1, MOST_THREADS),
        tls_certificate=flags["tls_cert"],
        tls_key=flags["tls_key"],
        token=None if token_file is None else read_token(token_file),
        page=flags["page"],
    )


def serve(
    options: ServerOptions, echo: Callable[[str], None], *, builtin: bool
) -> None:
    """Serves until it is told to stop; TensorFlow Serving, unless `builtin` is asked.

    `echo` shows a line to whoever started it.
    """
    if builtin:
        echo("Built-in server, as asked")
    else:
        choice = choose_server(options)
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
