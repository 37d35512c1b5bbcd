"""Reads JSON of many numbers: arrays at once, in steps of a few milliseconds.

Python's own reader makes an object of each number and holds every other thread up until
it has read all of them. Here a list of numbers stays text until the type is known that
it must have; then it is read in pieces, between which others run.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from usgland.serving.interface.status import RequestError, invalid

PIECE = 2**16  # bytes of numbers that are read at a time
LONGEST_GAP = 2**20  # bytes from one comma to the next
SHORT = 64  # numbers up to which a list is read like everything else
FEWEST_VALUES = 2**16  # texts, objects and short lists that any document may have
DEEPEST = 64  # lists and objects in one another
MOST_NUMBERS = 2**24  # of one list, as of a tensor
STEP = 2**20  # bytes that are searched at a time
SPACE = b" \t\r\n"
OPEN, CLOSE, COMMA = b"[],"
NOT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))
TOKEN = re.compile(rb"[^\s,\]\}\[\{\":]{1,4096}")
NOT_SPACE = re.compile(rb"[^ \t\r\n]")
IN_TEXT = re.compile(rb'[^"\\]*(?:\\.[^"\\]*){0,1000}', re.DOTALL)
# Brackets and commas as they are, and 1 for what a number is made of.
NUMBER_AS_1 = bytes(code if code in b"[]," else ord("1") for code in range(256))
MISPLACED = (b"1[", b"]1", b"][")  # a bracket at the wrong side of a number
MOST_DIMS = 32  # of a tensor: no signature has as many
MOST_SEARCHES = 8  # times that a document may be searched for the ends of its lists


class Numbers:
    """A list of numbers, in one another to any depth, that has not been read yet."""

    def __init__(self, text: memoryview):
        self.text = text

    def array(
        self,
        dtype: np.dtype,
        where: str,
        convert: Callable[[list, str], np.ndarray],
    ) -> np.ndarray:
        """Reads it; an error calls it `where`.

        Args:
            dtype: Type of the array.
            where: As above.
            convert: Makes an array of some values, or raises `RequestError`.

        Raises:
            RequestError: INVALID_ARGUMENT if its lists are of unequal lengths or it
                holds anything but numbers.
        """
        shape = self._shape(where)
        array = np.empty(int(np.prod(shape)), dtype)
        position = filled = 0
        while position < len(self.text):
            end = self._end_of_piece(position)
            piece = bytes(self.text[position:end])
            places = piece.translate(NUMBER_AS_1, SPACE)
            if any(wrong in places for wrong in MISPLACED):
                raise _no_json()
            values = _loads(b"[" + piece.translate(None, b"[]") + b"]")
            if filled + len(values) > len(array):
                raise _no_json()
            array[filled : filled + len(values)] = convert(values, where)
            position, filled = end + 1, filled + len(values)
        if filled != len(array):
            raise _no_json()
        return array.reshape(shape)

    def _end_of_piece(self, position: int) -> int:
        """Where the comma stands before which a piece ends, or the end."""
        start = position + PIECE
        if start >= len(self.text):
            return len(self.text)
        for length in (2**8, LONGEST_GAP):
            gap = bytes(self.text[start : start + length])
            if (comma := gap.find(b",")) >= 0:
                return start + comma
        if start + LONGEST_GAP < len(self.text):
            raise _no_json()
        return len(self.text)

    def _shape(self, where: str) -> list[int]:
        """The lengths of its lists, found by its brackets and commas alone."""
        steps = range(0, len(self.text), STEP)
        pieces = (bytes(self.text[start : start + STEP]) for start in steps)
        structure = b"".join(piece.translate(None, NOT_STRUCTURE) for piece in pieces)
        rank = len(structure) - len(structure.lstrip(b"["))
        if rank > MOST_DIMS:
            raise invalid(f"Expected {where} with at most {MOST_DIMS} dimensions")
        first = structure.find(b"]")
        inner = structure[rank - 1 : first + 1]
        shape, unit = [len(inner) - 1], inner
        codes = np.frombuffer(structure, np.uint8)
        for level in range(rank - 2, -1, -1):
            # Behind each list of this level stands a comma, or the end of the outer.
            behind = codes[level + 1 + len(unit) :: len(unit) + 1]
            others = np.flatnonzero(behind != COMMA)
            length = (int(others[0]) if len(others) else len(behind)) + 1
            if (len(unit) + 1) * length > len(structure):
                raise _ragged(where)
            unit = b"[" + b",".join([unit] * length) + b"]"
            shape.append(length)
        if unit != structure:
            raise _ragged(where)
        shape.reverse()
        if np.prod(shape, dtype=float) > MOST_NUMBERS:
            raise invalid(
                f"Expected {where} with at most {MOST_NUMBERS} values. Received the "
                f"shape {shape[:8]}"
            )
        return shape


def read_large(body: bytes, most_values: int = FEWEST_VALUES) -> Any:
    """The first value of a text; long lists of numbers as `Numbers`.

    Raises:
        RequestError: INVALID_ARGUMENT if there is none, or it has more texts, objects
            and short lists than `most_values`.
    """
    return _Reader(body, most_values).value(0, 0)[0]


class _Reader:
    def __init__(self, body: bytes, most_values: int):
        self.body, self.most, self.left = body, most_values, most_values
        self.steps = MOST_SEARCHES * (len(body) // STEP + 1)
        self.view = memoryview(body)
        # The next place of these, as long as it has not been passed.
        self.next = {b'"': -1, b"{": -1}

    def value(self, position: int, depth: int) -> tuple[Any, int]:
        """A value, and where the text goes on."""
        self.left -= 1
        if self.left < 0:
            raise invalid(
                f"JSON Parse error: Expected at most {self.most} texts, objects and "
                "short lists"
            )
        if depth > DEEPEST:
            raise _no_json()
        position = self.skip(position)
        code = self.body[position]
        if code == ord("{"):
            return self.object(position, depth)
        if code == ord('"'):
            return self.text(position)
        if code == OPEN:
            return self.list(position, depth)
        token = TOKEN.match(self.body, position)
        if token is None:
            raise _no_json()
        return _loads(token[0]), token.end()

    def skip(self, position: int) -> int:
        """The next place that is no space."""
        match = NOT_SPACE.search(self.body, position)
        if match is None:
            raise _no_json()
        return match.start()

    def object(self, position: int, depth: int) -> tuple[dict, int]:
        members: dict[str, Any] = {}
        position = self.skip(position + 1)
        if self.body[position] == ord("}"):
            return members, position + 1
        while True:
            if self.body[position] != ord('"'):
                raise _no_json()
            key, position = self.text(position)
            position = self.skip(position)
            if self.body[position] != ord(":"):
                raise _no_json()
            members[key], position = self.value(position + 1, depth + 1)
            position = self.skip(position)
            if self.body[position] == ord("}"):
                return members, position + 1
            if self.body[position] != COMMA:
                raise _no_json()
            position = self.skip(position + 1)

    def text(self, position: int) -> tuple[str, int]:
        end = position + 1
        while self.body[end : end + 1] != b'"':
            inside = IN_TEXT.match(self.body, end)
            if inside is None or inside.end() == end:
                raise _no_json()
            end = inside.end()
        return _loads(self.body[position : end + 1]), end + 1

    def list(self, position: int, depth: int) -> tuple[Any, int]:
        end = self.end_of_numbers(position)
        if end is not None:
            text = self.view[position:end]
            if len(text) > PIECE or bytes(text).count(b",") >= SHORT:
                return Numbers(text), end
            return _loads(bytes(text)), end
        values: list[Any] = []
        position = self.skip(position + 1)
        while True:
            value, position = self.value(position, depth + 1)
            values.append(value)
            position = self.skip(position)
            if self.body[position] == CLOSE:
                return values, position + 1
            if self.body[position] != COMMA:
                raise _no_json()
            position = self.skip(position + 1)

    def end_of_numbers(self, position: int) -> int | None:
        """Where a list ends that holds no text and no object; None for any other."""
        for mark, place in self.next.items():
            if 0 <= place < position or place == -1:
                place = self.body.find(mark, position)
                self.next[mark] = len(self.body) if place < 0 else place
        last = min(self.next.values())
        depth = 0
        for start in range(position, last, STEP):
            if last - position > STEP:
                self.steps -= 1
            if self.steps < 0:
                raise _no_json()
            codes = np.frombuffer(
                self.body, np.uint8, min(STEP, last - start), offset=start
            )
            places = np.flatnonzero((codes == OPEN) | (codes == CLOSE))
            steps = np.where(codes[places] == OPEN, 1, -1)
            depths = depth + np.cumsum(steps)
            ends = np.flatnonzero(depths == 0)
            if len(ends):
                return start + int(places[ends[0]]) + 1
            depth = int(depths[-1]) if len(depths) else depth
        return None


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise _no_json() from error


def _no_json() -> RequestError:
    return invalid("JSON Parse error: Expected an object with 'instances' or 'inputs'")


def _ragged(where: str) -> RequestError:
    return invalid(
        f"Encountered list at unexpected size in {where}: expected lists of equal "
        "lengths"
    )


def exact_range(dtype: tf.DType) -> tuple[int, int]:
    """The whole numbers up to which a type of numbers holds each one."""
    if dtype.is_integer:
        return dtype.min, dtype.max
    if not dtype.is_floating:
        return 0, -1
    largest = 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1) - 1
    return -largest, largest
