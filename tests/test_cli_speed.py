"""The command line answers at once: nothing heavy is imported for `--help`."""

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Each of these alone takes longer to import than the command may take.
HEAVY = ("tensorflow", "keras", "keras_cv", "sklearn", "scipy", "pandas", "matplotlib")
PROBE = f"""
import sys
from usgland.cli.main import cli
cli(sys.argv[1:], standalone_mode=False)
print("imported:", sorted(set(sys.modules) & set({HEAVY!r})))
"""


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
