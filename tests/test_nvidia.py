"""NVIDIA's cards, from an nvidia-smi and files that tests write."""

import os
import re

import pytest

from usgland import nvidia
from usgland.nvidia import (
    Build,
    Cards,
    count_names,
    describe_cards,
    idle_reason,
    missing_cuda_packages,
)

# The fixture of all tests puts an empty reading into its place.
from usgland.nvidia import read_cards as read

DRIVER = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56\n"
    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)
OPEN_DRIVER = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build"
)
H200 = "NVIDIA H200, 550.54.15, 143771 MiB"


@pytest.fixture
def root(tmp_path):
    """What stands for `/`: a machine without cards."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Puts an nvidia-smi of a few shell lines on the PATH, alone with the shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def write(script):
        path = folder / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_cards_are_those_that_nvidia_smi_lists(smi, root):
    smi(f'echo "{H200}"; echo "{H200}"')
    assert read(root) == Cards(("NVIDIA H200 (143771 MiB)",) * 2, "550.54.15")


def test_nvidia_smi_is_asked_for_name_driver_and_memory(smi, root):
    smi('test "$*" = "--query-gpu=name,driver_version,memory.total '
        f'--format=csv,noheader" && echo "{H200}"')  # fmt: skip
    assert read(root).driver == "550.54.15"


def test_without_nvidia_smi_the_kernel_tells(smi, root):
    write(
        root,
        {
            "proc/driver/nvidia/version": DRIVER,
            "proc/driver/nvidia/gpus/0000:01:00.0/information": (
                "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 120\n"
            ),
            "dev/nvidia0": "",
            "dev/nvidiactl": "",
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
            "sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n",
            "sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",
            "sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
            "sys/bus/pci/devices/0000:02:00.0/vendor": "0x8086\n",
            "sys/bus/pci/devices/0000:02:00.0/class": "0x030000\n",
        },
    )
    assert read(root) == Cards(
        ("NVIDIA A100-SXM4-40GB",), "550.54.15", nodes=1, on_bus=1
    )


def test_files_of_the_kernel_that_cannot_be_read_end_no_command(smi, root):
    for name in (
        "proc/driver/nvidia/version",
        "proc/driver/nvidia/gpus/0000:01:00.0/information",
        "sys/bus/pci/devices/0000:01:00.0/vendor",
        "sys/bus/pci/devices/0000:01:00.0/class",
    ):
        (root / name).mkdir(parents=True)  # A folder raises an OSError, too.
    write(root, {"dev/nvidia0": ""})
    assert read(root) == Cards(("NVIDIA card",), "of unknown version", nodes=1)


def test_a_container_that_was_given_no_card_has_none(smi, root):
    # The files of /proc are those of the host.
    write(
        root,
        {
            "proc/driver/nvidia/version": OPEN_DRIVER,
            "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: NVIDIA A100\n",
        },
    )
    assert read(root) == Cards((), "570.124.06")


def test_a_driver_without_a_card_is_read_with_what_nvidia_smi_says(smi, root):
    smi("echo 'No devices were found'; exit 6")
    write(root, {"proc/driver/nvidia/version": DRIVER})
    assert read(root) == Cards((), "550.54.15", "No devices were found")


def test_an_nvidia_smi_that_says_nothing_or_nonsense_is_no_card(smi, root):
    smi("exit 9")
    assert read(root) == Cards(complaint="it ended with status 9")
    smi("echo 'what, is, this, then' >&2")
    assert read(root) == Cards(complaint="what, is, this, then")
    smi("")
    assert read(root) == Cards(complaint="it ended with status 0")


def test_an_nvidia_smi_that_hangs_is_left(smi, root, monkeypatch):
    monkeypatch.setattr(nvidia, "PATIENCE_SECONDS", 0.2)
    smi("exec sleep 30")
    assert read(root).complaint == "no answer within 0.2 s"


def test_an_nvidia_smi_that_cannot_be_run_is_named(smi, root, tmp_path):
    smi("")
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/no/such/shell\n")
    assert read(root).complaint == "No such file or directory"


def test_device_files_that_this_user_may_not_open_are_named(smi, root, monkeypatch):
    write(root, {"dev/nvidia0": "", "dev/nvidiactl": "", "dev/nvidia-uvm": ""})
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "nvidia0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    read_cards = read(root)
    assert read_cards.closed == ("/dev/nvidia0",)
    assert (read_cards.nodes, read_cards.visible) == (1, "0")


WHOLE = Build("12.5.1")
CARD = Cards(("NVIDIA H200 (143771 MiB)",), "550.54.15", nodes=1, on_bus=1)
INSTALL = "bash scripts/install --gpu"
REASONS = {
    "no CUDA wheels": (
        CARD,
        Build("12.5.1", ("nvidia-cublas-cu12", "nvidia-cudnn-cu12")),
        "1 x NVIDIA H200 (143771 MiB) idle: CUDA's libraries are not installed "
        "(nvidia-cublas-cu12 and 1 more). To mend it: `bash scripts/install --gpu`",
    ),
    "one CUDA wheel": (CARD, Build("12.5.1", ("nvidia-nccl-cu12",)), "(nvidia-nccl-cu"),
    "a TensorFlow without CUDA": (
        CARD,
        Build(None),
        "this TensorFlow was built without CUDA. To mend it: `bash scripts/install",
    ),
    "an old driver": (
        CARD._replace(driver="470.256.02"),
        WHOLE,
        "driver 470.256.02 is too old for the CUDA 12.5.1 that TensorFlow was built "
        "for, which needs 525 or later. To mend it: `sudo ubuntu-drivers install`",
    ),
    "a driver of unknown version": (
        CARD._replace(driver="of unknown version"),
        WHOLE,
        "for a reason that it gives itself",
    ),
    "a CUDA of the future": (CARD, Build("19.0"), "for a reason that it gives itself"),
    "hidden": (
        CARD._replace(visible=""),
        Build(None),
        "CUDA_VISIBLE_DEVICES='' hides it. To mend it: `unset CUDA_VISIBLE_DEVICES`",
    ),
    "hidden by -1": (CARD._replace(visible="-1"), WHOLE, "DEVICES='-1' hides it"),
    "a number too high": (CARD._replace(visible="1"), WHOLE, "DEVICES='1' hides it"),
    "chosen by number": (CARD._replace(visible="0,7"), WHOLE, "that it gives itself"),
    "chosen by name": (CARD._replace(visible="GPU-8932f937"), WHOLE, "gives itself"),
    "no permission": (
        CARD._replace(closed=("/dev/nvidia0", "/dev/nvidiactl")),
        WHOLE,
        "this user may not open /dev/nvidia0. To mend it: `sudo usermod -aG video",
    ),
    "no permission to list": (
        Cards((), "550.54.15", "Insufficient Permissions", 1, ("/dev/nvidia0",)),
        WHOLE,
        "No NVIDIA card answers: this user may not open /dev/nvidia0. To mend it",
    ),
    "a driver without a card": (
        Cards((), "550.54.15", "No devices were found"),
        WHOLE,
        "No NVIDIA card answers: its driver 550.54.15 runs without a card, and there "
        "is no /dev/nvidia0 (nvidia-smi: No devices were found). To mend it: in a "
        "container, `docker run --gpus all`; elsewhere",
    ),
    "a driver that hangs": (
        Cards((), "550.54.15", "no answer within 10 s", 1, on_bus=1),
        WHOLE,
        "runs without a card (nvidia-smi: no answer within 10 s). To mend it",
    ),
    "a card without a driver": (
        Cards(on_bus=1),
        WHOLE,
        "one is built in, but its driver does not run. To mend it: `sudo ubuntu",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_each_reason_for_an_idle_card_is_one_line_with_what_mends_it(name):
    cards, build, expected = REASONS[name]
    line = idle_reason(cards, build, INSTALL)
    assert re.search(re.escape(expected), line)
    assert line.count("To mend it: ") == 1 and "\n" not in line


@pytest.mark.parametrize("cards", [Cards(), Cards(complaint="it failed"),
                                   Cards(visible="0")])  # fmt: skip
def test_without_card_and_driver_there_is_nothing_to_warn_of(cards):
    assert idle_reason(cards, WHOLE, INSTALL) is None


def test_cuda_packages_are_those_that_tensorflow_names(monkeypatch):
    metadata = nvidia.importlib.metadata
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda name: [
            "absl-py>=1.0.0",
            'nvidia-cudnn-cu12<10.0,>=9.3; extra == "and-cuda"',
            'numpy>=1.26; extra == "and-cuda"',
            "nvidia-of-no-extra>=1",
        ],
    )
    assert missing_cuda_packages() == ("nvidia-cudnn-cu12",)


def test_the_command_that_installs_is_that_of_a_checkout_or_of_pip(monkeypatch):
    assert nvidia.install_command() == "bash scripts/install --gpu"
    monkeypatch.setattr(nvidia, "CHECKOUT", nvidia.CHECKOUT / "not")
    assert nvidia.install_command() == "pip install 'usgland[gpu]'"


def test_cards_are_described_in_one_line():
    assert count_names(["a", "b", "a"]) == "2 x a + 1 x b"
    assert describe_cards(Cards()) == "none"
    assert describe_cards(CARD._replace(visible="0")) == (
        "1 x NVIDIA H200 (143771 MiB), driver 550.54.15, CUDA_VISIBLE_DEVICES='0'"
    )
    assert describe_cards(Cards(complaint="it failed")) == "nvidia-smi: it failed"
