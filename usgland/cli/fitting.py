"""`usgland fit`, `cv` and `distill`: the commands that train."""

import contextlib
import functools
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from usgland.cli.options import PATH, config_option, full_option, set_option
from usgland.startup import computing, load_steps, make_console

INTERRUPTED = 130  # exit code of a program that Ctrl-C ended


class Wanted(NamedTuple):
    """What the options of a command that trains ask for, all but what it shows."""

    config_path: Path | None
    manifest: Path | None
    runs_dir: Path
    name: str | None
    overrides: tuple[str, ...]
    resume: bool


def _experiment_options(command: Callable) -> Callable:
    """The options of commands that train, handed on as one value."""

    @functools.wraps(command)
    def plain(
        verbose: bool,
        *,
        config_path: Path | None,
        manifest: Path | None,
        runs_dir: Path,
        name: str | None,
        overrides: tuple[str, ...],
        multimodal: bool,
        resume: bool,
        full: bool,
        **others: object,
    ) -> None:
        if multimodal:
            overrides = (*overrides, "model.inputs=both")
        wanted = Wanted(config_path, manifest, runs_dir, name, overrides, resume)
        command(verbose, wanted, full=full, **others)

    for option in reversed(
        [
            config_option,
            click.option(
                "--manifest",
                type=PATH,
                help="CSV or .xlsx, one row an image; without it, synthetic phantoms.",
            ),
            click.option(
                "--runs-dir",
                type=PATH,
                default=Path("runs"),
                help="Where run directories are made.",
            ),
            click.option(
                "--name",
                help="Name of the run directory; by default the settings', numbered.",
            ),
            set_option,
            click.option(
                "--multimodal",
                is_flag=True,
                help="Image and clinical form: --set model.inputs=both.",
            ),
            click.option("--resume", is_flag=True, help="Finish an interrupted run."),
            full_option,
        ]
    ):
        plain = option(plain)
    return click.pass_obj(plain)


@click.command()
@_experiment_options
def fit(verbose: bool, wanted: Wanted, *, full: bool) -> None:
    """Train a model; choose its threshold on the validation part.

    The test part is left alone: `usgland evaluate` scores it. Without --manifest, the
    images are synthetic phantoms.
    """
    run, config = _choose_run(wanted, done="threshold.json", cross_validated=False)
    with _resumable("fit", run):
        _check_table(config, folds=False)
        steps = load_steps("training", verbose)
        with computing(steps.precision_of(run, config)):
            steps.fit(run, config, make_console(), full=full)
    _show_end(
        run,
        "model.keras, threshold.json, history.csv, splits.csv",
        ("evaluate RUN", "scores the test part, for the first time"),
        ("report RUN", "then: everything in one file"),
        ("predict RUN --manifest NEW.csv", "other images"),
        ("export RUN", "a SavedModel for TF Serving"),
    )


@click.command()
@click.option(
    "--by",
    metavar="COLUMN",
    help="Test on one value of a column at a time, e.g. site, and train on the others.",
)
@_experiment_options
def cv(verbose: bool, wanted: Wanted, *, by: str | None, full: bool) -> None:
    """Cross-validate: one model a fold, every patient tested once.

    `usgland evaluate` then scores what the folds said of the patients they never saw.
    """
    if by is not None:
        column = f"split.by={json.dumps(by, ensure_ascii=False)}"
        wanted = wanted._replace(overrides=(*wanted.overrides, column))
    run, config = _choose_run(wanted, done="predictions.csv", cross_validated=True)
    with _resumable("cv", run):
        _check_table(config, folds=True)
        steps = load_steps("training", verbose)
        with computing(steps.precision_of(run, config)):
            steps.cross_validate(run, config, make_console(), full=full)
    _show_end(
        run,
        "predictions.csv, threshold.json, splits.csv",
        ("evaluate RUN", "scores every patient, by a fold that never saw it"),
        ("report RUN", "then: everything in one file"),
    )


