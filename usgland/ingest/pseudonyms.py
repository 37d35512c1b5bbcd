"""Pseudonyms: keyed, so that who has them alone can undo none.

An unkeyed hash of a patient's number is undone by hashing all numbers; these are
HMAC-SHA256 (RFC 2104) under 32 random bytes that stay with the hospital.
"""

import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from pathlib import Path
from typing import NamedTuple

from usgland.errors import UserError

KEY_BYTES = 32
# Sixteen letters, four bits each. Without digits and vowels no pseudonym reads as a
# date, a number or a name, nor is one found in it by chance.
ALPHABET = "bcdfghjklmnpqrst"
LETTERS = 16  # 64 bits: among a million patients two alike once in 37 million sets
SHORT = 8  # of a device; there are thousands at most


class Key(NamedTuple):
    """The secret that pseudonyms are made with."""

    secret: bytes

    @classmethod
    def load_or_make(cls, path: Path) -> "Key":
        """Reads a key, or makes one where there is no file.

        Raises:
            UserError: If others may read the file, or it holds no key.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                return cls(_read_secret(path))
            secret = secrets.token_bytes(KEY_BYTES)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{secret.hex()}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(
                f"Cannot keep the key of the pseudonyms in {path}: {error.strerror}. "
                "Choose another file with --key"
            ) from error
        return cls(secret)

    @property
    def fingerprint(self) -> str:
        """Tells keys apart, and says nothing about them."""
        return self._name("fingerprint", "usgland", LETTERS)

    def check_fits(self, earlier: str, path: Path) -> None:
        """Checks that an earlier run had this key, by the fingerprint it has kept."""
        if not hmac.compare_digest(earlier, self.fingerprint):
            raise UserError(
                f"Expected the key of the earlier run, for else a patient has two "
                f"pseudonyms. Received: {path}, another. Give the earlier one with "
                "--key, or choose another OUT"
            )

    def patient(self, identity: str) -> str:
        return self._name("patient", normalize_id(identity), LETTERS)

    def study(self, identity: str) -> str:
        return self._name("study", identity.strip(), LETTERS)

    def image(self, identity: str) -> str:
        """Of a picture: what tells it and its frame from all others."""
        return self._name("image", identity, LETTERS)

    def device(self, identity: str) -> str:
        """Of a model or probe that is not on our list: devices stay told apart."""
        return "other_" + self._name("device", normalize_id(identity), SHORT)

    def _name(self, kind: str, value: str, letters: int) -> str:
        message = f"usgland {kind}\0{value}".encode("utf-8", "surrogatepass")
        digest = hmac.new(self.secret, message, hashlib.sha256).hexdigest()
        return "".join(ALPHABET[int(digit, 16)] for digit in digest[:letters])


def normalize_id(value: str) -> str:
    """An id without what padding and kinds of letters add; leading zeros count."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    return " ".join(folded.replace("\0", " ").split())


def _read_secret(path: Path) -> bytes:
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode):
        raise UserError(f"Expected a key in {path}. Received: no regular file")
    if state.st_mode & 0o077:
        mode = stat.S_IMODE(state.st_mode)
        raise UserError(
            f"Expected a key that its owner alone can read. Received: {path} with mode "
            f"{mode:04o}. If nobody else has seen it: chmod 600 {path}"
        )
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise UserError(
            f"Expected {2 * KEY_BYTES} hexadecimal digits in {path}, as `usgland "
            "ingest` or `openssl rand -hex 32` write them. Received: another file"
        )
    return secret
