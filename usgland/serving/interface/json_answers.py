"""Answers in JSON: rows or columns, as the request was.

Reference:
    [RESTful API of TensorFlow Serving](https://www.tensorflow.org/tfx/serving/api_rest)
"""

import base64
from typing import Any

import numpy as np

from usgland.serving.interface.inputs import Arrays
from usgland.serving.interface.status import invalid

BYTES_SUFFIX = "_bytes"  # An output of such a name is sent in base64.


def answer(outputs: Arrays, *, rows: bool) -> dict[str, Any]:
    """The body of an answer: `predictions`, a list of rows, or `outputs`, columns.

    Where there is one output, it stands without its name.

    Raises:
        RequestError: INVALID_ARGUMENT if rows are asked for and are not there.
    """
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    if not rows:
        return {
            "outputs": columns if len(columns) > 1 else next(iter(columns.values()))
        }
    lengths = {array.shape[0] if array.ndim else None for array in outputs.values()}
    if len(lengths) != 1 or None in lengths:
        raise invalid(
            "The outputs of this signature have inconsistent batch sizes: ask in the "
            "column format, with 'inputs'"
        )
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    names = list(columns)
    return {
        "predictions": [
            dict(zip(names, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    }


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype.kind in "OSU":
        return _texts(array.tolist(), encode=name.endswith(BYTES_SUFFIX), name=name)
    if array.dtype == np.float32 or array.dtype.itemsize == 2:
        # The shortest digits that are this float: 0.2, not 0.20000000298.
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
