"""`usgland predict` and `usgland evaluate`: what a run says, and how well."""

from pathlib import Path

import click

from usgland.cli import options
from usgland.runs import find_run
from usgland.startup import computing, load_steps, make_console

TABLES = (".csv", ".tsv", ".txt", ".xlsx")


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
@click.argument("source", metavar="RUN|CSV", type=options.PATH)
@click.option(
    "--manifest",
    type=options.PATH,
    help="Labelled images of another source, e.g. another hospital; of a RUN.",
)
@click.option(
    "--threshold",
    type=options.INSIDE,
    help="On P(malignant), of a CSV; by default 0.5. A RUN has its own.",
)
@click.option(
    "--output",
    type=options.PATH,
    help="Folder to write to, of a CSV; by default nothing is written.",
)
@click.option(
    "--subgroup",
    "subgroups",
    multiple=True,
    metavar="COLUMN[:CUT,CUT]",
    help="Also by a column of the table, e.g. age_years:40,60. Repeatable.",
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
    source: Path,
    manifest: Path | None,
    threshold: float | None,
    output: Path | None,
    subgroups: tuple[str, ...],
    prevalences: tuple[float, ...],
    local_calibration: tuple[int, ...],
    overwrite: bool,
    full: bool,
    docx: bool,
) -> None:
    """Score the test part of a run, or any table of probabilities.

    A RUN at the threshold that validation chose: writes metrics.json, tables/ and
    figures/ into it; predicts first what was not predicted. A CSV or .xlsx needs no
    run: label and probability (or calls, 0 and 1),
    and patient_id where patients have several rows.
    """
    if source.is_file() or source.suffix.lower() in TABLES:
        if manifest is not None:
            raise click.UsageError("Expected no --manifest: it is of a RUN, not a CSV.")
        from usgland.steps.table_evaluation import evaluate_table

        options.show_written(
            evaluate_table(
                source,
                make_console(),
                threshold=threshold,
                subgroups=subgroups,
                prevalences=prevalences,
                output=output,
                overwrite=overwrite,
                full=full,
                docx=docx,
            )
        )
        return
    if threshold is not None or output is not None:
        raise click.UsageError(
            "Expected --threshold and --output only of a CSV: a RUN has its own."
        )
    find_run(source)
    _check_table(source, manifest, labelled=True)
    written = load_steps("evaluation", verbose).evaluate(
        source,
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
