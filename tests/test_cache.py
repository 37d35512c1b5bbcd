from pathlib import Path

import pytest

from usgland.cache import cache_folder, free_space, memory_limit, show_bytes


def test_the_cache_lies_where_the_desktop_standard_puts_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "usgland"


def test_without_a_usable_setting_the_cache_lies_in_the_home_folder(monkeypatch):
    for setting in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
        assert cache_folder() == Path.home() / ".cache" / "usgland"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "usgland"


def test_the_limit_of_a_container_is_the_memory_that_there_is(tmp_path):
    machine = memory_limit(tmp_path, tmp_path / "none")
    assert machine > 1e8
    membership = tmp_path / "cgroup"
    membership.write_text("0::/user/app\n")
    assert memory_limit(tmp_path, membership) == machine
    (tmp_path / "user" / "app").mkdir(parents=True)
    (tmp_path / "user" / "app" / "memory.max").write_text("max\n")
    assert memory_limit(tmp_path, membership) == machine
    (tmp_path / "user" / "memory.max").write_text("50000000\n")
    assert memory_limit(tmp_path, membership) == 50_000_000
    (tmp_path / "memory.max").write_text("40000000\n")
    assert memory_limit(tmp_path, membership) == 40_000_000


def test_the_limit_of_an_older_container_counts_too(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("5:cpu,cpuacct:/app\n4:memory:/app\n")
    (tmp_path / "memory").mkdir()
    limit = tmp_path / "memory" / "memory.limit_in_bytes"
    limit.write_text("30000000\n")
    assert memory_limit(tmp_path, membership) == 30_000_000
    limit.write_text("9223372036854771712\n")
    assert memory_limit(tmp_path, membership) > 30_000_000


def test_there_is_room_in_a_folder_that_is_not_there_yet(tmp_path):
    assert free_space(tmp_path / "not" / "yet") == pytest.approx(
        free_space(tmp_path), rel=0.2
    )


def test_bytes_are_shown_in_three_digits_at_most():
    counts = (0, 999, 1000, 9_940, 50_176, 4.5e9, 2e13)
    shown = ["0 bytes", "999 bytes", "1.0 kB", "9.9 kB", "50 kB", "4.5 GB", "20 TB"]
    assert [show_bytes(count) for count in counts] == shown
