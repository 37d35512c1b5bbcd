"""`usgland table1`: the characteristics of the patients, by group."""

from pathlib import Path

import click

from usgland.cli import options
from usgland.startup import make_console


@click.command("table1")
@click.argument("manifest", required=False, type=options.PATH)
@click.option(
    "--from-counts",
    type=options.PATH,
    help="YAML of a published table instead of a manifest.",
)
@click.option("--by", default="label", help="Column that makes the groups.")
@click.option(
    "--columns",
    help="Columns to show, comma-separated; by default all that fit a table.",
)
@click.option(
    "--median",
    "medians",
    multiple=True,
    metavar="COLUMN",
    help="Show its median and quartiles, not its mean. Repeatable.",
)
@click.option(
    "--test",
    "tests",
    multiple=True,
    metavar="COLUMN=TEST",
    help="chi-square, yates, fisher, welch, student or mann-whitney. Repeatable.",
)
@options.config_option
@options.set_option
@click.option(
    "--seed",
    default=0,
    help="Of the draws that stand for Fisher's test of a large table.",
)
@click.option(
    "--output", type=options.PATH, help="Folder for table1.md, .csv and .tex."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier table.")
@options.docx_option
def table1(
    manifest: Path | None,
    from_counts: Path | None,
    by: str,
    columns: str | None,
    medians: tuple[str, ...],
    tests: tuple[str, ...],
    config_path: Path | None,
    overrides: tuple[str, ...],
    seed: int,
    output: Path | None,
    overwrite: bool,
    docx: bool,
) -> None:
    """Describe the patients of a MANIFEST by group: Table 1.

    Every row names its test. The groups are benign and malignant, or those of --by.
    """
    from usgland.config import load_config
    from usgland.evaluation.baseline.published_counts import read_published_counts
    from usgland.steps.table_one import describe_patients, parse_tests, show_table_one

    wanted = parse_tests(tests)
    if from_counts is not None and manifest is None:
        if by != "label" or columns or medians or config_path or overrides:
            raise click.UsageError(
                "Expected no --by, --columns, --median, --config or --set beside "
                "--from-counts: the file says what is shown."
            )
        table = read_published_counts(from_counts, tests=wanted, seed=seed)
        synthetic, names = False, None
    elif manifest is not None and from_counts is None:
        config = load_config(config_path, overrides)
        names = config.clinical.shown_names()
        table, synthetic = describe_patients(
            manifest,
            config.data,
            by=by,
            columns=[name.strip() for name in columns.split(",")] if columns else (),
            medians=medians,
            tests=wanted,
            seed=seed,
        )
    else:
        raise click.UsageError("Expected either a MANIFEST or --from-counts FILE.")
    written = show_table_one(
        table,
        make_console(),
        synthetic=synthetic,
        names=names,
        output=output,
        overwrite=overwrite,
        docx=docx,
    )
    options.show_written(written)
