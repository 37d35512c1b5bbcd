"""What native code writes to stderr: hidden, and never lost where it matters."""

import os

import pytest

from usgland.native import native_lines_hidden, native_stderr_hidden


def test_what_a_block_writes_is_hidden(capfd):
    with native_stderr_hidden():
        os.write(2, b"a message of C++\n")
    assert os.write(2, b"later\n")
    assert capfd.readouterr().err == "later\n"


def test_what_a_block_writes_is_shown_if_it_fails(capfd):
    with pytest.raises(KeyError), native_stderr_hidden():
        os.write(2, b"the reason\nin part")
        raise KeyError
    assert capfd.readouterr().err == "the reason\nin part"


def test_only_known_lines_are_hidden_and_an_error_hides_none_of_the_others(capfd):
    with pytest.raises(KeyError), native_lines_hidden(r"INFO: known \d"):
        os.write(2, b"INFO: known 7\nINFO: known\nbad \xff\n")
        raise KeyError
    assert os.write(2, b"later\n")
    assert capfd.readouterr().err == "INFO: known\nbad \ufffd\nlater\n"
