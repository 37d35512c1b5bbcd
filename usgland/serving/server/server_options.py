"""How `usgland serve` was started."""

from dataclasses import dataclass
from pathlib import Path

from usgland.errors import UserError

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class ServerOptions:
    """Addresses, folders and limits of the server.

    Attributes:
        models_dir: Folder of `NAME/VERSION/`.
        model_config_file: A `model_config_list` as TensorFlow Serving reads it.
        rest_port, grpc_port: 0 takes a free one.
        keep_versions: How many of the newest versions are served; None means all.
        poll_seconds: Time between two looks at the folders.
        max_requests: Requests that are read, wait or run at one time.
        timeout_seconds: Longest time for one request.
        max_batch_size: Most images that run at one time.
        batch_window_milliseconds: How long a request waits for company.
        threads: Batches that run at one time.
        tls_certificate, tls_key: PEM files of the certificate chain and of its key.
        token: What clients must send, if anything.
        page: Whether the reading page stands at the address of REST.
    """

    models_dir: Path
    model_config_file: Path | None = None
    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    keep_versions: int | None = 1
    poll_seconds: float = 1.0
    max_body_megabytes: float = 64.0
    max_requests: int = 64
    timeout_seconds: float = 30.0
    max_batch_size: int = 8
    batch_window_milliseconds: float = 0.0
    threads: int = 2
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    token: str | None = None
    page: bool = False

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_megabytes * MEGABYTE)

    def url(self, port: int) -> str:
        """Where HTTP is answered."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.tls_certificate is None else "https"
        return f"{scheme}://{host}:{port}/"


def read_token(path: Path) -> str:
    """Reads the bearer token: the one line of a file.

    Raises:
        UserError: If it cannot be read, or is too short to keep anyone out.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--token-file: expected a text file. Received: {path} ({error})"
        ) from error
    if len(token) < 16 or len(token.split()) != 1:
        raise UserError(
            "--token-file: expected one word of at least 16 characters. Received: "
            f"{len(token)} characters in {path}. `openssl rand -hex 32` writes one"
        )
    return token
