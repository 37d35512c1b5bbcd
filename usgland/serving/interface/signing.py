"""The checksums of a version, and the signature of who has exported it.

A SavedModel is a program. Its files are listed in `SHA256SUMS`, which `sha256sum -c`
checks, and that list may be signed with Ed25519.
"""

import base64
import binascii
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from usgland.errors import UserError, check_installed
from usgland.serving.interface.status import RequestError
from usgland.serving.interface.versions import read_regular

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"  # of the bytes of SUMS, in base64
PIECE = 2**20


def write_sums(folder: Path, key: Any = None) -> None:
    """Writes the checksums of all files, and with a private key their signature."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(_digests(folder).items())]
    text = "".join(lines).encode()
    (folder / SUMS).write_bytes(text)
    if key is not None:
        signature = base64.b64encode(key.sign(text)) + b"\n"
        (folder / SIGNATURE).write_bytes(signature)


def _digests(folder: Path) -> dict[str, str]:
    # Files of these names in a folder of the version are listed like any other.
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in files
        if path not in (folder / SUMS, folder / SIGNATURE)
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_private_key(path: Path) -> Any:
    """Reads the key of `--sign`: Ed25519, PEM, without a password.

    Raises:
        UserError: If it is none.
    """
    serialization, ed25519 = _cryptography("--sign")
    try:
        key = serialization.load_pem_private_key(read_regular(path), None)
    except (OSError, ValueError, TypeError) as error:
        raise _no_key("--sign", "private", path) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key("--sign", "private", path)
    return key


def read_public_key(path: Path) -> Any:
    """Reads the key of `--require-signature`: Ed25519, PEM.

    Raises:
        UserError: If it is none.
    """
    serialization, ed25519 = _cryptography("--require-signature")
    try:
        key = serialization.load_pem_public_key(read_regular(path))
    except (OSError, ValueError) as error:
        raise _no_key("--require-signature", "public", path) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key("--require-signature", "public", path)
    return key


def _cryptography(option: str) -> tuple[Any, Any]:
    check_installed(option, "cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return serialization, ed25519


def _no_key(option: str, kind: str, path: Path) -> UserError:
    return UserError(
        f"{option}: expected an Ed25519 {kind} key as PEM. Received: {path}. "
        "`openssl genpkey -algorithm ed25519 -out key.pem` writes one, and `openssl "
        "pkey -in key.pem -pubout -out public.pem` its public part"
    )


@contextlib.contextmanager
def verified(folder: Path, key: Any) -> Iterator[Path]:
    """A version to load: itself, or with a public key a copy that has been checked.

    A copy, as whoever can change the folder could do so after the check.

    Raises:
        RequestError: PERMISSION_DENIED if it is not signed with the key, or changed.
    """
    if key is None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="usgland-") as temporary:
        copy = Path(temporary) / "version"
        shutil.copytree(folder, copy)
        _check(copy, key)
        yield copy


def _check(folder: Path, key: Any) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        text = read_regular(folder / SUMS)
        signature = base64.b64decode(read_regular(folder / SIGNATURE), validate=False)
        key.verify(signature, text)
    except (OSError, binascii.Error, InvalidSignature) as error:
        raise _refused("no signature of the key of --require-signature") from error
    listed = {}
    for line in text.decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    if listed != _digests(folder):
        raise _refused(f"other files than {SUMS} lists")


def _refused(received: str) -> RequestError:
    return RequestError(
        "PERMISSION_DENIED",
        f"Expected a version as it was signed. Received: {received}",
    )
