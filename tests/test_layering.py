"""The conventions that no linter knows, read from the imports of every module.

The rooms and their order are the Architecture table; a violation is reported as
`module: what is wrong`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "usgland"

# Top row first: a room imports only from rooms above its own.
ROOMS = (
    "errors",
    "cache",
    "settings",
    "schema",
    "config",
    "runs",
    "data",
    "models",
    "training",
    "evaluation",
    "explanation",
    "serving",
    "steps",
    "startup",
    "cli",
)
# Where TensorFlow itself may be touched; elsewhere `keras.ops` does.
TENSORFLOW_PLACES = (
    "usgland.data.",
    "usgland.models.augmentation.",  # runs inside tf.data
    "usgland.models.clinical.",  # words are strings
    "usgland.models.decoding.",  # a part of preprocessing
    "usgland.models.preprocessing.",
    "usgland.models.speckle.",  # a part of preprocessing
    "usgland.training.",  # devices, precision, determinism
    "usgland.explanation.",
    "usgland.serving.",
)
KERAS_ROOMS = ("data", "models", "training", "explanation", "serving", "steps")
KERAS_PACKAGES = {"keras", "keras_cv", "tf_keras_vis"}
# A statistician uses evaluation on CSV files alone.
HIDDEN_FROM_EVALUATION = {"data", "models", "training"}
# Steps meet in the run directory, and never import each other.
STEPS = {"fit", "cross_validation", "predict", "evaluate", "explain", "export"}
STEPS_ALLOWED = {("cross_validation", "fit")}
VAGUE_NAMES = {"utils", "helpers", "common"}
ABBREVIATIONS = {"img", "cfg", "df"}
LINES = 300


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name -> file, `usgland.data` for `data/__init__.py`."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def imports_of(tree: ast.Module, module: str, modules: dict[str, Path]) -> set[str]:
    """What a module imports, also inside its functions.

    Our own modules by their dotted names, other packages by their first name.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {nearest_module(alias.name, modules) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = node.level - (modules[module].name == "__init__.py")
                parts = module.split(".")
                parents = parts[: len(parts) - above]
                origin = ".".join([*parents, *filter(None, [origin])])
            # `from usgland.data import manifest` imports a module, too.
            found |= {
                nearest_module(f"{origin}.{alias.name}", modules)
                for alias in node.names
            }
    return found


def nearest_module(name: str, modules: dict[str, Path]) -> str:
    """`usgland.errors.UserError` -> `usgland.errors`; `keras.layers` -> `keras`."""
    while "." in name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str | None:
    """The room of `usgland.data.manifest` is `data`; that of `usgland` is None."""
    return module.split(".")[1] if "." in module else None


def import_violations(module: str, imports: set[str]) -> Iterator[str]:
    for imported in sorted(imports):
        package = imported.split(".")[0]
        if package == "tensorflow" and not f"{module}.".startswith(TENSORFLOW_PLACES):
            yield f"{module}: imports tensorflow, which is not for this module"
        elif package in KERAS_PACKAGES and room_of(module) not in KERAS_ROOMS:
            yield f"{module}: imports {package}, which is not for this room"
        elif package == "usgland" and imported != "usgland":
            yield from inner_violations(module, imported)


def inner_violations(module: str, imported: str) -> Iterator[str]:
    room, other = room_of(module), room_of(imported)
    if room is None:
        yield f"{module}: imports {imported}, but stands above every room"
    elif other not in ROOMS:
        yield f"{module}: imports {imported}, whose room is not in the table"
    elif other != room and ROOMS.index(other) > ROOMS.index(room):
        yield f"{module}: imports {imported} from a room below its own"
    elif room == "evaluation" and other in HIDDEN_FROM_EVALUATION:
        yield f"{module}: imports {imported}, which evaluation does without"
    step, other_step = module.split(".")[-1], imported.split(".")[-1]
    if {step, other_step} <= STEPS and step != other_step:  # noqa: SIM102
        if (step, other_step) not in STEPS_ALLOWED:
            yield f"{module}: step imports step {imported}"


def shape_violations(module: str, tree: ast.Module, lines: int) -> Iterator[str]:
    if lines >= LINES:
        yield f"{module}: {lines} lines, expected fewer than {LINES}"
    if module.split(".")[-1] in VAGUE_NAMES:
        yield f"{module}: a name that does not say what the module holds"
    for node in ast.walk(tree):
        where = f"{module}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assert):
            yield f"{where}: `assert`, which python -O leaves out"
        elif isinstance(node, ast.ExceptHandler) and swallows_all(node):
            yield f"{where}: broad `except`"
        elif names_of(node) & ABBREVIATIONS:
            yield f"{where}: abbreviated name {names_of(node) & ABBREVIATIONS}"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            if node.returns is None or any(a.annotation is None for a in arguments):
                yield f"{module}: public function {node.name} is not annotated"


def swallows_all(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything; to tidy up and raise again is no swallowing."""
    caught, last = handler.type, handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
    return caught is None or bool(names & {"Exception", "BaseException"})


def names_of(node: ast.AST) -> set[str]:
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    return set()


def violations(package: Path) -> list[str]:
    """All that is wrong in a package, one line each."""
    modules = modules_of(package)
    found = []
    for module, path in modules.items():
        if room_of(module) not in (None, *ROOMS):
            found.append(f"{module}: its room is not in the Architecture table")
            continue
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imports = imports_of(tree, module, modules)
        found += import_violations(module, imports)
        found += shape_violations(module, tree, len(text.splitlines()))
    return found


def test_the_package_keeps_its_layers_and_shape():
    assert modules_of(PACKAGE), "nothing was read"
    found = violations(PACKAGE)
    assert not found, "\n".join(found)


@pytest.fixture
def package(tmp_path):
    """A package with every room and step, without a violation."""
    root = tmp_path / "usgland"
    files = [f"{room}.py" for room in ("errors", "config", "cli")]
    files += ["data/__init__.py", "data/manifest.py", "models/classifier.py"]
    files += ["training/fit.py", "training/predict.py", "training/cross_validation.py"]
    files += ["evaluation/evaluate.py", "serving/export.py", "__init__.py"]
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    return root


ALLOWED = [
    (
        "data/manifest.py",
        "import tensorflow as tf\nfrom usgland.errors import UserError",
    ),
    ("models/classifier.py", "from usgland.data import manifest\nimport keras"),
    ("training/cross_validation.py", "from usgland.training import fit"),
    ("cli.py", "def run() -> None:\n    from usgland.training.fit import fit_model"),
    ("evaluation/evaluate.py", "from usgland import config\nimport sklearn.metrics"),
    ("config.py", "try:\n    x = 1\nexcept (OSError, ValueError):\n    raise"),
    ("config.py", "try:\n    x = 1\nexcept BaseException:\n    x = 2\n    raise"),
    ("config.py", "class A:\n    def call(self, x):\n        return x"),
    ("config.py", "def f(x: int) -> int:\n    return x\ndef _g(x):\n    return x"),
]


@pytest.mark.parametrize(("file", "text"), ALLOWED)
def test_what_the_conventions_allow_passes(package, file, text):
    (package / file).write_text(text, encoding="utf-8")
    assert violations(package) == []


PLANTED = [
    ("config.py", "from usgland.data.manifest import read", "room below"),
    ("config.py", "def f() -> None:\n    import usgland.data.manifest", "room below"),
    ("data/manifest.py", "from ..models import classifier", "room below"),
    ("data/__init__.py", "from ..models.classifier import build", "room below"),
    ("data/manifest.py", "if True:\n    from usgland import cli", "room below"),
    ("training/fit.py", "from usgland.training.predict import x", "step imports step"),
    ("training/predict.py", "from . import fit", "step imports step"),
    ("serving/export.py", "from usgland.training import predict", "step imports step"),
    ("training/fit.py", "from . import cross_validation", "step imports step"),
    ("evaluation/evaluate.py", "from usgland.data import manifest", "does without"),
    ("evaluation/evaluate.py", "import tensorflow as tf", "not for this module"),
    ("evaluation/evaluate.py", "def f() -> None:\n    import keras", "this room"),
    ("models/classifier.py", "from tensorflow import math", "not for this module"),
    ("cli.py", "def f() -> None:\n    import tensorflow", "not for this module"),
    ("runs.py", "import keras", "not for this room"),
    ("__init__.py", "from usgland.errors import UserError", "above every room"),
    ("plots.py", "", "not in the Architecture table"),
    ("data/utils.py", "", "does not say what"),
    ("models/long.py", "\n" * 300, "300 lines, expected fewer"),
    ("config.py", "assert True", "`assert`"),
    ("config.py", "try:\n    x = 1\nexcept:\n    x = 2", "broad `except`"),
    ("config.py", "try:\n    x = 1\nexcept Exception:\n    x = 2", "broad `except`"),
    (
        "config.py",
        "try:\n    x = 1\nexcept (OSError, BaseException):\n    x = 2",
        "broad",
    ),
    ("config.py", "cfg = 1", "abbreviated name {'cfg'}"),
    ("config.py", "def f(x) -> int:\n    return x", "f is not annotated"),
    ("config.py", "def f(x: int):\n    return x", "f is not annotated"),
]


@pytest.mark.parametrize(("file", "text", "expected"), PLANTED)
def test_a_planted_violation_is_found(package, file, text, expected):
    (package / file).write_text(text, encoding="utf-8")
    (found,) = violations(package)
    assert expected in found
