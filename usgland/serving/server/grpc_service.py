"""The gRPC half: PredictionService, ModelService and the standard health service.

Reference:
    [apis of TensorFlow Serving](https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis)
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from usgland.serving.interface.inputs import Arrays, arrays_of
from usgland.serving.interface.request_wire import LONGEST_SPEC, read_request
from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.server.browser_guard import REQUEST_ID
from usgland.serving.server.connections import HANDSHAKE_SECONDS, most_connections
from usgland.serving.server.core import Answer, Core, Target
from usgland.serving.server.places import Sender, sender_of
from usgland.serving.server.server_options import listens_beyond

HEALTH = "/grpc.health.v1.Health/"  # A probe has no token, and learns nothing.
JUDGED_CALLS = 64  # beyond them, until it is known whether one gives way to them
VALUES = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.uint32: "uint32_val",
    tf.int64: "int64_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}
SERVICES = (
    "",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
IDLE_MILLISECONDS = 300_000  # of a connection without a call
SHORTEST_SEND = 1.0  # seconds, for an answer that was ready at the last moment
PIECE = 2**13  # values that are written at a time
Call = Callable[[bytes, Any, float], Awaitable[bytes]]


class Calls:
    """The methods of both services, each from the bytes of a message to an answer.

    Classify, Regress and MultiInference are UNIMPLEMENTED.
    """

    def __init__(self, core: Core):
        self.core = core

    async def predict(self, message: bytes, context: Any, deadline: float) -> bytes:
        """PredictionService.Predict."""
        core, size = self.core, len(message)
        arguments = message, core.most_values
        wire = await core.apart(size, size // 64, read_request, *arguments)
        target = _target(wire.spec, wire.outputs)
        number = uuid.uuid4().hex

        async def read(signature: Any) -> Arrays:
            arguments = wire.inputs, signature, core.options.max_rows
            return await core.apart(size, size // 64, arrays_of, *arguments)

        metadata = dict(context.invocation_metadata() or ())
        with core.observed(target, "GRPC", size, number, metadata) as more:
            answer = await core.predict(target, read, deadline, sender_at(context))
            more["queued_milliseconds"] = round(1000 * answer.queued, 1)
            values = sum(array.size for array in answer.outputs.values())
            await context.send_initial_metadata(((REQUEST_ID, number),))
            return await core.apart(0, values, _response, target, answer)

    async def metadata(self, message: bytes, *_: Any) -> bytes:
        """PredictionService.GetModelMetadata."""
        kind = get_model_metadata_pb2.GetModelMetadataRequest
        request = _small(kind, message)
        target = _target(request.model_spec)
        answer = self.core.metadata(target, request.metadata_field)
        return answer.SerializeToString()

    async def status(self, message: bytes, *_: Any) -> bytes:
        """ModelService.GetModelStatus."""
        request = _small(get_model_status_pb2.GetModelStatusRequest, message)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        answer = self.core.catalog.status(*_target(request.model_spec)[:2])
        return answer.SerializeToString()

    async def reload(self, message: bytes, *_: Any) -> bytes:
        """ModelService.HandleReloadConfigRequest."""
        request = _small(model_management_pb2.ReloadConfigRequest, message)
        options = self.core.options
        if not options.has_token and listens_beyond(options.host):
            raise RequestError(
                "PERMISSION_DENIED",
                "Expected a server with --token-file, or one for this machine alone",
            )
        await self.core.reload(request.config)
        return model_management_pb2.ReloadConfigResponse().SerializeToString()


def _small(kind: Any, message: bytes) -> Any:
    """A message that holds no tensor."""
    if len(message) > LONGEST_SPEC:
        raise invalid(f"Expected a message of at most {LONGEST_SPEC} bytes")
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise invalid("Expected a message as protocol buffers encode it") from error


def _seconds(core: Core, context: Any) -> float:
    """For how long a call is worked on: the client's own deadline may be nearer."""
    remaining = context.time_remaining()  # None without a deadline of the client
    longest = core.options.timeout_seconds
    return longest if remaining is None else max(0.0, min(longest, remaining))


def sender_at(context: Any) -> Sender:
    """Who calls, as `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5` says."""
    host, _, port = context.peer().partition(":")[2].rpartition(":")
    return sender_of(host, port)


