"""Files that appear whole or not at all and replace none unasked, and JSON."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from usgland.errors import UserError

FEW = 30  # problems that are all shown
LISTED = 20  # of more, so many are


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Gives a temporary path that becomes `path` only if the block succeeds.

    The temporary file keeps the suffix and stands in the same folder, so the last
    step is one rename: a reader sees the old file or the new one, never a part.
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
        mask = os.umask(0)  # It can be read only by setting it.
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(
            f"Cannot write {path}: {reason}. Make room or choose another folder, then "
            "repeat the command, with --resume if it was training"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Deletes what `write_whole` left in a folder when its process was killed."""
    for path in folder.glob(".*-????????.*"):
        if path.is_file():
            path.unlink(missing_ok=True)


def check_unwritten(what: str, paths: Iterable[Path], *, overwrite: bool) -> None:
    """Checks that no result of earlier work would be lost, unless that is wanted.

    `what` is the name of the result, for the message.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise UserError(
            f"Expected no earlier {what}. Received: {existing[0]}, which exists. Add "
            "--overwrite to replace it"
        )


def write_text(path: Path, text: str) -> None:
    """Writes a text file that appears whole or not at all."""
    with write_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_ends(path: Path) -> None:
    """Checks that a path is no pipe, which may never end, and no device.

    Raises:
        OSError: If it is.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "no file but a pipe or device; copy it to a file")


def list_some(lines: Sequence[str]) -> str:
    """Some lines, indented; of very many the first, and the file that has all."""
    shown = "".join(f"\n  {line}" for line in lines[:LISTED])
    if len(lines) <= FEW:
        return "".join(f"\n  {line}" for line in lines)
    handle, name = tempfile.mkstemp(prefix="usgland-problems-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return f"{shown}\n  and {len(lines) - LISTED} more: all are in {name}"


def read_json(path: Path) -> Any:
    """Reads what `write_json` wrote."""
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
    return None if isinstance(value, float) and value != value else value
