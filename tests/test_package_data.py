"""Files that are no modules come with the package, as setuptools builds it."""

import os
from pathlib import Path

from setuptools import Distribution

ROOT = Path(__file__).parent.parent


def test_every_file_of_the_package_that_is_no_module_is_installed_with_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = Distribution()
    distribution.parse_config_files(["setup.cfg"])
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    installed = {
        os.path.join(source, name)
        for _, source, _, names in build.data_files
        for name in names
    }
    present = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "usgland").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert present == installed
    assert "usgland/serving/page/index.html" in installed
    assert "usgland/serving/export/templates/README.md" in installed
