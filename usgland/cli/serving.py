"""`usgland export` and `usgland serve`: a run as a model, and models as a service."""

import shlex
from pathlib import Path

import click

from usgland.cli.options import PATH, run_argument
from usgland.errors import UserError
from usgland.machine import usable_cores
from usgland.startup import computing, load_steps, make_console

FEWEST_THREADS = 2  # one for large requests, and one that is left to small ones
MOST_THREADS = 4  # that run a model: each already uses all cores for its operations


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
@click.option(
    "--sign",
    type=PATH,
    help="Private key, Ed25519 as PEM: sign the checksums of a savedmodel.",
)
@click.option("--force", is_flag=True, help="Write litert or onnx that lose AUC, too.")
@click.pass_obj
def export(
    verbose: bool,
    run: Path,
    name: str | None,
    models_dir: Path,
    kind: str,
    sign: Path | None,
    force: bool,
) -> None:
    """Write a numbered SavedModel that takes encoded image bytes."""
    from usgland.runs import check_name

    chosen = check_name("--name", run.resolve().name if name is None else name)
    if kind != "savedmodel" and sign is not None:
        raise UserError(f"--sign: expected --format savedmodel. Received: {kind}")
    if kind != "savedmodel":
        steps = load_steps("conversion", verbose)
        with computing():
            path = steps.convert(
                run, models_dir / chosen, kind, make_console(), force=force
            )
        click.echo(f"Wrote {path}")
        return
    if force:
        raise UserError("--force: expected --format litert or onnx. Received: neither")
    steps = load_steps("export", verbose)
    with computing():
        path = steps.export(run, models_dir, chosen, sign)
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
    "--max-rows",
    type=click.IntRange(1),
    default=1024,
    help="Cases of one request; they run --max-batch at a time.",
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
    "--token-file",
    type=PATH,
    help="Bearer tokens, a line each, of which clients must send one.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    help="Name under which clients ask for this server. Repeatable; * for any.",
)
@click.option(
    "--require-signature",
    "signed_by",
    type=PATH,
    help="Public key, PEM: serve only what `usgland export --sign` signed with it.",
)
@click.option(
    "--traces", is_flag=True, help="Make spans of requests for OpenTelemetry."
)
@click.option(
    "--page",
    is_flag=True,
    help="Also a page for a reader with one case, at the address of REST.",
)
@click.pass_obj
def serve(
    verbose: bool,
    models_dir: Path,
    model_config_file: Path | None,
    host: str,
    rest_port: int,
    grpc_port: int,
    keep_versions: str,
    builtin: bool,
    timeout: float,
    max_body: float,
    max_requests: int,
    max_batch: int,
    max_rows: int,
    batch_window: float,
    poll: float,
    tls_cert: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    allow_hosts: tuple[str, ...],
    signed_by: Path | None,
    traces: bool,
    page: bool,
) -> None:
    """Serve exported models over REST and gRPC.

    As TensorFlow Serving does, and by it where it is installed or its image is here;
    else by a built-in server for one machine. New versions are taken up as they appear.
    """
    from usgland.serving.interface.versions import parse_keep_versions
    from usgland.serving.server.server_options import ServerOptions

    options = ServerOptions(
        models_dir=models_dir,
        model_config_file=model_config_file,
        host=host,
        rest_port=rest_port,
        grpc_port=grpc_port,
        keep_versions=parse_keep_versions(keep_versions),
        poll_seconds=poll,
        max_body_megabytes=max_body,
        max_requests=max_requests,
        timeout_seconds=timeout,
        max_batch_size=max_batch,
        batch_window_milliseconds=batch_window,
        threads=min(max(usable_cores(), FEWEST_THREADS), MOST_THREADS),
        tls_certificate=tls_cert,
        tls_key=tls_key,
        page=page,
        token_file=token_file,
        max_rows=max_rows,
        allow_hosts=allow_hosts,
        signed_by=signed_by,
        traces=traces,
    )
    load_steps("serve", verbose).serve(options, click.echo, builtin=builtin)
