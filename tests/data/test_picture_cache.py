"""Pictures on disk: written once, whole or not at all, never used where they differ."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf

from tests.commands import full_disk
from usgland.data import picture_cache
from usgland.data.picture_cache import PictureKey, keep_pictures
from usgland.errors import UserError

SIZE = 64  # one page of memory a picture
KEY = PictureKey("a" * 64, "b" * 64)
OTHER_VERSION = PictureKey("c" * 64, "b" * 64)


def read(image_bytes):
    """A picture of the first byte of its file."""
    level = tf.io.decode_raw(tf.strings.substr(image_bytes, 0, 1), tf.uint8)
    return tf.fill((SIZE, SIZE, 1), level[0])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "usgland" / "pictures"


@pytest.fixture
def rows(tmp_path):
    """Rows of 20 files that hold their number; the last is a copy of the first."""
    records = []
    for number in (*range(100, 119), 100):
        path = tmp_path / f"{len(records)}.image"
        path.write_bytes(bytes([number]))
        records.append((str(path), hashlib.sha256(bytes([number])).hexdigest()))
    return pd.DataFrame(records, columns=["image_path", "sha256"])


def keep(rows, cache="disk", key=KEY):
    """Numbers of the pictures of the rows, and the lines that were said."""
    lines = []
    kept = keep_pictures(rows, read, SIZE, key, cache=cache, say=lines.append)
    return kept.pictures[:][:, 0, 0, 0].tolist(), [*lines, kept.where]


def numbers_of(rows):
    return [Path(path).read_bytes()[0] for path in rows["image_path"]]


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_pictures_are_written_once_and_read_again(rows, cache):
    numbers, lines = keep(rows)
    assert numbers == numbers_of(rows)
    size = "19 preprocessed pictures (86 kB)"  # a page each, two before, less a half
    assert lines[0] == f"Keeping {size} in {cache}"
    [name] = files_in(cache)
    assert lines[1:] == [f"kept on disk (78 kB, {cache / name})"]
    for path in rows["image_path"]:
        Path(path).unlink()
    assert keep(rows)[1] == lines[1:]
    some = rows.iloc[[5, 19, 2]]  # of a fold, say
    assert keep(some) == ([105, 100, 102], [f"kept on disk (12 kB, {cache / name})"])


def test_a_file_that_has_most_of_the_pictures_is_replaced_by_a_larger_one(rows, cache):
    keep(rows.iloc[:12])
    [old] = files_in(cache)
    for path in rows["image_path"].iloc[:12]:
        os.truncate(path, 0)  # It would fail to be decoded.
    numbers, lines = keep(rows.iloc[:19])
    assert numbers == list(range(100, 119))
    assert lines[0].startswith("Keeping 19 preprocessed pictures")
    assert len(files_in(cache)) == 1 and files_in(cache) != [old]


def test_pictures_of_another_manifest_have_a_file_of_their_own(rows, cache):
    keep(rows.iloc[:5])
    keep(rows.iloc[5:15])
    assert len(files_in(cache)) == 2


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: flip(path, -1), "a picture differs from its checksum"),
        (lambda path: flip(path, 4096), "its index differs"),
        (lambda path: flip(path, 3), "Error"),
        (lambda path: os.truncate(path, 9000), "9000 bytes"),
        (lambda path: os.truncate(path, 0), "Error"),
        (lambda path: path.write_bytes(b"{}"), "KeyError"),
        (lambda path: path.write_bytes(b"[1]"), "TypeError"),
    ],
)
def test_a_damaged_file_is_made_again_with_a_line(rows, cache, damage, expected):
    keep(rows)
    [name] = files_in(cache)
    whole = (cache / name).read_bytes()
    damage(cache / name)
    numbers, lines = keep(rows)
    assert numbers == numbers_of(rows)
    assert lines[0].startswith("Removed a damaged cache of pictures (")
    assert expected in lines[0] and len(lines) == 3
    assert (cache / name).read_bytes() == whole


def refuse(*_, **__):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_file_that_cannot_be_opened_is_not_taken_for_damaged(
    rows, cache, monkeypatch
):
    keep(rows)
    [name] = files_in(cache)
    whole, open_file = (cache / name).stat(), os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *a: refuse() if path == cache / name else open_file(path, *a),
    )
    numbers, lines = keep(rows.iloc[:9])
    assert numbers == numbers_of(rows)[:9]
    passed_over = f"Passed over a cache of pictures (Permission denied): {cache / name}"
    assert lines[0] == passed_over
    assert (cache / name).stat() == whole


def test_a_damaged_file_that_cannot_be_removed_is_passed_over(rows, cache, monkeypatch):
    keep(rows)
    [name] = files_in(cache)
    flip(cache / name, -1)
    monkeypatch.setattr(picture_cache, "memory_limit", lambda: 0)
    monkeypatch.setattr(picture_cache, "free_space", lambda folder: 0)
    monkeypatch.setattr(Path, "unlink", refuse)
    numbers, lines = keep(rows, "auto")
    assert numbers == numbers_of(rows)
    assert lines[0].startswith("Passed over a damaged cache of pictures (")


def test_a_file_that_fails_while_it_is_checked_is_made_again(rows, cache, monkeypatch):
    keep(rows)
    block = picture_cache.PictureFile.block

    def fail_once(*arguments):
        monkeypatch.setattr(picture_cache.PictureFile, "block", block)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(picture_cache.PictureFile, "block", fail_once)
    numbers, lines = keep(rows)
    assert numbers == numbers_of(rows)
    assert "Input/output error" in lines[0] and len(lines) == 3


def test_a_cache_that_can_only_be_read_is_used(rows, cache, monkeypatch):
    keep(rows)
    monkeypatch.setattr(os, "utime", refuse)
    assert len(keep(rows)[1]) == 1


def test_no_other_user_can_open_the_folder(rows, cache):
    keep(rows)
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_file_that_another_process_replaces_at_once_is_still_read(
    rows, cache, monkeypatch
):
    replace = os.replace

    def replace_and_lose(source, target):
        replace(source, target)
        Path(target).unlink()

    monkeypatch.setattr(os, "replace", replace_and_lose)
    assert keep(rows)[0] == numbers_of(rows)


@pytest.mark.parametrize("content", [b"\xff", b""])
@pytest.mark.parametrize("choice", ["disk", "auto"])
def test_a_picture_that_is_not_the_one_that_was_checked_is_refused(
    rows, cache, monkeypatch, choice, content
):
    monkeypatch.setattr(picture_cache, "memory_limit", lambda: 0)
    path = Path(rows["image_path"][3])
    path.write_bytes(content)
    expected = (
        rf"^Expected the image that was checked at {path}. Received: another, it has "
        "changed since it was checked. Repeat the command$"
    )
    with pytest.raises(UserError, match=expected):
        keep(rows, choice)
    assert files_in(cache) == []


def test_old_files_make_room_for_a_new_one(rows, cache, monkeypatch):
    keep(rows.iloc[:4], key=OTHER_VERSION)
    [old] = files_in(cache)
    os.utime(cache / old, (0, 0))
    monkeypatch.setattr(
        picture_cache, "free_space", lambda _: 0 if (cache / old).exists() else 10**9
    )
    assert keep(rows)[0] == numbers_of(rows)


def test_an_old_file_that_is_extended_is_kept_until_then(rows, cache, monkeypatch):
    keep(rows.iloc[:12])
    [base] = files_in(cache)
    os.utime(cache / base, (0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(picture_cache, "free_space", lambda _: 0)
        with pytest.raises(UserError, match="^Cannot keep"):
            keep(rows)
    assert files_in(cache) == [base]


def test_what_another_user_left_does_not_end_the_run(rows, cache, monkeypatch):
    keep(rows.iloc[:4], key=OTHER_VERSION)
    os.utime(cache / files_in(cache)[0], (0, 0))
    monkeypatch.setattr(Path, "unlink", refuse)
    assert picture_cache._remove_old(cache, KEY, None, print) is None


def test_a_cache_of_another_version_is_not_used_and_later_removed(rows, cache):
    keep(rows, key=OTHER_VERSION)
    [other] = files_in(cache)
    numbers, lines = keep(rows.iloc[:4])
    assert numbers == numbers_of(rows)[:4]
    assert "those of another version there are not used" in lines[0]
    assert len(files_in(cache)) == 2
    two_days_ago = (cache / other).stat().st_mtime - 2 * 86_400
    os.utime(cache / other, (two_days_ago, two_days_ago))
    _, lines = keep(rows.iloc[10:19])
    assert lines[1] == f"Removed 1 old caches of pictures (86 kB) from {cache}"
    assert other not in files_in(cache)


def test_what_nobody_used_for_a_month_is_removed_when_another_is_written(rows, cache):
    keep(rows.iloc[:4])
    (cache / ".left-a1b2c3d4.pixels").write_bytes(b"killed")
    for name in files_in(cache):
        os.utime(cache / name, (0, 0))
    keep(rows.iloc[10:19])
    assert len(files_in(cache)) == 1


def test_use_keeps_a_file_young(rows, cache):
    keep(rows)
    [name] = files_in(cache)
    os.utime(cache / name, (0, 0))
    keep(rows)
    assert (cache / name).stat().st_mtime > 1e9


def test_no_room_is_an_error_of_one_line_with_what_to_do(rows, cache, monkeypatch):
    monkeypatch.setattr(picture_cache, "free_space", lambda folder: 5_000)
    expected = (
        r"^Cannot keep 19 preprocessed pictures \(86 kB\) in .*pictures: No space left "
        r"on device; 5.0 kB are free. Make room, set XDG_CACHE_HOME .* data.cache=none$"
    )
    with pytest.raises(UserError, match=expected):
        keep(rows)
    assert files_in(cache) == []


@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_a_disk_that_fills_meanwhile_leaves_nothing_behind(
    rows, cache, monkeypatch, call
):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fill)
    with pytest.raises(UserError, match="^Cannot keep 19 .*: No space left on device;"):
        keep(rows)
    assert files_in(cache) == []


def test_where_the_choice_is_free_a_full_disk_means_to_decode_anew(
    rows, cache, monkeypatch
):
    monkeypatch.setattr(picture_cache, "memory_limit", lambda: 0)
    assert keep(rows, "auto")[1][-1].startswith("kept on disk")
    monkeypatch.setattr(picture_cache, "free_space", lambda folder: 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent / "elsewhere"))
    numbers, lines = keep(rows, "auto")
    assert numbers == numbers_of(rows)
    assert lines[1].startswith("Cannot keep 19 preprocessed pictures")
    assert lines[1].endswith("data.cache=none. Going on with data.cache=none")
    assert lines[2] == "decoded anew in each epoch"


def test_memory_is_chosen_up_to_a_quarter_of_it(rows, cache, monkeypatch):
    pixels = 19 * SIZE**2
    monkeypatch.setattr(picture_cache, "memory_limit", lambda: 4 * pixels)
    assert keep(rows, "auto") == (numbers_of(rows), ["kept in memory (78 kB)"])
    assert keep(rows, "none")[1] == ["decoded anew in each epoch"]
    assert files_in(cache) == []
    monkeypatch.setattr(picture_cache, "memory_limit", lambda: 4 * pixels - 1)
    assert keep(rows, "auto")[1][-1].startswith("kept on disk")
    assert keep(rows, "memory")[1] == ["kept in memory (78 kB)"]


def test_two_who_write_at_a_time_both_read_whole_files(rows, cache):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(keep(rows)[0])) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [numbers_of(rows)] * 2
    assert len(files_in(cache)) == 1


def test_a_picture_that_cannot_be_decoded_leaves_nothing_behind(rows, cache):
    os.truncate(rows["image_path"][7], 0)
    rows.loc[7, "sha256"] = hashlib.sha256(b"").hexdigest()
    with pytest.raises(tf.errors.InvalidArgumentError):
        keep(rows)
    assert files_in(cache) == []


def test_a_limit_of_file_sizes_is_a_full_disk(rows, cache):
    with full_disk(50_000), pytest.raises(UserError, match="Cannot keep .*too large;"):
        keep(rows)
    assert files_in(cache) == []


def test_a_process_reads_a_file_whole_once(rows, cache, monkeypatch):
    keep(rows)
    keep(rows)
    monkeypatch.setattr(picture_cache.PictureFile, "block", None)
    numbers, lines = keep(rows)
    assert numbers == numbers_of(rows)
    assert lines[0].startswith("kept on disk")


def test_a_file_that_changes_after_it_was_read_whole_is_read_again(rows, cache):
    keep(rows)
    keep(rows)
    [name] = files_in(cache)
    flip(cache / name, -1)
    numbers, lines = keep(rows)
    assert numbers == numbers_of(rows)
    assert "a picture differs from its checksum" in lines[0]
