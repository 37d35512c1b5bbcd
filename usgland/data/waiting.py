"""A bar for work on many files, where it takes long enough to be waited for."""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # Slow to load, and needed only after a while.
    from rich.console import Console
    from rich.progress import Progress

PATIENCE = 2.0  # seconds without a bar
Item = TypeVar("Item")


def watched(
    items: Iterable[Item], total: int, what: str, console: "Console | None" = None
) -> Iterator[Item]:
    """Hands items on, with a bar on a terminal once it has taken `PATIENCE` seconds.

    Args:
        items: What is worked on.
        total: How many there are.
        what: What is done, e.g. `"Checking images"`.
        console: Where the bar is shown; by default the error output.
    """
    start, bar = time.monotonic(), None
    try:
        for done, item in enumerate(items, start=1):
            if bar is None and time.monotonic() - start > PATIENCE:
                bar = _start_bar(total, what, console)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)
            yield item
    finally:
        if bar is not None:
            bar.stop()


def _start_bar(total: int, what: str, console: "Console | None") -> "Progress":
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True) if console is None else console
    bar = progress.Progress(
        progress.TextColumn(what),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bar.add_task("", total=total)
    bar.start()
    return bar
