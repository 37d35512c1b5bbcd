"""`usgland audit`: whether published figures can come from one another."""

from pathlib import Path

import click

from usgland.startup import make_console


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for audit.json and audit.md.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier audit.")
def audit(file: Path | None, output: Path | None, overwrite: bool) -> None:
    """Check published diagnostic figures, by default those of the paper.

    FILE is a YAML of what is printed; configs/audit_paper.yaml explains it. Findings
    are the result and no failure: the exit code is 0.
    """
    from usgland.evaluation.audit import make_audit

    for path in make_audit(file, make_console(), output=output, overwrite=overwrite):
        click.echo(f"Wrote {path}")
