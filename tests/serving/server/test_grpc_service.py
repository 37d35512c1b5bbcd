"""gRPC: the calls of TensorFlow Serving's own stubs, and the health service."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


@pytest.fixture(scope="module")
def channel(address):
    with grpc.insecure_channel(f"{address.host}:{address.grpc}") as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request_of(signature="image_only", model="tiny", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        ready = hasattr(value, "tensor_shape")
        request.inputs[name].CopyFrom(value if ready else tf.make_tensor_proto(value))
    return request


def code_of(call, *arguments, **named):
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, **named)
    return error.value.code().name, error.value.details()


def test_predict_answers_with_the_fields_that_clients_read(stub, serving):
    images = [serving.png(grey) for grey in (30, 220)]
    response = stub.Predict(
        request_of(
            "",
            image_bytes=images,
            age_years=np.array([54, np.nan], np.float32),
            shape=["irregular", ""],
        ),
        timeout=30,
    )
    assert response.model_spec.name == "tiny"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    expected = [
        serving.expected_logit(30),
        serving.expected_logit(220, age=np.nan, shape=""),
    ]
    assert list(response.outputs["logit"].float_val) == pytest.approx(expected)
    assert list(response.outputs["label"].string_val) == [b"benign", b"malignant"]
    assert tf.make_ndarray(response.outputs["probability"]).shape == (2,)


def test_outputs_can_be_chosen(stub, serving):
    request = request_of("explain", image_bytes=[serving.png(1)])
    request.output_filter.append("heatmap_bytes")
    assert list(stub.Predict(request, timeout=30).outputs) == ["heatmap_bytes"]
    request.output_filter.append("nothing")
    code, text = code_of(stub.Predict, request, timeout=30)
    assert code == "INVALID_ARGUMENT"
    assert "output tensor alias not found in signature: nothing" in text


def test_a_foreign_model_or_version_is_not_found(stub):
    code, text = code_of(stub.Predict, request_of(model="foreign"), timeout=30)
    assert code == "NOT_FOUND"
    assert "Servable not found for request: Latest(foreign)" in text
    request = request_of()
    request.model_spec.version.value = 12
    assert code_of(stub.Predict, request, timeout=30)[0] == "NOT_FOUND"
    request.model_spec.version_label = "stable"
    code, text = code_of(stub.Predict, request, timeout=30)
    assert code == "INVALID_ARGUMENT"
    assert "Unrecognized servable version label: stable" in text
    code, text = code_of(stub.Predict, request_of(model=""), timeout=30)
    assert code == "INVALID_ARGUMENT"
    assert "no name" in text


def test_an_unknown_signature_is_a_failed_precondition(stub, says):
    code, text = code_of(stub.Predict, request_of("nope"), timeout=30)
    assert code == "FAILED_PRECONDITION"
    says(
        text,
        "Expected one of: count, explain, from_pixels, image_only, serving_default",
    )


def test_wrong_inputs_are_invalid_and_named(stub, serving, says):
    image = [serving.png(1)]
    bad = tf.make_tensor_proto(np.zeros((1, 4, 4), "f"))
    bad.tensor_content = b"odd"
    bomb = tf.make_tensor_proto(0.5)
    for size in (10**9, 4, 4):
        bomb.tensor_shape.dim.add(size=size)
    for request, message in (
        (request_of(image=image), "Sent extra: {image}. Missing but required: {im"),
        (request_of(), "Missing but required: {image_bytes}"),
        (request_of(image_bytes=[1.0]), "Expected image_bytes to be string. Received"),
        (request_of(image_bytes=image[0]), "of shape [?]. Received: []"),
        (request_of(image_bytes=[b"no image"]), "Unknown image file format"),
        (request_of("from_pixels", pixels=np.zeros((1, 4, 5), "f")), "[?, 4, 4]"),
        (request_of("from_pixels", pixels=bad), "tensor parsing error: pixels"),
        (request_of("from_pixels", pixels=bomb), "at most 16777216 values"),
    ):
        code, text = code_of(stub.Predict, request, timeout=30)
        assert code == "INVALID_ARGUMENT"
        says(text, message)


def test_metadata_holds_the_signatures(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "tiny"
    code, text = code_of(stub.GetModelMetadata, request, timeout=30)
    assert code == "INVALID_ARGUMENT"
    assert "at least one metadata_field" in text
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request, timeout=30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    assert "explain" in signatures.signature_def
    assert response.model_spec.version.value == 1
    request.metadata_field.append("weights")
    assert code_of(stub.GetModelMetadata, request)[0] == "INVALID_ARGUMENT"


def test_the_model_service_tells_states(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    assert code_of(stub.GetModelStatus, request, timeout=30)[0] == "INVALID_ARGUMENT"
    request.model_spec.name = "tiny"
    (status,) = stub.GetModelStatus(request, timeout=30).model_version_status
    assert (status.version, status.State.Name(status.state)) == (1, "AVAILABLE")
    request.model_spec.name = "foreign"
    assert code_of(stub.GetModelStatus, request, timeout=30)[0] == "NOT_FOUND"


def test_health_says_serving(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        response = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_what_is_not_served_is_unimplemented(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = classification_pb2.ClassificationRequest()
        assert code_of(stub.Classify, request, timeout=30)[0] == "UNIMPLEMENTED"
