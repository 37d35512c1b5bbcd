"""Files of pages, and the headers that keep a page to itself."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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


def file_routes(prefix: str, folder: Path) -> list[Route]:
    """Every file of a page's folder, at its name behind the prefix."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES]
    return [Route(f"{prefix}{path.name}", file_response(path)) for path in files]


def file_response(path: Path) -> Callable[[Request], Awaitable[Response]]:
    """Answers with a file as it is now."""
    content, media_type = path.read_bytes(), MEDIA_TYPES[path.suffix]

    async def respond(request: Request) -> Response:
        return Response(content, headers=HEADERS, media_type=media_type)

    return respond
