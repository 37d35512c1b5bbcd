"""scripts/install and its callers, with a stand-in for Python that notes its calls.

The Python scripts beside them are only imported, but for what needs other packages.
"""

import os
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Packages that make reference values, and are no dependency.
ORACLES = {"statsmodels", "tableone", "tensorflow_addons"}
FAKE_PYTHON = """#!/bin/sh
echo "$@" >>"$CALLS"
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
case "$*" in *install*"$FAIL_ON"*) exit 1 ;; esac
"""
FAKE_USGLAND = """#!/bin/sh
for argument in "$@"; do echo "<$argument>"; done
"""


@pytest.fixture
def checkout(tmp_path):
    """The scripts and pins under a path with spaces, and a `python3.11` beside."""
    root = tmp_path / "a checkout with spaces"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for name in ("requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, root)
    write_program(tmp_path / "bin" / "python3.11", FAKE_PYTHON)
    return root


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def run(checkout, script, *arguments, fail_on="nothing"):
    """Runs a script from another folder; returns it and the calls of Python."""
    calls = checkout.parent / "calls"
    calls.write_text("", encoding="utf-8")
    done = subprocess.run(
        ["bash", checkout / "scripts" / script, *arguments],
        cwd="/",
        env={
            "PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "FAIL_ON": fail_on,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done, calls.read_text(encoding="utf-8")


def test_install_makes_the_environment_once(checkout):
    done, calls = run(checkout, "install")
    assert done.returncode == 0, done.stderr
    assert "-m venv" in calls
    assert "--require-hashes --requirement requirements.lock" in calls
    _, calls = run(checkout, "install")
    assert "install" not in calls
    assert "venv" not in calls


def test_install_follows_a_changed_lock_in_the_same_environment(checkout):
    run(checkout, "install")
    with (checkout / "requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write("# changed\n")
    _, calls = run(checkout, "install")
    assert "--requirement requirements.lock" in calls
    assert "-m venv" not in calls


def test_install_for_tests_serves_the_quickstart_too_but_not_the_reverse(checkout):
    run(checkout, "install")
    _, calls = run(checkout, "install", "dev")
    assert "--requirement requirements-dev.lock" in calls
    _, calls = run(checkout, "install")
    assert "install" not in calls


def test_install_starts_over_after_a_try_that_did_not_finish(checkout):
    done, _ = run(checkout, "install", fail_on="requirements.lock")
    assert done.returncode == 1
    assert "did not finish" in done.stderr
    done, calls = run(checkout, "install")
    assert done.returncode == 0, done.stderr
    assert "-m venv" in calls


def test_install_makes_a_new_environment_where_the_folder_was_moved(checkout):
    run(checkout, "install")
    moved = checkout.rename(checkout.parent / "moved")
    done, calls = run(moved, "install")
    assert done.returncode == 0, done.stderr
    assert "-m venv" in calls


def test_install_without_python_says_so_in_one_line(checkout):
    for name in ("python3.11", "python3", "python"):
        write_program(checkout.parent / "bin" / name, "#!/bin/sh\nexit 1\n")
    done, _ = run(checkout, "install")
    assert done.returncode == 1
    assert done.stderr.startswith("Expected Python 3.11 on the PATH. Received: ")
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_install_names_an_argument_it_does_not_know(checkout):
    done, _ = run(checkout, "install", "everything")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Received: everything" in done.stderr


def test_quickstart_fits_the_default_and_says_how_to_go_on(checkout):
    run(checkout, "install")
    write_program(checkout / ".venv" / "bin" / "usgland", FAKE_USGLAND)
    done, _ = run(checkout, "quickstart", "--name", "two words")
    assert done.returncode == 0, done.stderr
    config = checkout / "configs" / "squeeze.yaml"
    fit, activate = done.stdout.split("\n\n")
    assert fit.splitlines() == [
        "<fit>",
        "<--config>",
        f"<{config}>",
        "<--name>",
        "<two words>",
    ]
    assert activate.splitlines()[-1].strip().startswith("source ")


def test_test_runs_pytest_with_its_arguments(checkout):
    done, calls = run(checkout, "test", "-m", "slow")
    assert done.returncode == 0, done.stderr
    assert "--requirement requirements-dev.lock" in calls
    assert calls.splitlines()[-1] == (
        "-m pytest --numprocesses auto --dist loadfile -m slow"
    )


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("scripts/*.py")), ids=lambda p: p.stem
)
def test_what_a_script_imports_exists(path):
    try:
        names = runpy.run_path(str(path), run_name="imported")
    except ModuleNotFoundError as error:
        if error.name not in ORACLES:
            raise
        pytest.skip(f"needs {error.name}")
    assert callable(names["main"])
