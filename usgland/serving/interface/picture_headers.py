"""How large the picture in a file is, by its header: what it will cost to decode it."""

import struct

MOST_SEGMENTS = 4096  # of a JPEG, in which its size is looked for


def area_of(content: bytes) -> int:
    """Pixels of a PNG, BMP or JPEG file, times the scans of a JPEG; else 0."""
    try:
        if content.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", content, 16)
            return width * height
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return abs(width * height)
        if content.startswith(b"\xff\xd8"):
            return _jpeg_area(content) * max(1, content.count(b"\xff\xda"))
    except struct.error:
        pass  # It ends too early, which the decoder says.
    return 0


def _jpeg_area(content: bytes) -> int:
    """Follows the segments to the frame header (ITU-T T.81, B.2.2)."""
    place = 2
    for _ in range(MOST_SEGMENTS):
        if place >= len(content) - 9 or content[place] != 0xFF:
            break  # It ends too early, or is none.
        mark = content[place + 1]
        if mark == 0xFF:  # a byte that fills
            place += 1
        elif 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, place + 5)
            return width * height
        else:
            (length,) = struct.unpack_from(">H", content, place + 2)
            place += 2 + max(length, 2)
    return 0
