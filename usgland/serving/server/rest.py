"""The REST half of TensorFlow Serving's interface.

Reference:
    [RESTful API of TensorFlow Serving](https://www.tensorflow.org/tfx/serving/api_rest)
"""

import functools
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from usgland.serving.interface import rest_json
from usgland.serving.interface.inputs import Arrays
from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.interface.versions import LARGEST_VERSION
from usgland.serving.server.browser_guard import REQUEST_ID, BrowserGuard
from usgland.serving.server.core import SIGNATURES, Core, Target
from usgland.serving.server.limits import (
    WholeAnswers,
    admitted_body,
    declared_size,
    error_response,
    sender,
)
from usgland.serving.server.page_routes import Served, page_routes
from usgland.serving.server.servable import UNKNOWN_SIGNATURE
from usgland.serving.server.telemetry import CONTENT_TYPE, PATH

MODEL = r"(?i)/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
PREDICT = re.compile(MODEL + r":(predict|classify|regress)")
STATUS = re.compile(MODEL + r"(/metadata)?")
LIVE, READY = "/livez", "/readyz"
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]

Handler = Callable[[Core, Request], Awaitable[Response]]


def build_app(core: Core) -> Starlette:
    """The application: TensorFlow Serving's paths, and JSON for every error.

    With `--page` also the reading page, at `/`.
    """

    def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                core.check_token(request.headers.get("authorization", ""))
                return await handler(core, request)
            except RequestError as error:
                return error_response(error)

        return guarded

    async def alive(request: Request) -> Response:
        if core.batcher.hangs():
            return Response("hangs\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    async def ready(request: Request) -> Response:
        if core.ready and core.catalog.served():
            return Response("ok\n", media_type="text/plain")
        return Response("not ready\n", 503, media_type="text/plain")

    page = []
    if core.options.page:

        async def served() -> list[Served]:
            return _served(core)

        page = page_routes(served, core.check_token, core.options)
    return Starlette(
        middleware=[
            Middleware(BrowserGuard, options=core.options),
            Middleware(WholeAnswers, options=core.options),
        ],
        routes=[
            *page,
            # A probe has no token, and learns nothing.
            Route(LIVE, alive, methods=["GET"]),
            Route(READY, ready, methods=["GET"]),
            Route(PATH, endpoint(_telemetry), methods=["GET"]),
            Route("/{path:path}", endpoint(_models), methods=METHODS),
        ],
        exception_handlers={HTTPException: refused, Exception: _unexpected},
    )


def _served(core: Core) -> list[Served]:
    return [
        Served(name, number, *servable.sheet)
        for name in sorted(core.catalog.versions)
        for number, servable in sorted(
            core.catalog.available(name).items(), reverse=True
        )
    ]


async def refused(request: Request, error: Exception) -> Response:
    """What no route takes: a method that we do not know, a line break in a path."""
    status = error.status_code if isinstance(error, HTTPException) else None
    message = "Malformed request: expected a path and method of the REST interface"
    return error_response(RequestError("INVALID_ARGUMENT", message, status))


async def _unexpected(request: Request, error: Exception) -> Response:
    """Says no more than that; the log has the place."""
    return error_response(RequestError("INTERNAL", "Unforeseen error in the server"))


async def _telemetry(core: Core, request: Request) -> Response:
    return Response(core.telemetry.page(), media_type=CONTENT_TYPE)


async def _models(core: Core, request: Request) -> Response:
    path = request.scope.get("raw_path", b"").decode("ascii", "replace")
    path = path.partition("?")[0]
    if not path.lower().startswith("/v1/"):
        raise RequestError("NOT_FOUND", "Expected a path under /v1/models/")
    if request.method == "OPTIONS":
        return Response(headers={"Allow": "GET, POST, OPTIONS"})
    if request.method == "POST" and (match := PREDICT.fullmatch(path)):
        name, number, label, verb = match.groups()
        if verb.lower() != "predict":
            raise RequestError(
                "UNIMPLEMENTED", f"Expected `:predict`. Received: `:{verb.lower()}`"
            )
        return await _predict(core, request, _target(name, number, label))
    if request.method == "GET" and (match := STATUS.fullmatch(path)):
        *spec, metadata = match.groups()
        target = _target(*spec)
        if metadata:
            return _metadata(core.metadata(target, [SIGNATURES]))
        return JSONResponse(_as_json(core.catalog.status(*target[:2])))
    if request.method == "GET" and path.lower().rstrip("/") == "/v1/models":
        raise invalid("Missing model name in request.")
    raise invalid(
        "Malformed request: expected GET /v1/models/NAME[/versions/N|/labels/L]"
        "[/metadata] or POST /v1/models/NAME[/versions/N|/labels/L]:predict"
    )


def _target(name: str, number: str | None, label: str | None) -> Target:
    version = int(number) if number and len(number) < 25 else None
    if number and (version is None or version > LARGEST_VERSION):
        raise invalid("Failed to convert version: expected a number below 2**63")
    return Target(unquote(name), version, unquote(label) if label else None)


async def _predict(core: Core, request: Request, target: Target) -> Response:
    deadline = time.monotonic() + core.options.timeout_seconds
    number = request.scope.get(REQUEST_ID, "")
    size = declared_size(request) or 0
    with core.observed(target, "REST", size, number, request.headers) as more:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(
                "INVALID_ARGUMENT", "Expected a body without Content-Encoding", 415
            )
        body = await admitted_body(request, core.admission, core.options)
        count = rest_json.structure_of
        work = len(body), await core.apart(len(body), 0, count, body)
        arguments = body, core.most_values
        document = await core.apart(*work, rest_json.parse_json, *arguments)
        target = target._replace(signature=rest_json.signature_of(document))
        as_rows = False

        async def read(signature: object) -> Arrays:
            nonlocal as_rows
            arguments = document, signature, core.options.max_rows
            inputs, as_rows = await core.apart(*work, rest_json.read_inputs, *arguments)
            return inputs

        try:
            reply = await core.predict(target, read, deadline, sender(request))
        except RequestError as error:
            if error.message.startswith(UNKNOWN_SIGNATURE):
                # TensorFlow Serving has other words for it in REST.
                raise invalid(
                    f'Serving signature name: "{target.signature[:100]}" not found '
                    f"in signature def. {error.message}"
                ) from error
            raise
        more["queued_milliseconds"] = round(1000 * reply.queued, 1)
        values = sum(array.size for array in reply.outputs.values())
        write = functools.partial(rest_json.answer_text, reply.outputs, rows=as_rows)
        content = await core.apart(0, values, write)
    return Response(content, media_type="application/json")


def _metadata(message: Any) -> Response:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    message.metadata[SIGNATURES].Unpack(signatures)
    return JSONResponse(
        {
            "model_spec": _as_json(message.model_spec),
            "metadata": {SIGNATURES: _as_json(signatures)},
        }
    )


def _as_json(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
