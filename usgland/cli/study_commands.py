"""`usgland study`: readers read cases on a page, from the design to their table."""

import shlex
from pathlib import Path
from typing import Any

import click

from usgland.cli import options

folder_argument: Any = click.argument("folder", metavar="STUDY", type=options.PATH)


@click.group()
def study() -> None:
    """Have readers read cases on a page, blinded and timed."""


@study.command()
@click.argument("manifest", metavar="MANIFEST", type=options.PATH)
@click.option(
    "--design",
    default="unaided,clinical",
    help="Arms: what is shown beside the image. Of unaided, clinical (the form), model "
    "(its answer), clinical+model.",
)
@click.option("--readers", type=click.IntRange(1, 99), default=3, help="How many.")
@click.option(
    "--cases",
    type=click.IntRange(2),
    help="Patients to draw, by label in the manifest's shares; by default all.",
)
@click.option(
    "--case-list",
    type=options.PATH,
    help="Table with a column image or patient_id: the cases, in place of a draw.",
)
@click.option(
    "--which-image",
    type=click.Choice(["first", "random"]),
    help="Of patients with several, which one is read.",
)
@click.option(
    "--washout",
    type=options.Number(0),
    default=28.0,
    help="Days between two sessions of a reader.",
)
@click.option(
    "--way-back", is_flag=True, help="Calls may be changed until the session ends."
)
@click.option(
    "--ask",
    multiple=True,
    metavar="COLUMN",
    help="Descriptor that readers give, a column of the form; image_read for all that "
    "are read from the image. Repeatable.",
)
@click.option(
    "--predictions",
    type=options.PATH,
    metavar="RUN|CSV",
    help="What the arm with the model shows.",
)
@click.option(
    "--threshold",
    type=options.INSIDE,
    help="On P(malignant), for a CSV without threshold.json beside it.",
)
@click.option("--seed", type=options.SEED, default=0, help="Of all that is drawn.")
@click.option(
    "--output",
    type=options.PATH,
    default=Path("study"),
    help="Folder to make; the owner's files stand beside it, in OUTPUT-private.",
)
@options.config_option
@options.set_option
def new(
    manifest: Path,
    design: str,
    readers: int,
    cases: int | None,
    case_list: Path | None,
    which_image: str | None,
    washout: float,
    way_back: bool,
    ask: tuple[str, ...],
    predictions: Path | None,
    threshold: float | None,
    seed: int,
    output: Path,
    config_path: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Make a study of the images of MANIFEST: cases, order, keys, protocol."""
    from usgland.config import load_config
    from usgland.steps.study_making import Choices, make_study
    from usgland.study import study_folder
    from usgland.study.design import parse_arms

    choices = Choices(
        arms=parse_arms(design),
        readers=readers,
        cases=cases,
        case_list=case_list,
        which_image=which_image,
        washout_days=washout,
        way_back=way_back,
        asked=ask,
        predictions=predictions,
        threshold=threshold,
        seed=seed,
    )
    config = load_config(config_path, overrides)
    made, keys = make_study(manifest, config, choices, output)
    secret = study_folder.private_folder(output)
    click.echo(
        f"Study {made.study.upper()}: {len(keys)} readers, {len(made.cases)} cases, "
        f"{len(made.arms)} sessions"
    )
    for reader, key in keys.items():
        click.echo(f"  {reader}  {key}")
    click.echo("Give each reader one key; they are shown once, and kept in")
    click.echo(f"  {secret / study_folder.KEYS}")
    click.echo(f"Protocol, to be finished before anyone reads: {secret}")
    click.echo(f"Next:\n  usgland study serve {shlex.quote(str(output))}")


@study.command()
@folder_argument
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8600, help="0: any free one."
)
@click.option("--tls-cert", type=options.PATH, help="PEM file; with --tls-key.")
@click.option("--tls-key", type=options.PATH, help="PEM file; with --tls-cert.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    help="Name under which readers ask for this server. Repeatable; * for any.",
)
def serve(
    folder: Path,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    allow_hosts: tuple[str, ...],
) -> None:
    """Serve the page on which the readers of STUDY read."""
    from usgland.steps.study_folders import serve_study

    serve_study(
        folder,
        click.echo,
        host=host,
        rest_port=port,
        tls_certificate=tls_cert,
        tls_key=tls_key,
        allow_hosts=allow_hosts,
    )


@study.command()
@folder_argument
def status(folder: Path) -> None:
    """Say who is where, and what has changed; nothing about calls."""
    from usgland.steps.study_folders import study_status

    for line in study_status(folder):
        click.echo(line)


@study.command()
@folder_argument
@click.option(
    "--output",
    type=options.PATH,
    help="Folder to write to; by default STUDY-private/export.",
)
@click.option(
    "--unfinished", is_flag=True, help="Before all have read; the study notes it."
)
@click.option("--overwrite", is_flag=True, help="Replace earlier tables.")
def export(
    folder: Path, output: Path | None, unfinished: bool, overwrite: bool
) -> None:
    """Write the readers' table for `usgland readers`, and items of STARD."""
    from usgland.steps.study_folders import export_study

    written, changed = export_study(
        folder, output, unfinished=unfinished, overwrite=overwrite
    )
    options.show_written(written)
    for line in changed:
        click.echo(f"CHANGED: {line}")
    click.echo(f"Next:\n  usgland readers {shlex.quote(str(written[0]))}")
