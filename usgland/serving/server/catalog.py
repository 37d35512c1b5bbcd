"""What is served now: gives a request its version, and tells the state of each."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2, status_pb2

from usgland.serving.interface.status import RequestError
from usgland.serving.server.servable import Servable


@dataclass
class Version:
    """What is known of one version.

    Attributes:
        state: A name of `ModelVersionStatus.State`.
        code: How loading ended, as gRPC calls it.
        message: Why, if it failed.
        servable: The model, while it is there.
        failed_files: The files that could not be loaded; other ones are tried again.
    """

    state: str = "START"
    code: str = "OK"
    message: str = ""
    servable: Servable | None = None
    failed_files: tuple[tuple[str, int, int], ...] | None = None


class Catalog:
    """Versions by model and number, and the labels that name some of them.

    It is used in the event loop alone, so it needs no lock.
    """

    def __init__(self) -> None:
        self.versions: dict[str, dict[int, Version]] = {}
        self.labels: dict[str, dict[str, int]] = {}

    @contextlib.contextmanager
    def use(
        self, name: str, number: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
        """Gives a version that is not dropped before the block ends.

        Args:
            name: Of the model.
            number: Of the version; without it and a label, the newest one.
            label: Name of a version instead.

        Raises:
            RequestError: NOT_FOUND, or INVALID_ARGUMENT for a label nobody defined.
        """
        servable = self._find_servable(name, number, label)
        servable.users += 1
        try:
            yield servable
        finally:
            servable.users -= 1

    def _find_servable(
        self, name: str, number: int | None, label: str | None
    ) -> Servable:
        if not name:
            raise RequestError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        available = {
            number: version.servable
            for number, version in self.versions.get(name, {}).items()
            if version.state == "AVAILABLE" and version.servable is not None
        }
        if label:
            number = self._labelled(name, label)
        if number is None:
            number = max(available, default=None)
            if number is None:
                raise RequestError(
                    "NOT_FOUND",
                    f"Servable not found for request: Latest({name[:100]}). "
                    f"Expected one of: {self._described()}",
                )
        if number not in available:
            raise RequestError(
                "NOT_FOUND",
                f"Servable not found for request: Specific({name[:100]}, {number}). "
                f"Expected one of: {self._described()}",
            )
        return available[number]

    def _labelled(self, name: str, label: str) -> int:
        labels = self.labels.get(name, {})
        if label not in labels:
            raise RequestError(
                "INVALID_ARGUMENT",
                f"Unrecognized servable version label: {label[:100]}. Expected one "
                f"of: {', '.join(sorted(labels)) or 'none is defined'}",
            )
        return labels[label]

    def served(self) -> list[str]:
        """What can be asked for, e.g. `["mine/3"]`."""
        return [
            f"{name}/{number}"
            for name, known in sorted(self.versions.items())
            for number, version in sorted(known.items())
            if version.state == "AVAILABLE"
        ]

    def _described(self) -> str:
        return ", ".join(self.served()[:20]) or "nothing is served now"

    def status(
        self, name: str, number: int | None = None, label: str | None = None
    ) -> Any:
        """A `GetModelStatusResponse` of one version or of all.

        Raises:
            RequestError: NOT_FOUND if there is none.
        """
        if label:
            number = self._labelled(name, label)
        known = self.versions.get(name, {})
        if number is not None and number not in known:
            raise RequestError(
                "NOT_FOUND",
                f"Could not find version {number} of model {name[:100]}. Expected "
                f"one of: {self._described()}",
            )
        if not known:
            raise RequestError(
                "NOT_FOUND",
                f"Could not find any versions of model {name[:100]}. Expected one "
                f"of: {self._described()}",
            )
        response = get_model_status_pb2.GetModelStatusResponse()
        numbers = sorted(known, reverse=True) if number is None else [number]
        for listed in numbers:
            version = known[listed]
            status = response.model_version_status.add(
                version=listed, state=version.state
            )
            status.status.CopyFrom(
                status_pb2.StatusProto(
                    error_code=version.code, error_message=version.message
                )
            )
        return response
