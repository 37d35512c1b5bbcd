"""Whatever bytes come, a request is read, as others read it, or is a bad request."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from usgland.serving.interface import rest_json
from usgland.serving.interface.json_values import to_array
from usgland.serving.interface.request_wire import read_request, values_of
from usgland.serving.interface.status import RequestError

pytestmark = pytest.mark.slow
quick = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
MANY = ",".join(["3"] * 11_000)


@quick
@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_of_grpc_or_a_bad_one(message):
    try:
        request = read_request(message)
        for tensor in request.inputs.values():
            if 0 <= values_of(tensor.shape) == tensor.count() <= 10_000:
                tensor.array()
    except RequestError as error:
        assert error.code == "INVALID_ARGUMENT"


@quick
@given(
    st.sampled_from([tf.float32, tf.float64, tf.int32, tf.uint8, tf.int64, tf.uint64]),
    st.lists(st.integers(0, 4), max_size=4),
    st.integers(0, 2**31),
    st.binary(min_size=1, max_size=3),
    st.integers(0, 10_000),
)
def test_a_tensor_is_what_tensorflow_reads_and_damage_is_told(
    dtype, shape, seed, damage, place
):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, shape).astype(dtype.as_numpy_dtype)
    request = predict_pb2.PredictRequest()
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(values))
    message = request.SerializeToString()
    tensor = read_request(message).inputs["x"]
    assert tensor.count() == values.size
    expected = tf.make_ndarray(request.inputs["x"])
    np.testing.assert_array_equal(tensor.array(), expected)
    place %= len(message)
    test_any_bytes_are_a_request_of_grpc_or_a_bad_one.hypothesis.inner_test(
        message[:place] + damage + message[place + len(damage) :]
    )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@quick
@given(VALUES, st.binary(max_size=2), st.integers(0, 10**6))
def test_a_document_of_many_numbers_is_read_as_a_short_one(value, damage, place):
    text = json.dumps({"value": value})
    long = rest_json.parse_json(f'{{"many": [{MANY}], "v": {text}}}'.encode())
    assert long["v"] == json.loads(text)
    place %= len(text)
    damaged = text.encode()[:place] + damage + text.encode()[place + 1 :]
    try:
        rest_json.parse_json(b'{"v": ' + damaged + b', "many": [' + MANY.encode())
    except RequestError as error:
        assert error.code == "INVALID_ARGUMENT"


@quick
@given(VALUES, st.sampled_from([tf.float32, tf.uint8, tf.string, tf.bool, tf.int64]))
def test_any_value_is_an_array_of_the_type_or_a_bad_request(value, dtype):
    try:
        array = to_array(value, dtype.as_datatype_enum, "x")
    except RequestError as error:
        assert error.code == "INVALID_ARGUMENT"
    else:
        assert array.dtype == dtype.as_numpy_dtype
