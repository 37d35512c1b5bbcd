"""Cores, memory and number formats, from files as kernels write them."""

import os

import pytest

from usgland.machine import (
    automatic_precision,
    git_commit,
    has_bfloat16,
    memory_bytes,
    usable_cores,
)


@pytest.fixture
def write(tmp_path):
    """Writes files as they stand under `/`; returns what stands for `/`."""

    def write_files(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write_files


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))


V2 = {"proc/self/cgroup": "0::/kube/pod\n"}
V1 = {"proc/self/cgroup": "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n"}
QUOTAS = {
    "no files": ({}, 8),
    "no limit": (V2 | {"sys/fs/cgroup/kube/pod/cpu.max": "max 100000\n"}, 8),
    "two and a half": (V2 | {"sys/fs/cgroup/kube/pod/cpu.max": "250000 100000\n"}, 3),
    "of the group above": (V2 | {"sys/fs/cgroup/kube/cpu.max": "200000 100000\n"}, 2),
    "seen from inside": (V2 | {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
    "more than there are": (V2 | {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 8),
    "version 1": (
        V1
        | {
            "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
        },
        4,
    ),
    "version 1, no limit": (
        V1
        | {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        8,
    ),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_cores_are_those_that_the_control_groups_leave(name, write, eight_cores):
    files, expected = QUOTAS[name]
    assert usable_cores(write(files)) == expected


def test_cores_are_those_of_the_affinity(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert usable_cores(tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path) == 1


PROCESSORS = [
    ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", True),
    ("flags\t\t: fpu avx512f amx_bf16", True),
    ("flags\t\t: fpu avx2 avx512f", False),
    ("Features\t: fp asimd bf16 i8mm", True),
    ("Features\t: fp asimd", False),
    ("isa\t: rv64imafdc", False),
]


@pytest.mark.parametrize(("line", "expected"), PROCESSORS)
def test_a_processor_has_bfloat16_if_its_flags_say_so(line, expected, write):
    text = f"processor\t: 0\nmodel name\t: bf16 in a name\n{line}\n"
    assert has_bfloat16(write({"proc/cpuinfo": text})) is expected


def test_nothing_is_said_to_be_no_bfloat16(tmp_path):
    assert not has_bfloat16(tmp_path)


PRECISIONS = [
    (True, [], "mixed_bfloat16"),
    (False, [], "float32"),
    (False, [(9, 0)], "mixed_bfloat16"),
    (False, [(8, 0), (8, 6)], "mixed_bfloat16"),
    (True, [(7, 5)], "float32"),
    (True, [(9, 0), (7, 5)], "float32"),
]


@pytest.mark.parametrize(("bfloat16", "capabilities", "expected"), PRECISIONS)
def test_the_precision_is_that_of_what_computes(bfloat16, capabilities, expected):
    assert automatic_precision(bfloat16, capabilities) == expected


MEMORY = {"proc/meminfo": "MemTotal:  8000 kB\nMemAvailable:  5000 kB\nHugePages: 0\n"}


def test_memory_is_read_with_the_limit_of_a_container(write):
    assert memory_bytes(write(MEMORY)) == (8_192_000, 5_120_000, None)
    root = write(V2 | {"sys/fs/cgroup/kube/pod/memory.max": "max\n"})
    assert memory_bytes(root)[2] is None
    root = write({"sys/fs/cgroup/kube/memory.max": "4096000\n"})
    assert memory_bytes(root)[2] == 4_096_000
    root = write(V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": "1024000\n"})
    assert memory_bytes(root)[2] == 1_024_000
    # What version 1 says where there is no limit.
    root = write({"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"})
    assert memory_bytes(root)[2] is None


def test_memory_that_nothing_tells_of_is_not_known(tmp_path):
    assert memory_bytes(tmp_path) == (None, None, None)


def test_outside_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr("usgland.machine.__file__", str(tmp_path / "machine.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
