"""`usgland export`: a run as a model to serve."""

from pathlib import Path

import click

from usgland.startup import load_steps


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the served model; by default the run's.")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path),
    default=Path("saved_models"),
    show_default=True,
    help="Where models are written, as NAME/VERSION.",
)
@click.pass_obj
def export(verbose: bool, run: Path, name: str | None, models_dir: Path) -> None:
    """Write a numbered SavedModel that takes encoded image bytes."""
    from usgland.runs import check_name

    chosen = check_name("--name", run.resolve().name if name is None else name)
    path = load_steps("serving", verbose).export(run, models_dir, chosen)
    click.echo(f"Wrote {path}")
