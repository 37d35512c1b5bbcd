"""The user's cache folder: what can be made or fetched again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/usgland`, or `~/.cache/usgland` where that is not set.

    Not made here: the first `usgland.files.write_whole` into it does. As the standard
    wants it, a relative `XDG_CACHE_HOME` counts as not set.

    Reference:
        XDG Base Directory Specification, version 0.8.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "usgland"
