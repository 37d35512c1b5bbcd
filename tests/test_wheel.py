"""A wheel in an empty environment, far from the checkout, does what the README says."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from pathlib import Path

import pytest

from usgland.data.phantom import write_phantoms

ROOT = Path(__file__).parent.parent
SOURCES = ("usgland", "configs", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
BUILD_SDIST = "import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])"
FIT_AND_EXPORT = """
from usgland.cli.main import cli
cli({fit}, standalone_mode=False)
cli(["export", "runs/squeeze-1"])
"""
SMALL = (
    *("train.epochs=1", "preprocessing.image_size=64", "model.weights=null"),
    "evaluation.bootstrap_resamples=20",
)
pytestmark = pytest.mark.slow


def run(*command, cwd):
    """Runs a program without what tells Python of the checkout; returns its output."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,  # It waits long only where a machine does other things, too.
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build_wheel(source, target):
    # Without build isolation: nothing is fetched.
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", target)
    run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=target.parent)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy to build in: what a build leaves in a checkout gets into the next one."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build_wheel(source, tmp_path_factory.mktemp("built") / "wheel")


@pytest.fixture(scope="module")
def usgland(wheel, tmp_path_factory):
    """The command of an environment that has the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=home)
    # The packages of the tests' environment, but not its link to the checkout.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    where = run(python, "-c", "import usgland; print(usgland.__file__)", cwd=home)
    assert Path(where.strip()).parent == site / "usgland"
    return home / "bin" / "usgland"


def test_a_source_archive_makes_the_same_wheel(source, wheel, tmp_path):
    run(sys.executable, "-c", BUILD_SDIST, tmp_path, cwd=source)
    (archive,) = tmp_path.glob("usgland-*.tar.gz")
    run("tar", "-xf", archive, cwd=tmp_path)
    again = build_wheel(tmp_path / archive.name[: -len(".tar.gz")], tmp_path / "again")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        for name in {*first.namelist(), *second.namelist()}:
            if not name.endswith("/RECORD"):  # It may list them in another order.
                assert first.read(name) == second.read(name), name


def test_it_audits_and_knows_the_presets_in_an_empty_folder(usgland, tmp_path):
    assert "Zhang et al." in run(usgland, "audit", cwd=tmp_path)
    shown = run(usgland, "config", "show", "--config", "paper", cwd=tmp_path)
    assert "optimizer: sgd" in shown
    assert list(tmp_path.iterdir()) == []


def test_it_fits_exports_and_serves_the_page(usgland, tmp_path):
    manifest = write_phantoms(
        tmp_path / "phantoms", patients_per_class=(8, 8), images=16
    )
    settings = [part for setting in SMALL for part in ("--set", setting)]
    fit = ["fit", "--config", "squeeze", "--manifest", str(manifest), *settings]
    # One process for two commands: half of their time is to load TensorFlow.
    python = usgland.with_name("python")
    said = run(python, "-c", FIT_AND_EXPORT.format(fit=fit), cwd=tmp_path)
    assert "Wrote runs/squeeze-1/" in said
    operator = tmp_path / "saved_models" / "squeeze-1" / "operator"
    assert (operator / "docker-compose.yaml").exists()

    ports = ("--rest-port", "0", "--grpc-port", "0")
    server = subprocess.Popen(
        [usgland, "serve", "--builtin", "--page", *ports],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = None
        for line in server.stdout:
            address = address or re.match(r"Page +(http://\S+)", line)
            if line.startswith("Stop with"):
                break
        with urllib.request.urlopen(address[1], timeout=60) as page:
            assert b"main.js" in page.read()
        with urllib.request.urlopen(f"{address[1]}page/main.js", timeout=60) as script:
            assert script.status == 200
    finally:
        server.terminate()
        assert server.wait(60) == 0
        server.stdout.close()
