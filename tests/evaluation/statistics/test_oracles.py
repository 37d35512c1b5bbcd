"""The table of oracles: within what it allows, and the page has its rows."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_what_is_compared_agrees_and_the_page_says_so():
    oracles = runpy.run_path(str(ROOT / "scripts" / "oracles.py"))
    page = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    for what, oracle, number, largest, allowed in oracles["differences"]():
        assert largest == pytest.approx(0, abs=allowed), what
        assert f"| {what} | {oracle} | {number} | " in page
