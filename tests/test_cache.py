from pathlib import Path

from usgland.cache import cache_folder


def test_the_cache_lies_where_the_desktop_standard_puts_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "usgland"


def test_without_a_usable_setting_the_cache_lies_in_the_home_folder(monkeypatch):
    for setting in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
        assert cache_folder() == Path.home() / ".cache" / "usgland"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "usgland"
