"""The versions of models: their folders and numbers, and which of them are served.

A version is a folder `MODEL/NUMBER` with a SavedModel; every server looks for those.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from usgland.errors import UserError

LARGEST_VERSION = 2**63 - 1  # the interface has no room for more
LONGEST_FILE = 2**24  # bytes of a sheet or a configuration
# Files that a version may have beside its graph.
MODEL_SHEET = Path("assets.extra") / "usgland.json"
WARMUP_REQUESTS = Path("assets.extra") / "tf_serving_warmup_requests"


@dataclass(frozen=True)
class WantedModel:
    """A model to serve."""

    path: Path  # of its versions
    latest: int | None = 1  # how many of the newest are served; None: all
    specific: tuple[int, ...] = ()  # these instead, if any
    labels: dict[str, int] = field(default_factory=dict)  # e.g. {"stable": 3}


def find_models(folder: Path, latest: int | None) -> dict[str, WantedModel]:
    """Every subfolder that has a numbered folder is a model.

    Raises:
        OSError: If the folder cannot be read.
    """
    models = {}
    for path in sorted(folder.iterdir()):
        # A folder that we may not read, such as lost+found, is no model.
        with contextlib.suppress(PermissionError):
            if not path.name.startswith(".") and path.is_dir() and find_versions(path):
                models[path.name] = WantedModel(path, latest)
    return models


def find_versions(folder: Path) -> dict[int, Path]:
    """Number -> folder, for folders whose name is a number; 007 is version 7.

    Raises:
        OSError: If the folder cannot be read.
    """
    return {
        int(path.name): path
        for path in sorted(folder.iterdir())
        if path.name.isascii()
        and path.name.isdecimal()
        and int(path.name) <= LARGEST_VERSION
        and path.is_dir()
    }


def read_regular(path: Path, most: int = LONGEST_FILE) -> bytes:
    """The bytes of a regular file; of a pipe or device nobody knows when they end.

    Raises:
        OSError: If it is none, is too long or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"longer than {most} bytes", str(path))
    return content


def next_number(home: Path, prefix: str = "") -> int:
    """One more than the largest number of what is called `PREFIXnumber` in a folder."""
    names = (re.fullmatch(f"{prefix}([0-9]+)", path.name) for path in home.iterdir())
    numbers = (int(match[1]) for match in names if match)
    # A larger one is no version to a server, and what follows it would be none.
    return max((n for n in numbers if n < LARGEST_VERSION), default=0) + 1


@contextlib.contextmanager
def unpublished(home: Path, *errors: type[Exception]) -> Iterator[Path]:
    """A path for a folder that is written by the block, until `publish` names it.

    What stands there when the block ends is deleted, and so is `home`, the model's
    folder, if it is empty.

    Raises:
        UserError: If the block cannot write, and so raises OSError or one of `errors`.
    """
    failures: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=home) as temporary:
            yield Path(temporary) / "version"
    except failures as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"Cannot write a model under {home}: {_last_words(reason)}"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            home.rmdir()  # It fails where something was published.


def _last_words(reason: str) -> str:
    """The end of a long message: that of a disk that is full says so last."""
    line = " ".join(reason.split())
    return line if len(line) <= 200 else f"... {line[-200:]}"


def publish(folder: Path, target: Path) -> bool:
    """Gives a whole folder its name with the number; false if that was taken meanwhile.

    Then the folder is deleted, and is to be written again with the next number.
    """
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(folder)
        return False
    return True


def read_model_config(path: Path, models_dir: Path) -> dict[str, WantedModel]:
    """Reads a `model_config_list`, as `--model_config_file` of TF Serving.

    A `base_path` that does not exist here, e.g. the path in a container, is looked
    for in `models_dir` by its last part, so that one file serves both.

    Raises:
        UserError: If it cannot be read or lacks a name or a path.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(read_regular(path).decode("utf-8"), config)
    except (OSError, ValueError, text_format.ParseError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"--model-config-file: expected a model_config_list in {path}. "
            f"Received: {reason}"
        ) from error
    return wanted_models(config, models_dir, str(path))


def wanted_models(config: Any, models_dir: Path, source: str) -> dict[str, WantedModel]:
    """The models of a `ModelServerConfig`, which came from `source`.

    Raises:
        UserError: If one lacks a name or a path, or there is none.
    """
    models = {}
    for entry in config.model_config_list.config:
        if not entry.name or not entry.base_path or entry.name in models:
            raise UserError(
                f"{source}: expected models, each with a `name` of its own and a "
                f"`base_path`. Received: name {entry.name!r}, base_path "
                f"{entry.base_path!r}"
            )
        models[entry.name] = _wanted(entry, models_dir)
    if not models:
        raise UserError(
            f"{source}: expected a model_config_list with a model. Received: none"
        )
    return models


def _wanted(entry: Any, models_dir: Path) -> WantedModel:
    folder = Path(entry.base_path)
    if not folder.is_dir():
        folder = models_dir / folder.name
    policy = entry.model_version_policy
    # 0, the default of the format, means 1 to TensorFlow Serving, too.
    latest = policy.latest.num_versions or 1
    if policy.WhichOneof("policy_choice") in ("all", "specific"):
        latest = None
    specific = tuple(policy.specific.versions)
    return WantedModel(folder, latest, specific, dict(entry.version_labels))


def model_config_text(models: Mapping[str, WantedModel]) -> str:
    """The `model_config_list` of some models, as `read_model_config` reads it."""
    config = model_server_config_pb2.ModelServerConfig()
    for name, model in models.items():
        entry = config.model_config_list.config.add(
            name=name, base_path=str(model.path), model_platform="tensorflow"
        )
        policy = entry.model_version_policy
        if model.specific:
            policy.specific.versions.extend(model.specific)
        elif model.latest is None:
            policy.all.SetInParent()
        else:
            policy.latest.num_versions = model.latest
        entry.version_labels.update(model.labels)
    return text_format.MessageToString(config)


def choose(
    model: WantedModel, present: Collection[int], broken: Collection[int]
) -> list[int]:
    """The versions to serve, newest first.

    A broken version, which could not be loaded, does not count as one of the newest:
    the next older is served in its place until it is mended.
    """
    usable = sorted(set(present) - set(broken), reverse=True)
    if model.specific:
        return [version for version in usable if version in model.specific]
    return usable if model.latest is None else usable[: model.latest]


def irregular_file(folder: Path) -> str:
    """What in a version is no file or folder, such as a pipe; "" if nothing is.

    A link counts as what it leads to.
    """
    for path in sorted(folder.rglob("*")):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return str(path.relative_to(folder))
    return ""


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a version's files: has it changed since it failed?"""
    files = []
    for path in sorted(folder.rglob("*")):
        try:
            status = path.stat()
        except OSError:  # It was deleted between the two looks.
            continue
        name = str(path.relative_to(folder))
        files.append((name, status.st_size, status.st_mtime_ns))
    return tuple(files)


def parse_keep_versions(text: str) -> int | None:
    """Reads `--keep-versions`: a number, or `all` as None.

    Raises:
        UserError: If it is neither.
    """
    if text == "all":
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise UserError(
            f"--keep-versions: expected a number from 1, or `all`. Received: {text!r}"
        )
    return int(text)
