"""`usgland predict` and `usgland evaluate`: what a run says, and how well."""

from pathlib import Path

import click

from usgland.cli import options
from usgland.startup import computing, load_steps, make_console


@click.command()
@options.run_argument
@click.option(
    "--manifest",
    type=options.PATH,
    help="Other images than the run's; labels are optional.",
)
@click.option(
    "--output",
    type=options.PATH,
    help="CSV to write; by default in RUN, named after the manifest.",
)
@click.option(
    "--without",
    type=click.Choice(["image", "form"]),
    help="Ask a model of image and form without one of them.",
)
@click.option("--overwrite", is_flag=True, help="Replace earlier predictions.")
@click.pass_obj
def predict(
    verbose: bool,
    run: Path,
    manifest: Path | None,
    output: Path | None,
    without: str | None,
    overwrite: bool,
) -> None:
    """Write P(malignant) of each image and each patient.

    Of the run's own images, or of those of another --manifest.
    """
    _check_table(run, manifest, labelled=False, without=without)
    steps = load_steps("prediction", verbose)
    with computing():
        written = steps.predict(
            run,
            make_console(),
            manifest=manifest,
            output=output,
            without=without,
            overwrite=overwrite,
        )
    options.show_written(written)


@click.command()
@options.run_argument
@click.option(
    "--manifest",
    type=options.PATH,
    help="Labelled images of another source, e.g. another hospital.",
)
@click.option(
    "--subgroup",
    "subgroups",
    multiple=True,
    metavar="COLUMN[:CUT,CUT]",
    help="Also by a column of the manifest, e.g. age_years:40,60. Repeatable.",
)
@click.option(
    "--prevalence",
    "prevalences",
    multiple=True,
    type=options.INSIDE,
    help="Also PPV, NPV and net benefit where this share is malignant. Repeatable.",
)
@click.option(
    "--local-calibration",
    multiple=True,
    type=click.IntRange(min=2),
    metavar="N",
    help="Also what N local patients buy: slope, intercept, threshold. Repeatable.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace an earlier evaluation, predictions included.",
)
@options.full_option
@options.docx_option
@click.pass_obj
def evaluate(
    verbose: bool,
    run: Path,
    manifest: Path | None,
    subgroups: tuple[str, ...],
    prevalences: tuple[float, ...],
    local_calibration: tuple[int, ...],
    overwrite: bool,
    full: bool,
    docx: bool,
) -> None:
    """Score the test part at the threshold that validation chose.

    Writes metrics.json, tables/ and figures/ into RUN; predicts first what was not
    predicted.
    """
    _check_table(run, manifest, labelled=True)
    written = load_steps("evaluation", verbose).evaluate(
        run,
        make_console(),
        manifest=manifest,
        subgroups=subgroups,
        prevalences=prevalences,
        local_calibration=local_calibration,
        overwrite=overwrite,
        full=full,
        docx=docx,
    )
    options.show_written(written)


def _check_table(
    run: Path, manifest: Path | None, *, labelled: bool, without: str | None = None
) -> None:
    """Finds mistakes in the table of other images before TensorFlow is loaded."""
    if manifest is not None:
        from usgland.data.sources import check_other_table

        check_other_table(run, manifest, labelled=labelled, without=without)
