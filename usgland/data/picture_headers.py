"""What a picture will cost to decode, by the marks in its file: pixels and scans."""

import re
import struct
from typing import Any

MOST_SCANS = 100  # of a JPEG: encoders write ten, and each decodes all of it again
MOST_SEGMENTS = 4096  # of a JPEG: one whose profile is 100 megabytes has fewer
SCAN, END = 0xDA, 0xD9
# Of a PNG. Each packed text unpacks to eight megabytes at most, so a few take no time;
# more may only be short.
MOST_PACKED, MOST_PACKED_BYTES = 16, 2**16
PACKED = (b"zTXt", b"iTXt", b"iCCP")
MOST_CHUNKS = 2**14
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2}  # of a pixel, by the colour type; else 4
PNG_BYTE_COST = 4  # pixels: as its rows may unpack to more than they need
NO_FRAMES = (0xC4, 0xC8, 0xCC)  # between C0 and CF, but no header of a frame
# The codes behind 0xFF that are no mark, or none with a length: a byte that is 0xFF
# itself, one that fills, a restart (ITU-T T.81, table B.1).
PLAIN = (0x00, 0x01, *range(0xD0, 0xD8), 0xFF)
MARK = re.compile(b"\xff[^" + b"".join(b"\\x%02x" % code for code in PLAIN) + b"]")


def area_of(content: bytes) -> int:
    """Pixels of a PNG, BMP or JPEG file, times the scans of a JPEG; else 0."""
    try:
        if content.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", content, 16)
            return max(width * height, PNG_BYTE_COST * len(content))
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return abs(width * height)
        if content.startswith(b"\xff\xd8"):
            area, scans = jpeg_cost(content)
            return area * max(1, scans)
    except struct.error:
        pass  # It ends too early, which the decoder says.
    return 0


def png_bomb(content: bytes) -> str:
    """What a PNG has beside its picture that would take long to unpack; "" if nothing.

    A decoder unpacks all that is packed, also rows beyond the last. Those of the
    picture can hardly be longer than before they were packed.
    """
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    depth, colour = (*content[24:26], 0, 0)[:2]
    row = 1 + (width * depth * SAMPLES.get(colour, 4) + 7) // 8
    size, most = len(content), most_packed(row * height)
    if size <= MOST_PACKED_BYTES or (
        size <= most and sum(map(content.count, PACKED)) <= MOST_PACKED
    ):
        return ""
    place, rows, packed, packed_bytes = 8, 0, 0, 0
    for _ in range(MOST_CHUNKS):
        length = int.from_bytes(content[place : place + 4])
        name = content[place + 4 : place + 8]
        if len(name) < 4 or name == b"IEND":
            break
        if name in PACKED:
            packed, packed_bytes = packed + 1, packed_bytes + length
        rows += length if name == b"IDAT" else 0
        place += 12 + length
    else:
        return f"more than {MOST_CHUNKS} chunks"
    if packed > MOST_PACKED and packed_bytes > MOST_PACKED_BYTES:
        return f"{packed} packed texts"
    return "rows beyond its last" if rows > most else ""


def most_packed(rows: Any) -> Any:
    """Bytes that rows of so many bytes may have when they are packed."""
    return rows + rows // 4 + 2**14


def jpeg_cost(content: bytes) -> tuple[int, int]:
    """Pixels of a JPEG file and its scans, counted as far as one more than is allowed.

    As libjpeg looks for them, from mark to mark: what an editor has put into a segment,
    such as a small picture, or behind the end is none of its scans. Where there are
    more segments than anyone writes, more scans than are allowed are said.
    """
    place, area, scans = 2, 0, 0
    for _ in range(MOST_SEGMENTS):
        mark = MARK.search(content, place)
        if mark is None:
            return area, scans
        code, place = content[mark.end() - 1], mark.end()
        if code == END:
            return area, scans
        scans += code == SCAN
        if scans > MOST_SCANS:
            break
        if 0xC0 <= code <= 0xCF and code not in NO_FRAMES and not area:
            height, width = (
                content[place + 3 : place + 5],
                content[place + 5 : place + 7],
            )
            area = int.from_bytes(height) * int.from_bytes(width)
        place += max(int.from_bytes(content[place : place + 2]), 2)
    return area, MOST_SCANS + 1
