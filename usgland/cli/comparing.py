"""`usgland compare`: models on the same cases, every pair with its test."""

from pathlib import Path

import click

from usgland.cli.options import docx_option, show_written
from usgland.startup import make_console


@click.command()
@click.argument(
    "models",
    metavar="RUN|CSV...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "--unit",
    type=click.Choice(["image", "patient", "both"]),
    default="both",
    show_default=True,
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
    show_default=True,
    help="Of the difference of two AUCs.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Also test that the first of a pair is not worse by this, in every measure.",
)
@click.option("--seed", default=0, show_default=True, help="Of drawn permutations.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to write the tables to."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier comparison.")
@docx_option
def compare(
    models: tuple[Path, ...],
    unit: str,
    reference: str | None,
    unpaired: bool,
    test: str,
    margin: float | None,
    seed: int,
    output: Path | None,
    overwrite: bool,
    docx: bool,
) -> None:
    """Compare models on the same test cases, every pair with its test.

    A run needs its predictions: `usgland evaluate` or `usgland cv` writes them. A CSV
    has the columns of predictions.csv.
    """
    from usgland.evaluation.comparison.pairs import Choices
    from usgland.evaluation.shown.names import UNITS
    from usgland.steps.comparison import compare_files

    choices = Choices(
        units=UNITS if unit == "both" else (unit,),
        reference=reference,
        paired=not unpaired,
        test=test,
        margin=margin,
        seed=seed,
    )
    show_written(
        compare_files(
            models,
            choices,
            make_console(),
            output=output,
            overwrite=overwrite,
            docx=docx,
        )
    )
