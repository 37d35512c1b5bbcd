"""How `usgland serve` was started."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from usgland.errors import UserError

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class ServerOptions:
    """Addresses, folders and limits of the server."""

    models_dir: Path  # of NAME/VERSION/
    model_config_file: Path | None = None  # a model_config_list of TensorFlow Serving
    host: str = "127.0.0.1"
    rest_port: int = 8501  # 0 takes a free one
    grpc_port: int = 8500  # 0 takes a free one
    keep_versions: int | None = 1  # how many of the newest are served; None: all
    poll_seconds: float = 1.0  # between two looks at the folders
    max_body_megabytes: float = 64.0
    max_requests: int = 64  # that are read, wait or run at one time
    timeout_seconds: float = 30.0  # for one request
    max_batch_size: int = 8  # images that run at one time
    batch_window_milliseconds: float = 0.0  # for which a request waits for company
    threads: int = 2  # batches that run at one time
    tls_certificate: Path | None = None  # PEM file of the certificate chain
    tls_key: Path | None = None  # PEM file of its key
    token: str | None = None  # what clients must send, if anything
    page: bool = False  # whether the reading page stands at the address of REST
    token_file: Path | None = None  # of tokens, a line each; read again as it changes
    max_rows: int = 1024  # cases of one request
    allow_hosts: tuple[str, ...] = ()  # further names that requests may ask for
    traces: bool = False  # whether requests have spans of OpenTelemetry
    signed_by: Path | None = None  # public key without whose signature nothing loads

    @property
    def has_token(self) -> bool:
        return self.token is not None or self.token_file is not None

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_megabytes * MEGABYTE)

    def url(self, port: int) -> str:
        """Where HTTP is answered."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.tls_certificate is None else "https"
        return f"{scheme}://{host}:{port}/"


def listens_beyond(host: str) -> bool:
    """Whether other machines reach an address."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def check_tls(options: ServerOptions) -> None:
    """Checks that a certificate has its key.

    Raises:
        UserError: If one is without the other.
    """
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise UserError("--tls-cert and --tls-key: expected both. Received: one")
