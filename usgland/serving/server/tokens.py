"""What clients must send: the tokens of a file, which may change while it serves."""

import hmac
import stat
import time
from pathlib import Path

from usgland.errors import UserError
from usgland.serving.interface.status import RequestError
from usgland.serving.server.logs import log
from usgland.serving.server.server_options import ServerOptions

SHORTEST = 16  # characters of a token
LOOK_SECONDS = 1.0  # between two looks at the file


class Tokens:
    """The bearer tokens of a server: none, one of its options, or those of a file."""

    def __init__(self, options: ServerOptions):
        self.path = options.token_file
        self.known: tuple[str, ...] = () if options.token is None else (options.token,)
        self._looked, self._state = 0.0, (0, 0)
        if self.path is not None:
            self.known = read_tokens(self.path)
            self._state = _state(self.path)

    def check(self, header: str) -> None:
        """Refuses any other bearer token than ours, compared in constant time.

        Args:
            header: What the client sent as `authorization`, or "".

        Raises:
            RequestError: UNAUTHENTICATED.
        """
        self._look()
        if not self.known:
            return
        scheme, _, token = header.partition(" ")
        received = token.strip().encode("utf-8", "replace")
        same = [hmac.compare_digest(received, known.encode()) for known in self.known]
        if scheme.lower() != "bearer" or not any(same):
            raise RequestError(
                "UNAUTHENTICATED", "Expected the header `Authorization: Bearer TOKEN`"
            )

    def _look(self) -> None:
        """Reads the file again if it has changed; a mistake in it changes nothing."""
        now = time.monotonic()
        if self.path is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            state = _state(self.path)
            if state == self._state or not stat.S_ISREG(self.path.stat().st_mode):
                return
            self._state = state
            self.known = read_tokens(self.path)
        except (OSError, UserError) as error:
            log("warning", "tokens_not_read", reason=type(error).__name__)
        else:
            log("info", "tokens_read", number=len(self.known))


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def read_tokens(path: Path) -> tuple[str, ...]:
    """Reads bearer tokens, one a line: each lets in, so that one can be replaced.

    Raises:
        UserError: If it cannot be read, or one is too short to keep anyone out.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--token-file: expected a text file. Received: {path} ({error})"
        ) from error
    tokens = [line.strip() for line in lines if line.strip()]
    for token in tokens or [""]:
        if len(token) < SHORTEST or len(token.split()) != 1:
            raise UserError(
                f"--token-file: expected one word of at least {SHORTEST} characters"
                f". Received: {len(token)} characters in {path}. `openssl rand "
                "-hex 32` writes one"
            )
    return tuple(tokens)


def is_exposed(path: Path) -> bool:
    """Whether others on this machine may read the file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
