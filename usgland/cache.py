"""The user's cache folder, and how much memory and disk there is to keep things."""

import os
import shutil
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# What a group that has no limit has for one, in version 1: no machine has as much.
NO_LIMIT = 2**60  # bytes


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/usgland`, or `~/.cache/usgland` where that is not set.

    Not made here: the first `usgland.files.write_whole` into it does. As the standard
    wants it, a relative `XDG_CACHE_HOME` counts as not set.

    Reference:
        XDG Base Directory Specification, version 0.8.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "usgland"


def free_space(folder: Path) -> int:
    """Bytes that may be written to a folder, which need not be there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def memory_limit(
    cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Bytes of memory that this process may use: the machine's, or its container's.

    Args:
        cgroups: Where Linux shows the limits of control groups, of version 2 or 1.
        membership: The file that names the groups of this process.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            root, file = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, file = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / name.lstrip("/")
        # Groups above limit those in them; in a container the name may lead nowhere.
        for folder in (group, *group.parents):
            limits += _read_limit(folder / file)
            if folder == root:
                break
    return min(limits)


def _read_limit(path: Path) -> list[int]:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() and int(text) < NO_LIMIT else []


def show_bytes(count: float) -> str:
    """A number of bytes as a person reads it, e.g. `1.5 GB`."""
    units = ["TB", "GB", "MB", "kB", "bytes"]
    while count >= 1000 and len(units) > 1:
        count, _ = count / 1000, units.pop()
    decimals = 1 if count < 10 and units[-1] != "bytes" else 0
    return f"{count:.{decimals}f} {units[-1]}"
