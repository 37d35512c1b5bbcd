"""The gRPC half: PredictionService, ModelService and the standard health service.

Reference:
    [apis of TensorFlow Serving](https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis)
"""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from usgland.serving.interface.inputs import arrays_of
from usgland.serving.interface.status import RequestError, invalid
from usgland.serving.server.core import Core, Target

HEALTH = "/grpc.health.v1.Health/"  # A probe has no token, and learns nothing.
SPARE_CALLS = 16  # for health and status while all places are taken
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
SERVICES = ("", "tensorflow.serving.PredictionService")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the rest of the service is UNIMPLEMENTED."""

    def __init__(self, core: Core):
        self.core = core

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with _aborting(context):
            return await _predict(self.core, request, context)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with _aborting(context):
            target = _target(request.model_spec)
            return self.core.metadata(target, request.metadata_field)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; a new configuration is read from its file, not from here."""

    def __init__(self, core: Core):
        self.core = core

    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with _aborting(context):
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            return self.core.catalog.status(*_target(request.model_spec)[:3])


@contextlib.asynccontextmanager
async def _aborting(context: Any) -> AsyncIterator[None]:
    """Ends the call with the status of a `RequestError`."""
    try:
        yield
    except RequestError as error:
        await context.abort(error.grpc_status, error.message)


async def _predict(core: Core, request: Any, context: Any) -> Any:
    target = _target(request.model_spec, tuple(request.output_filter))
    size = request.ByteSize()
    remaining = context.time_remaining()  # None without a deadline of the client
    longest = core.options.timeout_seconds
    seconds = longest if remaining is None else min(longest, remaining)
    deadline = time.monotonic() + seconds
    with core.observed(target, "GRPC", size), core.admission.admit(size):
        answer = await core.predict(
            target, lambda _: arrays_of(request.inputs), deadline
        )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = target.model
        response.model_spec.version.value = answer.version
        response.model_spec.signature_name = answer.signature
        for name, array in answer.outputs.items():
            fill_proto(response.outputs[name], array)
    return response


def fill_proto(proto: Any, array: np.ndarray) -> None:
    """Writes a tensor as TensorFlow Serving does, for clients that read `float_val`."""
    dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
    field = VALUES.get(dtype)
    if field is None:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    getattr(proto, field).extend(array.ravel().tolist())


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

            async def refuse(request: Any, context: Any) -> None:
                await context.abort(refusal.grpc_status, refusal.message)

            return grpc.unary_unary_rpc_method_handler(refuse)
        return await continuation(details)


def build_server(core: Core) -> tuple[Any, Any]:
    """The server, without a port yet, and its health service."""
    options = [
        ("grpc.max_receive_message_length", core.options.max_body_bytes),
        ("grpc.max_send_message_length", core.options.max_body_bytes),
        ("grpc.so_reuseport", 0),  # Two servers on one port must not go unnoticed.
    ]
    server = grpc.aio.server(
        interceptors=[TokenCheck(core)],
        options=options,
        # Beyond it grpc itself says RESOURCE_EXHAUSTED, before it reads a message.
        maximum_concurrent_rpcs=core.options.max_requests + SPARE_CALLS,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(core), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(core), server
    )
    service = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    return server, service


async def set_health(service: Any, *, serving: bool) -> None:
    """Tells what asks the health service whether to send requests."""
    status = health_pb2.HealthCheckResponse
    value = status.SERVING if serving else status.NOT_SERVING
    for name in SERVICES:
        await service.set(name, value)
