"""The real TensorFlow Serving, where this machine has it: how it is run."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from usgland.errors import UserError
from usgland.serving.interface import versions
from usgland.serving.server.front import INSIDE, front_of
from usgland.serving.server.server_options import ServerOptions

BINARY = "tensorflow_model_server"
ENGINES = ("docker", "podman")
IMAGE = "tensorflow/serving"
EVERYWHERE = ("0.0.0.0", "::")
CONFIG = "models.config"


class Choice(NamedTuple):
    """Which server runs, and why."""

    server: str  # `binary`, an engine of `ENGINES`, or "" for the built-in one
    image: str  # of the engine
    reason: str  # one line for whoever starts it


def choose_server(options: ServerOptions) -> Choice:
    """Looks for what can serve under these options; nothing is downloaded."""
    if options.has_token:
        return _builtin("TensorFlow Serving knows no --token-file")
    if options.signed_by is not None:
        return _builtin("TensorFlow Serving knows no --require-signature")
    if options.traces:
        return _builtin("TensorFlow Serving knows no --traces")
    if options.tls_certificate is not None:
        return _builtin("TensorFlow Serving has no TLS for REST")
    if 0 in (options.rest_port, options.grpc_port):
        return _builtin("port 0, any free one, is asked for")
    binary = shutil.which(BINARY)
    if binary and options.host in EVERYWHERE:
        return Choice("binary", "", f"TensorFlow Serving: {binary}")
    for engine in ENGINES:
        image = _local_image(engine) if shutil.which(engine) else ""
        if image:
            return Choice(engine, image, f"TensorFlow Serving: {engine} image {image}")
    if binary:
        return _builtin(
            f"{BINARY} listens on every address; --host 0.0.0.0 allows that"
        )
    return _builtin(f"no {BINARY} on the path, and no {IMAGE} image here")


def _builtin(reason: str) -> Choice:
    return Choice("", "", f"Built-in server: {reason}")


def _local_image(engine: str) -> str:
    """The first image of TensorFlow Serving that the engine has, or ""."""
    command = [engine, "images", "--format", "{{.Repository}}:{{.Tag}}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    names = (line.strip() for line in done.stdout.splitlines())
    # Podman puts the registry before the name.
    return next(
        (n for n in names if f"/{n}".rpartition(":")[0].endswith(f"/{IMAGE}")), ""
    )


def write_model_config(options: ServerOptions, path: Path) -> None:
    """Writes the models found in the folder, and the policy, as TF Serving reads it."""
    models = versions.find_models(options.models_dir, options.keep_versions)
    if not models:
        raise UserError(
            f"Expected a model under {options.models_dir}, as NAME/VERSION/. "
            "Received: none. `usgland export RUN` writes one"
        )
    here = {
        name: replace(model, path=model.path.resolve())
        for name, model in models.items()
    }
    path.write_text(versions.model_config_text(here), encoding="utf-8")


def command_of(
    choice: Choice, options: ServerOptions, config: Path, behind: int | None = None
) -> list[str]:
    """The command that serves the models of a `model_config_list`.

    Where the reading page has the address of the options, REST stands `behind` it, at
    this port of this machine alone.
    """
    flags = [f"--model_config_file={config.resolve()}"]
    # Labels in a file name versions that are not loaded yet when it starts.
    flags += ["--allow_version_labels_for_unavailable_models=true"]
    flags += [f"--rest_api_timeout_in_ms={round(1000 * options.timeout_seconds)}"]
    rest_port = behind or options.rest_port
    if choice.server == "binary":
        ports = [f"--port={options.grpc_port}", f"--rest_api_port={rest_port}"]
        return [BINARY, *ports, *flags]
    host = f"[{options.host}]" if ":" in options.host else options.host
    rest = f"{INSIDE if behind else host}:{rest_port}"
    command = [choice.server, "run", "--rm", "--init"]
    command += ["--publish", f"{host}:{options.grpc_port}:8500"]
    command += ["--publish", f"{rest}:8501"]
    folders = {options.models_dir.resolve(), config.resolve()}
    if options.model_config_file is not None:
        file = options.model_config_file
        models = versions.read_model_config(file, options.models_dir)
        folders |= {model.path.resolve() for model in models.values()}
    for folder in sorted(folders):
        command += ["--volume", f"{folder}:{folder}:ro"]
    # Base paths under /models are found there, as in a deployment.
    command += ["--volume", f"{options.models_dir.resolve()}:/models:ro"]
    return [*command, choice.image, *flags]


def run_tf_serving(
    choice: Choice, options: ServerOptions, show: Callable[[str], None] = print
) -> int:
    """Runs it until it ends, and gives its exit status; SIGTERM is passed on.

    The command line, and the address of the page, are shown.
    """
    with tempfile.TemporaryDirectory(prefix="usgland-") as folder:
        config = options.model_config_file
        if config is None:
            config = Path(folder) / CONFIG
            write_model_config(options, config)
        else:
            versions.read_model_config(config, options.models_dir)  # It names an error.
        if not options.page:
            return _run(command_of(choice, options, config), show)
        port = _free_port()
        with front_of(options, port):
            show(f"Page  {options.url(options.rest_port)}")
            return _run(command_of(choice, options, config, port), show)


def _run(command: list[str], show: Callable[[str], None]) -> int:
    show(" ".join(command))
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(process.pid, signal.SIGTERM))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # It had the same Ctrl-C, and ends.
            continue


def _free_port() -> int:
    """A port that nobody has now; TensorFlow Serving takes it in a moment."""
    with socket.create_server((INSIDE, 0)) as probe:
        return probe.getsockname()[1]
