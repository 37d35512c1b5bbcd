"""`usgland table1`: the characteristics of the patients, by group."""

from pathlib import Path

import click

from usgland.cli.shown import docx_option
from usgland.startup import make_console


@click.command("table1")
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from-counts",
    type=click.Path(path_type=Path),
    help="YAML of a published table instead of a manifest.",
)
@click.option(
    "--by", default="label", show_default=True, help="Column that makes the groups."
)
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
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="YAML whose `data` names columns, filters and labels to leave out.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, e.g. data.where={keep: 1}. Repeatable.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Of the draws that stand for Fisher's test of a large table.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for table1.md, .csv and .tex.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier table.")
@docx_option
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
    from usgland.errors import UserError
    from usgland.evaluation.table_one.characteristics import TESTS, table_one
    from usgland.evaluation.table_one.published_counts import read_published_counts
    from usgland.steps.table_one import patients_of, show_table_one

    if from_counts is not None and manifest is not None:
        raise click.UsageError("Expected a MANIFEST or --from-counts, and not both.")
    wanted = dict(one.partition("=")[::2] for one in tests)
    for test in wanted.values():
        if test not in TESTS:
            raise UserError(
                f"--test: expected COLUMN= and one of {', '.join(TESTS)}. "
                f"Received: {test!r}"
            )
    if from_counts is not None:
        if by != "label" or columns or medians or config_path or overrides:
            raise click.UsageError(
                "Expected no --by, --columns, --median, --config or --set beside "
                "--from-counts: the file says what is shown."
            )
        found = read_published_counts(from_counts, tests=wanted, seed=seed)
        synthetic, shown_names = False, None
    elif manifest is None:
        raise click.UsageError("Expected a MANIFEST, or --from-counts FILE.")
    else:
        names = [one.strip() for one in columns.split(",")] if columns else []
        config = load_config(config_path, overrides)
        shown_names = config.clinical.shown_names()
        patients, shown, left_out, synthetic = patients_of(
            manifest, config.data, by, names
        )
        found = table_one(
            patients,
            by,
            shown,
            medians=medians,
            tests=wanted,
            seed=seed,
            left_out=left_out,
        )
    for path in show_table_one(
        found,
        make_console(),
        synthetic=synthetic,
        names=shown_names,
        output=output,
        overwrite=overwrite,
        docx=docx,
    ):
        click.echo(f"Wrote {path}")
