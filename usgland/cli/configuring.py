"""`usgland config`: shows settings."""

import json
from pathlib import Path

import click


@click.group()
def config() -> None:
    """Show settings."""


@config.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
def show(config_path: Path | None, overrides: tuple[str, ...]) -> None:
    """Print all settings of an experiment, defaults included."""
    from usgland.config import dump_config, load_config

    click.echo(dump_config(load_config(config_path, overrides)), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON schema of the settings."""
    from usgland.config import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))
