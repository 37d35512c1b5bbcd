from pathlib import Path

import pytest

from usgland.cache import cache_folder, free_space, show_bytes


def test_the_cache_lies_where_the_desktop_standard_puts_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "usgland"


def test_without_a_usable_setting_the_cache_lies_in_the_home_folder(monkeypatch):
    for setting in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
        assert cache_folder() == Path.home() / ".cache" / "usgland"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "usgland"


def test_there_is_room_in_a_folder_that_is_not_there_yet(tmp_path):
    assert free_space(tmp_path / "not" / "yet") == pytest.approx(
        free_space(tmp_path), rel=0.2
    )


def test_bytes_are_shown_in_three_digits_at_most():
    counts = (0, 999, 1000, 9_940, 50_176, 4.5e9, 2e13)
    shown = ["0 bytes", "999 bytes", "1.0 kB", "9.9 kB", "50 kB", "4.5 GB", "20 TB"]
    assert [show_bytes(count) for count in counts] == shown
