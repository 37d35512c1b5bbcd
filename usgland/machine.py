"""What this process runs on and with, read without TensorFlow."""

import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
# Instructions for bfloat16 in /proc/cpuinfo: of x86, then of ARM.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def usable_cores(root: Path = ROOT) -> int:
    """Cores this process may use: fewer than the machine has in many containers.

    By its affinity and the quota of its control groups, a part of a core counted whole.
    `root` is where `proc` and `sys` are.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it.
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    for folder in _control_groups(root, "cpu"):
        quota, _, period = kernel_text(folder / "cpu.max").partition(" ")  # version 2
        if not quota:
            quota = kernel_text(folder / "cpu.cfs_quota_us")  # version 1, -1: no limit
            period = kernel_text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


def has_bfloat16(root: Path = ROOT) -> bool:
    """Whether the processor has instructions for bfloat16; False where nothing says."""
    for line in kernel_text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return not BFLOAT16_FLAGS.isdisjoint(value.split())
    return False


def memory_bytes(root: Path = ROOT) -> tuple[int | None, int | None, int | None]:
    """Memory of the machine, what is available, and the limit of the control groups.

    None stands for what is not known, and for no limit below the machine's memory.
    """
    sizes = {}
    for line in kernel_text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            sizes[name] = 1024 * int(value.split()[0])
    total, limits = sizes.get("MemTotal"), []
    for folder in _control_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = kernel_text(folder / name)
            if limit.isdecimal() and (total is None or int(limit) < total):
                limits.append(int(limit))
    return total, sizes.get("MemAvailable"), min(limits, default=None)


def automatic_precision(bfloat16: bool, capabilities: list[tuple[int, int]]) -> str:
    """The Keras dtype policy that `train.precision: auto` stands for.

    Args:
        bfloat16: Whether the processor has instructions for it.
        capabilities: CUDA compute capability of each GPU; with a GPU, the processor
            does not matter. From 8.0 on (Ampere) a GPU has bfloat16.
    """
    if capabilities:
        bfloat16 = min(capabilities) >= (8, 0)
    return "mixed_bfloat16" if bfloat16 else "float32"


def git_commit() -> str | None:
    """The commit of the code that runs, or None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    folder, silent = Path(__file__).parent, subprocess.DEVNULL
    try:
        answer = subprocess.check_output(command, cwd=folder, stderr=silent, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.strip()


def kernel_text(path: Path) -> str:
    """The text of a file of the kernel, "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process' control groups and of all above them."""
    mounts = {"": "sys/fs/cgroup", controller: f"sys/fs/cgroup/{controller}"}
    for line in kernel_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            if name in mounts:
                top = root / mounts[name]
                folder = top / path.strip("/")
                # In a container the path may be that of the host, and not be here.
                yield from (
                    x for x in (folder, *folder.parents) if x.is_relative_to(top)
                )
