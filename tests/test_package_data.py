"""What a wheel and a source archive hold, as setuptools collects it."""

import os
from pathlib import Path

import pytest
from setuptools import Distribution

ROOT = Path(__file__).parent.parent


@pytest.fixture
def distribution(monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["setup.cfg", "pyproject.toml"])
    return distribution


def files_of_the_package():
    """Those in a checkout, by the names that they have in a wheel."""
    files = [p for p in (ROOT / "usgland").rglob("*") if p.is_file()]
    # A folder that is a link is not walked through, nor on every Python.
    files += (ROOT / "usgland" / "configs").glob("*.yaml")
    return {str(p.relative_to(ROOT)) for p in files if p.suffix != ".pyc"}


def test_a_wheel_holds_every_file_of_the_package_and_the_presets(
    distribution, tmp_path
):
    build = distribution.get_command_obj("build_py")
    build.build_lib = str(tmp_path)
    build.ensure_finalized()
    outputs = build.get_outputs(include_bytecode=False)
    assert {os.path.relpath(path, tmp_path) for path in outputs} == (
        files_of_the_package()
    )
    assert not distribution.data_files  # They would lie beside the package.


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "configs/audit_paper.yaml",
        "configs/audit_template.yaml",
        "configs/paper.yaml",
        "evaluation/__init__.pyi",
        "serving/page/index.html",
        "serving/export/templates/README.md",
    ],
)
def test_what_is_read_at_run_time_is_a_file_of_the_package(name):
    assert f"usgland/{name}" in files_of_the_package()


def test_a_source_archive_holds_what_its_wheel_is_built_from(distribution, tmp_path):
    information = distribution.get_command_obj("egg_info")
    information.egg_base = str(tmp_path)
    distribution.run_command("egg_info")
    archived = set(information.filelist.files)
    needed = {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"}
    assert needed | files_of_the_package() <= archived
