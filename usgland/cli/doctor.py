"""`usgland doctor`: what a user pastes into an issue."""

import json
from pathlib import Path

import click

from usgland.cli.options import PATH


@click.command()
@click.option(
    "--runs-dir",
    type=PATH,
    default=Path("runs"),
    help="Where run directories are made: how much room there is.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, runs_dir: Path, as_json: bool) -> None:
    """Say what is installed, and what this machine computes on.

    For an issue: without the name and the home folder of its user. The exit code is 1
    if something is wrong, else 0.
    """
    from usgland.steps.installation import describe_diagnosis, diagnose

    diagnosis = diagnose(runs_dir)
    if as_json:
        click.echo(json.dumps(diagnosis._asdict(), indent=2))
    else:
        for line in describe_diagnosis(diagnosis):
            click.echo(line)
    context.exit(1 if diagnosis.warnings else 0)
