"""What is served now: gives a request its version, and tells the state of each."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2, status_pb2

from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.server.servable import Servable


@dataclass
class Version:
    """What is known of one version."""

    state: str = "START"  # a name of `ModelVersionStatus.State`
    code: str = "OK"  # how loading ended, as gRPC calls it
    message: str = ""  # why, if it failed
    servable: Servable | None = None  # while it is loaded
    # Those that could not be loaded; other ones are tried again.
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
        """Gives a version, else the newest, that is not dropped before the block ends.

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
            raise invalid("ModelSpec has no name specified.")
        available = self.available(name)
        if label:
            number = self._labelled(name, label)
        if number is None:
            asked, number = f"Latest({name[:100]})", max(available, default=None)
        else:
            asked = f"Specific({name[:100]}, {number})"
        if number not in available:
            raise self._not_found(f"Servable not found for request: {asked}")
        return available[number]

    def _labelled(self, name: str, label: str) -> int:
        labels = self.labels.get(name, {})
        if label not in labels:
            raise invalid(
                f"Unrecognized servable version label: {label[:100]}. Expected one "
                f"of: {', '.join(sorted(labels)) or 'none is defined'}",
            )
        return labels[label]

    def served(self) -> list[str]:
        """What can be asked for, e.g. `["mine/3"]`."""
        return [
            f"{name}/{number}"
            for name in sorted(self.versions)
            for number in sorted(self.available(name))
        ]

    def row_values(self) -> int:
        """How many values a case takes of the widest signature that is served."""
        return max(
            (
                servable.row_values
                for name in self.versions
                for servable in self.available(name).values()
            ),
            default=0,
        )

    def available(self, name: str) -> dict[int, Servable]:
        """The versions of a model that answer, by number."""
        return {
            number: version.servable
            for number, version in self.versions.get(name, {}).items()
            if version.state == "AVAILABLE" and version.servable is not None
        }

    def _not_found(self, what: str) -> RequestError:
        # What else is served is nobody's business who does not know it.
        return RequestError(
            "NOT_FOUND", what if self.served() else f"{what}: nothing is served now"
        )

    def status(self, name: str, number: int | None = None) -> Any:
        """A `GetModelStatusResponse` of one version or of all.

        TensorFlow Serving does not look at a label there, either.

        Raises:
            RequestError: NOT_FOUND if there is none.
        """
        known = self.versions.get(name, {})
        if number is not None and number not in known:
            raise self._not_found(
                f"Could not find version {number} of model {name[:100]}"
            )
        if not known:
            raise self._not_found(f"Could not find any versions of model {name[:100]}")
        response = get_model_status_pb2.GetModelStatusResponse()
        numbers = sorted(known, reverse=True) if number is None else [number]
        for listed in numbers:
            version = known[listed]
            ended = status_pb2.StatusProto(
                error_code=version.code, error_message=version.message
            )
            response.model_version_status.add(
                version=listed, state=version.state, status=ended
            )
        return response
