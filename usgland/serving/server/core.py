"""What REST and gRPC share: a request's way to a model and back, counted and logged."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tensorflow_serving.apis import get_model_metadata_pb2

from usgland.serving.interface.inputs import (
    DEFAULT_SIGNATURE,
    Arrays,
    checked,
    most_values,
)
from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.server.batching import Batcher, Job
from usgland.serving.server.catalog import Catalog
from usgland.serving.server.limits import BODIES, Admission
from usgland.serving.server.logs import log
from usgland.serving.server.places import Messages, Places, Sender
from usgland.serving.server.server_options import ServerOptions
from usgland.serving.server.telemetry import Telemetry
from usgland.serving.server.tokens import Tokens
from usgland.serving.server.tracing import Traces

SIGNATURES = "signature_def"  # the one field of metadata that exists
# What is worked on at once, without a thread: it takes a few milliseconds.
AT_ONCE_BYTES, AT_ONCE_NUMBERS = 2**17, 2**12
SPARE_CALLS = 256  # of gRPC, that wait to be read, and for health and status
MANY_BYTES, MANY_NUMBERS = 2**22, 2**14  # more wait for one another alone


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
    queued: float  # seconds for which the request waited for a thread


class Core:
    """The parts of a running server that every request needs."""

    def __init__(self, options: ServerOptions):
        self.options = options
        self.catalog = Catalog()
        self.telemetry = Telemetry()
        self.traces = Traces(options.traces)
        self.tokens = Tokens(options)
        self.check_token = self.tokens.check
        self.batcher = Batcher(options, self.telemetry.batch)
        self.messages = Messages()
        self.calls = Places(options.max_requests + SPARE_CALLS, "calls")
        self.reload: Callable[[Any], Awaitable[None]] = _not_yet
        self.ready = False  # whether it answers, and is not about to end
        # For requests whose reading takes more than a moment, or long.
        self.file_reader = ThreadPoolExecutor(2, "files")
        self.large_reader = ThreadPoolExecutor(1, "large")
        self.admission = Admission(
            options.max_requests, BODIES * options.max_body_bytes
        )
        self.telemetry.requests.set_function(lambda: self.admission.requests)
        self.telemetry.waiting.set_function(lambda: len(self.batcher.waiting))

    @property
    def most_values(self) -> int:
        """How many values a document or message may have: of all cases it may hold."""
        return most_values(self.catalog.row_values(), self.options.max_rows)

    async def apart(
        self, size: int, numbers: int, work: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Does what may take long in a thread, so that all else goes on.

        Args:
            size: Bytes that are worked on.
            numbers: How many values they are at most.
            work: What is done.
            *arguments: Of `work`.
        """
        if size <= AT_ONCE_BYTES and numbers <= AT_ONCE_NUMBERS:
            return work(*arguments)
        is_large = size > MANY_BYTES or numbers > MANY_NUMBERS
        pool = self.large_reader if is_large else self.file_reader
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    async def predict(
        self,
        target: Target,
        read: Callable[[Any], Awaitable[Arrays]],
        deadline: float,
        sender: Sender,
    ) -> Answer:
        """Runs a request, whose inputs `read` makes of the signature.

        The deadline is in seconds of `time.monotonic`.

        Raises:
            RequestError: If it cannot be answered.
        """
        with self.catalog.use(*target[:3]) as servable:
            signature = servable.signature(target.signature)
            outputs = _wanted_outputs(signature, target.outputs)
            start = time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, deadline - start)):
                    received = await read(signature)
            except TimeoutError as error:
                raise RequestError(
                    "DEADLINE_EXCEEDED", "Expected to read the request in time"
                ) from error
            inputs = checked(signature, received, self.options.max_rows)
            self.traces.past("decode", start, time.monotonic())
            name = target.signature or DEFAULT_SIGNATURE
            job = Job(servable, name, outputs, inputs, deadline, sender)
            answer = await self.batcher.run(job)
            begun = job.arrived + job.queued
            self.traces.past("queue", job.arrived, begun)
            about = {"signature": name, "version": servable.version}
            self.traces.past("model", begun, time.monotonic(), **about)
            self.telemetry.queue(servable.name, job.queued)
            return Answer(answer, servable.version, name, job.queued)

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
    def observed(
        self,
        target: Target,
        api: str,
        size: int,
        number: str,
        carrier: Mapping[str, Any],
    ) -> Iterator[dict[str, Any]]:
        """Counts, logs and traces the Predict request that the block answers.

        It may add to what is logged, which it is given. The carrier, headers or
        metadata, may name the trace of the client.
        """
        start, code = time.monotonic(), "UNKNOWN"
        more: dict[str, Any] = {}
        # Any name but those that we know may be a patient's.
        model = target.model if target.model in self.catalog.versions else ""
        about = {"model": model, "api": api, "request": number}
        try:
            with self.traces.request(carrier, about):
                yield more
            code = "OK"
        except RequestError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            seconds = time.monotonic() - start
            self.telemetry.request(model, api, code, seconds)
            took = round(1000 * seconds, 1)
            fields = {"code": code, "bytes": size, "milliseconds": took, **more}
            log("info", "predict", api=api, model=model, request=number, **fields)

    def close(self) -> None:
        """Ends the threads once they are idle."""
        self.batcher.close()
        for pool in (self.file_reader, self.large_reader):
            pool.shutdown(wait=True, cancel_futures=True)


async def _not_yet(config: Any) -> None:
    raise RequestError("UNAVAILABLE", "Expected a server that has started")


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
