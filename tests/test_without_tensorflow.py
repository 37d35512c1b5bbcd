"""What a statistician needs runs without TensorFlow and what goes with it."""

import ast
import configparser
import math
import subprocess
import sys
from pathlib import Path

import click
import pytest
from PIL import Image

import usgland
from usgland.cli.main import Group
from usgland.errors import EXTRAS, UserError, check_installed

# What requirements-stats.lock leaves out: modules of the packages behind learning,
# serving and the extras.
REFUSED = (
    *("tensorflow", "keras", "keras_cv", "tf_keras_vis", "tensorboard", "h5py", "cv2"),
    *("tensorflow_serving", "grpc", "grpc_health", "google.protobuf"),
    *("starlette", "uvicorn", "prometheus_client", "absl", "sklearn"),
    *EXTRAS,
)
PROBE = f"""
import sys
for name in {REFUSED!r}:
    sys.modules[name] = None  # To import it is now a ModuleNotFoundError.
import click
import usgland
import usgland.evaluation as ev
for name in ev.__all__:
    getattr(ev, name)
from usgland.cli.main import cli
for command in open("commands").read().splitlines():
    try:
        cli(command.split(), standalone_mode=False)
    except click.exceptions.Exit:
        pass
    except click.ClickException as error:
        print("error:", error.message)
    print("done:", command)
try:
    usgland.load_run
except Exception as error:
    print("error:", error)
"""
PATIENTS = "image,patient_id,label,age\n" + "".join(
    f"{n}.png,{n},{n % 2},{30 + n * 7 % 40}\n" for n in range(20)
)
PREDICTIONS = "image,patient_id,role,label,probability,logit\n" + "".join(
    f"{n}.png,{n},test,{n % 2},{1 / (1 + math.exp(n % 5 - 2 - n % 2))},"
    f"{2 + n % 2 - n % 5}\n"
    for n in range(20)
)
READERS = "reader,patient_id,call,label\n" + "".join(
    f"{reader},{n},{int((n + reader) % 4 > 1)},{n % 2}\n"
    for reader in range(2)
    for n in range(12)
)
COMMANDS = (
    "--help",
    "--version",
    "fit --help",
    "config show --config paper",
    "config schema",
    "samplesize",
    "table1 patients.csv --output table",
    "evaluate a.csv --output evaluation",
    "compare a.csv b.csv --output comparison",
    "readers readers.csv --output readers",
    "audit small.yaml --output audit",
    "study new images.csv --design unaided --output study",
    "study status study",
)
LEARNING = ("fit", "cv", "predict .", "evaluate .", "export .", "serve", "report .")


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the commands print in a process that has none of the packages."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "patients.csv").write_text(PATIENTS)
    (folder / "a.csv").write_text(PREDICTIONS)
    (folder / "b.csv").write_text(PREDICTIONS)
    (folder / "readers.csv").write_text(READERS)
    (folder / "images.csv").write_text("\n".join(PATIENTS.splitlines()[:5]))
    for number in range(4):
        grey = Image.linear_gradient("L").rotate(90 * number)
        grey.save(folder / f"{number}.png")
    (folder / "small.yaml").write_text("title: A paper\n")
    (folder / "config.yaml").write_text("{}")  # of a run
    (folder / "commands").write_text("\n".join((*COMMANDS, *LEARNING)))
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def test_the_statistics_run_without_it(printed):
    text, folder = printed
    before, _, _ = text.partition("done: fit\n")
    for command in COMMANDS:
        assert f"done: {command}\n" in before
    assert before.count("\nerror:") == 1, before  # that of `fit`
    assert f"usgland {usgland.__version__}\n" in before
    for name in ("table", "evaluation", "comparison", "readers", "audit", "study"):
        assert any((folder / name).iterdir())


def test_a_command_that_learns_says_in_one_line_what_is_missing(printed):
    text, _ = printed
    for command in LEARNING:
        expected = (
            f"error: `usgland {command.split()[0]}` needs TensorFlow, which is not "
            f"installed here: pip install 'usgland=={usgland.__version__}'\n"
            f"done: {command}\n"
        )
        assert expected in text
    assert "error: `usgland.load_run` needs TensorFlow" in text


def test_another_package_is_named_where_tensorflow_is_installed():
    expected = r"^serve needs none_such, other_one, which are not .*'usgland=="
    with pytest.raises(UserError, match=expected):
        check_installed("serve", "numpy", "none_such", "other_one")


def test_the_page_of_a_study_is_served_without_it():
    program = """
import sys
for name in ("tensorflow", "keras", "grpc", "google.protobuf", "tensorflow_serving"):
    sys.modules[name] = None
import usgland.steps.study_folders, usgland.study.study_app
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


@pytest.mark.parametrize("module", ["usgland.x", "_lzma"])
def test_a_module_that_pip_does_not_have_is_shown_as_the_mistake_it_is(module):
    @click.command()
    def broken():
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    group = Group(commands={"broken": broken})
    with pytest.raises(ModuleNotFoundError, match=module):
        group.main(["broken"], standalone_mode=False)


def test_the_extras_that_errors_name_are_those_of_setup_cfg():
    root = Path(__file__).parent.parent
    settings = configparser.ConfigParser()
    settings.read(root / "setup.cfg")
    for package, extra in EXTRAS.values():
        lines = settings["options.extras_require"][extra].split()
        assert any(line.startswith(package) for line in lines), package
    # Every module that only an extra has is checked by its name before it is needed.
    imported = set()
    for path in (root / "usgland").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).split(".")[0])
    assert set(EXTRAS) <= imported
