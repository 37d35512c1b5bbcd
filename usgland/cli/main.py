"""The command `usgland`: thin, so that `--help` answers before TensorFlow loads."""

from typing import Any

import click

from usgland import __version__
from usgland.cli.auditing import audit
from usgland.cli.comparing import compare
from usgland.cli.configuring import config
from usgland.cli.describing import table1
from usgland.cli.explaining import explain
from usgland.cli.fitting import cv, fit
from usgland.cli.planning import samplesize
from usgland.cli.reading import readers
from usgland.cli.reporting import report
from usgland.cli.scoring import evaluate, predict
from usgland.cli.serving import export, serve
from usgland.errors import UserError


class Group(click.Group):
    """Shows a `UserError` as one line, any other error as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="usgland")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's own messages.")
@click.pass_context
def cli(context: click.Context, verbose: bool) -> None:
    """Tell benign from malignant lesions on ultrasound images.

    For research. Not a medical device.
    """
    context.obj = verbose


for command in (
    *(fit, cv, predict, evaluate, compare, readers, report),
    *(explain, audit, table1, samplesize, export, serve, config),
):
    cli.add_command(command)
