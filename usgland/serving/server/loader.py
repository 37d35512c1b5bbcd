"""Brings what is served in line with the folders: loads, warms up, drops versions."""

import asyncio
import contextlib
import re
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from usgland.errors import UserError
from usgland.serving.interface import versions
from usgland.serving.interface.signing import read_public_key, verified
from usgland.serving.interface.status import RequestError, from_tensorflow, invalid
from usgland.serving.server.catalog import Catalog, Version
from usgland.serving.server.logs import log
from usgland.serving.server.page_routes import page_sheet
from usgland.serving.server.servable import Servable
from usgland.serving.server.server_options import ServerOptions

# What reading a folder that is no whole SavedModel has been seen to raise.
LOAD_ERRORS = (
    tf.errors.OpError,
    RequestError,
    DecodeError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    *(AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error),
)


# Seconds for which all else waits for a version: a share may be away, or hang.
LONGEST_LOAD = 120.0


class Loader:
    """Watches the folders and fills the catalog from which requests are answered.

    It runs in the event loop; each version is loaded in a thread of its own, which
    nobody waits for without end.
    """

    def __init__(self, options: ServerOptions, catalog: Catalog):
        self.options, self.catalog = options, catalog
        self.key = None
        if options.signed_by is not None:
            self.key = read_public_key(options.signed_by)
        self._loading: dict[tuple[str, int], asyncio.Task] = {}
        self._refreshing = asyncio.Lock()
        self.wanted: dict[str, versions.WantedModel] = {}
        self._config_read: tuple[int, int] | None = None
        self._reloaded = False
        self._drains: set[asyncio.Task] = set()

    async def start(self) -> None:
        """Loads all that is wanted.

        Raises:
            UserError: If no model is found, or the configuration cannot be read.
        """
        folder, file = self.options.models_dir, self.options.model_config_file
        try:
            self._find()
        except OSError as error:
            kind = "a folder of models" if file is None else "a model_config_list"
            raise UserError(
                f"Expected {kind}. Received: {file or folder} ({error.strerror}). "
                "`usgland export RUN` writes models"
            ) from error
        if not self.wanted:
            raise UserError(
                f"Expected a model under {folder}, as NAME/VERSION/. Received: none. "
                "`usgland export RUN` writes one"
            )
        await self.refresh()

    async def watch(self) -> None:
        """Looks for new versions until it is cancelled."""
        while True:
            await asyncio.sleep(self.options.poll_seconds)
            try:
                self._find()
            except (OSError, UserError) as error:
                # A share that is away for a minute must not end what is served.
                log("warning", "models_not_read", reason=str(error))
            else:
                await self.refresh()

    def _find(self) -> None:
        path = self.options.model_config_file
        if self._reloaded:
            return  # A client has told what is wanted, as it may in TensorFlow Serving.
        if path is None:
            self.wanted = versions.find_models(
                self.options.models_dir, self.options.keep_versions
            )
            return
        stat = path.stat()
        if self._config_read != (stat.st_mtime_ns, stat.st_size):
            self._config_read = (stat.st_mtime_ns, stat.st_size)
            self.wanted = versions.read_model_config(path, self.options.models_dir)
            self.catalog.labels = {
                name: model.labels for name, model in self.wanted.items()
            }

    async def reload(self, config: Any) -> None:
        """Serves what a `ModelServerConfig` lists, from now on.

        Raises:
            RequestError: INVALID_ARGUMENT if it is not about models in the folder.
        """
        folder = self.options.models_dir.resolve()
        try:
            wanted = versions.wanted_models(config, folder, "config")
        except UserError as error:
            raise invalid(str(error)) from error
        known = {model.path.resolve() for model in self.wanted.values()}
        for model in wanted.values():
            path = model.path.resolve()
            # A SavedModel is a program: no client chooses one from anywhere.
            if folder not in path.parents and path not in known:
                raise invalid("Expected each base_path in the folder of --models-dir")
            if not path.is_dir():
                raise invalid("Expected each base_path to be a folder of versions")
        self._reloaded = True
        self.wanted = wanted
        self.catalog.labels = {name: model.labels for name, model in wanted.items()}
        await self.refresh()

    async def refresh(self) -> None:
        """Serves what is wanted and no more: loads first, then drops."""
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        for name in sorted(set(self.catalog.versions) | set(self.wanted)):
            model = self.wanted.get(name)
            try:
                present = versions.find_versions(model.path) if model else {}
            except FileNotFoundError:
                present = {}
            except OSError as error:
                log("warning", "versions_not_read", model=name, reason=str(error))
                continue
            wanted = await self._load_wanted(name, model, present) if model else []
            available = set(self.catalog.available(name))
            # Something must serve while what replaces it cannot be loaded.
            if not present or (wanted and available.issuperset(wanted)):
                for version in available.difference(wanted):
                    self._drop(name, version)

    async def _load_wanted(
        self, name: str, model: versions.WantedModel, present: dict[int, Path]
    ) -> list[int]:
        known = self.catalog.versions.setdefault(name, {})
        while True:
            broken = {
                version
                for version, path in present.items()
                if version in known
                and known[version].failed_files is not None
                and known[version].failed_files == versions.fingerprint(path)
            }
            wanted = versions.choose(model, present, broken)
            missing = [
                version
                for version in wanted
                if version not in known or known[version].servable is None
            ]
            if not missing:
                return wanted
            await self._load(name, missing[0], present[missing[0]])

    async def _load(self, name: str, number: int, path: Path) -> None:
        """Loads a version; one that takes too long goes on, and nobody waits for it."""
        task = asyncio.create_task(self._load_now(name, number, path))
        self._loading[name, number] = task
        task.add_done_callback(lambda _: self._loading.pop((name, number), None))
        done, _ = await asyncio.wait({task}, timeout=LONGEST_LOAD)
        if done:
            task.result()
            return
        version = self.catalog.versions[name][number]
        version.failed_files = versions.fingerprint(path)
        version.code, version.message = "UNAVAILABLE", "It still loads"
        log("warning", "load_slow", model=name, version=number)

    async def _load_now(self, name: str, number: int, path: Path) -> None:
        version = self.catalog.versions[name][number] = Version("LOADING")
        files = versions.fingerprint(
            path
        )  # What is written from now on is another try.
        try:
            servable, warmed = await _in_own_thread(self._read, path, name, number)
        except LOAD_ERRORS as error:
            version.state, version.failed_files = "END", files
            version.code, version.message = _reason(error, path, f"{name}/{number}")
            fields = {"code": version.code, "reason": version.message}
            log("error", "load_failed", model=name, version=number, **fields)
        else:
            version.state, version.servable = "AVAILABLE", servable
            version.failed_files, version.code, version.message = None, "OK", ""
            log("info", "loaded", model=name, version=number, warmed_up=warmed)

    def _read(self, path: Path, name: str, number: int) -> tuple[Servable, int]:
        if irregular := versions.irregular_file(path):
            raise invalid(f"Expected files and folders alone. Received: {irregular}")
        with verified(path, self.key) as source:
            servable = Servable(source, name, number)
            # Of what was checked: anyone may have changed the folder meanwhile.
            servable.sheet = page_sheet(source)
            try:
                warmed = servable.warm_up(self.options.timeout_seconds)
            except LOAD_ERRORS:
                servable.close()
                raise
        return servable, warmed

    def _drop(self, name: str, number: int) -> None:
        """No new request gets the version; those that have it finish."""
        version = self.catalog.versions[name][number]
        version.state = "UNLOADING"
        task = asyncio.create_task(self._drain(name, number, version))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def _drain(self, name: str, number: int, version: Version) -> None:
        if (servable := version.servable) is not None:
            while servable.users:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(servable.close)
        version.state, version.servable = "END", None
        log("info", "unloaded", model=name, version=number)

    async def close(self) -> None:
        """Drops everything, once nobody uses it."""
        for name in self.catalog.versions:
            for number in self.catalog.available(name):
                self._drop(name, number)
        await asyncio.gather(*self._drains)


