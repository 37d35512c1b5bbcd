import hashlib
import hmac
import os

import pytest

from usgland.errors import UserError
from usgland.ingest.pseudonyms import ALPHABET, Key, normalize_id


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "private/key"
    key = Key.load_or_make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key.secret) == 32
    assert Key.load_or_make(path) == key
    assert Key.load_or_make(tmp_path / "another") != key


def test_a_key_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key"
    Key.load_or_make(path)
    path.chmod(0o640)
    with pytest.raises(UserError, match=r"owner alone.* mode 0640.*chmod 600"):
        Key.load_or_make(path)


@pytest.mark.parametrize("text", ["", "secret", "ab" * 31, "ab" * 33, "zz" * 32])
def test_a_file_that_is_no_key_is_refused(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UserError, match="64 hexadecimal digits in .*another file"):
        Key.load_or_make(path)


def test_a_pipe_and_a_folder_that_cannot_be_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(UserError, match="no regular file"):
        Key.load_or_make(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot keep the key .*--key"):
        Key.load_or_make(tmp_path / "file/key")


def test_the_key_of_another_run_is_refused(tmp_path):
    earlier, key = Key(b"a" * 32), Key(b"b" * 32)
    key.check_fits(key.fingerprint, tmp_path)
    with pytest.raises(UserError, match=r"key of the earlier run.*--key"):
        key.check_fits(earlier.fingerprint, tmp_path)


def test_a_pseudonym_is_the_hmac_of_the_id():
    secret = bytes(range(32))
    digest = hmac.new(secret, b"usgland patient\0mrn-12", hashlib.sha256).hexdigest()
    expected = "".join(ALPHABET[int(c, 16)] for c in digest[:16])
    key = Key(secret)
    assert key.patient("MRN-12 \0") == key.patient(" mrn-12") == expected
    names = {f("12") for f in (key.patient, key.study, key.image, key.device)}
    assert len(names) == 4
    assert key.patient("012") != key.patient("12")


def test_an_id_loses_padding_and_kinds_of_letters():
    assert normalize_id(" \uff21\uff22 12\0") == "ab 12"
