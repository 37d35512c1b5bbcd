"""Looks for the source's identifiers in all that was written, before it is given away.

The columns are safe by how they are made (`headers`); this is the second lock. It
reads files as they lie on the disk, and knows pictures: a PNG may hold no chunk but
those of its pixels, and neither its bytes nor its rows of pixels may spell a value.
"""

import functools
import itertools
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from usgland.ingest.identifiers import (
    SPACELESS,
    UID,
    Identifier,
    fold,
    without_words,
)

PNG = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
INSIDE = 6  # characters from which a value is also sought within longer words
# Bytes from which a value is sought in compressed data and in pixels. Speckle spells
# short words: of nine letters by chance once in some thousand million places.
IN_COMPRESSED, IN_PIXELS, DIGITS_IN_PIXELS = 8, 9, 14
JSON_COUNT = re.compile(r"(?<=: )\d{1,9}(?=,?\s)")
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "gb18030", "iso2022_jp")


@dataclass(frozen=True)
class Leak:
    """A value of the source in a file that was written.

    `str()` of it may be shown; `value` belongs to the private folder alone.
    """

    file: Path
    where: str
    value: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.file.name}: {self.where}"


class Needles:
    """Identifiers, made ready to be sought."""

    def __init__(
        self, identifiers: Iterable[Identifier], words: Set[str] = frozenset()
    ) -> None:
        """`words` are those that the output is made of: `output_words`."""
        values = without_words(identifiers, words)
        # First characters -> folded texts, of which whole words or any part count.
        self.inside: dict[str, set[str]] = defaultdict(set)
        self.whole: dict[str, set[str]] = defaultdict(set)
        self.spaceless: set[str] = set()
        for value in values:
            if isinstance(value, str) and (folded := fold(value)):
                self._add_text(folded)
                # An id of digits and signs may also be written without the signs.
                packed = folded.replace(" ", "")
                if packed != folded and packed.isdigit() and packed not in words:
                    self._add_text(packed)
        self.values = values

    # Made when bytes are searched: of all files together only text is.
    @functools.cached_property
    def encoded(self) -> set[bytes]:
        forms = {raw for value in self.values for raw in _encoded(value)}
        return {raw for raw in forms if len(raw) >= INSIDE}

    @functools.cached_property
    def compressed(self) -> "_ByteSearch":
        return _ByteSearch(self.encoded, IN_COMPRESSED, IN_COMPRESSED)

    @functools.cached_property
    def pixels(self) -> "_ByteSearch":
        return _ByteSearch(self.encoded, IN_PIXELS, DIGITS_IN_PIXELS)

    def in_text(self, text: str) -> set[str]:
        """The identifiers in a text."""
        folded = fold(text)
        hits = set()
        padded = f" {folded} "
        for word in set(folded.split()):
            for value in self.whole.get(word, ()):
                if f" {value} " in padded:
                    hits.add(value)
        if not folded.isascii():
            hits |= {value for value in self.spaceless if value in folded}
        if self.inside:
            for start in range(len(folded) - INSIDE + 1):
                for value in self.inside.get(folded[start : start + INSIDE], ()):
                    if folded.startswith(value, start):
                        hits.add(value)
        hits |= {uid for uid in UID.findall(text) if len(uid) > 2 * INSIDE}
        return hits

    def in_bytes(self, data: bytes) -> set[bytes]:
        """The identifiers in a few bytes, of six bytes or more."""
        return {raw for raw in self.encoded if raw in data}

    def _add_text(self, folded: str) -> None:
        if len(folded) >= INSIDE:
            self.inside[folded[:INSIDE]].add(folded)
        elif SPACELESS.search(folded):
            self.spaceless.add(folded)
        elif folded:
            self.whole[folded.split()[0]].add(folded)


class _ByteSearch:
    """Finds any of many byte strings in one pass over the data."""

    def __init__(self, values: Iterable[bytes], shortest: int, digits: int) -> None:
        self.by_start: dict[bytes, list[bytes]] = defaultdict(list)
        # Of each pair of places in the first eight bytes, the pairs that occur.
        self.pairs = np.zeros((4, 65536), bool)
        for value in values:
            only_digits = all(c in b"0123456789. :-/\0" for c in value)
            # "--------" and ascending tables of greys stand in many pictures.
            steps = [b - a for a, b in itertools.pairwise(value.replace(b"\0", b""))]
            varied = len(set(value)) > 3 and min(steps) < 0 < max(steps)
            if len(value) >= (digits if only_digits else shortest) and varied:
                self.by_start[value[:8]].append(value)
                words = np.frombuffer(value[:8], ">u2")
                self.pairs[np.arange(4), words] = True

    def search(self, data: bytes) -> set[bytes]:
        if len(data) < 8 or not self.by_start:
            return set()
        octets = np.frombuffer(data, np.uint8).astype(np.uint16)
        pairs = octets[:-1] << 8 | octets[1:]
        starts = np.flatnonzero(self.pairs[0][pairs[: len(data) - 7]])
        for place in (1, 2, 3):
            starts = starts[self.pairs[place][pairs[starts + 2 * place]]]
        return {
            value
            for start in starts.tolist()
            for value in self.by_start.get(data[start : start + 8], ())
            if data.startswith(value, start)
        }


