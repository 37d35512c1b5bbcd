"""The reading page: its files, and what it is told of the models that are served.

The page asks the model over REST like any other client. Here are only the files, and
the model sheets, which TensorFlow Serving's REST cannot show.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pydantic
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from usgland.serving.interface.status import RequestError
from usgland.serving.interface.versions import MODEL_SHEET, read_regular
from usgland.serving.server.page_files import (
    FILES,
    HEADERS,
    START,
    file_response,
    file_routes,
)
from usgland.serving.server.server_options import ServerOptions


class Served(NamedTuple):
    """A version that can be asked for."""

    name: str
    version: int
    sheet: dict[str, Any] | None
    problem: str  # why it has no sheet


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
    served: Callable[[], Awaitable[list[Served]]],
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
        listed = [version._asdict() for version in await served()]
        return JSONResponse(
            {"max_body_bytes": options.max_body_bytes, "models": listed},
            headers=HEADERS,
        )

    return [
        Route("/", file_response(FILES / START)),
        Route("/page/models.json", models),
        *file_routes("/page/", FILES),
    ]
