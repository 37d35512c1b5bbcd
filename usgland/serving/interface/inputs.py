"""Inputs of a request: their names, types and shapes, checked against a signature.

A signature is a `SignatureDef` of a SavedModel.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from usgland.serving.interface.large_json import FEWEST_VALUES, MOST_NUMBERS
from usgland.serving.interface.request_wire import WireTensor, values_of
from usgland.serving.interface.status import RequestError, invalid

DEFAULT_SIGNATURE = "serving_default"
MAX_ELEMENTS = MOST_NUMBERS  # of one tensor: an image of 16 megapixels
MAX_ROWS = 1024  # cases of one request, unless --max-rows says otherwise
Arrays = dict[str, np.ndarray]


def arrays_of(
    tensors: Mapping[str, WireTensor], signature: Any, max_rows: int = MAX_ROWS
) -> Arrays:
    """Builds the tensors of a gRPC request, once each is what the signature takes.

    Raises:
        RequestError: INVALID_ARGUMENT; it says what the signature takes.
    """
    _check_names(signature, tensors)
    for name, tensor in tensors.items():
        _check_tensor(name, signature.inputs[name], tensor.dtype, tensor.shape)
        _check_size(name, signature.inputs[name], tensor.shape, max_rows)
    return {name: _built(name, tensor) for name, tensor in tensors.items()}


def checked(signature: Any, inputs: Arrays, max_rows: int = MAX_ROWS) -> Arrays:
    """Completes inputs by the signature's defaults and checks names, types, shapes.

    Raises:
        RequestError: INVALID_ARGUMENT; it says what the signature takes.
    """
    _check_names(signature, inputs)
    for name, array in inputs.items():
        dtype = tf.string if array.dtype.kind in "OSU" else array.dtype
        _check_tensor(name, signature.inputs[name], dtype, list(array.shape))
        _check_size(name, signature.inputs[name], list(array.shape), max_rows)
    complete = {}
    lengths = {len(array) for array in inputs.values() if array.ndim}
    rows = lengths.pop() if len(lengths) == 1 and takes_rows(signature) else 1
    for name in signature.inputs:
        if name in inputs:
            complete[name] = inputs[name]
            continue
        array = tf.make_ndarray(signature.defaults[name])
        if rows > 1 and len(array) == 1:
            # Each case gets one, so that the request can run in parts.
            array = np.repeat(array, rows, axis=0)
        complete[name] = array
    return complete


def values_of_row(signature: Any) -> int:
    """How many texts, objects and fields a case takes, however a client writes it.

    In JSON a file is an object and a text, in a list if there are several; in gRPC each
    is a field. A side of unknown length counts as one.
    """
    sizes = [
        math.prod(max(dim.size, 1) for dim in info.tensor_shape.dim[1:])
        for info in signature.inputs.values()
    ]
    return 1 + sum(2 * size + 1 for size in sizes)


def most_values(row: int, max_rows: int) -> int:
    """How many values a document or message may have if a case takes so many."""
    # What names the model and its inputs comes on top: less than two cases.
    return max(FEWEST_VALUES, (max_rows + 16) * row)


def _built(name: str, tensor: WireTensor) -> np.ndarray:
    # One stored value may stand for a whole tensor: a few bytes, then gigabytes.
    try:
        stored, expected = tensor.count(), values_of(tensor.shape)
        if stored == expected:
            return tensor.array()
    except RequestError as error:
        raise invalid(f"tensor parsing error: {name}: {error.message}") from error
    raise invalid(
        f"tensor parsing error: Expected {name} with {expected} values, as its shape "
        f"has. Received: {stored}"
    )


def _check_names(signature: Any, inputs: Collection[str]) -> None:
    extra = sorted(set(inputs) - set(signature.inputs))
    missing = sorted(set(signature.inputs) - set(inputs) - set(signature.defaults))
    if extra or missing:
        raise invalid(
            f"input size does not match signature. Sent extra: {{{_names(extra)}}}. "
            f"Missing but required: {{{_names(missing)}}}. Expected: "
            f"{describe(signature)}"
        )


def _check_tensor(name: str, info: Any, dtype: Any, shape: list[int]) -> None:
    wanted, received = tf.dtypes.as_dtype(info.dtype), tf.dtypes.as_dtype(dtype)
    if wanted != received:
        raise invalid(f"Expected {name} to be {wanted.name}. Received: {received.name}")
    sizes = [dim.size for dim in info.tensor_shape.dim]
    fits = len(sizes) == len(shape) and all(
        size in (-1, received) for size, received in zip(sizes, shape, strict=False)
    )
    if not fits and not info.tensor_shape.unknown_rank:
        raise invalid(f"Expected {name} of shape {_shape(info)}. Received: {shape[:8]}")


def _check_size(name: str, info: Any, shape: list[int], max_rows: int) -> None:
    """Bounds a tensor by its sides, as one of no values may have many rows."""
    if not 0 <= values_of(shape) <= MAX_ELEMENTS or max(shape, default=0) > 2**31:
        raise invalid(
            f"Expected {name[:100]} with at most {MAX_ELEMENTS} values. Received "
            f"the shape {shape[:8]}"
        )
    sides = info.tensor_shape.dim
    if shape and shape[0] > max_rows and (not sides or sides[0].size < 0):
        raise invalid(
            f"Expected at most {max_rows} cases in a request. Received: {shape[0]} of "
            f"{name[:100]}. Ask in several requests, or allow more by --max-rows"
        )


def describe(signature: Any) -> str:
    """What a signature takes, e.g. `age_years float32 [?], image_bytes string [?]`."""
    return ", ".join(
        f"{name} {tf.dtypes.as_dtype(info.dtype).name} {_shape(info)}"
        for name, info in sorted(signature.inputs.items())
    )


def takes_rows(signature: Any) -> bool:
    """Whether every input and output has one row a case, in any number.

    Only then may requests run together, and a large one in parts.
    """
    shapes = [
        info.tensor_shape
        for infos in (signature.inputs, signature.outputs)
        for info in infos.values()
    ]
    return bool(shapes) and all(
        not shape.unknown_rank and shape.dim and shape.dim[0].size == -1
        for shape in shapes
    )


def _shape(info: Any) -> str:
    if info.tensor_shape.unknown_rank:
        return "of any shape"
    sizes = ("?" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim)
    return f"[{', '.join(sizes)}]"


def _names(names: list[str]) -> str:
    return ", ".join(name[:100] for name in names[:20])
