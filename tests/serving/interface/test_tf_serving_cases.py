"""Cases of TensorFlow Serving's own tests of its JSON, with its answers.

Reference:
    [json_tensor_test.cc](https://github.com/tensorflow/serving/blob/master/tensorflow_serving/util/json_tensor_test.cc)
"""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from usgland.serving.interface import rest_json
from usgland.serving.interface.status import RequestError

NAN, INF = float("nan"), float("inf")
# Types of the inputs, the document, and the values that TensorFlow Serving reads.
READ = [
    (
        {"x": tf.int32},
        '{"instances": [[1,2],[3,4],[5,6]]}',
        {"x": [[1, 2], [3, 4], [5, 6]]},
    ),
    (
        {"x": tf.float32},
        '{"instances": [1, 2.0, 3, 4, 5.003, 0.007, 0.0]}',
        {"x": [1, 2, 3, 4, 5.003, 0.007, 0]},
    ),
    ({"x": tf.float64}, '{"instances": [1.0, 2, 0.662, 0]}', {"x": [1, 2, 0.662, 0]}),
    ({"x": tf.int32}, '{"signature_name": "s", "instances": [[1,2]]}', {"x": [[1, 2]]}),
    ({"x": tf.int32}, '{"instances": [[1,2]]}X', {"x": [[1, 2]]}),
    (
        {"x": tf.string},
        '{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}',
        {"x": [b"hello", b"world"]},
    ),
    (
        {"x": tf.string},
        '{"instances": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}',
        {"x": [[b"hello"], [b"world"]]},
    ),
    (
        {"x": tf.string},
        '{"instances": [{"x": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}]}',
        {"x": [[[b"hello"], [b"world"]]]},
    ),
    (
        {"i": tf.int32, "s": tf.string, "f": tf.float32, "d": tf.float64},
        '{"instances": [{"i": [[1,2]], "s": ["foo"], "f": [1.0, NaN], "d": [NaN]}, '
        '{"i": [[7,8]], "s": ["baz"], "f": [2.0, Infinity], "d": [2.0]}]}',
        {
            "i": [[[1, 2]], [[7, 8]]],
            "s": [[b"foo"], [b"baz"]],
            "f": [[1, NAN], [2, INF]],
            "d": [[NAN], [2]],
        },
    ),
    ({"x": tf.int32}, '{"inputs": {"x": [[[1,2],[3,4]]]}}', {"x": [[[1, 2], [3, 4]]]}),
    ({"x": tf.int32}, '{"inputs": [[[1,2],[3,4]]]}', {"x": [[[1, 2], [3, 4]]]}),
    (
        {"s": tf.string, "b": tf.string},
        '{"inputs": {"s": ["foo", "bar"], "b": {"b64": "aGVsbG8="}}}',
        {"s": [b"foo", b"bar"], "b": b"hello"},
    ),
]
REFUSED = [
    "",
    '{"signature_name": 5, "instances": [[1,2]]}',
    '{"instances": [[1,2]], "inputs": [[1,2]]}',
    '{"instances": [[1,2],[3,4],[5,6,7]]}',
    '{"instances": [[1,2],[3,4],[[5,6]]]}',
    '{"instances": [1, [1]]}',
    '{"instances": [[1,2],["a","b"]]}',
    '{"instances": [[1,2],[1.5,2]]}',
]
# What docs/serving.md lists as different: what we read, or None where it is an error.
UNLIKE = [
    ({"x": tf.int32}, '{"instances": [1], "instances": [2]}', {"x": [2]}),
    ({"x": tf.float32}, '{"instances": [1e400]}', {"x": [INF]}),
    ({"x": tf.float32}, '{"instances": [Inf]}', None),
    ({"x": tf.string}, '{"instances": ["\\ud800"]}', {"x": [b"\xed\xa0\x80"]}),
    ({"x": tf.uint8}, '{"instances": [300]}', None),
    ({"x": tf.uint16}, '{"instances": [300]}', {"x": [300]}),
    ({"x": tf.float16}, '{"instances": [0.5]}', {"x": [0.5]}),
    ({"x": tf.int32}, '{"inputs": {"x": [1], "y": [2]}}', None),
]


def signature(types):
    definition = meta_graph_pb2.SignatureDef()
    for name, dtype in types.items():
        definition.inputs[name].dtype = dtype.as_datatype_enum
    return definition


@pytest.mark.parametrize(("types", "text", "expected"), UNLIKE)
def test_what_is_different_is_what_the_page_says(types, text, expected):
    if expected is None:
        with pytest.raises(RequestError):
            rest_json.read_inputs(rest_json.parse_json(text.encode()), signature(types))
    else:
        test_what_it_reads_is_read_alike(types, text, expected)


@pytest.mark.parametrize(("types", "text", "expected"), READ)
def test_what_it_reads_is_read_alike(types, text, expected):
    document = rest_json.parse_json(text.encode())
    arrays, _ = rest_json.read_inputs(document, signature(types))
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        wanted = np.array(values, types[name].as_numpy_dtype)
        assert arrays[name].shape == wanted.shape
        np.testing.assert_array_equal(arrays[name], wanted)


@pytest.mark.parametrize("text", REFUSED)
def test_what_it_refuses_is_refused(text):
    with pytest.raises(RequestError) as error:
        document = rest_json.parse_json(text.encode())
        rest_json.signature_of(document)
        rest_json.read_inputs(document, signature({"x": tf.int32}))
    assert error.value.http_status == 400
