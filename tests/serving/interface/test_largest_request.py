"""The largest request that --max-rows allows is read, over REST and over gRPC."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from usgland.serving.interface import inputs, rest_json
from usgland.serving.interface.request_wire import read_request
from usgland.serving.interface.status import RequestError

ROWS, COLUMNS = 650, 100  # more values than any request may have
FILE = b"\xff\xd8"


@pytest.fixture(scope="module")
def signature():
    definition = meta_graph_pb2.SignatureDef()
    for number in range(COLUMNS):
        info = definition.inputs[f"word{number}"]
        info.dtype = tf.string.as_datatype_enum
        info.tensor_shape.dim.add(size=-1)
    info = definition.inputs["words"]
    info.dtype = tf.string.as_datatype_enum
    for size in (-1, 3):
        info.tensor_shape.dim.add(size=size)
    return definition


@pytest.fixture(scope="module")
def most(signature):
    return inputs.most_values(inputs.values_of_row(signature), ROWS)


def check(arrays):
    assert len(arrays) == COLUMNS + 1
    assert arrays["words"].shape == (ROWS, 3)
    assert (arrays["word7"] == FILE).all()


@pytest.mark.parametrize("rows", [True, False])
def test_as_json(signature, most, rows):
    value, names = {"b64": "/9g="}, sorted(signature.inputs)
    row = {name: [value] * 3 if name == "words" else value for name in names}
    document = {"instances": [row] * ROWS}
    if not rows:
        document = {"inputs": {name: [row[name]] * ROWS for name in names}}
    body = json.dumps(document).encode()
    check(rest_json.read_inputs(rest_json.parse_json(body, most), signature, ROWS)[0])
    with pytest.raises(RequestError, match="Expected at most 65536 texts, objects"):
        rest_json.parse_json(body)


def test_over_grpc(signature, most):
    request = predict_pb2.PredictRequest()
    for name in signature.inputs:
        shape = (ROWS, 3) if name == "words" else (ROWS,)
        values = np.full(shape, FILE, object)
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    message = request.SerializeToString()
    check(inputs.arrays_of(read_request(message, most).inputs, signature, ROWS))
    with pytest.raises(RequestError, match="Expected at most 65536 fields"):
        read_request(message)
