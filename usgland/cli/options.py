"""What commands share: the same option for the same wish, and their last lines."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

PATH: Any = click.Path(path_type=Path)


class AnyNumber(click.types.FloatParamType):
    """A finite number; nan is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number. Received: {value}", param, ctx)
        return number


class Number(AnyNumber, click.FloatRange):
    """A finite number in a range; nan, which is in any for click, is none."""


NUMBER = AnyNumber()
INSIDE = Number(0, 1, min_open=True, max_open=True)
SEED = click.IntRange(min=0)
LISTED = 4  # files of a folder that have lines of their own


def _check_word(_: click.Context, __: click.Parameter, wanted: bool) -> bool:
    """Says that python-docx is missing before an hour of work, not after it."""
    if wanted:
        from usgland.evaluation.shown.word import import_docx

        import_docx()
    return wanted


def check_runs(
    _: click.Context, __: click.Parameter, runs: Path | tuple[Path, ...]
) -> Path | tuple[Path, ...]:
    """Finds that a run is missing before TensorFlow is loaded, not after it."""
    from usgland.runs import find_run

    for run in runs if isinstance(runs, tuple) else (runs,):
        find_run(run)
    return runs


def show_written(paths: Iterable[Path]) -> None:
    """Names the files that a command wrote; many of a folder on one line."""
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    for folder, files in by_folder.items():
        if len(files) > LISTED:
            click.echo(f"Wrote {folder}: {', '.join(path.name for path in files)}")
            continue
        for path in files:
            click.echo(f"Wrote {path}")


run_argument: Callable = click.argument("run", type=PATH, callback=check_runs)
config_option: Callable = click.option(
    "--config",
    "config_path",
    type=PATH,
    help="YAML of what differs from the default settings; or a preset, e.g. paper.",
)
set_option: Callable = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, e.g. train.epochs=5. Repeatable.",
)
docx_option: Callable = click.option(
    "--docx",
    is_flag=True,
    callback=_check_word,
    help="Also write every table as a Word file, beside its .md.",
)
full_option: Callable = click.option(
    "--full", is_flag=True, help="Show all tables here, not the headline alone."
)
