"""`usgland audit`: what published measures can and cannot come from."""

from pathlib import Path

import click

from usgland.cli.options import PATH, docx_option, show_written
from usgland.startup import make_console


@click.command()
@click.argument("file", required=False, type=PATH)
@click.option("--output", type=PATH, help="Folder to write the findings to.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier audit.")
@docx_option
def audit(file: Path | None, output: Path | None, overwrite: bool, docx: bool) -> None:
    """Check which cases and tests can give published measures.

    FILE is a YAML of printed measures; without it, those of the paper,
    configs/audit_paper.yaml, whose head says how to write one.
    """
    from usgland.steps.audit import audit_file

    show_written(
        audit_file(file, make_console(), output=output, overwrite=overwrite, docx=docx)
    )
