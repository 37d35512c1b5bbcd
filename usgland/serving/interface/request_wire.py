"""Reads a gRPC request field by field, so that nothing is expanded unchecked.

protobuf would build the whole message first: 60 megabytes of empty map entries, or of
numbers of one byte each, become gigabytes. Here a tensor stays a view of the message
until its name, type, shape and number of values have been found right.

Reference:
    [Encoding of protocol buffers](https://protobuf.dev/programming-guides/encoding/)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import model_pb2

from usgland.serving.interface.large_json import FEWEST_VALUES, MOST_DIMS
from usgland.serving.interface.status import RequestError, invalid

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
LONGEST_SPEC = 2**16  # bytes that name a model, and of a request that holds no tensor
# Fields of PredictRequest, of an entry of its map, of TensorProto, of its shape.
MODEL_SPEC, INPUTS, OUTPUT_FILTER = 1, 2, 3
KEY, VALUE = 1, 2
DTYPE, SHAPE, CONTENT, STRINGS = 1, 2, 4, 8
DIM, UNKNOWN_RANK = 2, 3
# Fields of numbers: those of a fixed width, and those of 7 bits a byte.
FIXED: dict[int, np.dtype[Any]] = {5: np.dtype("<f4"), 6: np.dtype("<f8")}
VARINTS = {7: "int_val", 10: "int64_val", 11: "bool_val", 13: "half_val"}
VARINTS |= {16: "uint32_val", 17: "uint64_val"}
FIELD_OF = {
    **{tf.float32: 5, tf.float64: 6, tf.string: STRINGS, tf.bool: 11, tf.int64: 10},
    **dict.fromkeys((tf.int32, tf.int16, tf.int8, tf.uint16, tf.uint8), 7),
    **{tf.uint32: 16, tf.uint64: 17, tf.float16: 13, tf.bfloat16: 13},
}


class Field(NamedTuple):
    """A field of a message."""

    number: int
    wire_type: int
    value: Any  # a number, or a view of the bytes


@dataclass
class WireTensor:
    """A tensor that has not been built yet."""

    dtype: int = 0  # a number of `tf.DType`
    shape: list[int] = field(default_factory=list)
    content: memoryview | None = None
    values: dict[int, list[Field]] = field(default_factory=dict)

    def count(self) -> int:
        """How many values are stored, which may be fewer than the shape has.

        Raises:
            RequestError: INVALID_ARGUMENT if they are stored in another way than the
                type's own.
        """
        wanted = FIELD_OF.get(tf.dtypes.as_dtype(self.dtype))
        if wanted is None or set(self.values) - {wanted}:
            raise invalid("Expected the values of a tensor in the field of its type")
        pieces = self.values.get(wanted, [])
        if self.content is not None and len(self.content):
            size = tf.dtypes.as_dtype(self.dtype).size
            if pieces or wanted == STRINGS or len(self.content) % size:
                raise invalid("Expected tensor_content of whole numbers, or values")
            return len(self.content) // size
        if wanted == STRINGS:
            return len(pieces)
        return sum(_count(wanted, piece) for piece in pieces)

    def array(self) -> np.ndarray:
        """Builds it; only for one whose count fits its shape.

        Raises:
            RequestError: INVALID_ARGUMENT if a number has no place in the type.
        """
        dtype = tf.dtypes.as_dtype(self.dtype)
        wanted = FIELD_OF[dtype]
        pieces = self.values.get(wanted, [])
        if self.content is not None and len(self.content):
            # A copy: the bytes of a message stand where they do, not aligned.
            flat = np.frombuffer(self.content, dtype.as_numpy_dtype).copy()
        elif wanted == STRINGS:
            flat = np.empty(len(pieces), object)
            flat[:] = [bytes(piece.value) for piece in pieces]
        elif wanted in FIXED:
            joined = b"".join(_packed(wanted, piece) for piece in pieces)
            flat = np.frombuffer(joined, FIXED[wanted]).copy()
        else:
            flat = _fit(np.concatenate([_numbers(p) for p in pieces] or [_NONE]), dtype)
        return flat.reshape(self.shape)


@dataclass
class WireRequest:
    """A PredictRequest whose tensors have not been built yet."""

    spec: Any  # a ModelSpec
    inputs: dict[str, WireTensor]
    outputs: tuple[str, ...]


_NONE = np.zeros(0, np.uint64)


def read_request(message: bytes, most_fields: int = FEWEST_VALUES) -> WireRequest:
    """Reads what a PredictRequest names, and where its tensors stand.

    A list of numbers that is packed is one field, and so is each text.

    Raises:
        RequestError: INVALID_ARGUMENT if it is none.
    """
    budget = _Budget(most_fields)
    request = WireRequest(model_pb2.ModelSpec(), {}, ())
    outputs: list[str] = []
    for number, wire_type, value in budget.fields(memoryview(message)):
        if number == MODEL_SPEC and wire_type == BYTES:
            if len(value) > LONGEST_SPEC:
                raise invalid("Expected a shorter ModelSpec")
            try:
                request.spec.MergeFromString(bytes(value))
            except DecodeError as error:
                raise _damaged() from error
        elif number == INPUTS and wire_type == BYTES:
            name, tensor = _entry(budget, value)
            if name in request.inputs:
                raise invalid(f"Expected each input once. Received twice: {name[:100]}")
            request.inputs[name] = tensor
        elif number == OUTPUT_FILTER and wire_type == BYTES:
            outputs.append(_text(value))
    request.outputs = tuple(outputs)
    return request


class _Budget:
    """Reads fields, as long as a message does not have too many."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def fields(self, view: memoryview) -> Iterator[Field]:
        position, end = 0, len(view)
        while position < end:
            self.left -= 1
            if self.left < 0:
                raise invalid(f"Expected at most {self.most} fields in a request")
            tag, position = _varint(view, position)
            number, wire_type = tag >> 3, tag & 7
            if wire_type == VARINT:
                value, position = _varint(view, position)
                yield Field(number, wire_type, value)
                continue
            if wire_type == BYTES:
                length, position = _varint(view, position)
            elif wire_type in (FIXED64, FIXED32):
                length = 8 if wire_type == FIXED64 else 4
            else:
                raise _damaged()
            if length > end - position or not number:
                raise _damaged()
            yield Field(number, wire_type, view[position : position + length])
            position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(view) or shift > 63:
            raise _damaged()
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), position
        shift += 7


