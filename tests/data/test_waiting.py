import io

import pytest
from rich.console import Console

from usgland.data import waiting
from usgland.data.waiting import watched


def shown(terminal, monkeypatch, patience):
    monkeypatch.setattr(waiting, "PATIENCE", patience)
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100)
    assert list(watched(range(5), 5, "Checking images", console)) == [0, 1, 2, 3, 4]
    return file.getvalue()


def test_a_bar_is_shown_on_a_terminal_once_there_is_something_to_wait_for(monkeypatch):
    text = shown(True, monkeypatch, -1)
    assert "Checking images" in text and "5/5" in text
    assert shown(True, monkeypatch, 60) == ""
    assert shown(False, monkeypatch, -1).strip() == ""


def test_the_bar_goes_when_the_work_ends_early(monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", -1)
    console = Console(file=io.StringIO(), force_terminal=True)

    def broken():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(watched(broken(), 2, "Checking images", console))
    assert console._live_stack == []
