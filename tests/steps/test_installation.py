"""`usgland doctor`: what it says of machines, packages and networks of the tests."""

import getpass
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.commands import call
from usgland import machine, nvidia
from usgland.cli.main import cli
from usgland.steps import installation
from usgland.steps.installation import Diagnosis, describe_diagnosis, diagnose

TOLD = {
    "facts": {"computes on": "CPU, 2 cores, float32", "TensorFlow": "2.21.0"},
    "warning": None,
}
# Distribution -> version, of a whole installation.
INSTALLED = {"tensorflow": "2.21.0", "keras": "3.15.1", "python-docx": "1.2.0"}
REQUIRED = [
    "tensorflow<2.22,>=2.21",
    "keras<3.16,>=3.15",
    'winonly>=1; sys_platform == "win32"',
    'python-docx<2,>=1.2; extra == "docx"',
    'tensorflow[and-cuda]<2.22,>=2.21; extra == "gpu"',
]
INDEX_URL, PROBE = installation._index_url, installation.PROBE  # without `quick`
CUDA = ['nvidia-cudnn-cu12>=9; extra == "and-cuda"', "absl-py>=1"]


@pytest.fixture
def packages(monkeypatch):
    """What is installed, by name; a test changes it."""
    installed = dict(INSTALLED)

    def version(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    metadata = {"Provides-Extra": ["docx", "gpu"]}
    metadata = type("Metadata", (), {"get_all": staticmethod(metadata.get)})
    required = {"usgland": REQUIRED, "tensorflow": CUDA}
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", required.get)
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: metadata)
    return installed


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """TensorFlow is not imported, pip is not asked, the cache is the test's own."""
    monkeypatch.setattr(installation, "PROBE", f"print({json.dumps(TOLD)!r})")
    monkeypatch.setattr(installation, "_index_url", lambda: "file:///packages")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_machine_on_which_nothing_is_wrong(packages, tmp_path):
    diagnosis = diagnose(tmp_path / "runs")
    assert diagnosis.warnings == []
    facts = diagnosis.facts
    assert facts["computes on"] == "CPU, 2 cores, float32"
    assert facts["NVIDIA"] == "none"
    assert facts["packages"] == "tensorflow 2.21.0, keras 3.15.1"
    assert facts["extra docx"] == "installed"
    assert facts["extra gpu"] == "not whole: nvidia-cudnn-cu12 is not installed"
    assert facts["network"] == "the package index of pip is not on a network"
    assert " GB free" in facts["runs"] and " MB in it" in facts["cache"]
    *lines, _, last = describe_diagnosis(diagnosis)
    assert last == "Nothing is wrong"
    assert "computes on     CPU, 2 cores, float32" in lines


def test_a_file_that_is_removed_meanwhile_is_not_counted(
    packages, tmp_path, monkeypatch
):
    runs, stat = tmp_path / "runs", os.stat
    (runs / "gone").mkdir(parents=True)
    (runs / "gone" / "temporary").touch()
    (runs / "history.csv").write_bytes(bytes(3_000_000))

    def lost(path, *arguments, **options):
        if str(path).endswith("temporary") and not options.get("follow_symlinks", True):
            raise FileNotFoundError(path)
        return stat(path, *arguments, **options)

    def lost_link(path, **options):
        return lost(path, follow_symlinks=False, **options)

    monkeypatch.setattr(os, "stat", lost)
    monkeypatch.setattr(os, "lstat", lost_link)
    assert ", 3 MB in it, " in diagnose(runs).facts["runs"]


def test_the_command_prints_it_and_its_exit_code_says_whether_all_is_well(
    packages, tmp_path
):
    stdout = call("doctor", "--runs-dir", tmp_path)
    assert "computes on     CPU, 2 cores, float32\n" in stdout
    assert stdout.endswith("\nNothing is wrong\n")
    packages["keras"] = "3.16.0"
    done = CliRunner().invoke(cli, ["doctor", "--runs-dir", str(tmp_path), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["warnings"] == ["keras: expected <3.16,>=3.15. Received: 3.16.0"]
    assert told["facts"]["packages"] == "tensorflow 2.21.0, keras 3.16.0"


def test_a_package_that_is_missing_is_a_warning_unless_tensorflow_is_too(
    packages, tmp_path
):
    del packages["keras"]
    assert diagnose(tmp_path).warnings == ["keras is not installed"]
    del packages["tensorflow"]
    light = diagnose(tmp_path)
    assert light.warnings == []
    assert "TensorFlow is not installed" in light.facts["computes on"]
    assert light.facts["extra gpu"] == "not whole: tensorflow is not installed"
    del packages["python-docx"]
    facts = diagnose(tmp_path).facts
    assert facts["extra docx"] == "not whole: python-docx is not installed"


def test_what_keeps_a_card_idle_is_a_warning(packages, tmp_path, monkeypatch):
    told = json.dumps(TOLD | {"warning": "1 x NVIDIA H200 idle: no CUDA"})
    monkeypatch.setattr(installation, "PROBE", f"print('chatter')\nprint({told!r})")
    cards = nvidia.Cards(("NVIDIA H200",), "550.54.15")
    monkeypatch.setattr(nvidia, "read_cards", lambda: cards)
    diagnosis = diagnose(tmp_path)
    assert diagnosis.warnings == ["1 x NVIDIA H200 idle: no CUDA"]
    assert diagnosis.facts["NVIDIA"] == "1 x NVIDIA H200, driver 550.54.15"
    assert [*describe_diagnosis(diagnosis)][-1].startswith("Warning: 1 x NVIDIA")


TROUBLES = {
    "raise ImportError('libfoo.so: no such file')": (
        "TensorFlow cannot be used: ImportError: libfoo.so: no such file"
    ),
    "import os; os.kill(os.getpid(), 4)": (
        "TensorFlow cannot be used: it was ended by signal 4; the wheels need AVX"
    ),
    "raise SystemExit(3)": "TensorFlow cannot be used: no message",
    "import time; time.sleep(60)": "TensorFlow did not answer within 0.5 s",
}


@pytest.mark.parametrize("probe", TROUBLES)
def test_a_tensorflow_that_cannot_be_used_is_a_warning(
    packages, tmp_path, monkeypatch, probe
):
    monkeypatch.setattr(installation, "PROBE", probe)
    if "sleep" in probe:
        monkeypatch.setattr(installation, "PROBE_SECONDS", 0.5)
    assert diagnose(tmp_path).warnings == [TROUBLES[probe]]


def test_little_room_and_a_folder_of_others_are_warnings(
    packages, tmp_path, monkeypatch
):
    usage = installation.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        installation.shutil, "disk_usage", lambda path: usage._replace(free=5e8)
    )
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "file").write_bytes(bytes(2_000_000))
    diagnosis = diagnose(tmp_path / "runs")
    assert len(diagnosis.warnings) == 2  # of the cache, too
    assert "There are 500 MB free for" in diagnosis.warnings[1]
    assert "runs, 2 MB in it, 0.5 GB free" in diagnosis.facts["runs"]
    monkeypatch.setattr(installation.os, "access", lambda path, mode: False)
    assert "cannot be written to" in diagnose(tmp_path / "runs").warnings[0]


