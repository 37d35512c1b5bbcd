"""JSON of TensorFlow Serving's REST: requests and answers, as rows or as columns.

Reference:
    [RESTful API of TensorFlow Serving](https://www.tensorflow.org/tfx/serving/api_rest)
"""

import base64
import binascii
import itertools
import json
import math
from typing import Any

import numpy as np
import tensorflow as tf

from usgland.serving.interface.inputs import Arrays, describe
from usgland.serving.interface.status import invalid

BYTES_SUFFIX = "_bytes"  # An output of such a name is sent in base64.


def parse_json(body: bytes) -> dict[str, Any]:
    """Reads the body of a request. NaN and Infinity are numbers here.

    Raises:
        RequestError: INVALID_ARGUMENT if it is not one JSON object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid(
            f"JSON Parse error: {error.msg} at offset: {error.pos}. Expected an "
            "object with 'instances' or 'inputs'"
        ) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise invalid(
            "JSON Parse error: Expected UTF-8 text of an object with 'instances' or "
            "'inputs'"
        ) from error
    if not isinstance(document, dict):
        raise invalid(
            f"JSON Value Is not object. Expected an object with 'instances' or "
            f"'inputs'. Received: {type_name(document)}"
        )
    return document


def signature_of(document: dict[str, Any]) -> str:
    """The name of the signature that is asked for; "" if none is.

    Raises:
        RequestError: INVALID_ARGUMENT if it is no text.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    return name


def read_inputs(document: dict[str, Any], signature: Any) -> tuple[Arrays, bool]:
    """Reads the inputs of a signature in whichever format they are.

    As in TensorFlow Serving, every input must be there: defaults of a signature count
    over gRPC only.

    Returns:
        Arrays by input, and whether they came as rows.

    Raises:
        RequestError: INVALID_ARGUMENT; it says which item was wrong and how.
    """
    if "instances" in document and "inputs" in document:
        raise invalid("Expected only one of 'inputs' or 'instances' keys to exist")
    if "instances" in document:
        return _from_rows(document["instances"], signature), True
    if "inputs" in document:
        return _from_columns(document["inputs"], signature), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _from_rows(rows: Any, signature: Any) -> Arrays:
    if not isinstance(rows, list):
        raise invalid(
            f"Expecting 'instances' to be a list/array. Received: {type_name(rows)}"
        )
    if not rows:
        raise invalid("No values in 'instances' array")
    names = set(signature.inputs)
    named = [isinstance(row, dict) and not _is_base64(row) for row in rows]
    if not named[0] and len(names) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            f"input tensors required: {describe(signature)}"
        )
    columns: dict[str, list] = {name: [] for name in sorted(names)}
    for number, row in enumerate(rows):
        if named[number] != named[0]:
            kinds = ("object", "list") if named[0] else ("value/list", "object")
            raise invalid(
                f"Expecting {kinds[0]} but got {kinds[1]} at item {number} of input "
                "list"
            )
        if not named[0]:
            row = dict.fromkeys(names, row)
        if set(row) != names:
            unknown = sorted(set(row) - names)
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. Keys must "
                f"be equal to: {', '.join(sorted(names))}. Missing: "
                f"{', '.join(sorted(names - set(row))) or 'none'}. Not an input: "
                f"{', '.join(key[:50] for key in unknown[:10]) or 'none'}"
            )
        for name in names:
            columns[name].append(row[name])
    return {
        name: to_array(values, signature.inputs[name].dtype, f"{name} of 'instances'")
        for name, values in columns.items()
    }


def _from_columns(inputs: Any, signature: Any) -> Arrays:
    names = sorted(signature.inputs)
    if not isinstance(inputs, dict) or _is_base64(inputs):
        if len(names) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                f"input tensors required: {describe(signature)}"
            )
        inputs = dict.fromkeys(names, inputs)
    # TensorFlow Serving ignores a name it does not know. We do not: a misspelt
    # clinical value would silently not count.
    unknown = sorted(set(inputs).difference(names))
    if unknown:
        raise invalid(
            f"Not a named input: {', '.join(key[:50] for key in unknown[:10])} in "
            f"'inputs' object. Expected: {', '.join(names)}"
        )
    missing = [name for name in names if name not in inputs]
    if missing:
        raise invalid(
            f"Missing named input: {', '.join(missing)} in 'inputs' object. Expected: "
            f"{describe(signature)}"
        )
    return {
        name: to_array(inputs[name], signature.inputs[name].dtype, name)
        for name in names
    }


