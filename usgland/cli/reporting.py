"""`usgland compare`, `readers`, `explain`, `report`, `audit`: what a study shows."""

from pathlib import Path

import click

from usgland.cli import options
from usgland.explanation.choices import COLOURS, LABELS, METHODS, ExplanationChoices
from usgland.startup import computing, load_steps, make_console


@click.command()
@click.argument(
    "models", metavar="RUN|CSV...", nargs=-1, required=True, type=options.PATH
)
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
    type=options.INSIDE,
    help="Also test that the first of a pair is not worse by this, and that the two "
    "differ by less, in AUC and shares.",
)
@click.option(
    "--also",
    multiple=True,
    type=click.Choice(["ppv", "npv", "average_precision"]),
    help="A further measure of the same cases. Repeatable.",
)
@click.option(
    "--acting-from",
    type=options.INSIDE,
    help="Also the net benefit of acting from this P(malignant) on.",
)
@click.option(
    "--threshold",
    type=options.INSIDE,
    help="On P(malignant), for CSV files without threshold.json beside them.",
)
@click.option(
    "--level",
    type=options.INSIDE,
    help="Of the intervals; by default that of the runs' settings, 0.95 for CSV files.",
)
@click.option("--seed", type=options.SEED, default=0, help="Of drawn permutations.")
@click.option("--output", type=options.PATH, help="Folder to write the tables to.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier comparison.")
@options.docx_option
def compare(
    models: tuple[Path, ...],
    unit: str,
    reference: str | None,
    unpaired: bool,
    test: str,
    margin: float | None,
    also: tuple[str, ...],
    acting_from: float | None,
    threshold: float | None,
    level: float | None,
    seed: int,
    output: Path | None,
    overwrite: bool,
    docx: bool,
) -> None:
    """Compare models on the same test cases, every pair with its test.

    A run needs its predictions: `usgland evaluate` or `usgland cv` writes them. A CSV
    has label and probability, and image or patient_id by which cases are paired, else
    their order.
    """
    from usgland.evaluation.comparison.pairs import Choices
    from usgland.evaluation.shown.names import UNITS
    from usgland.steps.comparison import compare_files

    further = (*dict.fromkeys(also), *(("net_benefit",) if acting_from else ()))
    if further and unpaired:
        raise click.UsageError(
            "Expected no --also or --acting-from with --unpaired: their tests are of "
            "the same cases."
        )
    choices = Choices(
        units=UNITS if unit == "both" else (unit,),
        reference=reference,
        paired=not unpaired,
        test=test,
        margin=margin,
        seed=seed,
        also=further,
        acting_from=acting_from,
    )
    written = compare_files(
        models,
        choices,
        make_console(),
        threshold=threshold,
        level=level,
        output=output,
        overwrite=overwrite,
        docx=docx,
    )
    options.show_written(written)


@click.command()
@click.argument("calls", metavar="READERS.csv", type=options.PATH)
@click.option(
    "--predictions",
    type=options.PATH,
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
    type=options.NUMBER,
    help="On P(malignant), for a CSV without threshold.json beside it.",
)
@click.option(
    "--malignant-from",
    type=options.NUMBER,
    help="Score from which a reader calls a case malignant, if there are no calls.",
)
@click.option(
    "--skipped",
    type=click.Choice(("error", "drop-case", "own-cases")),
    default="error",
    help="Cases that a reader left out: an error, left out for all, or each reader "
    "counts on the cases they read.",
)
@click.option(
    "--output",
    type=options.PATH,
    help="Folder to write to; by default RUN/readers, and none for a CSV.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier study.")
@options.docx_option
def readers(
    calls: Path,
    predictions: Path | None,
    unit: str | None,
    role: str,
    threshold: float | None,
    malignant_from: float | None,
    skipped: str,
    output: Path | None,
    overwrite: bool,
    docx: bool,
) -> None:
    """Compare readers without and with clinical data, and the model.

    READERS.csv has one row a reader and case: reader; image or patient_id; call
    (benign or malignant) or score; and clinical (with or without clinical data).
    """
    from usgland.evaluation.readers.study_tables import study_document
    from usgland.evaluation.shown.terminal import show
    from usgland.steps.readers import make_reader_study

    study, written = make_reader_study(
        calls,
        predictions=predictions,
        unit=unit,
        role=role,
        threshold=threshold,
        malignant_from=malignant_from,
        skipped=skipped,
        output=output,
        overwrite=overwrite,
        docx=docx,
    )
    show(study_document(study), make_console())
    options.show_written(written)
    if not written:
        click.echo("Nothing was written; add --output DIR for the tables and plots")


@click.command()
@options.run_argument
@click.option(
    "--manifest",
    type=options.PATH,
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
    type=options.PATH,
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
def explain(
    verbose: bool,
    run: Path,
    manifest: Path | None,
    cases: tuple[str, ...],
    methods: tuple[str, ...],
    label: str,
    colours: str,
    role: str,
    limit: int,
    faithfulness: bool,
    other: Path | None,
    shortcuts: bool,
    overwrite: bool,
) -> None:
    """Draw where the model looked, and measure whether to believe it."""
    choices = ExplanationChoices(
        manifest=manifest,
        cases=cases,
        methods=methods,
        label=label,
        colours=colours,
        role=role,
        limit=limit,
        faithfulness=faithfulness,
        other=other,
        shortcuts=shortcuts,
        overwrite=overwrite,
    )
    steps = load_steps("explanation", verbose)
    with computing():
        written = steps.explain(run, make_console(), choices)
    options.show_written(written)


@click.command()
@click.argument(
    "runs",
    metavar="RUN...",
    nargs=-1,
    required=True,
    type=options.PATH,
    callback=options.check_runs,
)
@click.option(
    "--no-images",
    is_flag=True,
    help="Leave out the gallery of errors, which shows patients' images.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier report.")
@click.pass_obj
def report(
    verbose: bool, runs: tuple[Path, ...], no_images: bool, overwrite: bool
) -> None:
    """Gather all that an evaluated RUN has to show in one HTML file.

    Writes report.html and model_card.md into RUN. Further runs stand beside it, and
    are compared with it where they were tested on the same cases.
    """
    written = load_steps("report", verbose).report(
        runs[0], runs[1:], make_console(), images=not no_images, overwrite=overwrite
    )
    options.show_written(written)


@click.command()
@click.argument("file", required=False, type=options.PATH)
@click.option("--output", type=options.PATH, help="Folder to write the findings to.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier audit.")
@click.option(
    "--template",
    is_flag=True,
    help="Print a YAML to fill in, or write it to FILE, and end.",
)
@options.docx_option
def audit(
    file: Path | None, output: Path | None, overwrite: bool, template: bool, docx: bool
) -> None:
    """Check which cases and tests can give published measures.

    FILE is a YAML of printed measures; without it, those of the paper. --template
    gives one to fill in, with a comment on every part.
    """
    from usgland.steps.audit import audit_file, write_template

    if template:
        if output is not None or docx:
            raise click.UsageError("Expected no --output or --docx with --template.")
        options.show_written(write_template(file, make_console(), overwrite=overwrite))
        return

    written = audit_file(
        file, make_console(), output=output, overwrite=overwrite, docx=docx
    )
    options.show_written(written)
