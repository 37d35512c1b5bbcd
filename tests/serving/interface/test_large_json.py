"""Documents of many numbers give what Python's own reader gives, or an error."""

import json

import numpy as np
import pytest
import tensorflow as tf

from usgland.serving.interface import json_values, rest_json
from usgland.serving.interface.status import RequestError

MANY = ",".join(["1"] * 20_000)


def read(text, dtype=tf.uint8):
    document = rest_json.parse_json(text.encode())
    return json_values.to_array(document["inputs"], dtype.as_datatype_enum, "x")


@pytest.mark.parametrize(
    "shape",
    [(20_000,), (1, 20_000), (100, 70, 3), (20_000, 1), (1, 1, 20_000), (3, 5000)],
)
@pytest.mark.parametrize("dtype", [tf.uint8, tf.int64, tf.float32, tf.float64])
def test_lists_in_lists_become_one_array(shape, dtype):
    values = np.random.default_rng(0).integers(0, 256, shape)
    if dtype.is_floating:
        values = values / 7
    for text in (json.dumps(values.tolist()), json.dumps(values.tolist(), indent=1)):
        array = read(f'{{"inputs": {text}}}', dtype)
        expected = np.array(values.tolist(), dtype.as_numpy_dtype)
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    "piece",
    [
        "[1 [2]]",
        "[1,[2]]",
        "[[1],2]",
        "[1[,]2]",
        "[[1,2],[3]]",
        "[,]",
        "[1,]",
        "[1.5]",
        "[true]",
        "[null]",
        "[256]",
        "[-1]",
        "[1e2]",
        "[0x1]",
        "[01]",
        "[1]1",
    ],
)
def test_what_is_no_array_of_the_type_is_refused(piece):
    for text in (f"[{piece},[{MANY}]]", f"[{MANY},{piece[1:]}", f"[[{MANY}],{piece}]"):
        with pytest.raises(RequestError) as error:
            read(f'{{"inputs": {text}}}')
        assert error.value.code == "INVALID_ARGUMENT"


def test_rows_of_many_numbers_and_texts_are_read():
    pixels = np.arange(30_000).reshape(100, 100, 3) % 256
    row = {"pixels": pixels.tolist(), "text": 'a "quoted" [word], \\ {'}
    document = rest_json.parse_json(json.dumps({"instances": [row] * 3}).encode())
    assert [part["text"] for part in document["instances"]] == [row["text"]] * 3
    values = [part["pixels"] for part in document["instances"]]
    array = json_values.to_array(values, tf.uint8.as_datatype_enum, "pixels")
    np.testing.assert_array_equal(array, np.stack([pixels] * 3))
    values[1] = document["instances"][0]["text"]
    with pytest.raises(RequestError, match="Encountered list at unexpected size"):
        json_values.to_array(values, tf.uint8.as_datatype_enum, "pixels")


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b"[[]," * 50_000,
        b"," * 50_000,
        b'["a",' * 50_000,
        b'{"inputs": [' + b"1," * 50_000 + b'"',
        b'"' + b"\\," * 50_000,
    ],
)
def test_what_is_no_document_is_refused(text):
    with pytest.raises(RequestError, match="JSON Parse error"):
        rest_json.parse_json(text)


def test_base64_may_have_line_breaks_and_a_document_an_end():
    text = b'{"inputs": [{"b64": "aGVs\nbG8=\\n"}]} and more'
    document = rest_json.parse_json(text)
    array = json_values.to_array(document["inputs"], tf.string.as_datatype_enum, "x")
    assert array.tolist() == [b"hello"]


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("names", [["a"], ["a", "h_bytes"]])
def test_long_answers_are_written_as_short_ones_are(rows, names):
    rng = np.random.default_rng(0)
    outputs = {
        "a": rng.random((10_000, 3), dtype=np.float32),
        "h_bytes": np.array([b"\xff\x00"] * 10_000, object),
    }
    outputs = {name: outputs[name] for name in names}
    expected = json.dumps(rest_json.answer(outputs, rows=rows))
    assert rest_json.answer_text(outputs, rows=rows) == expected


@pytest.mark.parametrize("depth", [40, 200_000])
def test_lists_of_very_many_levels_are_refused(depth):
    text = '{"inputs": ' + "[" * depth + MANY + "]" * depth + "}"
    with pytest.raises(RequestError, match="at most 32 dimensions|JSON Parse error"):
        read(text)
