"""What every group of settings shares: strictness, YAML files, clear errors."""

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml

from usgland.errors import UserError
from usgland.files import check_ends

BOOL, TIMESTAMP = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"


class Settings(pydantic.BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A group of settings; a name it does not know is an error."""


Group = TypeVar("Group", bound=Settings)
Inside = Annotated[float, pydantic.Field(gt=0, lt=1)]
Fraction = Annotated[float, pydantic.Field(ge=0, lt=1)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Percentile = Annotated[float, pydantic.Field(ge=0, le=100)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
# A run's settings shall mean the same from every folder.
AbsolutePath = Annotated[Path, pydantic.AfterValidator(Path.absolute)]


def _one_or_many(value: object) -> object:
    """Lets `--set data.ignore_labels=normal` stand for a list of one."""
    return (value,) if isinstance(value, str | int | float) else value


Words = Annotated[tuple[str, ...], pydantic.BeforeValidator(_one_or_many)]


def _auto_or_count(value: object) -> object:
    if value != "auto" and not (type(value) is int and value > 0):
        raise ValueError("expected auto or a whole number greater than 0")
    return value


def _auto_or_bool(value: object) -> object:
    if value != "auto" and not isinstance(value, bool):
        raise ValueError("expected auto, true or false")
    return value


AutoOrCount = Annotated[
    Literal["auto"] | pydantic.PositiveInt, pydantic.BeforeValidator(_auto_or_count)
]
AutoOrBool = Annotated[Literal["auto"] | bool, pydantic.BeforeValidator(_auto_or_bool)]


def shipped_file(name: str) -> Path:
    """A file of `configs/`, which a wheel holds as `usgland/configs`.

    In a checkout that is a link to the folder at the top, which is taken where copying
    has lost the link.
    """
    package = Path(__file__).parent
    folder = package / "configs"
    return (folder if folder.is_dir() else package.parent / "configs") / name


class _Loader(yaml.SafeLoader):
    """Leaves `yes`, `no` and dates words, as YAML 1.2 does; refuses a key twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, rule) for tag, rule in resolvers if tag not in (BOOL, TIMESTAMP)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"a key twice among {', '.join(keys)}")
        return super().construct_mapping(node, deep)

    def __init__(self, stream: str):
        super().__init__(stream)
        self._aliases = 0
        self._plain: set[str] = set()  # anchors of values without aliases

    def compose_node(self, parent: Any, index: Any) -> Any:
        anchor = self.peek_event().anchor
        if self.check_event(yaml.AliasEvent):
            # A few lines of nested ones can stand for more settings than there are
            # atoms.
            self._aliases += 1
            if anchor in self.anchors and anchor not in self._plain:
                raise yaml.YAMLError("an alias (*) of aliases; write its value")
            return super().compose_node(parent, index)
        before = self._aliases
        node = super().compose_node(parent, index)
        if anchor is not None and self._aliases == before:
            self._plain.add(anchor)
        return node


_Loader.add_implicit_resolver(BOOL, re.compile("^(?i:true|false)$"), list("tTfF"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a file of groups of settings."""
    try:
        check_ends(path)
        settings = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: expected a readable YAML file. Received: {reason}"
        ) from error
    if not isinstance(settings, dict):
        raise UserError(
            f"{path}: expected `key: value` settings. Received: {settings!r:.80}"
        )
    # A group whose lines are all commented out.
    return {key: {} if value is None else value for key, value in settings.items()}


def apply_override(settings: dict[str, Any], override: str) -> None:
    """Puts `KEY=VALUE`, a dotted key and a value in YAML, into `settings`."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"--set: expected KEY=VALUE. Received: {override!r}")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"--set {key}: expected YAML. Received: {text!r}") from error
    group = settings
    for part in parts[:-1]:
        group = group.setdefault(part, {})
        if not isinstance(group, dict):
            raise UserError(
                f"--set {key}: `{part}` is no group of settings. Received: {override!r}"
            )
    group[parts[-1]] = value


def validate(
    group: type[Group],
    settings: dict[str, Any],
    source: str,
    names: Callable[[Sequence[Any]], Sequence[str]],
) -> Group:
    """Makes a group of its settings; the error names every problem and the source.

    An unknown setting gets the nearest of the `names` that may stand in its place.
    """
    try:
        return group.model_validate(settings)
    except pydantic.ValidationError as error:
        wrong = "; ".join(
            _describe(problem, names(problem["loc"])) for problem in error.errors()
        )
        raise UserError(f"{source}: {wrong}") from error


def _describe(problem: Any, names: Sequence[str]) -> str:
    """Words one of pydantic's errors."""
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        near = [name for name in names if name.split(".")[-1] == problem["loc"][-1]]
        near = near or difflib.get_close_matches(where, names, n=1, cutoff=0.0)
        return f"unknown setting `{where}`; the nearest is `{near[0]}`"
    message = problem["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "expected")
    message = re.sub(r"dictionary or instance of \w+", "group of settings", message)
    if isinstance(problem["input"], dict) and problem["type"] == "value_error":
        return f"`{where}`: {message}" if where else message  # about several at once
    return f"`{where}`: {message}. Received: {problem['input']!r:.80}"
