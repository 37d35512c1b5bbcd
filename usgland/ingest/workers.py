"""Processes that each work on a file at a time and may die of it."""

import ctypes
import multiprocessing
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from usgland.errors import UserError
from usgland.ingest.unreadable import UnreadableFileError

MEMORY = 2_000_000_000  # bytes of addresses that work on a file may add
SILENCE_SECONDS = 120.0  # without a sign of life a worker is ended
END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
DUMPABLE = 4  # PR_SET_DUMPABLE
SIGN_SECONDS = 1.0  # between signs
ALIVE, DONE, SKIPPED, STOPPED = "alive", "done", "skipped", "stopped"

Alive = Callable[[], None]
Work = Callable[[Any, Any, Alive], Any]


@dataclass
class _Worker:
    process: Any
    connection: Connection
    task: Any = None
    heard: float = field(default_factory=time.monotonic)


def run_tasks(
    work: Work,
    setup: Any,
    tasks: Iterable[Any],
    jobs: int,
    *,
    log: Path | None = None,
    memory: int = MEMORY,
    silence_seconds: float = SILENCE_SECONDS,
) -> Generator[tuple[Any, Any], None, None]:
    """Gives each task with its result, in the order in which they are done.

    A result is an `UnreadableFileError` where the work raised that, took more memory
    than it may, gave no sign of life, or ended its process: the next task has a new
    one. A `UserError` of the work ends all, as does anything that the caller raises.

    Args:
        work: A function of a module, called with the setup, a task and a function to
            be called now and then while it works.
        setup: What all tasks share.
        tasks: What can be pickled; read no faster than it is worked on.
        jobs: How many processes.
        log: Where what decoders and errors say is added; by default on the screen.
        memory: Bytes of addresses that a process may add to those it starts with.
        silence_seconds: Longest time between two signs of life.
    """
    # Not forked from this process, whose progress bar has a thread.
    context = multiprocessing.get_context("spawn")

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, work, setup, memory, log), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    remaining = iter(tasks)
    workers: list[_Worker] = []
    try:
        for task in remaining:
            workers.append(start())
            _give(workers[-1], task)
            if len(workers) == jobs:
                break
        while workers:
            for index, worker, answer in _answers(workers, silence_seconds):
                task = worker.task
                if isinstance(answer, _Died):
                    _end(worker)
                    workers[index] = start()
                    answer = UnreadableFileError(answer.reason)
                worker = workers[index]
                worker.task = None
                yield task, answer
                following = next(remaining, None)
                if following is not None:
                    _give(worker, following)
            for worker in [x for x in workers if x.task is None]:
                _end(worker)
                workers.remove(worker)
    finally:
        for worker in workers:
            _end(worker)


@dataclass(frozen=True)
class _Died:
    reason: str


def _give(worker: _Worker, task: Any) -> None:
    worker.task, worker.heard = task, time.monotonic()
    worker.connection.send(task)


def _answers(
    workers: list[_Worker], silence_seconds: float
) -> Iterator[tuple[int, _Worker, Any]]:
    ready = wait([x.connection for x in workers], timeout=SIGN_SECONDS)
    for index, worker in enumerate(list(workers)):
        if worker.connection in ready:
            answer = _receive(worker)
            if answer is None:
                continue
            yield index, worker, answer
        elif time.monotonic() - worker.heard > silence_seconds:
            reason = f"no end within {silence_seconds:g} seconds without a frame"
            yield index, worker, _Died(reason)


def _receive(worker: _Worker) -> Any:
    """An answer; None for a sign of life."""
    try:
        kind, value = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        return _Died(f"ended its reader (exit status {worker.process.exitcode})")
    worker.heard = time.monotonic()
    if kind == STOPPED:
        raise UserError(value)
    if kind == SKIPPED:
        return UnreadableFileError(value)
    return None if kind == ALIVE else value


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _serve(
    connection: Connection, work: Work, setup: Any, memory: int, log: Path | None
) -> None:
    """What a process does: its tasks, until its pipe is closed."""
    # A worker whose run was killed would write on beside the run that goes on.
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    # Ctrl-C is the run's to answer: a worker that it ended would have its file skipped.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if log is not None:
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
    limit_memory(memory)
    # A decoder that crashes would leave its memory, the key and a patient in it, as a
    # file in the working folder, or give it to the system's collector of crashes.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(DUMPABLE, 0)
    warnings.simplefilter("ignore")
    told = 0.0

    def alive() -> None:
        nonlocal told
        if time.monotonic() - told > SIGN_SECONDS:
            told = time.monotonic()
            connection.send((ALIVE, None))

    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            answer = (DONE, work(setup, task, alive))
        except UnreadableFileError as error:
            answer = (SKIPPED, str(error))
        except UserError as error:
            answer = (STOPPED, str(error))
        except MemoryError:
            answer = (SKIPPED, "takes more memory than a file may")
        connection.send(answer)


def limit_memory(added: int) -> None:
    """Limits the addresses of this process to what it has and so many bytes more."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + added
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