async def _in_own_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Runs something that may never end: not even the end of Python waits for it."""
    loop = asyncio.get_running_loop()
    result = loop.create_future()

    def give(value: Any, error: BaseException | None) -> None:
        if result.done():
            return
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)

    def run() -> None:
        value, failure = None, None
        try:
            value = work(*arguments)
        except LOAD_ERRORS as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
            loop.call_soon_threadsafe(give, value, failure)

    threading.Thread(target=run, name="load", daemon=True).start()
    return await result


def _reason(error: Exception, path: Path, name: str) -> tuple[str, str]:
    """The code of gRPC and one line for what went wrong in loading.

    The path on this machine gives way to the name of the version.
    """
    if isinstance(error, tf.errors.OpError):
        error = from_tensorflow(error)
    if isinstance(error, RequestError):
        code, message = error.code, error.message
    else:
        missing = isinstance(error, OSError) and "does not exist" in str(error)
        code = "NOT_FOUND" if missing else "DATA_LOSS"
        message = " ".join(str(error).split())
    for known in (str(path), str(path.resolve())):
        message = message.replace(known, name)
    # What else looks like an absolute path is none of a client's business.
    message = re.sub(r"(?<![\w/])(/[^\s/:'\"]+){2,}/?", "...", message)
    return code, message[:500]
