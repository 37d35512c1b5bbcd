"""What REST and gRPC share: a request's way to a model and back, counted and logged."""

import asyncio
import contextlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tensorflow_serving.apis import get_model_metadata_pb2

from usgland.serving.interface.inputs import DEFAULT_SIGNATURE, Arrays, checked
from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.server.batching import Batcher, Job
from usgland.serving.server.catalog import Catalog
from usgland.serving.server.limits import BODIES, Admission
from usgland.serving.server.logs import log
from usgland.serving.server.server_options import ServerOptions
from usgland.serving.server.telemetry import Telemetry

SIGNATURES = "signature_def"  # the one field of metadata that exists


class Target(NamedTuple):
    """What a request asks for."""

    model: str
    number: int | None = None
    label: str | None = None  # of a version, in place of its number
    signature: str = ""  # `serving_default`
    outputs: Sequence[str] = ()  # all


class Answer(NamedTuple):
    """Outputs, and who gave them."""

    outputs: Arrays
    version: int
    signature: str


class Core:
    """The parts of a running server that every request needs."""

    def __init__(self, options: ServerOptions):
        self.options = options
        self.catalog = Catalog()
        self.telemetry = Telemetry()
        self.batcher = Batcher(options, self.telemetry.batch)
        self.admission = Admission(
            options.max_requests, BODIES * options.max_body_bytes
        )
        self.telemetry.requests.set_function(lambda: self.admission.requests)
        self.telemetry.waiting.set_function(lambda: len(self.batcher.waiting))

    def check_token(self, header: str) -> None:
        """Refuses another bearer token than ours, compared in constant time.

        Args:
            header: What the client sent as `authorization`, or "".

        Raises:
            RequestError: UNAUTHENTICATED.
        """
        if self.options.token is None:
            return
        scheme, _, token = header.partition(" ")
        expected = self.options.token.encode()
        same = hmac.compare_digest(token.strip().encode("utf-8", "replace"), expected)
        if scheme.lower() != "bearer" or not same:
            raise RequestError(
                "UNAUTHENTICATED", "Expected the header `Authorization: Bearer TOKEN`"
            )

    async def predict(
        self, target: Target, read: Callable[[Any], Arrays], deadline: float
    ) -> Answer:
        """Runs a request, whose inputs `read` makes of the signature.

        The deadline is in seconds of `time.monotonic`.

        Raises:
            RequestError: If it cannot be answered.
        """
        with self.catalog.use(*target[:3]) as servable:
            signature = servable.signature(target.signature)
            outputs = _wanted_outputs(signature, target.outputs)
            inputs = checked(signature, read(signature))
            name = target.signature or DEFAULT_SIGNATURE
            job = Job(servable, name, outputs, inputs, deadline)
            return Answer(await self.batcher.run(job), servable.version, name)

    def metadata(self, target: Target, fields: Sequence[str]) -> Any:
        """A `GetModelMetadataResponse`: every signature of a version.

        Raises:
            RequestError: If the version or the field is not there.
        """
        if not fields:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        if set(fields) != {SIGNATURES}:
            raise invalid(f"Expected the metadata_field {SIGNATURES} alone")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.catalog.use(*target[:3]) as servable:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
        response.metadata[SIGNATURES].Pack(signatures)
        return response

    @contextlib.contextmanager
    def observed(self, target: Target, api: str, size: int) -> Iterator[None]:
        """Counts and logs the Predict request that the block answers."""
        start, code = time.monotonic(), "UNKNOWN"
        try:
            yield
            code = "OK"
        except RequestError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            seconds = time.monotonic() - start
            # Any name but those that we know may be a patient's.
            model = target.model if target.model in self.catalog.versions else ""
            self.telemetry.request(model, api, code, seconds)
            took = round(1000 * seconds, 1)
            fields = {"code": code, "bytes": size, "milliseconds": took}
            log("info", "predict", api=api, model=model, **fields)


def _wanted_outputs(signature: Any, names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return tuple(sorted(signature.outputs))
    unknown = [name[:100] for name in names if name not in signature.outputs]
    if unknown:
        raise invalid(
            f"output tensor alias not found in signature: {', '.join(unknown[:10])} "
            "Outputs expected to be in the set "
            f"{{{', '.join(sorted(signature.outputs))}}}."
        )
    if len(set(names)) < len(names):
        raise invalid("duplicate output tensor alias: expected each output once")
    return tuple(names)
