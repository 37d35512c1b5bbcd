"""How tests run a command, and what surrounds it: files, a disk that is full."""

import contextlib
import csv
import resource

from click.testing import CliRunner

from usgland.cli.main import cli

# Settings of a run whose images are not what is tested: to trace changes of them is
# half of what a tiny training costs.
UNCHANGED = tuple(
    f"augmentation.{name}=0"
    for name in (
        *("rotation_degrees", "zoom", "translation", "brightness", "contrast"),
        "blur_pixels",
    )
)
_PAIRS = (setting.partition(".")[2].replace("=", ": ") for setting in UNCHANGED)
UNCHANGED_YAML = f"augmentation: {{{', '.join(_PAIRS)}}}"


def call(*arguments):
    """Runs a command that shall succeed in silence on stderr; returns its stdout."""
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return done.stdout


def fail(*arguments, code=1):
    """Runs a command that shall fail; returns the lines on stderr."""
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    return done.stderr.splitlines()


def refusal(*arguments):
    """Runs a command that shall fail with one line on stderr; returns it."""
    (line,) = fail(*arguments)
    return line


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@contextlib.contextmanager
def full_disk(size):
    """Files cannot grow beyond `size` bytes: the kernel refuses, as a disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
