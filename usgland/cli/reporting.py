"""`usgland report`: everything a run has to show, in one file."""

from pathlib import Path

import click

from usgland.cli.options import PATH, check_runs, show_written
from usgland.startup import load_steps, make_console


@click.command()
@click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, type=PATH, callback=check_runs
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
    """Gather all that an evaluated RUN has to show in one HTML file.

    Writes report.html and model_card.md into RUN. Further runs stand beside it, and
    are compared with it where they were tested on the same cases.
    """
    written = load_steps("report", verbose).report(
        runs[0], runs[1:], make_console(), images=not no_images, overwrite=overwrite
    )
    show_written(written)
