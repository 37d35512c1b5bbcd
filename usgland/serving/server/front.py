"""The reading page before a real TensorFlow Serving, which can serve no files.

Both stand at one address: the page is answered here, all else is passed on.
"""

import asyncio
import contextlib
import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from usgland.serving.interface import versions
from usgland.serving.interface.status import RequestError
from usgland.serving.server.browser_guard import REQUEST_ID, BrowserGuard
from usgland.serving.server.connections import HttpServer
from usgland.serving.server.limits import (
    BODIES,
    Admission,
    WholeAnswers,
    admitted_body,
    error_response,
)
from usgland.serving.server.listening import http_config, listen
from usgland.serving.server.page_routes import Served, page_routes, page_sheet
from usgland.serving.server.rest import METHODS, refused
from usgland.serving.server.server_options import ServerOptions

INSIDE = "127.0.0.1"  # where TensorFlow Serving's REST stands then
# Headers: what a body is, and in what it is packed.
PASSED_ON = ("content-type", "content-encoding", "accept-encoding")
GIVEN_BACK = ("content-type", "content-encoding", "allow", "vary")


@contextlib.contextmanager
def front_of(options: ServerOptions, port: int) -> Iterator[None]:
    """Serves the page, and passes the rest on to `port`, while the block runs.

    Raises:
        UserError: If the address cannot be used.
    """
    with listen(options) as listening:
        server = HttpServer(http_config(build_front(options, port), options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def build_front(options: ServerOptions, port: int) -> Starlette:
    """The application: the page's paths, and every other one from `port`."""
    admission = Admission(options.max_requests, BODIES * options.max_body_bytes)
    # As many threads as requests: each waits for an answer, and does nothing else.
    pool = ThreadPoolExecutor(options.max_requests, "front")

    async def pass_on(request: Request) -> Response:
        try:
            body = await admitted_body(request, admission, options)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, _ask, request, body, options, port)
        except RequestError as error:
            return error_response(error)

    async def served() -> list[Served]:
        return await asyncio.to_thread(lambda: list(_served(options)))

    page = page_routes(served, lambda header: None, options)
    return Starlette(
        middleware=[
            Middleware(BrowserGuard, options=options),
            Middleware(WholeAnswers, options=options),
        ],
        routes=[*page, Route("/{path:path}", pass_on, methods=METHODS)],
        exception_handlers={HTTPException: refused},
    )


def _ask(request: Request, body: bytes, options: ServerOptions, port: int) -> Response:
    """Sends a request on and gives the answer as it came."""
    path = request.scope["raw_path"].decode("ascii", "replace")
    if request.scope["query_string"]:
        path += "?" + request.scope["query_string"].decode("ascii", "replace")
    headers = {
        name: value
        for name in PASSED_ON
        if (value := request.headers.get(name)) is not None
    }
    headers[REQUEST_ID] = request.scope.get(REQUEST_ID, "")
    connection = http.client.HTTPConnection(
        INSIDE, port, timeout=options.timeout_seconds
    )
    try:
        connection.request(request.method, path, body, headers)
        answer = connection.getresponse()
        given = {
            name: value
            for name in GIVEN_BACK
            if (value := answer.getheader(name)) is not None
        }
        return Response(answer.read(), answer.status, given)
    except TimeoutError as error:
        raise RequestError(
            "DEADLINE_EXCEEDED", "Expected an answer of TensorFlow Serving in time"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise RequestError(
            "UNAVAILABLE", "TensorFlow Serving does not answer. Try again later"
        ) from error
    finally:
        connection.close()


def _served(options: ServerOptions) -> Iterator[Served]:
    """The versions that the policy asks for; REST tells whether one is loaded yet."""
    if options.model_config_file is None:
        wanted = versions.find_models(options.models_dir, options.keep_versions)
    else:
        wanted = versions.read_model_config(
            options.model_config_file, options.models_dir
        )
    for name, model in sorted(wanted.items()):
        with contextlib.suppress(OSError):  # A folder that is away has no version.
            present = versions.find_versions(model.path)
            for number in versions.choose(model, present, ()):
                yield Served(name, number, *page_sheet(present[number]))
