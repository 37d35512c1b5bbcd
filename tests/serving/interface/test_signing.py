"""A version is loaded as it was signed, or not at all."""

import subprocess

import pytest

from usgland.errors import UserError
from usgland.serving.interface import signing
from usgland.serving.interface.status import RequestError


@pytest.fixture
def folder(tmp_path):
    version = tmp_path / "version"
    (version / "assets.extra").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"graph")
    (version / "assets.extra" / "usgland.json").write_text("{}")
    return version


@pytest.fixture
def keys(tmp_path):
    """Files of a private and a public key."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    pem, nothing = serialization.Encoding.PEM, serialization.NoEncryption()
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    kind = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, kind, nothing))
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, kind))
    return private, public


def test_the_checksums_are_those_of_coreutils(folder):
    signing.write_sums(folder)
    command = ["sha256sum", "--check", "--strict", signing.SUMS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count(": OK") == 2


def test_only_what_was_signed_is_loaded(folder, keys):
    signing.write_sums(folder, signing.read_private_key(keys[0]))
    public = signing.read_public_key(keys[1])
    with signing.verified(folder, public) as copy:
        assert copy != folder
        assert (copy / "saved_model.pb").read_bytes() == b"graph"
    assert not copy.exists()
    (folder / "more").write_bytes(b"")
    _refused(folder, public, "other files than SHA256SUMS lists")
    (folder / "more").unlink()
    (folder / "assets.extra" / signing.SUMS).write_bytes(b"")
    _refused(folder, public, "other files than SHA256SUMS lists")
    (folder / "assets.extra" / signing.SUMS).unlink()
    (folder / "saved_model.pb").write_bytes(b"another graph")
    _refused(folder, public, "other files than SHA256SUMS lists")
    signing.write_sums(folder)  # as anyone can
    _refused(folder, public, "no signature of the key")
    (folder / signing.SIGNATURE).unlink()
    _refused(folder, public, "no signature of the key")


def _refused(folder, key, reason):
    with (
        pytest.raises(RequestError, match=f"as it was signed. Received: {reason}"),
        signing.verified(folder, key),
    ):
        pass


def test_what_is_no_key_is_named(tmp_path, keys):
    with pytest.raises(UserError, match="--sign: expected an Ed25519 private key"):
        signing.read_private_key(keys[1])
    with pytest.raises(UserError, match="--require-signature: expected an Ed25519 pub"):
        signing.read_public_key(tmp_path / "nothing")
