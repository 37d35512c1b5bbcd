"""JSON of TensorFlow Serving's REST: requests and answers, as rows or as columns.

Reference:
    [RESTful API of TensorFlow Serving](https://www.tensorflow.org/tfx/serving/api_rest)
"""

import base64
import codecs
import json
from typing import Any

import numpy as np

from usgland.serving.interface.inputs import MAX_ROWS, Arrays, describe
from usgland.serving.interface.json_values import is_base64, to_array, type_name
from usgland.serving.interface.large_json import FEWEST_VALUES, Numbers, read_large
from usgland.serving.interface.status import invalid

BYTES_SUFFIX = "_bytes"  # An output of such a name is sent in base64.
# Commas and brackets up to which a document is read as a whole, in milliseconds.
MOST_STRUCTURE = 10_000
STRUCTURE = b",[{:"
LARGE_OUTPUT = 2**13  # values that are written at a time
DECODER = json.JSONDecoder(strict=False)  # a line break may stand in a text


def structure_of(body: bytes) -> int:
    """How many values a document holds at most."""
    return sum(body.count(mark) for mark in STRUCTURE)


def parse_json(body: bytes, most_values: int = FEWEST_VALUES) -> dict[str, Any]:
    """Reads the body of a request, of so many values. NaN and Infinity are numbers.

    Raises:
        RequestError: INVALID_ARGUMENT if it is not one JSON object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        if structure_of(body) > MOST_STRUCTURE:
            body.decode("utf-8", "surrogatepass")
            document = read_large(body, most_values)
        else:
            text = body.decode("utf-8", "surrogatepass")
            # What stands behind the object is ignored, as in TensorFlow Serving.
            start = len(text) - len(text.lstrip(" \t\r\n"))
            document, _ = DECODER.raw_decode(text, start)
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


def read_inputs(
    document: dict[str, Any], signature: Any, max_rows: int = MAX_ROWS
) -> tuple[Arrays, bool]:
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
        return _from_rows(document["instances"], signature, max_rows), True
    if "inputs" in document:
        return _from_columns(document["inputs"], signature), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _from_rows(rows: Any, signature: Any, max_rows: int) -> Arrays:
    if not isinstance(rows, list | Numbers):
        raise invalid(
            f"Expecting 'instances' to be a list/array. Received: {type_name(rows)}"
        )
    names = set(signature.inputs)
    if isinstance(rows, Numbers):
        return _only_numbers(rows, signature)
    if not rows:
        raise invalid("No values in 'instances' array")
    if len(rows) > max_rows:
        raise invalid(
            f"Expected at most {max_rows} cases in a request. Received: {len(rows)}. "
            "Ask in several requests, or allow more by --max-rows"
        )
    named = [isinstance(row, dict) and not is_base64(row) for row in rows]
    if not named[0]:
        _check_single(signature)
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


def _check_single(signature: Any) -> None:
    if len(signature.inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            f"input tensors required: {describe(signature)}"
        )


def _only_numbers(rows: Numbers, signature: Any) -> Arrays:
    _check_single(signature)
    return {
        name: to_array(rows, info.dtype, f"{name} of 'instances'")
        for name, info in signature.inputs.items()
    }


def _from_columns(inputs: Any, signature: Any) -> Arrays:
    names = sorted(signature.inputs)
    if not isinstance(inputs, dict) or is_base64(inputs):
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
    _check_rows(outputs)
    if only is not None:
        return {"predictions": only}
    cases = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, case, strict=True)) for case in cases]}


def answer_text(outputs: Arrays, *, rows: bool) -> str:
    """The same as JSON; long answers are written in pieces, between which others run.

    Raises:
        RequestError: As `answer`.
    """
    if sum(array.size for array in outputs.values()) <= LARGE_OUTPUT:
        return json.dumps(answer(outputs, rows=rows))
    if rows:
        _check_rows(outputs)
    names = {name: json.dumps(name) for name in outputs}
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        text = _written(name, array)
    elif rows:
        count = len(next(iter(outputs.values())))
        cases = (
            ", ".join(
                f"{names[name]}: {_written(name, array[row : row + 1])[1:-1]}"
                for name, array in outputs.items()
            )
            for row in range(count)
        )
        text = "[" + ", ".join(f"{{{case}}}" for case in cases) + "]"
    else:
        columns = (f"{names[n]}: {_written(n, array)}" for n, array in outputs.items())
        text = "{" + ", ".join(columns) + "}"
    return f'{{"{"predictions" if rows else "outputs"}": {text}}}'


def _written(name: str, array: np.ndarray) -> str:
    """An array as JSON, as `json.dumps` writes it."""
    if array.size <= LARGE_OUTPUT or not array.ndim:
        return json.dumps(_to_json(name, array))
    if (size := array.size // len(array)) > LARGE_OUTPUT:
        return "[" + ", ".join(_written(name, part) for part in array) + "]"
    step = max(1, LARGE_OUTPUT // size)
    parts = (
        json.dumps(_to_json(name, array[start : start + step]))[1:-1]
        for start in range(0, len(array), step)
    )
    return "[" + ", ".join(parts) + "]"


def _check_rows(outputs: Arrays) -> None:
    lengths = {array.shape[0] if array.ndim else None for array in outputs.values()}
    if len(lengths) != 1 or None in lengths:
        raise invalid(
            "The outputs of this signature have inconsistent batch sizes: ask in the "
            "column format, with 'inputs'"
        )


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
