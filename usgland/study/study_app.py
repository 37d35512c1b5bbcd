"""The page for readers over HTTP: nobody but a reader sees a case, and only the own.

Every request is a POST of JSON, so that no address, and no log of one, holds a key or
a case. An image is asked for by the view that it belongs to, never by a name.
"""

import asyncio
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from usgland.serving.interface.status import RequestError
from usgland.serving.server import page_files
from usgland.serving.server.browser_guard import BrowserGuard
from usgland.serving.server.connections import HttpServer
from usgland.serving.server.limits import (
    BODIES,
    Admission,
    WholeAnswers,
    admitted_body,
)
from usgland.serving.server.listening import http_config, listen
from usgland.serving.server.logs import log
from usgland.serving.server.server_options import ServerOptions
from usgland.study.seats import Seats
from usgland.study.sittings import Sittings
from usgland.study.study_folder import read_image

PAGES = Path(__file__).with_name("pages")
SHARED = ("page.css", "dom.js", "icon.svg")  # of the reading page
BODY_MEGABYTES = 0.0625
WRONG_KEYS = 8  # that an address may try before it waits
KEY_SECONDS = 10.0  # after which it may try one more
MOST_ADDRESSES = 1000  # that are remembered
Seconds = Annotated[float, pydantic.Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class _Body(pydantic.BaseModel, extra="forbid", strict=True):
    """What the page sends."""


class _Enter(_Body):
    key: Annotated[str, pydantic.Field(max_length=200)]


class _Nothing(_Body):
    pass


class _Begin(_Body):
    session: int


class _Show(_Body):
    position: int | None = None


class _View(_Body):
    view: Annotated[str, pydantic.Field(max_length=64)]


class _Spend(_View):
    seconds: Seconds


class _Answer(_Spend):
    call: Literal["benign", "malignant"]
    confidence: Annotated[int, pydantic.Field(ge=0, le=100)]
    descriptors: dict[str, Annotated[str, pydantic.Field(max_length=200)]] = {}


class WrongKeys:
    """Lets an address try only so many keys that are nobody's."""

    def __init__(self) -> None:
        self.tried: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """Refuses an address that has tried too many.

        Raises:
            RequestError: RESOURCE_EXHAUSTED.
        """
        if self._number(address, now) > WRONG_KEYS - 1:
            raise RequestError(
                "RESOURCE_EXHAUSTED",
                "Too many wrong keys came from this place. Wait a minute, then enter "
                "yours",
            )

    def note(self, address: str, now: float) -> None:
        """Counts a wrong one."""
        self.tried[address] = self._number(address, now) + 1, now
        self.tried.move_to_end(address)
        if len(self.tried) > MOST_ADDRESSES:
            self.tried.popitem(last=False)

    def _number(self, address: str, now: float) -> float:
        number, since = self.tried.get(address, (0.0, now))
        return max(0.0, number - (now - since) / KEY_SECONDS)


def study_options(folder: Path, **chosen: Any) -> ServerOptions:
    """Addresses and limits of a server of a study: its requests are small."""
    return ServerOptions(folder, max_body_megabytes=BODY_MEGABYTES, **chosen)


def build_study_app(sittings: Sittings, options: ServerOptions) -> Starlette:
    """The application: the page, its files, and what it asks for."""
    admission = Admission(options.max_requests, BODIES * options.max_body_bytes)
    # One thread, so that no two requests stand between one another's look and write.
    pool = ThreadPoolExecutor(1, "study")
    wrong = WrongKeys()
    seats = Seats(sittings.study, sittings.store, sittings.clock)

    def asked(
        kind: type[_Body], work: Callable[[str, Any], Any], *, seated: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint: reads the body, finds who asks, works in the one thread."""

        def run(token: str, body: _Body) -> Any:
            return work(seats.reader_of_seat(token) if seated else token, body)

        async def respond(request: Request) -> Response:
            try:
                body = _read(kind, await admitted_body(request, admission, options))
                token = _token(request)
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(pool, run, token, body)
            except RequestError as error:
                return _refusal(error)
            except sqlite3.Error as error:
                return _refusal(_not_stored(error))
            if isinstance(answer, bytes):
                headers = page_files.HEADERS
                return Response(answer, headers=headers, media_type="image/png")
            return JSONResponse(answer, headers=page_files.HEADERS)

        return respond

    def enter_study(_: str, body: Any) -> dict[str, Any]:
        seat = seats.enter(body.key)
        return {**seat, **sittings.place(seat["reader"])}

    async def enter(request: Request) -> Response:
        address = request.client.host if request.client else ""
        try:
            wrong.check(address, time.monotonic())
        except RequestError as error:
            return _refusal(error)
        response = await asked(_Enter, enter_study, seated=False)(request)
        if response.status_code == 401:
            wrong.note(address, time.monotonic())
            log("warning", "wrong_key")
        return response

    def leave(token: str, _: _Body) -> dict[str, Any]:
        seats.leave(token)
        return {}

    def image(reader: str, body: Any) -> bytes:
        case = sittings.case_of_view(reader, body.view)
        content = read_image(sittings.study, case.name, case.file, case.sha256)
        if content is None:
            log("error", "image_lost")
            raise RequestError(
                "DATA_LOSS",
                "The image of this case is lost or damaged. Tell who leads the study; "
                "your answers are kept",
            )
        return content

    def spend(reader: str, body: Any) -> dict[str, Any]:
        sittings.spend(reader, body.view, body.seconds)
        return {}

    def answer(reader: str, body: Any) -> dict[str, Any]:
        return sittings.answer(reader, **body.model_dump())

    paths = {
        "place": asked(_Nothing, lambda reader, _: sittings.place(reader)),
        "begin": asked(
            _Begin, lambda reader, body: sittings.begin(reader, body.session)
        ),
        "case": asked(_Show, lambda reader, body: sittings.show(reader, body.position)),
        "image": asked(_View, image),
        "time": asked(_Spend, spend),
        "answer": asked(_Answer, answer),
        "end": asked(_Nothing, lambda reader, _: sittings.end(reader)),
        "leave": asked(_Nothing, leave, seated=False),
        "enter": enter,
    }
    shared = [
        Route(f"/study/{name}", page_files.file_response(page_files.FILES / name))
        for name in SHARED
    ]
    return Starlette(
        middleware=[
            Middleware(BrowserGuard, options=options),
            Middleware(WholeAnswers, options=options),
        ],
        routes=[
            Route("/", page_files.file_response(PAGES / page_files.START)),
            *(
                Route(f"/study/{name}", work, methods=["POST"])
                for name, work in paths.items()
            ),
            *shared,
            *page_files.file_routes("/study/", PAGES),
        ],
        exception_handlers={HTTPException: _no_such_path, Exception: _unexpected},
    )


def _read(kind: type[_Body], content: bytes) -> _Body:
    try:
        return kind.model_validate_json(content or b"{}")
    except pydantic.ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))[:60]
        raise RequestError(
            "INVALID_ARGUMENT",
            f"Expected what this page sends. Received: another {where or 'body'}",
        ) from error


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _not_stored(error: sqlite3.Error) -> RequestError:
    log("error", "not_stored", reason=getattr(error, "sqlite_errorname", "unknown"))
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    why = "its disk is full" if full else "it cannot write"
    return RequestError(
        "UNAVAILABLE",
        f"The server could not store this: {why}. Your answer stays on this page. Tell "
        "who leads the study",
        507 if full else 503,
    )


def _refusal(error: RequestError) -> JSONResponse:
    content = {"error": error.message, "code": error.code}
    return JSONResponse(content, error.http_status, page_files.HEADERS)


async def _no_such_path(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else None
    return _refusal(RequestError("NOT_FOUND", "Expected the page at /", status))


async def _unexpected(request: Request, error: Exception) -> Response:
    return _refusal(RequestError("INTERNAL", "Unforeseen error in the server"))


async def run_study(
    sittings: Sittings,
    options: ServerOptions,
    started: Callable[[int], None],
    stop: asyncio.Event,
) -> None:
    """Serves until `stop` is set; `started` is called with the port.

    Raises:
        UserError: If the address cannot be used.
    """
    with listen(options) as listening:
        app = build_study_app(sittings, options)
        server = HttpServer(http_config(app, options))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        stopping = asyncio.create_task(stop.wait())
        started(listening.getsockname()[1])
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        stopping.cancel()
        log("info", "stopped")
