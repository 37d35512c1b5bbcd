"""`usgland readers`: readers without and with clinical data, and against the model."""

from pathlib import Path
from typing import Any

import click

from usgland.cli.options import PATH, docx_option, show_written
from usgland.startup import make_console


@click.command()
@click.argument("calls", metavar="READERS.csv", type=PATH)
@click.option(
    "--predictions",
    type=PATH,
    metavar="RUN|CSV",
    help="Those of the model; without them READERS.csv needs a column label.",
)
@click.option(
    "--unit",
    type=click.Choice(("image", "patient")),
    help="Of the model; by default what the readers judged. The other is unpaired.",
)
@click.option(
    "--role",
    type=click.Choice(("train", "val", "test")),
    default="test",
    help="Rows of the predictions.",
)
@click.option(
    "--threshold",
    type=float,
    help="On P(malignant), for a CSV without threshold.json beside it.",
)
@click.option(
    "--malignant-from",
    type=float,
    help="Score from which a reader calls a case malignant, if there are no calls.",
)
@click.option(
    "--skipped",
    type=click.Choice(("error", "drop-case")),
    default="error",
    help="What becomes of cases that a reader left out.",
)
@click.option(
    "--output",
    type=PATH,
    help="Folder to write to; by default RUN/readers, and none for a CSV.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier study.")
@docx_option
def readers(calls: Path, **options: Any) -> None:
    """Compare readers without and with clinical data, and the model.

    READERS.csv has one row a reader and case: reader; image or patient_id; call
    (benign or malignant) or score; and clinical (with or without clinical data).
    """
    from usgland.evaluation.readers.study_tables import study_document
    from usgland.evaluation.shown.terminal import show
    from usgland.steps.readers import make_reader_study

    study, written = make_reader_study(calls, **options)
    show(study_document(study), make_console())
    show_written(written)
    if not written:
        click.echo("Nothing was written; add --output DIR for the tables and plots")