def to_array(value: Any, dtype: int, where: str) -> np.ndarray:
    """Makes one array of a JSON value: a scalar, or lists of equal lengths.

    The type is a number of `tf.DType`; an error calls the value `where`.

    Raises:
        RequestError: INVALID_ARGUMENT if it is ragged or of another type.
    """
    shape: list[int] = []
    flat = [value]
    while flat and isinstance(flat[0], list):
        length = len(flat[0])
        for item in flat:
            if not isinstance(item, list) or len(item) != length:
                size = len(item) if isinstance(item, list) else type_name(item)
                raise invalid(
                    f"Encountered list at unexpected size: {size} in {where} at "
                    f"level: {len(shape)} expected size: {length}"
                )
        shape.append(length)
        flat = list(itertools.chain.from_iterable(flat))
    wanted = tf.dtypes.as_dtype(dtype)
    values = [_scalar(item, wanted, where) for item in flat]
    array = np.empty(len(values), wanted.as_numpy_dtype)
    array[:] = values
    return array.reshape(shape)


def _scalar(item: Any, dtype: tf.DType, where: str) -> Any:
    fits = None  # Whether a number of JSON has a place in a type of numbers.
    if dtype == tf.string:
        if isinstance(item, str):
            return item.encode("utf-8", "surrogatepass")
        if isinstance(item, dict):
            return _decoded(item, where)
    elif dtype == tf.bool:
        if isinstance(item, bool):
            return item
    elif isinstance(item, int) and not isinstance(item, bool):
        low, high = (dtype.min, dtype.max) if dtype.is_integer else _exact(dtype)
        fits = low <= item <= high
    elif isinstance(item, float) and dtype.is_floating:
        fits = abs(item) <= float(dtype.max) or not math.isfinite(item)
    if fits:
        return item
    if fits is not None:
        raise invalid(
            f"Cannot convert a value of {where} to {dtype.name} without loss of "
            "precision"
        )
    raise invalid(
        f"A value of {where} of JSON type {type_name(item)} is not of expected type: "
        f"{dtype.name}"
    )


def _exact(dtype: tf.DType) -> tuple[int, int]:
    """The whole numbers up to which a floating type holds each one."""
    if not dtype.is_floating:
        return 0, -1
    largest = 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1) - 1
    return -largest, largest


def _is_base64(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and list(value) == ["b64"]
        and isinstance(value["b64"], str)
    )


def _decoded(item: dict, where: str) -> bytes:
    if not _is_base64(item):
        raise invalid(
            f'A value of {where} is not formatted correctly for base64 data: {{"b64": '
            "TEXT} is expected"
        )
    text = item["b64"].rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"Unable to base64 decode a value of {where}") from error


def type_name(value: Any) -> str:
    """What JSON calls a value's type."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, int | float):
        return "Number"
    return {"str": "String", "list": "Array", "dict": "Object"}[type(value).__name__]


def answer(outputs: Arrays, *, rows: bool) -> dict[str, Any]:
    """The body of an answer: `predictions`, a list of rows, or `outputs`, columns.

    Where there is one output, it stands without its name.

    Raises:
        RequestError: INVALID_ARGUMENT if rows are asked for and are not there.
    """
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    only = next(iter(columns.values())) if len(columns) == 1 else None
    if not rows:
        return {"outputs": columns if only is None else only}
    lengths = {array.shape[0] if array.ndim else None for array in outputs.values()}
    if len(lengths) != 1 or None in lengths:
        raise invalid(
            "The outputs of this signature have inconsistent batch sizes: ask in the "
            "column format, with 'inputs'"
        )
    if only is not None:
        return {"predictions": only}
    cases = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, case, strict=True)) for case in cases]}


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype.kind in "OSU":
        return _texts(array.tolist(), encode=name.endswith(BYTES_SUFFIX), name=name)
    if array.dtype == np.float32 or array.dtype.itemsize == 2:
        # `astype(str)` writes a float's shortest digits: 0.2, not 0.20000000298.
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def _texts(value: Any, *, encode: bool, name: str) -> Any:
    if isinstance(value, list):
        return [_texts(item, encode=encode, name=name) for item in value]
    if encode:
        return {"b64": base64.b64encode(value).decode("ascii")}
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(
            f"Output {name} is no text; only one whose name ends in {BYTES_SUFFIX} is "
            "sent in base64"
        ) from error
