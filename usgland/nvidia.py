"""NVIDIA's cards as the machine tells of them, and why TensorFlow leaves one idle."""

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from usgland.machine import kernel_text

ROOT = Path("/")
VENDOR = "0x10de"  # of NVIDIA on the PCI bus
DISPLAY = "0x03"  # class of a card that draws or computes; its sound has another
QUESTION = ("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
PATIENCE_SECONDS = 10  # A driver in trouble can hold nvidia-smi for ever.
# The first driver, by major version, that runs programs of a CUDA, by its own:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}
INSTALL_DRIVER = (
    "`sudo ubuntu-drivers install` on Ubuntu, `sudo apt install nvidia-driver` on "
    "Debian"
)
CHECKOUT = Path(__file__).parent.parent / "scripts" / "install"


class Cards(NamedTuple):
    """What was read of NVIDIA's cards, whether or not anything can use them."""

    names: tuple[str, ...] = ()  # with the memory, where nvidia-smi tells it
    driver: str | None = None  # version of the one that runs
    complaint: str | None = None  # of nvidia-smi, if it did not list cards
    nodes: int = 0  # device files of cards, /dev/nvidia0 and so on
    closed: tuple[str, ...] = ()  # device files that this user may not open
    on_bus: int = 0  # cards on the PCI bus
    visible: str | None = None  # CUDA_VISIBLE_DEVICES


class Build(NamedTuple):
    """What TensorFlow brings for cards."""

    cuda: str | None  # version it was built for, e.g. "12.5.1"; None: without CUDA
    missing: tuple[str, ...] = ()  # packages with CUDA's libraries


def read_cards(root: Path = ROOT) -> Cards:
    """Asks nvidia-smi and the kernel; `root` is where `proc`, `sys` and `dev` are."""
    listed, driver, complaint = _ask_nvidia_smi()
    version = root / "proc/driver/nvidia/version"
    if driver is None and version.exists():
        match = re.search(r"\b\d+\.\d+(\.\d+)*\b", kernel_text(version))
        driver = match[0] if match else "of unknown version"
    nodes = [*root.glob("dev/nvidia[0-9]*")]
    needed = [*nodes, *root.glob("dev/nvidiactl")]
    closed = [path for path in needed if not os.access(path, os.R_OK | os.W_OK)]
    devices = [
        path
        for path in root.glob("sys/bus/pci/devices/*")
        if kernel_text(path / "vendor") == VENDOR
        and kernel_text(path / "class").startswith(DISPLAY)
    ]
    return Cards(
        names=listed or (_names_by_driver(root) if nodes else ()),
        driver=driver,
        complaint=complaint,
        nodes=len(nodes),
        closed=tuple(f"/{path.relative_to(root)}" for path in sorted(closed)),
        on_bus=len(devices),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def missing_cuda_packages() -> tuple[str, ...]:
    """What TensorFlow's own extra `and-cuda` names and is not installed."""
    requirements = importlib.metadata.requires("tensorflow") or []
    missing = []
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        if name and "and-cuda" in requirement.partition(";")[2]:
            try:
                importlib.metadata.version(name[0])
            except importlib.metadata.PackageNotFoundError:
                missing.append(name[0])
    return tuple(missing)


def install_command() -> str:
    """What brings CUDA's libraries, in a checkout and elsewhere."""
    if CHECKOUT.exists():
        return "bash scripts/install --gpu"
    return "pip install 'usgland[gpu]'"


def idle_reason(cards: Cards, build: Build, install: str) -> str | None:
    """Why TensorFlow, which sees no GPU, uses none of these cards, and what mends it.

    Args:
        cards: What `read_cards` gives.
        build: What TensorFlow brings.
        install: The command that installs what is missing.

    Returns:
        One line, or None where the machine has neither a card nor a driver.
    """
    if cards.names:
        what = f"{count_names(cards.names)} idle"
        reason, remedy = _obstacle(cards, build, install)
        return f"{what}: {reason}. To mend it: {remedy}"
    absence = _absence(cards)
    return absence and "No NVIDIA card answers: {}. To mend it: {}".format(*absence)


def _obstacle(cards: Cards, build: Build, install: str) -> tuple[str, str]:
    """What stands between a card and TensorFlow, and the command that takes it away."""
    if _is_hidden(cards):
        hiding = f"CUDA_VISIBLE_DEVICES={cards.visible!r} hides it"
        return hiding, "`unset CUDA_VISIBLE_DEVICES`"
    if cards.closed:
        return _closed(cards)
    if build.cuda is None:
        return "this TensorFlow was built without CUDA", f"`{install}`"
    oldest = OLDEST_DRIVERS.get(int(build.cuda.split(".")[0]))
    major = re.match(r"\d+", cards.driver or "")
    if oldest and major and int(major[0]) < oldest:
        return (
            f"driver {cards.driver} is too old for the CUDA {build.cuda} that "
            f"TensorFlow was built for, which needs {oldest} or later",
            f"{INSTALL_DRIVER}, then restart the machine",
        )
    if build.missing:
        others = len(build.missing) - 1
        which = f"{build.missing[0]} and {others} more" if others else build.missing[0]
        return f"CUDA's libraries are not installed ({which})", f"`{install}`"
    return (
        "TensorFlow does not see it, for a reason that it gives itself",
        "`usgland --verbose predict RUN` shows its messages",
    )


def _absence(cards: Cards) -> tuple[str, str] | None:
    """The same where no card is listed: there is none, or its driver is in trouble."""
    said = f" (nvidia-smi: {cards.complaint})" if cards.complaint else ""
    if cards.closed:
        return _closed(cards)
    if cards.driver:
        which = "" if cards.nodes else ", and there is no /dev/nvidia0"
        return (
            f"its driver {cards.driver} runs without a card{which}{said}",
            "in a container, `docker run --gpus all`; elsewhere restart the machine "
            "until `nvidia-smi` lists the card",
        )
    if cards.on_bus:
        remedy = f"{INSTALL_DRIVER}, then restart the machine"
        return f"one is built in, but its driver does not run{said}", remedy
    return None


def _closed(cards: Cards) -> tuple[str, str]:
    return (
        f"this user may not open {cards.closed[0]}",
        "`sudo usermod -aG video $USER` and a new login; in a container, `docker run "
        "--gpus all`",
    )


def _is_hidden(cards: Cards) -> bool:
    """Whether CUDA_VISIBLE_DEVICES begins with what is no card: the rest is ignored."""
    if cards.visible is None:
        return False
    first = cards.visible.split(",")[0].strip()
    return not first.startswith(("GPU-", "MIG-")) and not (
        first.isdecimal() and int(first) < len(cards.names)
    )


def _ask_nvidia_smi() -> tuple[tuple[str, ...], str | None, str | None]:
    """The cards, the driver's version, and what nvidia-smi says if it lists none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), None, None
    try:
        answer = subprocess.run(
            [program, *QUESTION],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (), None, f"no answer within {PATIENCE_SECONDS} s"
    except OSError as error:
        return (), None, error.strerror
    rows = [line.rsplit(", ", 2) for line in answer.stdout.splitlines()]
    rows = [row for row in rows if len(row) == 3]
    if answer.returncode or not rows:
        said = " ".join((answer.stdout + answer.stderr).split())
        return (), None, said[:200] or f"it ended with status {answer.returncode}"
    return tuple(f"{row[0]} ({row[2]})" for row in rows), rows[0][1], None


def _names_by_driver(root: Path) -> tuple[str, ...]:
    """The cards as the driver lists them, for where nvidia-smi is not installed."""
    names = []
    for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        match = re.search(r"^Model:\s*(.+?)\s*$", kernel_text(path), re.M)
        names.append(match[1] if match else "NVIDIA card")
    return tuple(names)


def describe_cards(cards: Cards) -> str:
    """The cards, the driver, and what is wrong with them, in one line."""
    driver = cards.driver and f"driver {cards.driver}"
    complaint = cards.complaint and f"nvidia-smi: {cards.complaint}"
    visible = cards.visible is not None and f"CUDA_VISIBLE_DEVICES={cards.visible!r}"
    parts = [count_names(cards.names), driver, complaint, visible]
    return ", ".join(part for part in parts if part) or "none"


def count_names(names: Collection[str]) -> str:
    """`2 x NVIDIA A100 + 1 x NVIDIA T4`, in the order in which they come first."""
    counts = dict.fromkeys(names, 0)
    for name in names:
        counts[name] += 1
    return " + ".join(f"{number} x {name}" for name, number in counts.items())
