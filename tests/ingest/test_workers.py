"""Processes that may die of a file, by workers that do."""

import importlib

import pytest

from usgland.errors import UserError
from usgland.ingest.workers import run_tasks

# A module that a new process can import, which it cannot of a test.
WORK = """
import ctypes, os, resource, time
from usgland.errors import UserError
from usgland.ingest.unreadable import UnreadableFileError

def work(setup, task, alive):
    if task == "dies":
        os._exit(3)
    if task == "raises":
        raise KeyError("not ours")
    if task == "hangs":
        time.sleep(60)
    if task == "bomb":
        bytearray(400_000_000)
    if task == "unreadable":
        raise UnreadableFileError("broken")
    if task == "full":
        raise UserError("no space left")
    if task == "cores":
        os.write(1, b"a decoder's message")
        dumpable = ctypes.CDLL(None).prctl(3)  # PR_GET_DUMPABLE
        return resource.getrlimit(resource.RLIMIT_CORE), dumpable
    return setup, task
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A worker that does what its task is called."""
    (tmp_path / "work_of_tests.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("work_of_tests").work


def test_each_task_has_its_result_and_none_takes_the_others_with_it(work, tmp_path):
    tasks = ["a", "dies", "raises", "unreadable", "bomb", "hangs", "b"]
    results = dict(
        run_tasks(
            work,
            "setup",
            tasks,
            2,
            log=tmp_path / "log",
            memory=200_000_000,
            silence_seconds=5,
        )
    )
    assert sorted(results) == sorted(tasks)
    assert results["a"] == ("setup", "a")
    assert results["b"] == ("setup", "b")
    reasons = {task: str(results[task]) for task in tasks[1:-1]}
    assert reasons == {
        "dies": "ended its reader (exit status 3)",
        "raises": "ended its reader (exit status 1)",
        "unreadable": "broken",
        "bomb": "takes more memory than a file may",
        "hangs": "no end within 5 seconds without a frame",
    }
    assert "KeyError: 'not ours'" in (tmp_path / "log").read_text()


def test_a_crash_leaves_no_memory_and_no_message_behind(work, tmp_path, capfd):
    log = tmp_path / "log"
    assert dict(run_tasks(work, None, ["cores"], 1, log=log)) == {"cores": ((0, 0), 0)}
    assert capfd.readouterr() == ("", "")
    assert log.read_text() == "a decoder's message"


def test_a_disk_that_is_full_ends_all(work):
    with pytest.raises(UserError, match="no space left"):
        list(run_tasks(work, None, ["full", "a"], 1))
