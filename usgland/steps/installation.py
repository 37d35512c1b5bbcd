"""The step `doctor`: what is installed, and what this machine computes with.

It works without TensorFlow, which it asks in a process of its own: one that cannot be
imported, or that ends the process, is a line of the answer.
"""

import contextlib
import getpass
import http.client
import importlib.metadata
import json
import locale
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from usgland import __version__, machine, nvidia
from usgland.cache import cache_folder

PROBE = """
import json
from usgland.training.device import report_tensorflow
print(json.dumps(report_tensorflow()))
"""
PROBE_SECONDS = 120  # Importing TensorFlow from a slow network disk takes a minute.
PIP_SECONDS = 30
NETWORK_SECONDS = 5
INDEX = "https://pypi.org/simple/"  # pip's own default
LITTLE_ROOM = 1e9  # bytes; a run, its report and the cache take some 100 MB
LABEL_WIDTH = 16  # characters


class Diagnosis(NamedTuple):
    """What `usgland doctor` prints."""

    facts: dict[str, str]
    warnings: list[str]


def diagnose(runs_dir: Path) -> Diagnosis:
    """Looks at everything; nothing is written, and nothing named after its user."""
    requirements = [*map(Requirement, importlib.metadata.requires("usgland") or [])]
    facts = {
        "usgland": f"{__version__}, {_origin()}",
        "Python": f"{platform.python_version()}, {sys.executable}",
        "platform": platform.platform(),
        "text": f"{locale.getpreferredencoding(False)}, {sys.stdout.encoding}",
    }
    warnings = []
    has_tensorflow = not _problem(Requirement("tensorflow"))
    if has_tensorflow:
        learned, trouble = _ask_tensorflow()
        facts |= learned
        warnings += trouble
    else:
        facts["computes on"] = (
            "nothing: TensorFlow is not installed, which all that trains, predicts or "
            "serves needs; the statistics do without"
        )
    facts["NVIDIA"] = nvidia.describe_cards(nvidia.read_cards())
    facts["memory"] = _describe_memory()
    for label, folder in (("cache", cache_folder()), ("runs", runs_dir.absolute())):
        facts[label], little = _describe_folder(folder)
        warnings += little
    facts["packages"], trouble = _describe_packages(requirements, whole=has_tensorflow)
    warnings += trouble
    for extra in importlib.metadata.metadata("usgland").get_all("Provides-Extra") or []:
        facts[f"extra {extra}"] = _describe_extra(requirements, extra)
    facts["network"] = _describe_network()
    hide = _home_hidden
    return Diagnosis({k: hide(v) for k, v in facts.items()}, [*map(hide, warnings)])


def describe_diagnosis(diagnosis: Diagnosis) -> Iterator[str]:
    """Its lines, plain text for an issue."""
    for label, fact in diagnosis.facts.items():
        yield f"{label:<{LABEL_WIDTH}}{fact}"
    yield ""
    for warning in diagnosis.warnings:
        yield f"Warning: {warning}"
    if not diagnosis.warnings:
        yield "Nothing is wrong"


def _origin() -> str:
    """Where the code that runs comes from."""
    commit = machine.git_commit() if nvidia.CHECKOUT.exists() else None
    folder = Path(__file__).parent.parent
    return f"a checkout at {commit}" if commit else f"installed in {folder.parent}"


