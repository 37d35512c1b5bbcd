"""The run directory: whole files or none, and messages that say what to do."""

import contextlib
import errno
import json
import math
import os
import stat

import numpy as np
import pytest

from tests.commands import files_in, full_disk
from usgland.config import Config, dump_config, load_config
from usgland.errors import UserError
from usgland.files import (
    read_json,
    remove_leftovers,
    write_json,
    write_text,
    write_whole,
)
from usgland.runs import (
    check_name,
    check_same_settings,
    find_resumable,
    find_run,
    new_run,
)


def make_run(run, *, done=None, folds=False, config=None):
    run.mkdir(parents=True)
    write_text(run / "config.yaml", dump_config(config or Config()))
    if folds:
        (run / "folds").mkdir()
    if done:
        (run / done).touch()
    return run


def test_a_file_appears_when_it_is_whole_and_with_the_usual_permissions(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with write_whole(path) as temporary:
        temporary.write_text("a,b\n1,2\n")
        assert not path.exists()
        assert temporary.suffix == ".csv"
    assert path.read_text() == "a,b\n1,2\n"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert files_in(path.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, UserError])
def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(error), write_whole(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert files_in(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_disk_that_fills_leaves_the_old_file_or_none(tmp_path, before):
    path = tmp_path / "table.csv"
    if before:
        path.write_text(before)
    with (
        pytest.raises(UserError, match=f"Cannot write {path}: File too large. Make"),
        full_disk(1000),
    ):
        write_text(path, "x" * 5000)
    assert files_in(tmp_path) == (["table.csv"] if before else [])
    assert before is None or path.read_text() == before


def test_a_disk_that_fills_under_numpy_is_one_error_without_noise(tmp_path, capfd):
    path = tmp_path / "weights.npz"
    with (
        pytest.raises(UserError, match="Cannot write .*weights.npz: File too large"),
        full_disk(10_000),
        write_whole(path) as temporary,
    ):
        np.savez(temporary, **{str(i): np.ones(1000) for i in range(5)})
    assert files_in(tmp_path) == []
    assert capfd.readouterr().err == ""


def test_a_disk_that_is_full_only_when_flushed_is_noticed(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "table.csv"
    with pytest.raises(UserError, match="Cannot write .*: No space left on device"):
        write_text(path, "new")
    assert files_in(tmp_path) == []


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match="Cannot write .*table.csv: .*Make room or"):
        write_text(tmp_path / "runs" / "table.csv", "new")


def test_a_folder_in_the_way_of_a_file_is_named_and_stays(tmp_path):
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(UserError, match="Cannot write .*table.csv: Is a directory"):
        write_text(tmp_path / "table.csv", "new")
    assert files_in(tmp_path) == ["table.csv"]


def test_leftovers_of_a_killed_process_go_and_other_files_stay(tmp_path):
    path = tmp_path / "history.csv"
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(write_whole(path))
        temporary.write_text("half")
        os.link(temporary, tmp_path / "kept")
        killed = temporary.name
    path.unlink()
    os.rename(tmp_path / "kept", tmp_path / killed)
    for name in ("history.csv", ".gitignore", ".note-to-self.md"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert files_in(tmp_path) == [".gitignore", ".note-to-self.md", "history.csv"]


def test_json_is_read_back_and_nan_becomes_null(tmp_path):
    path = tmp_path / "metrics.json"
    value = {"a": [1, math.nan, (2.5,)], "b": {"c": math.nan, "d": "NaN", "e": None}}
    write_json(path, value)
    expected = {"a": [1, None, [2.5]], "b": {"c": None, "d": "NaN", "e": None}}
    assert read_json(path) == expected
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe"])
def test_a_damaged_or_missing_json_file_is_named(tmp_path, content):
    path = tmp_path / "threshold.json"
    with pytest.raises(UserError, match=f"Expected JSON in {path}. Received: .*No su"):
        read_json(path)
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"Expected JSON in {path}. Received: "):
        read_json(path)


def test_runs_without_a_name_are_numbered_and_fill_no_gaps_with_old_runs(tmp_path):
    assert new_run(tmp_path, "squeeze", numbered=True) == tmp_path / "squeeze-1"
    (tmp_path / "squeeze-1").mkdir()
    (tmp_path / "squeeze-2").touch()
    assert new_run(tmp_path, "squeeze", numbered=True) == tmp_path / "squeeze-3"


def test_a_named_run_is_never_overwritten(tmp_path):
    assert new_run(tmp_path, "mine", numbered=False) == tmp_path / "mine"
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="never overwritten. Received one that exists"):
        new_run(tmp_path, "mine", numbered=False)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "/tmp", ".hidden", "a/"])