def _handler(core: Core, call: Call) -> Any:
    """Reads one message, once there is a place for it, and answers it.

    To gRPC both are streams of messages: only those can be waited for. All of it, with
    the sending of the answer, has one deadline.
    """

    async def answer(messages: Any, context: Any) -> None:
        client = sender_at(context)
        deadline = time.monotonic() + _seconds(core, context)
        try:
            async with core.calls.hold(client) as place:
                # What a message costs is counted once it is here, as that of REST.
                async with core.messages.place(client, deadline):
                    message = await context.read()
                if not isinstance(message, bytes):
                    raise invalid("Expected a message")
                core.messages.note(client, len(message))
                async with core.admission.admit(len(message), client) as admitted:
                    content = await call(message, context, deadline)
                    place.sending = admitted.sending = time.monotonic()
                    await _send(context, content, deadline)
        except RequestError as error:
            await context.abort(error.grpc_status, error.message)

    return grpc.stream_stream_rpc_method_handler(answer)


async def _send(context: Any, content: bytes, deadline: float) -> None:
    """Sends the answer, for which a client has as long as is left, or a second."""
    seconds = max(SHORTEST_SEND, deadline - time.monotonic())
    try:
        async with asyncio.timeout(seconds):
            await context.write(content)
    except TimeoutError as error:
        raise RequestError(
            "DEADLINE_EXCEEDED", "Expected a client that takes its answer in time"
        ) from error


class Health(health.aio.HealthServicer):
    """The standard service for probes, whose watchers hold places like all calls."""

    def __init__(self, core: Core):
        super().__init__()
        self.core = core

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        """Tells of changes until the client goes, or has to give way."""
        try:
            async with self.core.calls.hold(sender_at(context)):
                await super().Watch(request, context)
        except RequestError as error:
            await context.abort(error.grpc_status, error.message)


def _response(target: Target, answer: Answer) -> bytes:
    response = predict_pb2.PredictResponse()
    response.model_spec.name = target.model
    response.model_spec.version.value = answer.version
    response.model_spec.signature_name = answer.signature
    for name, array in answer.outputs.items():
        fill_proto(response.outputs[name], array)
    return response.SerializeToString()


def fill_proto(proto: Any, array: np.ndarray) -> None:
    """Writes a tensor as TensorFlow Serving does, for clients that read `float_val`."""
    dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
    field = VALUES.get(dtype)
    if field is None:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    values, flat = getattr(proto, field), array.ravel()
    for start in range(0, len(flat), PIECE):  # Between them other threads run.
        values.extend(flat[start : start + PIECE].tolist())


def _target(spec: Any, outputs: tuple[str, ...] = ()) -> Target:
    choice = spec.WhichOneof("version_choice")
    return Target(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
        spec.signature_name,
        outputs,
    )


class TokenCheck(grpc.aio.ServerInterceptor):
    """Refuses calls without the bearer token, except those for health."""

    def __init__(self, core: Core):
        self.core = core

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        metadata = dict(details.invocation_metadata)
        try:
            if not details.method.startswith(HEALTH):
                self.core.check_token(str(metadata.get("authorization", "")))
        except RequestError as error:
            refusal = error

            async def refuse(messages: Any, context: Any) -> None:
                await context.abort(refusal.grpc_status, refusal.message)

            # As of a stream, so that no message is read.
            return grpc.stream_unary_rpc_method_handler(refuse)
        return await continuation(details)


def build_server(core: Core) -> tuple[Any, Any]:
    """The server, without a port yet, and its health service."""
    options = [
        ("grpc.max_receive_message_length", core.options.max_body_bytes),
        ("grpc.max_send_message_length", core.options.max_body_bytes),
        ("grpc.so_reuseport", 0),  # Two servers on one port must not go unnoticed.
        ("grpc.max_allowed_incoming_connections", most_connections()),
        ("grpc.server_handshake_timeout_ms", 1000 * HANDSHAKE_SECONDS),
        ("grpc.max_connection_idle_ms", IDLE_MILLISECONDS),
        # One connection shall not take every call.
        ("grpc.max_concurrent_streams", core.calls.most // 4),
    ]
    server = grpc.aio.server(
        interceptors=[TokenCheck(core)],
        options=options,
        # Beyond it grpc itself says RESOURCE_EXHAUSTED, before it reads a message.
        maximum_concurrent_rpcs=core.calls.most + JUDGED_CALLS,
    )
    calls = Calls(core)
    services = {
        SERVICES[1]: {"Predict": calls.predict, "GetModelMetadata": calls.metadata},
        SERVICES[2]: {
            "GetModelStatus": calls.status,
            "HandleReloadConfigRequest": calls.reload,
        },
    }
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(
                service, {name: _handler(core, call) for name, call in methods.items()}
            )
            for service, methods in services.items()
        )
    )
    service = Health(core)
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    return server, service


async def set_health(service: Any, *, serving: bool) -> None:
    """Tells what asks the health service whether to send requests."""
    status = health_pb2.HealthCheckResponse
    value = status.SERVING if serving else status.NOT_SERVING
    for name in SERVICES:
        await service.set(name, value)
