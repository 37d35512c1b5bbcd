"""`usgland export` and `usgland serve`: a run as a model, and models as a service."""

import shlex
from pathlib import Path
from typing import Any

import click

from usgland.cli.options import PATH, run_argument
from usgland.errors import UserError
from usgland.startup import load_steps, make_console


@click.command()
@run_argument
@click.option("--name", help="Name of the served model; by default the run's.")
@click.option(
    "--models-dir",
    type=PATH,
    default=Path("saved_models"),
    help="Where models are written, as NAME/VERSION.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["savedmodel", "litert", "onnx"]),
    default="savedmodel",
    help="litert and onnx take preprocessed pixels, as NAME/litert-1.",
)
@click.option("--force", is_flag=True, help="Write litert or onnx that lose AUC, too.")
@click.pass_obj
def export(
    verbose: bool, run: Path, name: str | None, models_dir: Path, kind: str, force: bool
) -> None:
    """Write a numbered SavedModel that takes encoded image bytes."""
    from usgland.runs import check_name

    chosen = check_name("--name", run.resolve().name if name is None else name)
    if kind != "savedmodel":
        steps = load_steps("conversion", verbose)
        path = steps.convert(
            run, models_dir / chosen, kind, make_console(), force=force
        )
        click.echo(f"Wrote {path}")
        return
    if force:
        raise UserError("--force: expected --format litert or onnx. Received: neither")
    path = load_steps("export", verbose).export(run, models_dir, chosen)
    where = ""
    if models_dir != Path("saved_models"):
        where = f" --models-dir {shlex.quote(str(models_dir))}"
    click.echo(f"Wrote {path}")
    click.echo(
        f"Wrote {path.parent / 'operator'}: for TensorFlow Serving; see README.md"
    )
    click.echo(
        f"Next:\n  usgland serve --page{where}   # REST, gRPC and a reading page"
    )


@click.command()
@click.option(
    "--models-dir",
    type=PATH,
    default=Path("saved_models"),
    help="Folder of models, as NAME/VERSION.",
)
@click.option(
    "--model-config-file",
    type=PATH,
    help="A model_config_list of TensorFlow Serving: models, policies, labels.",
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--rest-port", default=8501, help="0: any free one.")
@click.option("--grpc-port", default=8500, help="0: any free one.")
@click.option(
    "--keep-versions",
    default="1",
    help="How many of the newest versions are served, or `all`.",
)
@click.option("--builtin", is_flag=True, help="Do not look for TensorFlow Serving.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    help="Seconds for one request.",
)
@click.option(
    "--max-body",
    type=click.FloatRange(0, min_open=True),
    default=64.0,
    help="Megabytes of one request.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(1),
    default=64,
    help="At one time; more get the status 429.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(1),
    default=8,
    help="Images that run together; 1 runs every request by itself.",
)
@click.option(
    "--batch-window",
    type=click.FloatRange(0),
    default=0.0,
    help="Milliseconds to wait for company.",
)
@click.option(
    "--poll",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    help="Seconds between two looks for new versions.",
)
@click.option("--tls-cert", type=PATH, help="PEM file; with --tls-key.")
@click.option("--tls-key", type=PATH, help="PEM file; with --tls-cert.")
@click.option(
    "--token-file", type=PATH, help="Holds what clients must send as bearer token."
)
@click.option(
    "--page",
    is_flag=True,
    help="Also a page for a reader with one case, at the address of REST.",
)
@click.pass_obj
def serve(verbose: bool, builtin: bool, **flags: Any) -> None:
    """Serve exported models over REST and gRPC.

    As TensorFlow Serving does, and by it where it is installed or its image is here;
    else by a built-in server for one machine. New versions are taken up as they appear.
    """
    steps = load_steps("serve", verbose)
    steps.serve(steps.read_options(flags), click.echo, builtin=builtin)
