"""Real processes that are killed or interrupted, and what they leave behind."""

import csv
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import UNCHANGED_YAML, files_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SETTINGS = f"""
preprocessing: {{image_size: 64}}
model: {{weights: null, dropout: 0.5, lesion_head: false}}
{UNCHANGED_YAML[:-1]}, mixup: 0.2}}
train: {{frozen_epochs: 1, epochs: 2, batch_size: 8, ema_momentum: 0.9}}
evaluation: {{bootstrap_resamples: 20}}
"""
# A shell's background job, as a CI server may be, hands on that Ctrl-C is ignored.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from usgland.cli.main import cli
cli()
"""
# Runs the command line, and kills it at the moment that the first argument names:
# `before` or `after` the `sync`, `replace` or `rename` of a file with that name.
DRIVER = """
import os, signal, sys

moment, arguments = sys.argv[1], sys.argv[2:]
when, what, name = moment.split(":")

def watched(real, names_of):
    def call(*values, **options):
        hit = name in names_of(*values)
        if hit and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*values, **options)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

if what == "sync":
    os.fsync = watched(os.fsync, lambda file: os.readlink(f"/proc/self/fd/{file}"))
if what == "replace":
    os.replace = watched(os.replace, lambda source, target: str(target))
if what == "rename":
    os.rename = watched(os.rename, lambda source, target: str(target))

from usgland.cli.main import cli

cli(arguments)
"""


def start(*arguments, moment=None):
    """Starts `usgland`, as a user does or with the driver."""
    program = ["-c", PROGRAM]
    if moment is not None:
        program = ["-c", DRIVER, moment]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, code=0):
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == code, stderr
    return stdout, stderr


@pytest.fixture(scope="module")
def options(tmp_path_factory, tiny_manifest):
    folder = tmp_path_factory.mktemp("home")
    (folder / "settings.yaml").write_text(SETTINGS)
    runs = folder / "runs"
    settings = ["--config", folder / "settings.yaml", "--manifest", tiny_manifest]
    return [*settings, "--runs-dir", runs], runs


@pytest.fixture(scope="module")
def whole(options):
    """An uninterrupted run."""
    arguments, runs = options
    stdout, stderr = finish(start("fit", *arguments, "--name", "whole"))
    assert stderr == ""  # no log of TensorFlow, no warning
    assert "Next:" in stdout
    return runs / "whole"


def assert_same_run(run, whole):
    # Other processes wrote it, so that this also says: one seed, one history.
    assert (run / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
    for name in ("calibration.json", "threshold.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert files_in(run) == files_in(whole)


def test_a_run_killed_again_and_again_ends_with_the_history_of_a_whole_one(
    options, whole
):
    arguments, runs = options
    resume = ["fit", "--resume", "--runs-dir", runs, "--name", "killed"]
    # The run directory is being made: half of it may not stand there.
    process = start(
        "fit", *arguments, "--name", "killed", moment="after:replace:config.yaml"
    )
    finish(process, -signal.SIGKILL)
    assert not (runs / "killed").exists()
    moments = [
        # There is no checkpoint yet: the first is being written.
        "before:sync:epoch-00001",
        # The frozen epochs end, and the history lacks the last of them.
        "after:replace:epoch-00001",
        "before:replace:history.csv",
        # All is trained, but the model is not in its place yet; then it is.
        "before:rename:model.keras",
        "after:rename:model.keras",
        "before:replace:threshold.json",
    ]
    command = ["fit", *arguments, "--name", "killed"]
    for moment in moments:
        finish(start(*command, moment=moment), -signal.SIGKILL)
        command = resume
        assert not (runs / "killed" / "threshold.json").exists()
    finish(start(*resume))
    assert_same_run(runs / "killed", whole)
    assert weights_of(runs / "killed") == weights_of(whole)


def weights_of(run):
    import keras

    import usgland.models.classifier  # noqa: F401  Keras must know the layers.

    model = keras.models.load_model(run / "model.keras", compile=False)
    return [variable.numpy().tobytes() for variable in model.variables]


def test_ctrl_c_says_how_to_go_on_and_that_command_finishes_the_run(options, whole):
    arguments, runs = options
    process = start("fit", *arguments, "--name", "interrupted")
    history = runs / "interrupted" / "history.csv"
    deadline = time.monotonic() + 300
    while not history.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = finish(process, 130)
    [line] = stderr.splitlines()
    assert line.startswith("Interrupted. To go on: usgland fit --resume --runs-dir ")
    with history.open(newline="") as file:
        done = len(list(csv.DictReader(file)))
    assert 1 <= done < 3
    _, *command = shlex.split(line.partition("To go on: ")[2])
    stdout, stderr = finish(start(*command))
    assert f"Resuming after epoch {done} of 3" in stdout
    assert stderr == ""
    assert_same_run(runs / "interrupted", whole)


def test_xla_is_used_without_a_word_on_stderr(options):
    arguments, runs = options
    settings = ["--set", "train.xla=true", "--set", "train.frozen_epochs=0"]
    process = start(
        "fit", *arguments, *settings, "--set", "train.epochs=1", "--name", "compiled"
    )
    assert finish(process)[1] == ""
    assert (runs / "compiled" / "model.keras").exists()
