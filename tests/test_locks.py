"""The lock files against the ranges in setup.cfg and against each other."""

import configparser
import hashlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
# The lock of an extra holds what runs, too.
EXTRAS = {
    "requirements.lock": [],
    "requirements-dev.lock": ["dev"],
    "requirements-gpu.lock": ["gpu"],
}
STATISTICS = "requirements-stats.lock"


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def pins(lock):
    """Versions by package; one line a package, whatever the Python."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    rows = re.findall(r"^([a-z][^=\s]*)==([^\s;]+)", text, re.MULTILINE)
    versions = dict(rows)
    assert len(versions) == len(rows), f"{lock} has two versions of a package"
    return versions


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_has_a_version_in_the_range_of_each_dependency(setup, lock):
    ranges = setup["options"]["install_requires"]
    for extra in EXTRAS[lock]:
        ranges += "\n" + setup["options.extras_require"][extra]
    versions = pins(lock)
    for line in filter(None, ranges.splitlines()):
        requirement = Requirement(line)
        version = versions.get(canonicalize_name(requirement.name), "no version")
        assert requirement.specifier.contains(version), f"{line}: {version} in {lock}"


def test_the_locks_agree_on_what_they_share():
    for first, second in itertools.combinations(map(pins, [*EXTRAS, STATISTICS]), 2):
        assert {
            name: (first[name], second[name])
            for name in first.keys() & second.keys()
            if first[name] != second[name]
        } == {}


def test_the_lock_of_the_statistics_has_the_first_part_of_the_ranges_alone(setup):
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    part = re.search(r"    # The statistics.*?    # Learning", text, re.DOTALL)[0]
    ranges = [line for line in part.splitlines() if "#" not in line]
    versions = pins(STATISTICS)
    for line in [*ranges, setup["options.extras_require"]["docx"]]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(versions[requirement.name]), line
    rest = setup["options"]["install_requires"].split("\n")
    names = {Requirement(line).name for line in rest if line}
    assert {"tensorflow", "keras", "grpcio"} <= names
    first = {Requirement(line).name for line in ranges}
    assert versions.keys() & names == first


def test_the_lock_for_a_gpu_adds_only_cuda():
    added = pins("requirements-gpu.lock").keys() - pins("requirements.lock").keys()
    assert added
    assert all(name.startswith("nvidia-") for name in added)


def test_the_pythons_are_the_same_wherever_they_are_named(setup):
    allowed = SpecifierSet(setup["options"]["python_requires"])
    versions = [f"3.{minor}" for minor in range(20) if f"3.{minor}" in allowed]
    classifiers = setup["metadata"]["classifiers"]
    assert re.findall(r"Python :: (3\.\d+)", classifiers) == versions
    install = (ROOT / "scripts" / "install").read_text(encoding="utf-8")
    assert f"versions=({' '.join(reversed(versions))})" in install
    assert setup["mypy"]["python_version"] == versions[0]
    assert f"--python-version {versions[0]} " in (ROOT / "scripts" / "lock").read_text(
        encoding="utf-8"
    )


def test_the_bill_of_materials_has_every_package_of_the_lock(tmp_path):
    wheel = tmp_path / "usgland-1.2-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    script = Path(__file__).parents[1] / "scripts" / "sbom.py"
    lock = Path(__file__).parents[1] / "requirements.lock"
    command = [sys.executable, str(script), str(wheel), "--lock", str(lock)]
    subprocess.run(command, check=True, capture_output=True)
    bill = json.loads(wheel.with_suffix(".cdx.json").read_text())
    pinned = [line for line in lock.read_text().splitlines() if "==" in line]
    pinned = [line for line in pinned if line[0].isalnum()]
    assert len(bill["components"]) == len(pinned)
    assert all(component["properties"] for component in bill["components"])
    digest = hashlib.sha256(b"wheel").hexdigest()
    assert bill["metadata"]["component"]["hashes"][0]["content"] == digest
