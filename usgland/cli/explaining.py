"""`usgland explain`: where a model looked, and whether to believe it."""

from pathlib import Path
from typing import Any

import click

from usgland.cli.options import PATH, run_argument, show_written
from usgland.explanation.choices import COLOURS, LABELS, METHODS, ExplanationChoices
from usgland.startup import load_steps, make_console


@click.command()
@run_argument
@click.option(
    "--manifest",
    type=PATH,
    help="Labelled images of another source; written to RUN/explain-NAME.",
)
@click.option(
    "--cases",
    "--case",
    "cases",
    multiple=True,
    metavar="NAME",
    help="An image or a patient; by default all of the role. Repeatable.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(METHODS),
    default=("gradcam",),
    help="How the maps are made. Repeatable.",
)
@click.option(
    "--label",
    type=click.Choice(LABELS),
    default="malignant",
    help="What the maps are evidence for.",
)
@click.option(
    "--colours",
    type=click.Choice(list(COLOURS)),
    default="paper",
    help="Red to blue as in the paper, or safe for the colour-blind.",
)
@click.option(
    "--role",
    type=click.Choice(("train", "val", "test")),
    default="test",
    help="Which images of the run.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=24,
    help="Pictures of single cases, the greatest errors first; sheets show more.",
)
@click.option(
    "--faithfulness", is_flag=True, help="Measure whether the maps can be believed."
)
@click.option(
    "--other",
    type=PATH,
    metavar="RUN",
    help="With --faithfulness: a run of another seed, whose maps should be alike.",
)
@click.option(
    "--shortcuts",
    is_flag=True,
    help="Ask the model without the lesion, with the frame alone and the like.",
)
@click.option("--overwrite", is_flag=True, help="Replace earlier pictures and tables.")
@click.pass_obj
def explain(verbose: bool, run: Path, **choices: Any) -> None:
    """Draw where the model looked, and measure whether to believe it."""
    steps = load_steps("explanation", verbose)
    show_written(steps.explain(run, make_console(), ExplanationChoices(**choices)))