def _ask_tensorflow() -> tuple[dict[str, str], list[str]]:
    """Facts and warnings of TensorFlow, which need not survive being asked."""
    try:
        answer = subprocess.run(
            [sys.executable, "-c", PROBE],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    except subprocess.TimeoutExpired:
        return {}, [f"TensorFlow did not answer within {PROBE_SECONDS} s"]
    if answer.returncode == 0:
        told = json.loads(answer.stdout.splitlines()[-1])
        return told["facts"], [told["warning"]] if told["warning"] else []
    reason = (answer.stderr.strip().splitlines() or ["no message"])[-1]
    if answer.returncode < 0:
        reason = f"it was ended by signal {-answer.returncode}; the wheels need AVX"
    return {}, [f"TensorFlow cannot be used: {reason[:300]}"]


def _describe_memory() -> str:
    total, available, limit = machine.memory_bytes()
    parts = [
        f"{size / 1e9:.1f} GB {what}"
        for size, what in (
            (total, "in all"),
            (available, "available"),
            (limit, "at most, by a control group"),
        )
        if size is not None
    ]
    return ", ".join(parts) or "not known"


def _describe_folder(folder: Path) -> tuple[str, list[str]]:
    """Where a folder is, its size and the room beside it; a warning of too little."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # Removed meanwhile.
                size += os.lstat(os.path.join(place, name)).st_size
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    line = f"{folder}, {size / 1e6:.0f} MB in it, {free / 1e9:.1f} GB free"
    if not os.access(existing, os.W_OK):
        return line, [f"{folder} cannot be written to: this user may not"]
    if free < LITTLE_ROOM:
        return line, [f"There are {free / 1e6:.0f} MB free for {folder}: make room"]
    return line, []


def _describe_packages(
    requirements: list[Requirement], *, whole: bool
) -> tuple[str, list[str]]:
    """Versions of what usgland needs; a warning of those that do not fit.

    What is missing is a warning in a `whole` installation: one without TensorFlow is
    meant to be light.
    """
    versions, warnings = [], []
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        problem = _problem(requirement)
        version = _version(requirement.name)
        if version:
            versions.append(f"{requirement.name} {version}")
        if problem and (whole or version):
            warnings.append(problem)
    return ", ".join(versions), warnings


def _describe_extra(requirements: list[Requirement], extra: str) -> str:
    problems = [
        problem
        for requirement in requirements
        if _belongs(requirement, extra)
        for problem in _problems(requirement)
    ]
    if not problems:
        return "installed"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"not whole: {problems[0]}{more}"


def _problems(requirement: Requirement) -> Iterator[str]:
    """What is wrong with a package and with those that its own extras name."""
    problem = _problem(requirement)
    if problem:
        yield problem
    elif requirement.extras:
        inner = map(Requirement, importlib.metadata.requires(requirement.name) or [])
        for each in inner:
            if any(_belongs(each, extra) for extra in requirement.extras):
                problem = _problem(each)
                if problem:
                    yield problem


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Whether a package is wanted by an extra alone, on this platform."""
    marker = requirement.marker
    return bool(
        marker
        and marker.evaluate({"extra": extra})
        and not marker.evaluate({"extra": ""})
    )


def _problem(requirement: Requirement) -> str | None:
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        expected = requirement.specifier
        return f"{requirement.name}: expected {expected}. Received: {version}"
    return None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _describe_network() -> str:
    """Whether the package index answers; of its address, the host alone is told."""
    address = urlsplit(_index_url())
    if address.scheme not in ("http", "https") or not address.hostname:
        return "the package index of pip is not on a network"
    # Without the name and the password that may stand before the host.
    host = address.netloc.rpartition("@")[2]
    request = urllib.request.Request(f"{address.scheme}://{host}{address.path}")
    try:
        with urllib.request.urlopen(request, timeout=NETWORK_SECONDS):
            return f"{host} answers"
    except urllib.error.HTTPError as error:
        error.close()
        return f"{host} answers, with status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        return f"{host} does not answer: {reason}"


def _index_url() -> str:
    """The package index that pip is set to."""
    try:
        told = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_SECONDS,
            check=False,
        ).stdout
    except subprocess.TimeoutExpired:
        told = ""
    urls = dict(re.findall(r"^(global|install|:env:)\.index-url='(.+)'$", told, re.M))
    named = [urls[part] for part in (":env:", "install", "global") if part in urls]
    return named[0] if named else INDEX


def _home_hidden(text: str) -> str:
    """The same without the home folder and the name of the user."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=/|\W|$)", "~", text)
    with contextlib.suppress(KeyError, OSError, ImportError):  # a user without a name
        user = getpass.getuser()
        text = re.sub(rf"(?<=/){re.escape(user)}(?=/|\W|$)", "~", text)
    return text
