"""The built-in server: opens the ports, answers until it is told to stop, drains."""

import asyncio
from collections.abc import Callable

import grpc

from usgland.errors import UserError
from usgland.serving.server.connections import HttpServer
from usgland.serving.server.core import Core
from usgland.serving.server.grpc_service import build_server, set_health
from usgland.serving.server.listening import http_config, listen
from usgland.serving.server.loader import Loader
from usgland.serving.server.logs import log
from usgland.serving.server.rest import build_app
from usgland.serving.server.server_options import ServerOptions


async def run_server(
    options: ServerOptions,
    started: Callable[[int, int, list[str]], None],
    stop: asyncio.Event,
) -> None:
    """Serves until `stop` is set, then finishes what it has begun.

    Once requests are answered, `started` is called with the ports of REST and gRPC and
    what is served, e.g. `["mine/3"]`.

    Raises:
        UserError: If there is no model, or a port or a file cannot be used.
    """
    core = Core(options)
    loader = Loader(options, core.catalog)
    core.reload = loader.reload
    with listen(options) as listening:
        # What may fail comes before the models are loaded.
        http = HttpServer(http_config(build_app(core), options))
        rpc, health = build_server(core)
        grpc_port = _open_grpc(rpc, options)
        if not await _loaded(loader, stop):
            return
        await rpc.start()
        await set_health(health, serving=True)
        serving = asyncio.create_task(http.serve(sockets=[listening]))
        watching = asyncio.create_task(loader.watch())
        stopping = asyncio.create_task(stop.wait())
        while not http.started and not serving.done():
            await asyncio.sleep(0.01)
        if serving.done():
            serving.result()
            raise UserError("Expected the REST server to start. Received: it ended")
        core.ready = True
        started(listening.getsockname()[1], grpc_port, core.catalog.served())
        tasks = {serving, watching, stopping}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        core.ready = False
        log("info", "draining", requests=core.admission.requests)
        await set_health(health, serving=False)
        http.should_exit = True
        # Both end at once: neither takes a new request, both finish the old ones.
        await asyncio.gather(serving, rpc.stop(options.timeout_seconds))
        for task in (watching, stopping):
            task.cancel()
        await asyncio.gather(watching, stopping, return_exceptions=True)
        try:
            async with asyncio.timeout(options.timeout_seconds):
                await loader.close()
        except TimeoutError:  # Its thread ends with this process.
            log("error", "run_hangs")
        core.close()
        log("info", "stopped")
        if not watching.cancelled():
            watching.result()  # An error there ended the server: show it.


async def _loaded(loader: Loader, stop: asyncio.Event) -> bool:
    """Loads all that is wanted; false if it is told to stop before."""
    loading = asyncio.create_task(loader.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if loading.done():
        loading.result()
        return True
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    log("info", "stopped")
    return False


def _open_grpc(server: grpc.aio.Server, options: ServerOptions) -> int:
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{host}:{options.grpc_port}"
    try:
        if options.tls_certificate is None or options.tls_key is None:
            return server.add_insecure_port(address)
        pair = options.tls_key.read_bytes(), options.tls_certificate.read_bytes()
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"Expected to listen on {address} for gRPC. Received: "
            f"{' '.join(str(error).split())[:200]}. Choose another --grpc-port"
        ) from error
