"""The version is one, wherever it stands, and how to cite it."""

import datetime
import re
from pathlib import Path

import yaml

import usgland
from tests.commands import call

ROOT = Path(__file__).parent.parent


def test_the_command_says_its_version():
    assert call("--version") == f"usgland {usgland.__version__}\n"


def test_change_log_and_citation_have_the_version_and_its_day():
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (version, day), *_ = re.findall(r"^## \[(\d.*)\] - (\S+)$", log, re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert version == citation["version"] == usgland.__version__
    assert citation["date-released"] == datetime.date.fromisoformat(day)


def test_the_citation_has_what_the_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"] and citation["title"] and citation["authors"]
    assert f"license = {citation['license']}\n" in (ROOT / "setup.cfg").read_text()
    (paper,) = citation["references"]
    assert paper["doi"] == "10.21037/qims-22-950"
    assert (paper["type"], len(paper["authors"])) == ("article", 13)
