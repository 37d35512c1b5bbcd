"""`usgland compare`: models on the same cases, every pair with its test."""

from pathlib import Path
from typing import Any

import click

from usgland.cli.options import INSIDE, PATH, docx_option, show_written
from usgland.startup import make_console


@click.command()
@click.argument("models", metavar="RUN|CSV...", nargs=-1, required=True, type=PATH)
@click.option(
    "--unit",
    type=click.Choice(["image", "patient", "both"]),
    default="both",
    help="What one case is.",
)
@click.option(
    "--reference",
    help="Name of the one that all others are compared with; by default, all pairs.",
)
@click.option(
    "--unpaired", is_flag=True, help="The models were tested on different patients."
)
@click.option(
    "--test",
    type=click.Choice(["delong", "permutation"]),
    default="delong",
    help="Of the difference of two AUCs.",
)
@click.option(
    "--margin",
    type=INSIDE,
    help="Also test that the first of a pair is not worse by this, in every measure.",
)
@click.option(
    "--level",
    type=INSIDE,
    help="Of the intervals; by default that of the runs' settings, 0.95 for CSV files.",
)
@click.option("--seed", default=0, help="Of drawn permutations.")
@click.option("--output", type=PATH, help="Folder to write the tables to.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier comparison.")
@docx_option
def compare(
    models: tuple[Path, ...],
    unit: str,
    unpaired: bool,
    level: float | None,
    output: Path | None,
    overwrite: bool,
    docx: bool,
    **choices: Any,
) -> None:
    """Compare models on the same test cases, every pair with its test.

    A run needs its predictions: `usgland evaluate` or `usgland cv` writes them. A CSV
    has the columns of predictions.csv.
    """
    from usgland.evaluation.comparison.pairs import Choices
    from usgland.evaluation.shown.names import UNITS
    from usgland.steps.comparison import compare_files

    units = UNITS if unit == "both" else (unit,)
    written = compare_files(
        models,
        Choices(units, paired=not unpaired, **choices),
        make_console(),
        level=level,
        output=output,
        overwrite=overwrite,
        docx=docx,
    )
    show_written(written)
