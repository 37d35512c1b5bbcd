"""The conventions that no linter knows, read from the imports of every module.

The rooms and what each may import are the Architecture table; a violation is reported
as `module: what is wrong`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "usgland"

# Room -> the rooms that it may import, beside those of `FOUNDATION`. A folder that is
# divided has a row for each of its sub-rooms and none of its own.
FOUNDATION = ("errors", "files", "table_files")
STATISTICS = ("evaluation.statistics", "evaluation.shown", "evaluation.cases")
SETTINGS = ("settings", "recipe", "schema", "config")
LEARNING = (*SETTINGS, "cache", "machine", "native", "nvidia", "runs", "data", "models")
ROOMS: dict[str, tuple[str, ...]] = {
    "errors": (),
    "files": (),
    "table_files": (),
    "cache": (),
    "machine": (),
    "native": (),
    "nvidia": ("machine",),
    "settings": (),
    "recipe": ("settings",),
    "schema": ("settings",),
    "config": ("settings", "recipe", "schema"),
    "runs": SETTINGS,
    "ingest": ("cache",),
    "data": (*SETTINGS, "cache", "machine", "runs"),
    "quality": (*SETTINGS, "machine", "data", *STATISTICS),
    "models": (*SETTINGS, "cache", "runs", "data"),
    "training": LEARNING,
    "evaluation.statistics": (),
    "evaluation.shown": (),
    "evaluation.cases": (*SETTINGS, *STATISTICS),
    "evaluation.planning": STATISTICS,
    "evaluation.performance": (*SETTINGS, *STATISTICS),
    "evaluation.comparison": (*SETTINGS, *STATISTICS),
    "evaluation.readers": (*SETTINGS, *STATISTICS),
    "evaluation.baseline": (*SETTINGS, *STATISTICS),
    "evaluation.audit": (*SETTINGS, *STATISTICS),
    "evaluation.report": (*SETTINGS, *STATISTICS),
    "explanation": (*LEARNING, "training", *STATISTICS),
    "serving.interface": (),
    "serving.export": (*LEARNING, "explanation", "serving.interface"),
    "serving.portable": (*LEARNING, *STATISTICS, "serving.interface"),
    # What a picture costs is told by the marks that `fit` looks at, too.
    "serving.server": ("data", "serving.interface"),
    # A page of its own behind the server's guards.
    "study": ("settings", "serving.interface", "serving.server"),
    # Join rooms into commands; they alone write a run directory.
    "steps": ("*",),
    "startup": ("*",),
    "cli": ("*",),
}
# The face of the statistics: the public names, each taken from its room when asked for.
FACES = ("usgland", "usgland.evaluation")
# Where TensorFlow itself may be touched; elsewhere `keras.ops` does.
TENSORFLOW_PLACES = (
    "usgland.data.",
    "usgland.models.augmentation.",  # runs inside tf.data
    "usgland.models.clinical.",  # words are strings
    "usgland.models.decoding.",  # a part of preprocessing
    "usgland.models.file_guards.",  # of decoding
    "usgland.models.preprocessing.",
    "usgland.models.speckle.",  # a part of preprocessing
    "usgland.training.",  # devices, precision, determinism
    "usgland.explanation.",
    "usgland.serving.",
)
KERAS_ROOMS = ("data", "models", "training", "explanation", "serving", "steps")
KERAS_PACKAGES = {"keras", "keras_cv", "tf_keras_vis"}
# Numbers are made without a plot, a terminal or a file of a run.
PRESENTATION = {"matplotlib", "rich", "docx"}
WITHOUT_PRESENTATION = ("evaluation.statistics", "evaluation.cases")
VAGUE_NAMES = {"utils", "helpers", "common"}
ABBREVIATIONS = {"img", "cfg", "df"}
LINES = 400  # a smell, not a wall: a module may have them where it is one thing


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


def room_of(module: str) -> str:
    """The room of `usgland.data.manifest` is `data`; of divided folders, the sub-room.

    That of `usgland` is "", of `usgland.evaluation` `evaluation`.
    """
    parts = module.split(".")[1:]
    divided = {room.split(".")[0] for room in ROOMS if "." in room}
    return ".".join(parts[:2] if parts and parts[0] in divided else parts[:1])


def import_violations(module: str, imports: set[str]) -> Iterator[str]:
    room = room_of(module)
    for imported in sorted(imports):
        package = imported.split(".")[0]
        if package == "tensorflow" and not f"{module}.".startswith(TENSORFLOW_PLACES):
            yield f"{module}: imports tensorflow, which is not for this module"
        elif (package in KERAS_PACKAGES and room.split(".")[0] not in KERAS_ROOMS) or (
            package in PRESENTATION and room in WITHOUT_PRESENTATION
        ):
            yield f"{module}: imports {package}, which is not for this room"
        elif package == "usgland" and imported != "usgland":
            yield from inner_violations(module, imported)


def inner_violations(module: str, imported: str) -> Iterator[str]:
    room, other = room_of(module), room_of(imported)
    if imported in FACES:
        yield f"{module}: imports the face {imported}, not the room behind it"
    elif other not in ROOMS:
        yield f"{module}: imports {imported}, whose room is not in the table"
    elif module in FACES or other == room or other in FOUNDATION:
        return
    elif "*" in ROOMS.get(room, ()):
        if list(ROOMS).index(other) > list(ROOMS).index(room):
            yield f"{module}: imports {imported} from a room below its own"
    elif other not in ROOMS.get(room, ()):
        yield f"{module}: imports {imported}, which is not for {room}"


def shape_violations(module: str, tree: ast.Module, lines: int) -> Iterator[str]:
    if lines > LINES:
        yield f"{module}: {lines} lines, expected {LINES} or fewer"
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
        if room_of(module) not in ROOMS and not is_parent(module, path):
            found.append(f"{module}: its room is not in the Architecture table")
            continue
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imports = imports_of(tree, module, modules)
        found += import_violations(module, imports)
        found += shape_violations(module, tree, len(text.splitlines()))
    return found + name_violations(modules)


def is_parent(module: str, path: Path) -> bool:
    """Whether it is the `__init__.py` of the package or of a folder of sub-rooms."""
    rooms = (f"usgland.{room}" for room in ROOMS)
    return path.name == "__init__.py" and any(r.startswith(f"{module}.") for r in rooms)


def name_violations(modules: dict[str, Path]) -> list[str]:
    """Modules that only their rooms tell apart."""
    by_name: dict[str, list[str]] = {}
    for module, path in modules.items():
        if path.name != "__init__.py":
            by_name.setdefault(path.stem, []).append(module)
    return [
        f"{', '.join(same)}: one name for {len(same)} modules"
        for same in by_name.values()
        if len(same) > 1
    ]


def test_the_package_keeps_its_layers_and_shape():
    assert modules_of(PACKAGE), "nothing was read"
    found = violations(PACKAGE)
    assert not found, "\n".join(found)


@pytest.fixture
def package(tmp_path):
    """A package with a module in many rooms, without a violation."""
    root = tmp_path / "usgland"
    files = [f"{room}.py" for room in ("errors", "files", "config", "runs")]
    files += ["data/__init__.py", "data/manifest.py", "models/classifier.py"]
    files += ["training/loop.py", "explanation/maps.py", "steps/prediction.py"]
    files += ["evaluation/__init__.py", "evaluation/statistics/scores.py"]
    files += ["evaluation/performance/measures.py", "evaluation/readers/study.py"]
    files += ["evaluation/report/sections.py", "serving/interface/status.py"]
    files += ["serving/export/warmup.py", "serving/portable/onnx.py"]
    files += ["serving/server/rest.py", "cli/main.py", "__init__.py"]
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
    ("cli/main.py", "def run() -> None:\n    from usgland.training.loop import fit"),
    ("evaluation/performance/measures.py", "from usgland import config"),
    ("evaluation/performance/measures.py", "import matplotlib, sklearn.metrics"),
    ("evaluation/__init__.py", "from usgland.evaluation.statistics.scores import x"),
    ("serving/server/rest.py", "from usgland.serving.interface import status"),
    ("steps/prediction.py", "from usgland.evaluation.readers import study"),
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
    ("config.py", "from usgland.data.manifest import read", "not for config"),
    ("config.py", "def f() -> None:\n    import usgland.data.manifest", "not for"),
    ("data/manifest.py", "from ..models import classifier", "not for data"),
    ("data/__init__.py", "from ..models.classifier import build", "not for data"),
    ("data/manifest.py", "if True:\n    from usgland.cli import main", "not for data"),
    (
        "evaluation/performance/measures.py",
        "from usgland.data import manifest",
        "not for evaluation.performance",
    ),
    (
        "evaluation/statistics/scores.py",
        "from usgland.config import Config",
        "not for evaluation.statistics",
    ),
    ("evaluation/statistics/scores.py", "import rich.table", "not for this room"),
    ("evaluation/performance/measures.py", "import tensorflow", "not for this module"),
    (
        "evaluation/readers/study.py",
        "from usgland.evaluation.performance import measures",
        "not for evaluation.readers",
    ),
    (
        "evaluation/report/sections.py",
        "from usgland.runs import find_run",
        "not for evaluation.report",
    ),
    (
        "evaluation/readers/study.py",
        "from usgland.evaluation import roc_auc",
        "imports the face",
    ),
    ("evaluation/readers/study.py", "def f() -> None:\n    import keras", "this room"),
    (
        "serving/server/rest.py",
        "from usgland.serving.export import warmup",
        "not for serving.server",
    ),
    (
        "serving/portable/onnx.py",
        "from usgland.serving.export import warmup",
        "not for serving.portable",
    ),
    (
        "serving/interface/status.py",
        "from usgland.config import Config",
        "not for serving.interface",
    ),
    ("steps/prediction.py", "from usgland.cli import main", "room below"),
    ("models/classifier.py", "from tensorflow import math", "not for this module"),
    ("cli/main.py", "def f() -> None:\n    import tensorflow", "not for this module"),
    ("runs.py", "import keras", "not for this room"),
    ("plots.py", "", "not in the Architecture table"),
    ("serving/rest_api.py", "", "not in the Architecture table"),
    ("data/utils.py", "", "does not say what"),
    ("data/scores.py", "", "one name for 2 modules"),
    ("models/long.py", "\n" * 401, "401 lines, expected"),
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


def test_every_step_that_a_command_loads_by_name_exists():
    text = "".join(path.read_text() for path in (PACKAGE / "cli").glob("*.py"))
    loaded = re.findall(r'load_steps\("(\w+)"', text)
    assert loaded
    assert [
        name for name in loaded if not (PACKAGE / f"steps/{name}.py").exists()
    ] == []