def test_a_name_that_is_a_path_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="--name: expected the name of a folder"):
        new_run(tmp_path, name, numbered=False)
    with pytest.raises(UserError, match="--model: expected the name of a folder"):
        check_name("--model", name)


def test_a_name_that_no_file_system_takes_is_refused(tmp_path):
    with pytest.raises(UserError, match="a path that can be used. .*name too long"):
        new_run(tmp_path, "n" * 300, numbered=False)


def test_a_runs_folder_that_is_a_file_has_no_runs(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match="--resume: expected an unfinished run"):
        find_resumable(tmp_path / "runs", None, "done.json", cross_validated=False)


def test_a_run_is_known_by_its_files(tmp_path):
    run = make_run(tmp_path / "one")
    assert find_run(run) == run
    with pytest.raises(UserError, match="run directory with model.keras. Received"):
        find_run(run, "model.keras")
    with pytest.raises(UserError, match="run directory with config.yaml. Received"):
        find_run(tmp_path / "none")


def test_resume_finds_the_one_unfinished_run(tmp_path):
    def find(name=None, *, folds=False):
        return find_resumable(tmp_path, name, "done.json", cross_validated=folds)

    with pytest.raises(UserError, match="Received: none. Leave --resume out to"):
        find()
    make_run(tmp_path / "finished", done="done.json")
    # What a process that was killed while it made its run directory leaves.
    make_run(tmp_path / ".half-4711")
    crossed = make_run(tmp_path / "crossed", folds=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="Received: none"):
        find()
    first = make_run(tmp_path / "first")
    assert find() == find("first") == first
    assert find(folds=True) == crossed
    second = make_run(tmp_path / "second")
    with pytest.raises(UserError, match="Received: first, second. Choose one with"):
        find()
    assert find("second") == second


def test_resume_refuses_a_finished_run_and_one_of_another_command(tmp_path):
    make_run(tmp_path / "finished", done="done.json")
    make_run(tmp_path / "crossed", folds=True)
    make_run(tmp_path / "plain")
    with pytest.raises(UserError, match="finished, which is finished; `usgland eval"):
        find_resumable(tmp_path, "finished", "done.json", cross_validated=False)
    with pytest.raises(UserError, match="crossed, begun by `usgland cv`"):
        find_resumable(tmp_path, "crossed", "done.json", cross_validated=False)
    with pytest.raises(UserError, match="plain, begun by `usgland fit`"):
        find_resumable(tmp_path, "plain", "done.json", cross_validated=True)
    with pytest.raises(UserError, match="Expected a run directory with config.yaml"):
        find_resumable(tmp_path, "absent", "done.json", cross_validated=False)
    with pytest.raises(UserError, match="--name: expected the name of a folder"):
        find_resumable(tmp_path, "../x", "done.json", cross_validated=False)


def test_resume_names_every_setting_that_differs_from_the_stored_ones(tmp_path):
    begun = load_config(None, ("train.seed=5", "data.ignore_labels=[normal]"))
    run = make_run(tmp_path / "one", config=begun)
    check_same_settings(run, begun)
    # `split.seed=5` reads as the stored `seed: 5` of another group does.
    wanted = load_config(None, ("split.seed=5", "train.seed=5"))
    with pytest.raises(UserError, match="--resume keeps the settings in") as caught:
        check_same_settings(run, wanted)
    assert "split.seed=5 instead of 0" in str(caught.value)
    assert "data.ignore_labels=[] instead of ['normal']" in str(caught.value)
    assert "train.seed" not in str(caught.value)


def test_resume_asks_no_more_what_auto_meant_when_the_run_began(tmp_path):
    begun = load_config(None, ("train.precision=mixed_bfloat16",))
    run = make_run(tmp_path / "one", config=begun)
    check_same_settings(run, load_config())
    wanted = load_config(None, ("train.precision=float32",))
    with pytest.raises(UserError, match="precision=float32 instead of mixed_bfloat16"):
        check_same_settings(run, wanted)
