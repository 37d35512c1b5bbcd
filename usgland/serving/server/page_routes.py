"""The reading page: its files, and what it is told of the models that are served.

The page asks the model over REST like any other client. Here are only the files, and
the model sheets, which TensorFlow Serving's REST cannot show.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pydantic
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from usgland.serving.interface.status import RequestError
from usgland.serving.interface.versions import MODEL_SHEET, read_regular
from usgland.serving.server.server_options import ServerOptions

FILES = Path(__file__).parents[1] / "page"
START = "index.html"
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# The page talks to its own server alone, runs no script but its own, stands in no
# other page, and leaves nothing behind in the browser.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Served(NamedTuple):
    """A version that can be asked for."""

    name: str
    version: int
    path: Path


class _Part(pydantic.BaseModel, frozen=True):
    """What the page needs of the sheet; a newer one may say more."""


class _Column(_Part):
    column: str
    kind: Literal["number", "category", "yes_no"]
    role: str = ""
    words: list[str] = []
    unit: str | None = None
    low: float | None = None
    high: float | None = None


class _OperatingPoint(_Part):
    probability: float
    rule: str


class _TrainedOn(_Part):
    source: str
    synthetic: bool
    patients: dict[str, int] = {}
    images: dict[str, int] = {}
    malignant_patients: dict[str, int] = {}


class _Measure(_Part):
    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95


class _Test(_Part):
    patients: int
    roc_auc: _Measure
    sensitivity: _Measure | None = None
    specificity: _Measure | None = None


class _Sheet(_Part):
    """What the page shows of `model_sheet.make_sheet`."""

    created: str = ""
    usgland: str = ""
    inputs: Literal["image", "clinical", "both"]
    operating_point: _OperatingPoint | None
    form: list[_Column]
    trained_on: _TrainedOn
    test: _Test | None


def page_sheet(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The sheet of a version and "", or None and why, in a sentence for the page."""
    try:
        content = read_regular(folder / MODEL_SHEET).decode("utf-8")
    except FileNotFoundError:
        return None, (
            "It has no model sheet, as it was not exported by `usgland export` or by "
            "an older one."
        )
    except (OSError, UnicodeDecodeError) as error:
        return None, f"Its model sheet cannot be read ({type(error).__name__})."
    try:
        # NaN is no JSON to a browser; None says the same here.
        values = json.loads(content, parse_constant=lambda _: None)
        return _Sheet.model_validate(values).model_dump(), ""
    except pydantic.ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        reason = error.errors()[0]["msg"]
        return None, f"Its model sheet is not as expected: {where or 'all'}: {reason}."
    except (ValueError, RecursionError):
        return None, "Its model sheet is not as expected: it is no JSON."


def page_routes(
    served: Callable[[], Iterable[Served]],
    check_token: Callable[[str], None],
    options: ServerOptions,
) -> list[Route]:
    """The page at `/`, its files under `/page/`, the sheets at `/page/models.json`.

    `check_token` raises `RequestError` for a header that does not let in. It guards the
    sheets; the files are the same in every copy of this package.
    """

    async def models(request: Request) -> Response:
        try:
            check_token(request.headers.get("authorization", ""))
        except RequestError as error:
            return JSONResponse({"error": error.message}, error.http_status, HEADERS)
        listed = await asyncio.to_thread(_listed, list(served()))
        return JSONResponse(
            {"max_body_bytes": options.max_body_bytes, "models": listed},
            headers=HEADERS,
        )

    def file(path: Path) -> Callable[[Request], Awaitable[Response]]:
        content, media_type = path.read_bytes(), MEDIA_TYPES[path.suffix]

        async def respond(request: Request) -> Response:
            return Response(content, headers=HEADERS, media_type=media_type)

        return respond

    files = [path for path in sorted(FILES.iterdir()) if path.suffix in MEDIA_TYPES]
    return [
        Route("/", file(FILES / START)),
        Route("/page/models.json", models),
        *(Route(f"/page/{path.name}", file(path)) for path in files),
    ]


def _listed(served: list[Served]) -> list[dict[str, Any]]:
    listed = []
    for name, version, path in served:
        sheet, problem = page_sheet(path)
        listed.append(
            {"name": name, "version": version, "sheet": sheet, "problem": problem}
        )
    return listed
