"""`usgland check`: what is wrong with images before a network learns from them."""

import importlib.util
from pathlib import Path

import click

from usgland.cli import options
from usgland.startup import make_console

EXIT_CODES = (0, 3, 4)  # of notes or nothing, warnings, what is serious


@click.command()
@click.argument("manifest", type=options.PATH)
@click.option("--out", type=options.PATH, help="Folder for check.csv and check.html.")
@click.option(
    "--words/--no-words",
    default=None,
    show_default=False,
    help="Look for words in the pictures: a second each. By default where the extra "
    "`ingest` is installed.",
)
@options.config_option
@options.set_option
@click.option("--overwrite", is_flag=True, help="Replace an earlier check.")
@click.pass_context
def check(
    context: click.Context,
    manifest: Path,
    out: Path | None,
    words: bool | None,
    config_path: Path | None,
    overrides: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Find copies among images, and what gives the label away.

    Looks at every image of a MANIFEST.

    Nothing is deleted or changed. Ends with 0 where nothing matters, 3 after warnings,
    4 after what is serious: unusable files, copies with two labels or in two parts.
    """
    from usgland.config import load_config
    from usgland.evaluation.shown.terminal import show
    from usgland.files import check_unwritten
    from usgland.steps.check import PAGE, TABLE, check_table, write_checked
    from usgland.steps.check_page import check_document

    if out is not None:
        check_unwritten("check", [out / TABLE, out / PAGE], overwrite=overwrite)
    config = load_config(config_path, overrides)
    if words is None:
        words = importlib.util.find_spec("rapidocr") is not None
        words = words and importlib.util.find_spec("onnxruntime") is not None
    checked = check_table(manifest, config, words=words)
    show(check_document(checked), make_console())
    if out is None:
        click.echo("\n--out DIR writes a table of it, and a page with the pictures")
    else:
        options.show_written(
            write_checked(checked, manifest, config, out, overwrite=overwrite)
        )
    context.exit(EXIT_CODES[checked.level])
