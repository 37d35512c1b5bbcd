"""`usgland samplesize`: how many patients a study needs."""

from typing import Any

import click

from usgland.cli.options import INSIDE
from usgland.startup import make_console

SHARE = click.FloatRange(0, 1)
AREA = click.FloatRange(0.5, 1, max_open=True)


@click.command()
@click.option("--sensitivity", type=SHARE, default=0.9, help="Expected.")
@click.option("--specificity", type=SHARE, default=0.9, help="Expected.")
@click.option("--auc", type=AREA, default=0.9, help="Expected.")
@click.option(
    "--width",
    type=INSIDE,
    default=0.1,
    help="Wanted of the intervals, from bound to bound.",
)
@click.option(
    "--prevalence", type=INSIDE, default=0.5, help="Share of malignant patients."
)
@click.option("--level", type=INSIDE, default=0.95, help="Of the intervals.")
@click.option(
    "--other-sensitivity", type=SHARE, help="Expected of the model to compare with."
)
@click.option("--other-specificity", type=SHARE, help="Likewise.")
@click.option("--other-auc", type=AREA, help="Likewise.")
@click.option(
    "--discordant",
    type=SHARE,
    help="Share of cases that one of the two alone calls right; by default as if "
    "they erred independently.",
)
@click.option(
    "--correlation",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.5,
    help="Of the two AUCs, as both judge the same cases.",
)
@click.option(
    "--margin", type=INSIDE, help="Ask for non-inferiority, with this margin."
)
@click.option(
    "--alpha",
    type=INSIDE,
    default=0.05,
    help="Two-sided level of the tests; half of it with --margin.",
)
@click.option("--power", type=INSIDE, default=0.8, help="Wanted of the tests.")
def samplesize(**assumptions: Any) -> None:
    """Say how many patients a study needs.

    For intervals no wider than --width; and, where an --other option names what to
    compare with, for a test of the difference on the same cases.
    """
    from usgland.evaluation.planning.questions import Assumptions, sample_size_document
    from usgland.evaluation.shown.terminal import show

    show(sample_size_document(Assumptions(**assumptions)), make_console())
