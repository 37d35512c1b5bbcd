"""The user's folders of caches and of data, and the room that is left there."""

import os
import shutil
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/usgland`, or `~/.cache/usgland` where that is not set.

    Not made here: what is first written into it does. As the standard
    wants it, a relative `XDG_CACHE_HOME` counts as not set.

    Reference:
        XDG Base Directory Specification, version 0.8.
    """
    return _base("XDG_CACHE_HOME", ".cache") / "usgland"


def data_folder() -> Path:
    """`$XDG_DATA_HOME/usgland`, or `~/.local/share/usgland`: what no cache may lose."""
    return _base("XDG_DATA_HOME", ".local/share") / "usgland"


def _base(variable: str, default: str) -> Path:
    base = Path(os.environ.get(variable, ""))
    return base if base.is_absolute() else Path.home() / default


def make_private(folder: Path) -> None:
    """Makes a folder of the cache that no other user can open: images are patients'."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def free_space(folder: Path) -> int:
    """Bytes that may be written to a folder, which need not be there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def show_bytes(count: float) -> str:
    """A number of bytes as a person reads it, e.g. `1.5 GB`."""
    units = ["TB", "GB", "MB", "kB", "bytes"]
    while count >= 1000 and len(units) > 1:
        count, _ = count / 1000, units.pop()
    decimals = 1 if count < 10 and units[-1] != "bytes" else 0
    return f"{count:.{decimals}f} {units[-1]}"
