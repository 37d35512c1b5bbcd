"""Threads that nobody must wait for: what they run may never end."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class DaemonThreads(Executor):
    """An executor whose threads do not hold up the end of Python, as others do."""

    def __init__(self, number: int, name: str):
        self._work: queue.SimpleQueue = queue.SimpleQueue()
        self._number = number
        for _ in range(number):
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future:
        """Runs something in the next thread that is idle."""
        future: Future = Future()
        self._work.put((future, work, args, named))
        return future

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            future, work, args, named = job
            if future.set_running_or_notify_cancel():
                with _Told(future):
                    future.set_result(work(*args, **named))

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Ends the threads once they are idle; it does not wait for them."""
        for _ in range(self._number):
            self._work.put(None)


class _Told:
    """Gives any error of the block to who waits for a future."""

    def __init__(self, future: Future):
        self.future = future

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, where: Any) -> bool:
        if error is not None:
            self.future.set_exception(error)
        return True
