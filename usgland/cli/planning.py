"""`usgland samplesize`, `table1` and `config`: what a study needs first."""

import json
from pathlib import Path

import click

from usgland.cli import options
from usgland.startup import make_console

SHARE = options.Number(0, 1)
AREA = options.Number(0.5, 1, max_open=True)


@click.command()
@click.option("--sensitivity", type=SHARE, default=0.9, help="Expected.")
@click.option("--specificity", type=SHARE, default=0.9, help="Expected.")
@click.option("--auc", type=AREA, default=0.9, help="Expected.")
@click.option(
    "--width",
    type=options.INSIDE,
    default=0.1,
    help="Wanted of the intervals, from bound to bound.",
)
@click.option(
    "--prevalence",
    type=options.INSIDE,
    default=0.5,
    help="Share of malignant patients.",
)
@click.option("--level", type=options.INSIDE, default=0.95, help="Of the intervals.")
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
    type=options.Number(0, 1, max_open=True),
    default=0.5,
    help="Of the two AUCs, as both judge the same cases.",
)
@click.option(
    "--margin", type=options.INSIDE, help="Ask for non-inferiority, with this margin."
)
@click.option(
    "--alpha",
    type=options.INSIDE,
    default=0.05,
    help="Two-sided level of the tests; half of it with --margin.",
)
@click.option("--power", type=options.INSIDE, default=0.8, help="Wanted of the tests.")
@click.option(
    "--parameters",
    type=click.IntRange(min=1),
    help="Also to make a model of a form with so many parameters (Riley).",
)
@click.option(
    "--validation",
    is_flag=True,
    help="Also to validate a model elsewhere: AUC, slope, observed over expected.",
)
@click.option(
    "--pilot",
    type=options.PATH,
    metavar="STUDY",
    help="Also a reader study with and without clinical data, by a folder that "
    "`usgland readers --output` wrote; with --readers and --difference.",
)
@click.option("--readers", type=click.IntRange(min=2), help="Who will read.")
@click.option(
    "--difference",
    type=options.INSIDE,
    help="Of the average reader's AUC, to be found by them.",
)
def samplesize(
    sensitivity: float,
    specificity: float,
    auc: float,
    width: float,
    prevalence: float,
    level: float,
    other_sensitivity: float | None,
    other_specificity: float | None,
    other_auc: float | None,
    discordant: float | None,
    correlation: float,
    margin: float | None,
    alpha: float,
    power: float,
    parameters: int | None,
    validation: bool,
    pilot: Path | None,
    readers: int | None,
    difference: float | None,
) -> None:
    """Say how many patients a study needs.

    For intervals no wider than --width; and, where an --other option names what to
    compare with, for a test of the difference on the same cases.
    """
    from usgland.evaluation.planning.pilot_study import read_pilot
    from usgland.evaluation.planning.questions import Assumptions, sample_size_document
    from usgland.evaluation.shown.terminal import show

    study = Assumptions(
        sensitivity=sensitivity,
        specificity=specificity,
        auc=auc,
        width=width,
        prevalence=prevalence,
        level=level,
        other_sensitivity=other_sensitivity,
        other_specificity=other_specificity,
        other_auc=other_auc,
        discordant=discordant,
        correlation=correlation,
        margin=margin,
        alpha=alpha,
        power=power,
        parameters=parameters,
        validation=validation,
        pilot=read_pilot(pilot) if pilot else None,
        readers=readers,
        difference=difference,
    )
    show(sample_size_document(study), make_console())


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
    type=options.SEED,
    default=0,
    help="Of the draws that stand for Fisher's test of a large table.",
)
@click.option("--missing", is_flag=True, help="Also who lacks which values, by group.")
@click.option(
    "--impute",
    type=click.IntRange(2, 1000),
    metavar="N",
    help="Also means and shares with missing values filled in N times.",
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
    missing: bool,
    impute: int | None,
    output: Path | None,
    overwrite: bool,
    docx: bool,
) -> None:
    """Describe the patients of a MANIFEST by group: Table 1.

    Every row names its test. The groups are benign and malignant, or those of --by.
    """
    from usgland.config import load_config
    from usgland.evaluation.baseline.published_counts import read_published_counts
    from usgland.steps.table_one import (
        describe_missing,
        describe_patients,
        parse_tests,
        show_missing,
        show_table_one,
    )

    wanted, lacking = parse_tests(tests), None
    if from_counts is not None and manifest is None:
        if by != "label" or columns or medians or config_path or overrides:
            raise click.UsageError(
                "Expected no --by, --columns, --median, --config or --set beside "
                "--from-counts: the file says what is shown."
            )
        if missing or impute:
            raise click.UsageError(
                "Expected no --missing or --impute beside --from-counts: counts have "
                "no missing values."
            )
        table = read_published_counts(from_counts, tests=wanted, seed=seed)
        synthetic, names = False, None
    elif manifest is not None and from_counts is None:
        config = load_config(config_path, overrides)
        names = config.clinical.shown_names()
        chosen = [name.strip() for name in columns.split(",")] if columns else ()
        if missing or impute:
            lacking = describe_missing(
                manifest,
                config.data,
                by=by,
                columns=chosen,
                imputations=impute,
                names=names,
                seed=seed,
            )
        table, synthetic = describe_patients(
            manifest,
            config.data,
            by=by,
            columns=chosen,
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
    if lacking is not None:
        written += show_missing(lacking, make_console(), output=output, docx=docx)
    options.show_written(written)


@click.group()
def config() -> None:
    """Show the settings of an experiment."""


@config.command()
@options.config_option
@options.set_option
def show(config_path: Path | None, overrides: tuple[str, ...]) -> None:
    """Print all settings of an experiment, defaults included."""
    from usgland.config import dump_config, load_config

    click.echo(dump_config(load_config(config_path, overrides)), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON schema of the settings."""
    from usgland.config import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))
