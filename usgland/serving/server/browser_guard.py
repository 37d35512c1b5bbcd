"""Keeps web pages from driving the server: whose name and origin a request bears.

Any page that a browser shows can send requests to this machine. It cannot choose what
the browser says of them: the name that was asked for (`Host`), and the page's origin.
"""

import ipaddress
import json
import socket
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from usgland.serving.interface.status import RequestError
from usgland.serving.server.server_options import ServerOptions

REQUEST_ID = "x-request-id"  # header of every answer, and its key in the ASGI scope
# What a form of a page may call its content, whoever shows it. Programs say so of JSON,
# too: the first is that of `curl -d`, the second that of Node's `fetch`.
FORM_TYPES = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data")
OURS = ("same-origin", "none")  # as browsers call who asks, `Sec-Fetch-Site`
NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class BrowserGuard:
    """An application before another, which refuses what a foreign page asks for.

    It also gives each request a number, and tells browsers to guess no content type.
    """

    def __init__(self, app: Any, options: ServerOptions):
        self.app = app
        self.names = _own_names(options)
        self.any_name = "*" in options.allow_hosts
        self.allowed = {_name_of(name) for name in options.allow_hosts} - {"*"}

    async def __call__(
        self, scope: dict[str, Any], receive: Callable, send: Callable
    ) -> None:
        """Answers a request of ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = scope[REQUEST_ID] = uuid.uuid4().hex
        added = [NO_SNIFFING, (REQUEST_ID.encode(), number.encode())]

        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                held = {name.lower() for name, _ in message.get("headers", [])}
                headers = [pair for pair in added if pair[0] not in held]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        try:
            self.check(scope["method"], headers)
        except RequestError as error:
            content = json.dumps({"error": error.message}).encode()
            kind = (b"content-type", b"application/json")
            length = (b"content-length", str(len(content)).encode())
            start = {"status": error.http_status, "headers": [kind, length]}
            await answer({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": content})
            return
        await self.app(scope, receive, answer)

    def check(self, method: str, headers: dict[str, str]) -> None:
        """Judges a request by its headers, whose names are in lower case.

        Raises:
            RequestError: PERMISSION_DENIED, with the status 403 or 415.
        """
        host = headers.get("host")
        if host is not None and not self._is_ours(host):
            raise RequestError(
                "PERMISSION_DENIED",
                "Expected a Host that is this server's. Received: another. Allow it by "
                "--allow-host",
            )
        origin = headers.get("origin")
        # A link to the page is followed from anywhere; it changes nothing.
        is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        site = headers.get("sec-fetch-site", "none")
        if (origin is not None and not self._is_own(origin, host)) or (
            site not in OURS and not is_link
        ):
            raise RequestError(
                "PERMISSION_DENIED",
                "Expected a request of this server's own page, or of a program. "
                "Received: one of another web page",
            )
        by_browser = origin is not None or "sec-fetch-site" in headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        # Each browser says whose page posts; of a program nothing is asked, as
        # TensorFlow Serving asks nothing.
        if method == "POST" and by_browser and kind in ("", *FORM_TYPES):
            raise RequestError(
                "PERMISSION_DENIED",
                "Expected the header `Content-Type: application/json`",
                415,
            )

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if self.any_name or name in self.names or name.endswith(".localhost"):
            return True
        try:  # A page reaches an address under a name of its own alone.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_own(self, origin: str, host: str | None) -> bool:
        """Whether a page is of this server, or of one that stands before it."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        same = parts.netloc.lower() == (host or "").lower()
        return parts.scheme in ("http", "https") and (
            same or _name_of(parts.netloc) in self.allowed
        )


def _own_names(options: ServerOptions) -> set[str]:
    named: Iterable[str] = (options.host, socket.gethostname(), *options.allow_hosts)
    return {"localhost", *(_name_of(name) for name in named if name)}


def _name_of(host: str) -> str:
    """The name in `name:port`, or the address in `[address]:port`."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return (host if host.count(":") > 1 else host.partition(":")[0]).rstrip(".")
