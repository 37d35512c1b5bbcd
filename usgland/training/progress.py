"""What a person watches while a network trains, and the logs they keep."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import tensorflow as tf
from rich import progress
from rich.console import Console

from usgland.errors import UserError
from usgland.files import write_text
from usgland.training.checkpoint import State

SHOWN = ("loss", "val_loss", "val_auc", "val_sensitivity", "val_specificity")


class ProgressBar:
    """One bar over all steps of all epochs, with the time left, and a line an epoch.

    Args:
        console: Where to show it. The bar appears on terminals only.
        epochs: Epochs in all.
        done: Epochs that an earlier attempt finished.
    """

    def __init__(self, console: Console, epochs: int, done: int = 0):
        self._console, self._epochs, self._done = console, epochs, done
        self._bar = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("steps, loss {task.fields[loss]}"),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "", total=None, epoch=done + 1, epochs=epochs, loss="-"
        )

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show_steps(self, epoch: int, done: int, steps: int, loss: float) -> None:
        """Moves the bar to the steps done in an epoch, of which the loss is a mean."""
        self._bar.update(
            self._task,
            total=steps * (self._epochs - self._done),
            completed=steps * (epoch - self._done) + done,
            epoch=epoch + 1,
            loss=f"{loss:.3f}",
        )

    def show_epoch(self, state: State) -> None:
        """Prints the measures of the last epoch, its time and the time left."""
        row = state.history[-1]
        shown = [name for name in SHOWN if name in row]
        measures = "  ".join(f"{name} {row[name]:.3f}" for name in shown)
        pace = state.seconds / state.epoch
        left = pace * (self._epochs - state.epoch)
        best = "  *" if state.best_epoch == state.epoch - 1 else ""  # kept so far
        self._console.print(
            f"epoch {state.epoch:>3}/{self._epochs}  {measures}  "
            f"{pace:.0f} s an epoch, {left / 60:.1f} min left{best}",
            highlight=False,
            soft_wrap=True,
        )


def write_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Writes one row an epoch as CSV; the file appears whole or not at all."""
    write_text(path, pd.DataFrame(list(history)).to_csv(index=False, na_rep="nan"))


def write_tensorboard(history: Sequence[dict[str, float]], folder: Path) -> None:
    """Adds the last epoch to the TensorBoard logs; validation beside training.

    Raises:
        UserError: If the folder cannot be written or the disk is full.
    """
    row = dict(history[-1])
    epoch = int(row.pop("epoch"))
    try:
        validated = any(name.startswith("val_") for name in row)
        for part in ("train", "validation") if validated else ("train",):
            writer = tf.summary.create_file_writer(str(folder / part))
            with writer.as_default():
                for name, value in row.items():
                    if name.startswith("val_") == (part == "validation"):
                        tf.summary.scalar(name.removeprefix("val_"), value, step=epoch)
            writer.close()
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())[:200]
        raise UserError(
            f"Cannot write logs to {folder}: {reason}. Make room, then repeat the "
            "command with --resume"
        ) from error
