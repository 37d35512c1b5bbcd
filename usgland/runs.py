"""The run directory: the names of the files in it, atomic writes, provenance."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from usgland.errors import UserError

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
SPLITS = "splits.csv"
MODEL = "model.keras"
HISTORY = "history.csv"
THRESHOLD = "threshold.json"
PREDICTIONS = "predictions.csv"
PATIENT_PREDICTIONS = "predictions_patients.csv"
METRICS = "metrics.json"
FIGURES = "figures"
CHECKPOINT = "checkpoint"
FOLDS = "folds"  # of cross-validation: a run directory each
TENSORBOARD = "tensorboard"


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Gives a temporary path that becomes `path` only if the block succeeds.

    The temporary file keeps the suffix and stands in the same folder, so the last
    step is one rename: a reader sees the old file or the new one, never a part.

    Raises:
        UserError: If the folder cannot be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(
            f"Cannot write {path}: {reason}. Free the disk or choose another "
            "--runs-dir, then repeat the command"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Writes a text file that appears whole or not at all."""
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads what `write_json` wrote.

    Raises:
        UserError: If the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected JSON in {path}. Received: {' '.join(str(error).split())}"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Writes JSON that appears whole or not at all; NaN becomes null."""
    write_text(path, json.dumps(_without_nan(value), indent=2) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and value != value:
        return None
    return value


def new_run(runs_dir: Path, name: str, *, numbered: bool) -> Path:
    """Where a new run goes: `runs_dir/name`, with the first free number if asked.

    Raises:
        UserError: If a run of this name exists or the name is no name of a folder.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"--name: expected the name of a folder. Received: {name!r}")
    if not numbered:
        run = runs_dir / name
        if run.exists():
            raise UserError(
                f"A run directory is never overwritten. Received one that exists: {run}"
                ". Choose another --name, or add --resume to finish it"
            )
        return run
    number = 1
    while (runs_dir / f"{name}-{number}").exists():
        number += 1
    return runs_dir / f"{name}-{number}"


def find_unfinished(runs_dir: Path, done: str, *, cross_validated: bool) -> Path:
    """The one run in `runs_dir` that lacks the file `done`.

    Raises:
        UserError: If there is none, or more than one.
    """
    found = sorted(
        path.parent
        for path in runs_dir.glob(f"*/{CONFIG}")
        if not (path.parent / done).exists()
        and (path.parent / FOLDS).exists() is cross_validated
    )
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(
            f"--resume: expected one unfinished run in {runs_dir}. Received: {names}. "
            "Name it with --name"
        )
    return found[0]


def find_run(path: Path, *needed: str) -> Path:
    """Checks that `path` is a run directory that holds the files named.

    Raises:
        UserError: If a file is missing.
    """
    for name in (CONFIG, *needed):
        if not (path / name).exists():
            raise UserError(
                f"Expected a run directory with {name}. Received: {path}. "
                "`usgland fit` makes one; `usgland fit --resume` finishes one"
            )
    return path
