"""`usgland config`: shows settings."""

import json
from pathlib import Path

import click

from usgland.cli.options import config_option, set_option


@click.group()
def config() -> None:
    """Show the settings of an experiment."""


@config.command()
@config_option
@set_option
def show(config_path: Path | None, overrides: tuple[str, ...]) -> None:
    """Print all settings of an experiment, defaults included."""
    from usgland.config import dump_config, load_config

    click.echo(dump_config(load_config(config_path, overrides)), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON schema of the settings."""
    from usgland.config import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))