def search(files: Iterable[Path], needles: Needles, root: Path) -> list[Leak]:
    """Looks for identifiers in files and in their names below `root`."""
    leaks = []
    for file in files:
        name = str(file.relative_to(root))
        leaks += [Leak(file, "in its name", value) for value in needles.in_text(name)]
        data = file.read_bytes()
        if data.startswith(PNG):
            leaks += [Leak(file, where, value) for where, value in _png(data, needles)]
        else:
            leaks += search_text(file, data, needles)
    return leaks


def search_text(file: Path, data: bytes, needles: Needles) -> Iterator[Leak]:
    """Looks in a file of text, or of bytes of any other kind."""
    texts = [data.decode("utf-8", "replace")]
    if file.suffix == ".json":  # A count may be any number, and is none of a patient.
        texts = [JSON_COUNT.sub(" ", texts[0])]
    if b"\0" in data:
        texts += [data.decode(code, "replace") for code in ("utf-16-le", "utf-16-be")]
    for value in set().union(*map(needles.in_text, texts)):
        yield Leak(file, "in its text", value)
    for raw in needles.in_bytes(data):
        if not raw.isascii():
            yield Leak(file, "in its bytes", _shown(raw))


def search_picture(
    file: Path, data: bytes, pixels: np.ndarray, needles: Needles
) -> list[Leak]:
    """Looks in a PNG whose pixels are at hand, uint8 grey or RGB."""
    hits = [*_png(data, needles, decode=False), *_pixels(pixels, needles)]
    return [Leak(file, where, value) for where, value in hits]


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk, and what follows the last as kind b""."""
    place = len(PNG)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length
        if kind == b"IEND":
            break
    if place != len(data):
        yield b"", data[min(place, len(data)) :]


def _png(
    data: bytes, needles: Needles, *, decode: bool = True
) -> Iterator[tuple[str, str]]:
    for kind, content in png_chunks(data):
        name = kind.decode("latin-1") if kind.isalpha() else "?"
        if not kind:
            yield "bytes after its end", ""
        elif kind not in PIXEL_CHUNKS:
            yield f"a chunk {name}, which no pixel needs", ""
        if kind == b"IDAT":
            hits = needles.compressed.search(content)
        else:
            hits = needles.in_bytes(content)
            for value in needles.in_text(content.decode("latin-1")):
                yield f"in its chunk {name}", value
        for raw in hits:
            yield f"in its chunk {name}", _shown(raw)
    if decode:
        import cv2

        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            yield "no picture", ""
        else:
            yield from _pixels(pixels, needles)


def _pixels(pixels: np.ndarray, needles: Needles) -> Iterator[tuple[str, str]]:
    """Looks in the rows of pixels, by channel and as they are interleaved."""
    planes: Sequence[np.ndarray] = [pixels]
    if pixels.ndim == 3:
        channels = [pixels[..., channel] for channel in range(pixels.shape[2])]
        planes = [pixels, pixels[..., ::-1], channels[0]]
        # Grey in three channels is looked through once.
        planes += [c for c in channels[1:] if not np.array_equal(c, channels[0])]
    hits = set()
    for plane in planes:
        whole = np.ascontiguousarray(plane)
        hits |= needles.pixels.search(whole.tobytes())
        if whole.dtype.itemsize == 2:
            hits |= needles.pixels.search((whole >> 8).astype(np.uint8).tobytes())
            hits |= needles.pixels.search((whole & 255).astype(np.uint8).tobytes())
    for raw in hits:
        yield "in its pixels", _shown(raw)


def _encoded(value: Identifier) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
        return
    for encoding in ENCODINGS[:3] if value.isascii() else ENCODINGS:
        try:
            yield value.encode(encoding)
        except UnicodeEncodeError:
            continue


def _shown(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
