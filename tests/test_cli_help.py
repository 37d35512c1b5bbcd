"""Help is whole: no purpose is cut short, no option is without its line."""

import click
import pytest
from click.testing import CliRunner

from usgland.cli.main import SECTIONS, cli


def commands(group, name="usgland"):
    """Every command and its whole name, those of groups, too."""
    yield name, group
    for child, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {child}")


ALL = dict(commands(cli))


def test_the_overview_shows_every_command_with_its_whole_purpose():
    done = CliRunner().invoke(cli, ["--help"], terminal_width=80)
    shown = [command.name for section in SECTIONS.values() for command in section]
    assert sorted(shown) == sorted(cli.commands)
    for name in shown:
        [line] = [x for x in done.output.splitlines() if x.startswith(f"  {name} ")]
        assert line.endswith(".") and not line.endswith("..."), line
        assert len(line) <= 80


@pytest.mark.parametrize("name", ALL)
def test_every_option_says_what_it_is_for(name):
    options = [x for x in ALL[name].params if isinstance(x, click.Option)]
    assert [x.opts for x in options if not x.help] == []
    for option in options:
        assert option.help.endswith("."), option.opts
