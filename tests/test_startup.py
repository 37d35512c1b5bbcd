"""Late loading: what a command asks for exists, and TensorFlow is silent."""

import importlib
import re
from pathlib import Path

import pytest

COMMANDS = sorted((Path(__file__).parent.parent / "usgland" / "cli").glob("*.py"))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_the_steps_that_a_command_loads_by_name_are_there(path):
    # A name in quotes is no import, so that neither mypy nor the table of rooms sees
    # it; `usgland.steps.serving` went without either of them saying so.
    text = path.read_text(encoding="utf-8")
    calls = re.findall(r'load_steps\("(\w+)", verbose\)(?:\.(\w+))?', text)
    assert len(calls) == text.count("load_steps(")
    for module, function in calls:
        steps = importlib.import_module(f"usgland.steps.{module}")
        assert not function or callable(getattr(steps, function))