def test_memory_is_told_as_far_as_it_is_known(packages, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: (32_000_000_000, None, None))
    assert diagnose(tmp_path).facts["memory"] == "32.0 GB in all"
    monkeypatch.setattr(machine, "memory_bytes", lambda: (3.2e10, 2e10, 4e9))
    assert diagnose(tmp_path).facts["memory"] == (
        "32.0 GB in all, 20.0 GB available, 4.0 GB at most, by a control group"
    )
    monkeypatch.setattr(machine, "memory_bytes", lambda: (None, None, None))
    assert diagnose(tmp_path).facts["memory"] == "not known"


@pytest.fixture
def index():
    """A package index on this machine that answers with a status; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path == "/simple/" else 401)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    asked = []
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_of_the_index_its_host_is_told_and_never_a_password(
    packages, tmp_path, monkeypatch, index
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # Not for this machine.

    def told(path):
        url = f"http://alice:secret@127.0.0.1:{index}{path}"
        monkeypatch.setattr(installation, "_index_url", lambda: url)
        return diagnose(tmp_path).facts["network"]

    assert told("/simple/") == f"127.0.0.1:{index} answers"
    assert told("/token-123/") == f"127.0.0.1:{index} answers, with status 401"


def test_a_network_that_is_away_is_a_fact_and_no_warning(
    packages, tmp_path, monkeypatch, index
):
    url = "http://alice:secret@127.0.0.1:1/simple/"
    monkeypatch.setattr(installation, "_index_url", lambda: url)
    diagnosis = diagnose(tmp_path)
    network = diagnosis.facts["network"]
    assert network.startswith("127.0.0.1:1 does not answer: ")
    assert "secret" not in network
    assert diagnosis.warnings == []


def test_neither_home_nor_name_of_the_user_is_told(packages, tmp_path, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/alice"))
    told = "/home/alice/runs /data/alice/x /data/alicette /home/alice: /home/alices"
    assert installation._home_hidden(told) == (
        "~/runs /data/~/x /data/alicette ~: /home/alices"
    )

    def nameless():
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert installation._home_hidden("/home/alice/x") == "~/x"
    packages["keras"] = "1.0"
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    diagnosis = diagnose(tmp_path / "runs")
    assert str(tmp_path) not in json.dumps(diagnosis)
    assert diagnosis.facts["runs"].startswith("~/runs, ")


@pytest.mark.slow
def test_the_index_is_the_one_that_pip_is_set_to(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert INDEX_URL() == "https://pypi.org/simple/"
    settings = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    settings.write_text("[global]\nindex-url = https://all.test/\n")
    assert INDEX_URL() == "https://all.test/"
    monkeypatch.setenv("PIP_INDEX_URL", "https://alice:secret@packages.test/simple/")
    assert INDEX_URL() == "https://alice:secret@packages.test/simple/"
    with settings.open("a") as file:
        file.write("[install]\nindex-url = https://install.test/\n")
    assert INDEX_URL() == "https://alice:secret@packages.test/simple/"
    monkeypatch.delenv("PIP_INDEX_URL")
    assert INDEX_URL() == "https://install.test/"


@pytest.mark.slow
def test_tensorflow_itself_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "PROBE", PROBE)
    facts = diagnose(tmp_path).facts
    assert facts["TensorFlow"].startswith("2.")
    assert facts["Keras"].endswith("backend tensorflow")
    assert facts["computes on"]


def test_it_is_asked_without_loading_tensorflow():
    probe = "import usgland.steps.installation, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "usgland.nvidia" in loaded
    assert {"tensorflow", "keras", "numpy", "pandas"}.isdisjoint(loaded)


def test_a_diagnosis_with_a_warning_ends_with_it():
    lines = describe_diagnosis(Diagnosis({"memory": "1 GB"}, ["Too little"]))
    assert [*lines] == ["memory          1 GB", "", "Warning: Too little"]
