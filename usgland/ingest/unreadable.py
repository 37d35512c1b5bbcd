"""Why a file is skipped."""

import struct
import zlib

from PIL import Image
from pydicom.errors import BytesLengthException

# What pydicom, Pillow and the decoders raise on files that are broken; a worker that
# raises anything else, or ends, has its file skipped likewise.
BROKEN = (
    *(OSError, EOFError, zlib.error, struct.error, ArithmeticError, AttributeError),
    *(AssertionError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(MemoryError, BytesLengthException),
)


class UnreadableFileError(Exception):
    """A file that cannot be used, and in one line why not."""


def reason_of(error: BaseException) -> str:
    """An error as one line without what would command a terminal."""
    if isinstance(error, MemoryError):
        return "takes more memory than a file may"
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than are read"
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(x if x.isprintable() else "?" for x in text)[:300]
