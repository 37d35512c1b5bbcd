"""From a value of JSON to an array: numbers, texts, and files in base64."""

import base64
import binascii
import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from usgland.serving.interface.large_json import (
    MOST_DIMS,
    MOST_NUMBERS,
    Numbers,
    exact_range,
)
from usgland.serving.interface.status import RequestError, invalid

BASE64_PIECE = 2**20  # characters that are decoded at a time; a multiple of four
SPACES = " \t\r\n\v\f"


def to_array(value: Any, dtype: int, where: str) -> np.ndarray:
    """Makes one array of a JSON value: a scalar, or lists of equal lengths.

    The type is a number of `tf.DType`; an error calls the value `where`.

    Raises:
        RequestError: INVALID_ARGUMENT if it is ragged or of another type.
    """
    wanted = tf.dtypes.as_dtype(dtype)
    shape: list[int] = []
    flat = [value]
    while flat and isinstance(flat[0], list):
        if len(shape) == MOST_DIMS:
            raise invalid(f"Expected {where} with at most {MOST_DIMS} dimensions")
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
    if flat and isinstance(flat[0], Numbers):
        return _joined(flat, wanted, where, shape)
    array = np.empty(len(flat), wanted.as_numpy_dtype)
    array[:] = _values(flat, wanted, where)
    return array.reshape(shape)


def _joined(
    parts: list[Any], dtype: tf.DType, where: str, outer: list[int]
) -> np.ndarray:
    """One array of lists of numbers, which must all have one shape."""

    def read(part: Any) -> np.ndarray:
        if not isinstance(part, Numbers):
            raise invalid(
                f"Encountered list at unexpected size: {type_name(part)} in {where}"
            )
        return part.array(
            np.dtype(dtype.as_numpy_dtype),
            where,
            lambda values, place: _values(values, dtype, place),
        )

    first = read(parts[0])
    if len(parts) == 1:
        return first.reshape([*outer, *first.shape])
    if len(parts) * first.size > MOST_NUMBERS:
        raise invalid(
            f"Expected {where} with at most {MOST_NUMBERS} values. Received "
            f"{len(parts)} lists of {first.size}"
        )
    # Filled part by part, so that no value is held twice.
    joined = np.empty((len(parts), *first.shape), first.dtype)
    joined[0] = first
    for number, part in enumerate(parts[1:], start=1):
        array = read(part)
        if array.shape != first.shape:
            raise invalid(
                f"Encountered list at unexpected size: {array.shape[0]} in {where} "
                f"at level: {len(outer)} expected size: {first.shape[0]}"
            )
        joined[number] = array
    return joined.reshape([*outer, *first.shape])


def _values(items: list, dtype: tf.DType, where: str) -> Any:
    """Checks the values of a list, by their types where all are numbers."""
    kinds = set(map(type, items))
    if kinds == {int} and (dtype.is_integer or dtype.is_floating):
        low, high = exact_range(dtype)
        if low <= min(items) and max(items) <= high:
            return items
    elif kinds == {float} and dtype.is_floating:
        numbers = np.array(items)
        with np.errstate(over="ignore"):
            fits = (np.abs(numbers) <= float(dtype.max)) | ~np.isfinite(numbers)
        if fits.all():
            return numbers
    low, high = exact_range(dtype)
    return [_scalar(item, dtype, low, high, where) for item in items]


def _scalar(item: Any, dtype: tf.DType, low: int, high: int, where: str) -> Any:
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


def is_base64(value: Any) -> bool:
    """Whether a value is an object whose only member is the text `b64`."""
    return (
        isinstance(value, dict)
        and list(value) == ["b64"]
        and isinstance(value["b64"], str)
    )


def _decoded(item: dict, where: str) -> bytes:
    if not is_base64(item):
        raise invalid(
            f'A value of {where} is not formatted correctly for base64 data: {{"b64": '
            "TEXT} is expected"
        )
    # Line breaks are what `base64` writes without -w0.
    text = item["b64"]
    if any(space in text for space in SPACES):
        text = "".join(text.split())
    text = text.rstrip("=")
    text += "=" * (-len(text) % 4)
    try:
        # In pieces, between which other threads run.
        pieces = [
            base64.b64decode(text[start : start + BASE64_PIECE], validate=True)
            for start in range(0, len(text), BASE64_PIECE)
        ]
    except (binascii.Error, ValueError) as error:
        raise _not_base64(where) from error
    if any(len(piece) != BASE64_PIECE // 4 * 3 for piece in pieces[:-1]):
        raise _not_base64(where)  # The sign for its end stands in its middle.
    return b"".join(pieces)


def _not_base64(where: str) -> RequestError:
    return invalid(f"Unable to base64 decode a value of {where}")


def type_name(value: Any) -> str:
    """What JSON calls a value's type."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, int | float):
        return "Number"
    if isinstance(value, Numbers):
        return "Array"
    return {"str": "String", "list": "Array", "dict": "Object"}[type(value).__name__]
