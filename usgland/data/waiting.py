"""A bar for work on many files, where it takes long enough to be waited for."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

PATIENCE = 2.0  # seconds without a bar
Item = TypeVar("Item")


def watched(
    items: Iterable[Item], total: int, what: str, console: Console | None = None
) -> Iterator[Item]:
    """Hands items on, with a bar on a terminal once it has taken `PATIENCE` seconds.

    Args:
        items: What is worked on.
        total: How many there are.
        what: What is done, e.g. `"Checking images"`.
        console: Where the bar is shown; by default the error output.
    """
    console = Console(stderr=True) if console is None else console
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task, start, started = bar.add_task("", total=total), time.monotonic(), False
    try:
        for done, item in enumerate(items, start=1):
            if not started and time.monotonic() - start > PATIENCE:
                bar.start()
                started = True
            bar.update(task, completed=done)
            yield item
    finally:
        if started:
            bar.stop()
