"""A file that has not changed is not read again; one that has, is."""

import errno
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from usgland.data import images, remembered_checks
from usgland.data.images import check_images
from usgland.data.remembered_checks import stamp_of

LONG_AGO = 1_000_000_000.0  # seconds


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "REMEMBERED", 1)
    # The clock of the disk cannot be set: what was just written counts as settled.
    monkeypatch.setattr(remembered_checks, "SETTLED_NS", -(10**18))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "usgland" / "checks"


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    names = [tmp_path / f"{number}.png" for number in range(6)]
    for path in names[:4]:
        Image.fromarray(rng.integers(0, 256, (40, 40), dtype="uint8")).save(path)
    names[4].write_bytes(b"GIF89a, no image that we read")
    return names  # of which the last is not there


@pytest.fixture
def check(paths, checked, tmp_path):
    """Checks the paths; gives the checks and which files were read."""

    def run(names=paths, manifest=tmp_path / "manifest.csv"):
        checked.clear()
        checks = check_images(names, manifest=manifest)
        return checks, [str(path) for path in names if str(path) in checked]

    return run


def test_what_has_not_changed_is_not_read_again(check, paths, cache):
    first, read = check()
    assert read == list(map(str, paths))
    again, read = check()
    assert again == first == check_images(paths)
    assert read == [str(paths[5])]  # It may have come.
    assert [bool(check.problem) for check in again] == [False] * 4 + [True] * 2


def test_what_has_changed_is_read_again(check, paths, cache):
    first, _ = check()
    Image.fromarray(np.eye(40, dtype="uint8")).save(paths[1])
    shutil.copy(paths[0], paths[5])
    again, read = check()
    assert read == [str(paths[1]), str(paths[5])]
    assert again == check_images(paths)
    assert again[1] != first[1] and again[5] == first[0]


def test_a_change_is_seen_although_size_and_time_are_set_back(check, paths, cache):
    content = bytearray(paths[2].read_bytes())
    os.utime(paths[2], (LONG_AGO, LONG_AGO))
    check()
    content[-30] ^= 255
    paths[2].write_bytes(content)
    os.utime(paths[2], (LONG_AGO, LONG_AGO))
    checks, read = check()
    assert str(paths[2]) in read
    assert "damaged PNG" in checks[2].problem


def test_another_file_with_the_times_of_the_first_is_not_taken_for_it(paths):
    stamp = stamp_of(str(paths[0]))
    device, inode = stamp.place
    swapped = stamp._replace(place=(device, inode + 1))
    mounted_again = stamp._replace(place=(device + 1, inode))
    assert swapped.known_by() != stamp.known_by() == mounted_again.known_by()


def test_a_cache_that_can_only_be_read_is_used(check, cache, monkeypatch):
    check()

    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "utime", refuse)
    assert len(check()[1]) == 1


def test_no_other_user_can_open_the_folder(check, cache):
    check()
    assert cache.stat().st_mode & 0o777 == 0o700


def test_what_was_written_a_moment_ago_is_not_trusted(check, cache, monkeypatch):
    monkeypatch.setattr(remembered_checks, "SETTLED_NS", 10**18)
    check()
    assert not cache.exists()
    monkeypatch.setattr(remembered_checks.time, "time_ns", lambda: 10**19)
    check()
    assert len(check()[1]) == 1


def test_other_code_and_another_manifest_know_nothing_of_it(
    check, cache, tmp_path, monkeypatch
):
    check()
    assert len(check(manifest=tmp_path / "other.csv")[1]) == 6
    assert len(check()[1]) == 1
    monkeypatch.setattr(images, "version_of_checks", lambda: "other")
    assert len(check()[1]) == 6


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "folder"])
def test_a_damaged_file_is_forgotten(check, cache, damage):
    first, _ = check()
    [path] = cache.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[:-9], "flip": content, "empty": b"", "folder": b""}
    path.write_bytes(damaged[damage])
    if damage == "folder":
        path.unlink()
        path.mkdir()
    again, read = check()
    assert again == first and len(read) == 6


def test_without_room_the_files_are_checked_all_the_same(check, cache, monkeypatch):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill)
    assert len(check()[0]) == 6
    assert list(cache.iterdir()) == []


def test_an_interrupted_check_goes_on_where_it_was(
    check, paths, cache, checked, monkeypatch
):
    monkeypatch.setattr(images, "WAITING_AT_ONCE", 1)
    look = images._check_image

    def interrupt(path, *, pixels):
        if path == str(paths[3]):
            raise KeyboardInterrupt
        return look(path, pixels=pixels)

    with monkeypatch.context() as patch:
        patch.setattr(images, "_check_image", interrupt)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert check()[1] == [str(path) for path in paths[3:]]


def test_of_several_names_of_a_file_one_is_read(check, paths, cache, tmp_path):
    links = []
    for number in range(3):
        links += [tmp_path / f"soft{number}.png", tmp_path / f"hard{number}.png"]
        links[-2].symlink_to(paths[0])
        os.link(paths[0], links[-1])
    checks, read = check([paths[0], *links])
    assert read == [str(paths[0])]
    assert len(set(checks)) == 1


def test_few_files_are_always_checked(check, cache, monkeypatch):
    monkeypatch.setattr(images, "REMEMBERED", 7)
    assert [len(check()[1]) for _ in "ab"] == [6, 6]
    assert not cache.exists()
