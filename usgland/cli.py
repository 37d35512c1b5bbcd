"""The command `usgland`: thin, so that `--help` answers before TensorFlow loads."""

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from usgland import __version__
from usgland.errors import UserError
from usgland.startup import load_steps

INTERRUPTED = 130  # exit code of a program that Ctrl-C ended


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


def _experiment_options(command: Callable) -> Callable:
    """The options of commands that train."""
    for option in reversed(
        [
            click.option(
                "--config",
                "config_path",
                type=click.Path(path_type=Path),
                help="YAML of what differs from the default settings.",
            ),
            click.option(
                "--manifest",
                type=click.Path(path_type=Path),
                help="CSV of one row an image; without it, synthetic phantoms.",
            ),
            click.option(
                "--runs-dir",
                type=click.Path(path_type=Path),
                default=Path("runs"),
                show_default=True,
                help="Where run directories are made.",
            ),
            click.option("--name", help="Name of the run directory."),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="KEY=VALUE",
                help="Change one setting, e.g. train.epochs=5. Repeatable.",
            ),
            click.option("--resume", is_flag=True, help="Finish an interrupted run."),
        ]
    ):
        command = option(command)
    return click.pass_obj(command)


@cli.command()
@_experiment_options
def fit(
    verbose: bool,
    config_path: Path | None,
    manifest: Path | None,
    runs_dir: Path,
    name: str | None,
    overrides: tuple[str, ...],
    resume: bool,
) -> None:
    """Train a model and choose its operating point on the validation part."""
    run, config = _choose_run(
        config_path, manifest, runs_dir, name, overrides, resume, done="threshold.json"
    )
    steps = load_steps(verbose)
    with _resumable("fit", run):
        steps.fit(run, config, _console())
    _show_paths(run, "model.keras", "threshold.json", "history.csv", "splits.csv")
    quoted = shlex.quote(str(run))
    _show_next(
        (f"usgland evaluate {quoted}", "scores the test part, for the first time"),
        (f"usgland predict {quoted} --manifest NEW.csv", "other images"),
        (f"usgland export {quoted}", "a SavedModel for TF Serving"),
    )


@cli.command()
@_experiment_options
def cv(
    verbose: bool,
    config_path: Path | None,
    manifest: Path | None,
    runs_dir: Path,
    name: str | None,
    overrides: tuple[str, ...],
    resume: bool,
) -> None:
    """Cross-validate: one model a fold, every patient tested once."""
    run, config = _choose_run(
        config_path,
        manifest,
        runs_dir,
        name,
        overrides,
        resume,
        done="predictions.csv",
        cross_validated=True,
    )
    steps = load_steps(verbose)
    with _resumable("cv", run):
        steps.cross_validate(run, config, _console())
    _show_paths(run, "predictions.csv", "threshold.json", "splits.csv")
    quoted = shlex.quote(str(run))
    _show_next((f"usgland evaluate {quoted}", "pooled figures over all folds"))


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="Other images than the run's; labels are optional.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="CSV to write; by default in RUN, named after the manifest.",
)
@click.option("--overwrite", is_flag=True, help="Replace earlier predictions.")
@click.pass_obj
def predict(
    verbose: bool,
    run: Path,
    manifest: Path | None,
    output: Path | None,
    overwrite: bool,
) -> None:
    """Write P(malignant) of each image and patient."""
    written = load_steps(verbose).predict(
        run, _console(), manifest=manifest, output=output, overwrite=overwrite
    )
    for path in written:
        click.echo(f"Wrote {path}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="Labelled images of another source, e.g. another hospital.",
)
@click.option("--overwrite", is_flag=True, help="Replace earlier figures.")
@click.pass_obj
def evaluate(verbose: bool, run: Path, manifest: Path | None, overwrite: bool) -> None:
    """Score the test part at the operating point that validation chose."""
    written = load_steps(verbose).evaluate(
        run, _console(), manifest=manifest, overwrite=overwrite
    )
    for path in written:
        click.echo(f"Wrote {path}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the served model; by default the run's.")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path),
    default=Path("saved_models"),
    show_default=True,
    help="Where models are written, as NAME/VERSION.",
)
@click.pass_obj
def export(verbose: bool, run: Path, name: str | None, models_dir: Path) -> None:
    """Write a numbered SavedModel that takes encoded image bytes."""
    from usgland.runs import check_name

    chosen = check_name("--name", run.resolve().name if name is None else name)
    path = load_steps(verbose).export(run, models_dir, chosen)
    click.echo(f"Wrote {path}")


@cli.group()
def config() -> None:
    """Show settings."""


@config.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
def show(config_path: Path | None, overrides: tuple[str, ...]) -> None:
    """Print all settings of an experiment, defaults included."""
    from usgland.config import dump_config, load_config

    click.echo(dump_config(load_config(config_path, overrides)), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON schema of the settings."""
    from usgland.config import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))


def _choose_run(
    config_path: Path | None,
    manifest: Path | None,
    runs_dir: Path,
    name: str | None,
    overrides: tuple[str, ...],
    resume: bool,
    *,
    done: str,
    cross_validated: bool = False,
) -> tuple[Path, Any]:
    """The run directory, and the settings of a new run or None for a resumed one."""
    from usgland.config import load_config
    from usgland.runs import check_same_settings, find_resumable, new_run

    if manifest is not None:
        # YAML reads JSON strings.
        path = json.dumps(str(manifest.absolute()), ensure_ascii=False)
        overrides = (*overrides, f"data.manifest={path}")
    if resume:
        run = find_resumable(runs_dir, name, done, cross_validated=cross_validated)
        if config_path is not None or overrides:
            check_same_settings(run, load_config(config_path, overrides))
        return run, None
    chosen = load_config(config_path, overrides)
    stem = config_path.stem if config_path else "squeeze"
    stem += "-cv" if cross_validated else ""
    chosen_name = stem if name is None else name
    return new_run(runs_dir, chosen_name, numbered=name is None), chosen


def _console() -> Any:
    from rich.console import Console

    return Console()


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


def _show_paths(run: Path, *names: str) -> None:
    click.echo(f"\nWrote {run}/ with {', '.join(names)}")


def _show_next(*commands: tuple[str, str]) -> None:
    click.echo("Next:")
    width = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        click.echo(f"  {command:<{width}}  # {purpose}")
