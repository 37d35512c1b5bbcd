"""The command line answers at once: nothing heavy is imported for `--help`."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from usgland.config import Config, dump_config

ROOT = Path(__file__).parent.parent
# Each of these alone takes longer to import than the command may take.
HEAVY = ("tensorflow", "keras", "keras_cv", "sklearn", "scipy", "pandas", "matplotlib")
PROBE = f"""
import sys
from usgland.cli.main import cli
cli(sys.argv[1:], standalone_mode=False)
print("imported:", sorted(set(sys.modules) & set({HEAVY!r})))
"""


ERROR_PROBE = """
import sys
from usgland.cli.main import cli
import click
try:
    cli(sys.argv[1:], standalone_mode=False)
except click.ClickException as error:
    print(error.message)
print("imported:", *sys.modules)
"""


def run_to_its_error(*arguments, without=("tensorflow", "keras")):
    """What a command says in a fresh process, in which some modules were not loaded."""
    done = subprocess.run(
        [sys.executable, "-c", ERROR_PROBE, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said, _, imported = done.stdout.rstrip().rpartition("\n")
    assert set(without).isdisjoint(imported.split())
    return said


def run_help(*arguments):
    return subprocess.run(
        [sys.executable, "-c", PROBE, *arguments, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_help_in_a_fresh_process_imports_nothing_heavy():
    done = run_help()
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert done.stderr == ""


def test_help_of_a_command_in_a_fresh_process_imports_nothing_heavy():
    done = run_help("fit")
    assert "--config" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported: []"


HEADER = "image,patient_id,label"
MISTAKES = [
    ("fit", "image,patient_id,diagnosis\na.png,1,0\n", "expected the column `label`"),
    ("cv", f"{HEADER}\na.png,1,dog\n", "row 2: expected a label among"),
    ("fit", f"{HEADER}\nnone.png,1,0\n", "row 2: none.png: expected an image file"),
    ("fit", f"{HEADER},split\na.png,1,0,both\n", "row 2: expected train, val or test"),
    ("fit", f"{HEADER},split\na.png,1,0,train\nb.png,1,0,test\n", "expected one part"),
    ("cv", f"{HEADER},fold\na.png,1,0,x\n", "expected a whole number as fold"),
    ("predict", "file,label\na.png,1\n", "expected the column `image`"),
    ("evaluate", f"{HEADER}\na.png,1,0\nb.png,2,\n", "1 of 2 without"),
    ("evaluate", "image,label\na.png,1\n", "expected the column `patient_id`"),
]


@pytest.mark.parametrize(("command", "text", "expected"), MISTAKES)
def test_a_mistake_in_a_manifest_is_said_before_tensorflow_is_loaded(
    tmp_path, command, text, expected
):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image, which nobody reads")
    (tmp_path / "config.yaml").write_text(dump_config(Config()))
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(text)
    run = [tmp_path] if command in ("predict", "evaluate") else []
    said = run_to_its_error(command, *run, "--manifest", manifest)
    assert expected in said


@pytest.mark.parametrize("command", ["fit", "cv"])
def test_a_missing_column_is_said_before_pandas_is_loaded(tmp_path, command):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("image;label\na.png;0\n")
    said = run_to_its_error(command, "--manifest", manifest, without=HEAVY)
    assert "expected the column `patient_id`. Received: image, label. Set" in said


@pytest.mark.parametrize(
    "command", ["predict", "evaluate", "explain", "export", "report"]
)
def test_a_missing_run_is_said_before_tensorflow_is_loaded(tmp_path, command):
    assert "Expected a run directory" in run_to_its_error(command, tmp_path)


def test_a_mistake_in_the_forms_or_in_an_earlier_split_is_said_as_early(tmp_path):
    (tmp_path / "a.png").touch()
    manifest, forms = tmp_path / "manifest.csv", tmp_path / "forms.csv"
    manifest.write_text("image,patient_id,label\na.png,1,0\n")
    forms.write_text("patient_id,sex\n2,f\n")
    settings = ("--multimodal", "--set", f"data.forms={forms}")
    said = run_to_its_error("fit", "--manifest", manifest, *settings)
    assert "forms.csv: expected a patient of the manifest" in said
    settings = ("--set", f"split.file={forms}")
    said = run_to_its_error("cv", "--manifest", manifest, *settings)
    assert "forms.csv: expected the column `image` and `fold`" in said


def test_help_takes_less_than_four_tenths_of_a_second_of_processor_time():
    # Processor time, the best of three: a busy machine shall not fail the test.
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run_help()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        )
    assert min(seconds) < 0.4
