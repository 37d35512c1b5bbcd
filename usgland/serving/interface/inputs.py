"""Inputs of a request: their names, types and shapes, checked against a signature.

A signature is a `SignatureDef` of a SavedModel.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from usgland.serving.interface.status import invalid

DEFAULT_SIGNATURE = "serving_default"
MAX_ELEMENTS = 2**24  # of one tensor of a request: an image of 16 megapixels
Arrays = dict[str, np.ndarray]


def arrays_of(protos: Any) -> Arrays:
    """Reads the tensors of a gRPC request.

    Raises:
        RequestError: INVALID_ARGUMENT if one is damaged.
    """
    arrays = {}
    for name, proto in protos.items():
        sizes = [dim.size for dim in proto.tensor_shape.dim]
        # One stored value may stand for a whole tensor: a few bytes, then gigabytes.
        if min(sizes, default=0) < 0 or math.prod(sizes) > MAX_ELEMENTS:
            raise invalid(
                f"Expected {name[:100]} with at most {MAX_ELEMENTS} values. Received "
                f"the shape {sizes[:8]}"
            )
        try:
            arrays[name] = tf.make_ndarray(proto)
        except (TypeError, ValueError, KeyError) as error:
            raise invalid(f"tensor parsing error: {name[:100]}") from error
    return arrays


def checked(signature: Any, inputs: Arrays) -> Arrays:
    """Completes inputs by the signature's defaults and checks names, types, shapes.

    Raises:
        RequestError: INVALID_ARGUMENT; it says what the signature takes.
    """
    expected = describe(signature)
    extra = sorted(set(inputs) - set(signature.inputs))
    missing = sorted(set(signature.inputs) - set(inputs) - set(signature.defaults))
    if extra or missing:
        raise invalid(
            f"input size does not match signature. Sent extra: {{{_names(extra)}}}. "
            f"Missing but required: {{{_names(missing)}}}. Expected: {expected}"
        )
    complete = {}
    lengths = {len(array) for array in inputs.values() if array.ndim}
    rows = lengths.pop() if len(lengths) == 1 and takes_rows(signature) else 1
    for name, info in signature.inputs.items():
        if name in inputs:
            array = inputs[name]
        else:
            array = tf.make_ndarray(signature.defaults[name])
            if rows > 1 and len(array) == 1:
                # Each case gets one, so that the request can run in parts.
                array = np.repeat(array, rows, axis=0)
        wanted = tf.dtypes.as_dtype(info.dtype)
        received = tf.string if array.dtype.kind in "OSU" else array.dtype
        if wanted != received:
            received = tf.dtypes.as_dtype(received).name
            raise invalid(f"Expected {name} to be {wanted.name}. Received: {received}")
        if not tf.TensorShape(info.tensor_shape).is_compatible_with(array.shape):
            raise invalid(
                f"Expected {name} of shape {_shape(info)}. Received: "
                f"{list(array.shape)}"
            )
        complete[name] = array
    return complete


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
