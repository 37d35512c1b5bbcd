"""scripts/install and its callers, with a stand-in for Python that notes its calls.

The Python scripts beside them are only imported, but for what needs other packages.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Packages that make reference values, and are no dependency.
ORACLES = {"irrCAC", "pingouin", "statsmodels", "tableone", "tensorflow_addons"}
# All that is on the PATH, so no test finds what else this machine has.
TOOLS = [
    "awk",
    "bash",
    "cat",
    "cksum",
    "cp",
    "dirname",
    "mkdir",
    "mv",
    "rm",
    "sh",
    "touch",
]
# Answers the question for its version; WITHOUT names a module that it has not.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    --version) echo "Python VERSION.9" ;;
    *version_info*)
        case "$*" in *"import ${WITHOUT:-nothing}"*) exit 1 ;; esac
        echo VERSION ;;
    *) echo "VERSION $@" >>"$CALLS" ;;
esac
if [ "$2" = venv ]; then
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/usgland"
    touch "$3/pyvenv.cfg"
fi
case "$*" in *install*"$FAIL_ON"*) exit 1 ;; esac
"""
FAKE_UV = """#!/bin/sh
echo "uv $@" >>"$CALLS"
for last in "$@"; do :; done
mkdir -p "$last/bin" && cp "$PYTHON_OF_UV" "$last/bin/python"
"""
FAKE_NVIDIA_SMI = """#!/bin/sh
echo "GPU 0: NVIDIA H200 (UUID: GPU-0)"
"""
FAKE_USGLAND = """#!/bin/sh
for argument in "$@"; do echo "<$argument>"; done
"""


@pytest.fixture
def checkout(tmp_path):
    """The scripts and pins under a path with spaces, and a `python3.13` beside."""
    root = tmp_path / "a checkout with spaces"
    for folder in ("scripts", ".ci"):
        shutil.copytree(ROOT / folder, root / folder)
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for lock in ROOT.glob("requirements*.lock"):
        shutil.copy(lock, root)
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    write_python(root, "3.13")
    return root