@click.command()
@click.argument("source", metavar="CV_RUN", type=PATH)
@click.option(
    "--runs-dir", type=PATH, help="Where it is made; by default beside CV_RUN."
)
@click.option("--name", help="Name of the run directory; by default CV_RUN-distilled.")
@click.option("--resume", is_flag=True, help="Finish an interrupted run.")
@full_option
@click.pass_obj
def distill(
    verbose: bool,
    source: Path,
    runs_dir: Path | None,
    name: str | None,
    resume: bool,
    full: bool,
) -> None:
    """Train one network that the folds of a cross-validation teach.

    It learns from all their patients, and from what each fold said of those whom it
    never saw: small and quick as one, with a part of what the folds have together.
    """
    from usgland.runs import find_resumable, new_run

    home = source.absolute().parent if runs_dir is None else runs_dir
    chosen = f"{source.absolute().name}-distilled" if name is None else name
    if resume:
        run = find_resumable(home, chosen, "threshold.json", cross_validated=False)
    else:
        run = new_run(home, chosen, numbered=False)
    with _resumable("fit", run):
        teaching = load_steps("distillation", verbose)
        training = load_steps("training", verbose)
        config = None if resume else teaching.config_of_folds(source)
        with computing(training.precision_of(run, config)):
            if resume:
                training.fit(run, None, make_console(), full=full)
            else:
                teaching.distill(source, run, make_console(), full=full)
    _show_end(
        run,
        "model.keras, threshold.json, history.csv, splits.csv",
        ("predict RUN --manifest NEW.csv", "other images"),
        ("evaluate RUN --manifest NEW.csv", "scores images that it has not seen"),
        ("export RUN", "a SavedModel for TF Serving"),
    )


def _choose_run(
    wanted: Wanted, *, done: str, cross_validated: bool
) -> tuple[Path, Any]:
    """The run directory, and the settings of a new run or None for a resumed one."""
    from usgland.config import load_config
    from usgland.runs import check_same_settings, find_resumable, new_run

    source, overrides, name = wanted.config_path, wanted.overrides, wanted.name
    if wanted.manifest is not None:
        # YAML reads JSON strings.
        path = json.dumps(str(wanted.manifest.absolute()), ensure_ascii=False)
        overrides = (*overrides, f"data.manifest={path}")
    if wanted.resume:
        run = find_resumable(
            wanted.runs_dir, name, done, cross_validated=cross_validated
        )
        if source is not None or overrides:
            check_same_settings(run, load_config(source, overrides))
        return run, None
    config = load_config(source, overrides)
    stem = source.stem if source else "squeeze"
    stem += "-cv" if cross_validated else ""
    chosen = stem if name is None else name
    return new_run(wanted.runs_dir, chosen, numbered=name is None), config


def _check_table(config: Any, *, folds: bool) -> None:
    """Finds mistakes in the tables of a new run before TensorFlow is loaded."""
    if config is not None:
        from usgland.data.columns import check_header

        check_header(config)
        from usgland.data.sources import check_table  # It loads pandas.

        check_table(config, folds=folds)


@contextlib.contextmanager
def _resumable(command: str, run: Path) -> Iterator[None]:
    """Says how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        message = "Interrupted before the run began; nothing was written"
        if run.exists():
            options = ["--runs-dir", str(run.parent), "--name", run.name]
            resume = shlex.join(["usgland", command, "--resume", *options])
            message = f"Interrupted. To go on: {resume}"
        click.echo(message, err=True)
        sys.exit(INTERRUPTED)


def _show_end(run: Path, files: str, *next_commands: tuple[str, str]) -> None:
    """What was written, and the commands that come next, each with its purpose."""
    click.echo(f"\nWrote {run}/ with {files}\nNext:")
    quoted = shlex.quote(str(run))
    commands = [command.replace("RUN", quoted) for command, _ in next_commands]
    width = max(map(len, commands))
    for command, (_, purpose) in zip(commands, next_commands, strict=True):
        click.echo(f"  usgland {command:<{width}}  # {purpose}")
