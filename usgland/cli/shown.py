"""Options of commands that show tables: the same words for the same wish."""

from collections.abc import Callable

import click


def _check_word(_: click.Context, __: click.Parameter, wanted: bool) -> bool:
    """Says that python-docx is missing before an hour of work, not after it."""
    if wanted:
        from usgland.evaluation.shown.word import import_docx

        import_docx()
    return wanted


docx_option: Callable = click.option(
    "--docx",
    is_flag=True,
    callback=_check_word,
    help="Also write every table as a Word file, beside its .md.",
)
full_option: Callable = click.option(
    "--full", is_flag=True, help="Show all tables here, not the headline alone."
)