def write_python(checkout, version, name=None):
    path = checkout.parent / "bin" / (name or f"python{version}")
    write_program(path, FAKE_PYTHON.replace("VERSION", version))
    return path


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def run(checkout, script, *arguments, fail_on="nothing", **environment):
    """Runs a script from another folder; returns it and the calls of Python."""
    calls = checkout.parent / "calls"
    calls.write_text("", encoding="utf-8")
    done = subprocess.run(
        ["bash", checkout / "scripts" / script, *arguments],
        cwd="/",
        env={
            "PATH": str(checkout.parent / "bin"),
            "CALLS": str(calls),
            "FAIL_ON": fail_on,
            **environment,
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
    assert "--require-hashes --requirement=requirements.lock" in calls
    assert "gpu" not in calls
    _, calls = run(checkout, "install")
    assert "install" not in calls
    assert "venv" not in calls


def test_install_follows_a_changed_lock_in_the_same_environment(checkout):
    run(checkout, "install")
    with (checkout / "requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write("# changed\n")
    _, calls = run(checkout, "install")
    assert "--requirement=requirements.lock" in calls
    assert "-m venv" not in calls


def test_install_for_tests_serves_the_quickstart_too_but_not_the_reverse(checkout):
    run(checkout, "install")
    _, calls = run(checkout, "install", "dev")
    assert "--requirement=requirements-dev.lock" in calls
    _, calls = run(checkout, "install")
    assert "install" not in calls


def test_install_for_the_statistics_is_small_and_grows_when_more_is_wanted(checkout):
    done, calls = run(checkout, "install", "stats", "--gpu")
    assert "0.4 GB" in done.stderr
    assert "--no-build-isolation --no-compile" in calls
    assert "--require-hashes --requirement=requirements-stats.lock\n" in calls
    _, calls = run(checkout, "install", "stats")
    assert "install" not in calls
    _, calls = run(checkout, "install")
    assert "--require-hashes --requirement=requirements.lock\n" in calls
    _, calls = run(checkout, "install", "stats")
    assert "install" not in calls  # What is there has it.


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


def test_install_takes_the_newest_python_that_fits(checkout):
    for version in ("3.11", "3.12", "3.14"):
        write_python(checkout, version)
    write_python(checkout, "3.14", "python3")
    _, calls = run(checkout, "install")
    assert calls.startswith("3.13 -m venv ")


def test_install_takes_python3_where_it_is_the_newest_that_fits(checkout):
    write_python(checkout, "3.10", "python3.13")  # In name only.
    write_python(checkout, "3.11")
    write_python(checkout, "3.12", "python3")
    _, calls = run(checkout, "install")
    assert calls.startswith("3.12 -m venv ")


def test_install_finds_what_pyenv_has_and_does_not_use(checkout):
    (checkout.parent / "bin" / "python3.13").unlink()
    pyenv = checkout.parent / "home" / ".pyenv" / "versions" / "3.12.1"
    path = write_python(checkout, "3.12")
    (pyenv / "bin").mkdir(parents=True)
    path.rename(pyenv / "bin" / "python")
    _, calls = run(checkout, "install", HOME=str(checkout.parent / "home"))
    assert calls.startswith("3.12 -m venv ")


def test_install_takes_the_python_and_the_folder_asked_for(checkout):
    write_python(checkout, "3.12")
    options = ("dev", "--python", "3.12", "--venv", "build/other")
    done, calls = run(checkout, "install", *options)
    assert done.returncode == 0, done.stderr
    assert f"3.12 -m venv {checkout}/build/other\n" in calls
    assert not (checkout / ".venv").exists()
    _, calls = run(checkout, "install", *options)
    assert calls == ""


@pytest.mark.parametrize("name", ["scripts", "scripts/", ".", "setup.cfg"])
def test_install_deletes_nothing_but_an_environment(checkout, name):
    before = sorted(checkout.rglob("*"))
    done, calls = run(checkout, "install", "--venv", name)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Expected a virtual environment or no folder at {checkout}/{name.strip('/')}. "
        "Received: a folder with other files"
    )
    assert done.stderr.count("\n") == 1
    assert calls == ""
    assert sorted(checkout.rglob("*")) == before


def test_install_takes_an_empty_folder_and_resumes_there(checkout):
    (checkout / "other").mkdir()
    done, _ = run(checkout, "install", "--venv", "other", fail_on="requirements.lock")
    assert "did not finish" in done.stderr
    done, calls = run(checkout, "install", "--venv", "other/")
    assert done.returncode == 0, done.stderr
    assert f"-m venv {checkout}/other\n" in calls


def test_install_takes_no_python_of_the_environment_that_it_deletes(checkout):
    run(checkout, "install")
    (checkout.parent / "bin" / "python3.13").unlink()
    write_python(checkout, "3.12")
    (checkout / ".venv" / ".unfinished").touch()
    path = f"{checkout}/.venv/bin:{checkout.parent}/bin"  # It is active.
    done, calls = run(checkout, "install", PATH=path)
    assert done.returncode == 0, done.stderr
    assert calls.startswith("3.12 -m venv ")


def test_install_keeps_an_environment_of_another_python_that_fits(checkout):
    newest = checkout.parent / "bin" / "python3.13"
    newest.rename(newest.with_name("hidden"))
    write_python(checkout, "3.11")
    run(checkout, "install")
    newest.with_name("hidden").rename(newest)
    _, calls = run(checkout, "install", "dev")
    assert "venv" not in calls.replace("/.venv", "")
    assert "3.11 -m pip" in calls


def test_install_names_an_environment_of_a_python_that_does_not_fit(checkout):
    run(checkout, "install")
    write_program(
        checkout / ".venv" / "bin" / "python", FAKE_PYTHON.replace("VERSION", "3.14")
    )
    done, calls = run(checkout, "install")
    assert done.returncode == 1
    assert done.stderr.startswith("Expected Python 3.13 or 3.12 or 3.11 in ")
    assert "Received: Python 3.14. Delete the folder" in done.stderr
    assert done.stderr.count("\n") == 1
    assert calls == ""


def test_install_lets_uv_bring_the_python_where_none_fits(checkout):
    brought = write_python(checkout, "3.13").rename(checkout.parent / "brought")
    write_python(checkout, "3.10", "python3")
    write_program(checkout.parent / "bin" / "uv", FAKE_UV)
    done, calls = run(checkout, "install", PYTHON_OF_UV=str(brought))
    assert done.returncode == 0, done.stderr
    venv, install = calls.splitlines()[0], calls.splitlines()[1:]
    assert venv.startswith("uv venv ")
    assert "--python 3.13 " in venv
    assert all(line.startswith("3.13 -m pip ") for line in install)


def test_install_says_that_uv_failed_and_not_that_a_python_is_missing(checkout):
    (checkout.parent / "bin" / "python3.13").unlink()
    write_program(
        checkout.parent / "bin" / "uv", "#!/bin/sh\necho offline >&2\nexit 2\n"
    )
    done, _ = run(checkout, "install")
    assert done.returncode == 1
    assert done.stderr == "offline\nuv could not make an environment (see above)\n"


@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_install_names_a_python_that_does_not_fit_in_one_line(checkout, version):
    (checkout.parent / "bin" / "python3.13").unlink()
    write_python(checkout, version, "python3")
    done, _ = run(checkout, "install")
    assert done.returncode == 3
    assert done.stderr.startswith(
        "Expected Python 3.13 or 3.12 or 3.11. "
        f"Received: Python {version}.9. Install one of them ("
    )
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_install_names_a_python_without_venv_in_one_line(checkout):
    done, _ = run(checkout, "install", WITHOUT="ensurepip")
    assert done.returncode == 3
    assert done.stderr.startswith(
        "Expected venv and pip in python3.13 (on Debian and Ubuntu: "
        "apt install python3.13-venv), or uv."
    )
    assert done.stderr.count("\n") == 1


def test_install_takes_cuda_where_there_is_a_gpu_and_only_then_anew(checkout):
    run(checkout, "install")
    write_program(checkout.parent / "bin" / "nvidia-smi", FAKE_NVIDIA_SMI)
    done, calls = run(checkout, "install")
    assert done.returncode == 0, done.stderr
    assert "--requirement=requirements-gpu.lock" in calls
    assert "-m venv" not in calls
    _, calls = run(checkout, "install")
    assert calls == ""


def test_install_takes_no_cuda_where_the_driver_finds_no_gpu(checkout):
    write_program(
        checkout.parent / "bin" / "nvidia-smi",
        "#!/bin/sh\necho No devices were found\nexit 6\n",
    )
    _, calls = run(checkout, "install")
    assert "gpu" not in calls


def test_install_keeps_in_mind_that_cuda_was_refused_or_wanted(checkout):
    write_program(checkout.parent / "bin" / "nvidia-smi", FAKE_NVIDIA_SMI)
    _, calls = run(checkout, "install", "--cpu")
    assert "gpu" not in calls
    _, calls = run(checkout, "install", "dev")
    assert "--requirement=requirements-dev.lock" in calls
    assert "gpu" not in calls
    _, calls = run(checkout, "install", "--gpu")
    assert (
        "--requirement=requirements-dev.lock --requirement=requirements-gpu.lock"
        in calls
    )
    _, calls = run(checkout, "install", "--cpu")  # What pip leaves would be used.
    assert "-m venv" in calls
    assert "gpu" not in calls


def test_install_names_an_argument_it_does_not_know(checkout):
    done, _ = run(checkout, "install", "everything")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Received: everything" in done.stderr


@pytest.mark.parametrize("options", [["--python", "3.14"], ["--python"], ["--venv"]])
def test_install_names_an_option_without_its_value(checkout, options):
    done, _ = run(checkout, "install", *options)
    assert done.returncode == 1
    assert f"Received: {' '.join(options)}" in done.stderr


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


def test_quickstart_gives_install_its_part_of_the_arguments(checkout):
    run(checkout, "install")
    write_program(checkout / ".venv" / "bin" / "usgland", FAKE_USGLAND)
    done, calls = run(checkout, "quickstart", "--name", "mine", "--gpu")
    assert done.returncode == 0, done.stderr
    assert "--requirement=requirements-gpu.lock" in calls
    assert "<mine>" in done.stdout
    assert "<--gpu>" not in done.stdout


def test_test_runs_pytest_with_its_arguments(checkout):
    done, calls = run(checkout, "test", "-m", "slow")
    assert done.returncode == 0, done.stderr
    assert "--requirement=requirements-dev.lock" in calls
    assert calls.splitlines()[-1] == (
        "3.13 -m pytest --numprocesses auto --dist loadfile -m slow"
    )


def test_ci_tries_other_pythons_and_fails_with_them_or_says_what_is_missing(checkout):
    write_python(checkout, "3.11")
    for name in ("ruff", "mypy"):
        write_program(checkout / ".venv" / "bin" / name, "#!/bin/sh\n")
    write_program(
        checkout / ".venv" / "bin" / "python", FAKE_PYTHON.replace("VERSION", "3.13")
    )
    done, calls = run(checkout, "../.ci/run")
    assert done.returncode == 0, done.stderr
    assert "Nothing was tried on Python 3.12, which this machine lacks\n" in done.stdout
    part = [line for line in calls.splitlines() if line.startswith("3.11 ")]
    assert part[0] == f"3.11 -m venv {checkout}/build/python3.11"
    assert part[-2].endswith(" tests/models tests/data tests/training")
    assert part[-1].startswith("3.11 fit --set train.epochs=1 ")
    assert not (checkout / "build" / "python3.11").exists()
    assert calls.splitlines()[-1].endswith(" -m not network")
    done, calls = run(checkout, "../.ci/run", fail_on="requirements-dev.lock")
    assert done.returncode == 1
    assert not (checkout / "build" / "python3.11").exists()
    assert "not network" not in calls


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


@pytest.fixture
def gpu_checks(tmp_path):
    names = runpy.run_path(str(ROOT / "scripts/gpu_checks.py"), run_name="imported")
    names["place"] = names["Place"](tmp_path, cpu=False)
    return names


def test_checks_that_no_time_is_left_for_have_failed_and_start_nothing(
    gpu_checks, monkeypatch
):
    session = gpu_checks["Session"](gpu_checks["place"])
    monkeypatch.setattr(session, "start", lambda *_: pytest.fail("it was started"))
    session.end = 0.0
    session.run({"explain": None, "export": None})
    session.kill_and_resume()
    assert [row[0] for row in session.rows] == [
        "explain",
        "export",
        gpu_checks["RESUMED"],
    ]
    assert all(row[1:] == ["FAILED", "the time was over", 0.0] for row in session.rows)


def test_a_check_of_what_the_machine_lacks_has_not_passed(gpu_checks, capsys):
    def lacking(place):
        raise gpu_checks["UncheckedError"]("there is one GPU")

    gpu_checks["ALL"]["two GPUs"] = lacking
    report = gpu_checks["place"].folder / "report.jsonl"
    gpu_checks["run_checks"](gpu_checks["place"], ["two GPUs"], report)
    (row,) = map(json.loads, report.read_text().splitlines())
    assert row[:3] == ["two GPUs", "not checked", "there is one GPU"]
    gpu_checks["show"]([row], ["NVIDIA H200"], 1.0)
    assert "| two GPUs | not checked |" in capsys.readouterr().out


def test_a_tensorflow_that_cannot_be_loaded_is_not_a_machine_without_a_gpu(
    gpu_checks, monkeypatch
):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match="TensorFlow cannot be loaded: no message"):
        gpu_checks["gpu_names"]()


@pytest.mark.slow
def test_a_machine_without_a_gpu_is_told_that_nothing_was_checked():
    command = [sys.executable, ROOT / "scripts/gpu_checks.py"]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        command, env=hidden, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "nothing was checked" in done.stdout
