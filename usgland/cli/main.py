"""The command `usgland`: thin, so that `--help` answers before TensorFlow loads."""

import sys
from typing import Any

import click

from usgland import __version__
from usgland.cli.checking import check
from usgland.cli.doctor import doctor
from usgland.cli.fitting import cv, distill, fit
from usgland.cli.planning import config, samplesize, table1
from usgland.cli.preparing import ingest
from usgland.cli.reporting import audit, compare, explain, readers, report
from usgland.cli.scoring import evaluate, predict
from usgland.cli.serving import export, serve
from usgland.cli.study_commands import study
from usgland.errors import UserError, not_installed

LONGEST = 64  # characters of a command's purpose, for 80 columns
# In the order in which a study needs them.
SECTIONS = {
    "Prepare images": (ingest, check),
    "Plan and describe": (samplesize, table1, config),
    "Train, predict and score": (fit, cv, distill, predict, evaluate),
    "Compare, explain and report": (compare, study, readers, explain, report, audit),
    "Hand a model on": (export, serve),
    "When something is wrong": (doctor,),
}


def printable(text: str) -> str:
    """A message without what would command the terminal, as a file's name may."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1]
        for sign in text
    )


class Group(click.Group):
    """Shows a `UserError` and a package that is missing as one line.

    Any other error is shown as a traceback.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(printable(str(error))) from error
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            # A mistake of ours, or a Python that lacks one of its own modules.
            if missing in ("", "usgland") or missing in sys.stdlib_module_names:
                raise
            command = f"`usgland {ctx.invoked_subcommand}`"
            reason = not_installed(command, missing)
            raise click.ClickException(str(reason)) from error

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(x.name), x.get_short_help_str(LONGEST)) for x in commands]
                )


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="For a try on synthetic images: usgland fit, then "
    "usgland evaluate runs/squeeze-1.",
)
@click.version_option(__version__, prog_name="usgland", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's own messages.")
@click.pass_context
def cli(context: click.Context, verbose: bool) -> None:
    """Tell benign from malignant lesions on ultrasound images.

    For research. Not a medical device.
    """
    context.obj = verbose


for section in SECTIONS.values():
    for command in section:
        cli.add_command(command)
