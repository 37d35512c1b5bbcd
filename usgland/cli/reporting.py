"""`usgland report`: everything a run has to show, in one file."""

from pathlib import Path

import click

from usgland.startup import load_steps, make_console


@click.command()
@click.argument(
    "runs",
    metavar="RUN...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "--no-images",
    is_flag=True,
    help="Leave out the gallery of errors, which shows patients' images.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier report.")
@click.pass_obj
def report(
    verbose: bool, runs: tuple[Path, ...], no_images: bool, overwrite: bool
) -> None:
    """Write report.html and model_card.md of an evaluated RUN; others stand beside."""
    written = load_steps("report", verbose).report(
        list(runs), make_console(), images=not no_images, overwrite=overwrite
    )
    for path in written:
        click.echo(f"Wrote {path}")