def _entry(budget: _Budget, view: memoryview) -> tuple[str, WireTensor]:
    name, tensor = "", WireTensor()
    for number, wire_type, value in budget.fields(view):
        if number == KEY and wire_type == BYTES:
            name = _text(value)
        elif number == VALUE and wire_type == BYTES:
            tensor = _tensor(budget, value)
    try:  # Without a value, too: then it is of no type.
        tf.dtypes.as_dtype(tensor.dtype)
    except TypeError as error:
        raise invalid("Expected a tensor of a type that TensorFlow has") from error
    return name, tensor


def _tensor(budget: _Budget, view: memoryview) -> WireTensor:
    tensor = WireTensor()
    for part in budget.fields(view):
        number, wire_type, value = part
        if number == DTYPE and wire_type == VARINT:
            tensor.dtype = value
        elif number == SHAPE and wire_type == BYTES:
            _read_shape(budget, value, tensor.shape)
        elif number == CONTENT and wire_type == BYTES:
            tensor.content = value
        elif number == STRINGS or number in FIXED or number in VARINTS:
            # `bytes` of a number would be that many zeros.
            if number == STRINGS and wire_type != BYTES:
                raise _damaged()
            tensor.values.setdefault(number, []).append(part)
    return tensor


def _read_shape(budget: _Budget, view: memoryview, shape: list[int]) -> None:
    for number, wire_type, value in budget.fields(view):
        if number == UNKNOWN_RANK and value:
            raise invalid("Expected a tensor of a known shape")
        if number == DIM and wire_type == BYTES:
            sizes = [part.value for part in budget.fields(value) if part[:2] == (1, 0)]
            shape.append(sizes[-1] if sizes else 0)
            if len(shape) > MOST_DIMS:
                raise invalid(f"Expected at most {MOST_DIMS} dimensions of a tensor")


def _count(number: int, piece: Field) -> int:
    """How many numbers a field holds, without reading them."""
    if piece.wire_type != BYTES:
        return 1
    if number in FIXED:
        if len(piece.value) % FIXED[number].itemsize:
            raise _damaged()
        return len(piece.value) // FIXED[number].itemsize
    # The last byte of each has its first bit clear.
    return int(np.count_nonzero(np.frombuffer(piece.value, np.uint8) < 0x80))


def _packed(number: int, piece: Field) -> memoryview:
    width = FIXED32 if FIXED[number].itemsize == 4 else FIXED64
    if piece.wire_type not in (BYTES, width):
        raise _damaged()
    return piece.value


def _numbers(piece: Field) -> np.ndarray:
    """The numbers of one field of 7 bits a byte, uint64."""
    if piece.wire_type == VARINT:
        return np.array([piece.value], np.uint64)
    if piece.wire_type != BYTES:
        raise _damaged()
    data = np.frombuffer(piece.value, np.uint8)
    ends = np.flatnonzero(data < 0x80)
    if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
        raise _damaged()
    if len(ends) == len(data):
        return data.astype(np.uint64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    longest = int((ends - starts).max()) + 1
    if longest > 10:
        raise _damaged()
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(longest):
        inside = starts + place <= ends
        bits = data[np.minimum(starts + place, ends)].astype(np.uint64) & np.uint64(127)
        numbers |= np.where(inside, bits << np.uint64(7 * place), np.uint64(0))
    return numbers


def _fit(numbers: np.ndarray, dtype: tf.DType) -> np.ndarray:
    """Gives numbers their type, if all have a place in it."""
    wanted = dtype.as_numpy_dtype
    if dtype == tf.bool:
        return numbers != 0
    if dtype in (tf.float16, tf.bfloat16):  # the bits of each, as a number
        if numbers.size and numbers.max() > 0xFFFF:
            raise _no_place(dtype)
        return numbers.astype(np.uint16).view(wanted)
    signed = numbers.view(np.int64)
    if dtype == tf.uint64:
        return numbers
    if numbers.size and not dtype.min <= signed.min() <= signed.max() <= dtype.max:
        raise _no_place(dtype)
    return signed.astype(wanted)


def _no_place(dtype: tf.DType) -> RequestError:
    return invalid(f"Expected numbers that {dtype.name} can hold. Received: others")


def _text(value: memoryview) -> str:
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid("Expected names in UTF-8") from error


def _damaged() -> RequestError:
    return invalid("Expected a request as protocol buffers encode it")


def values_of(shape: list[int]) -> int:
    """How many values a shape has; -1 where it has a negative side."""
    # A dimension is a signed number of 64 bits.
    return -1 if any(size >= 2**63 for size in shape) else math.prod(shape)
