"""The part of a check that takes seconds, before every training.

Copies by one hash alone: it finds those that are shrunk, lightened or compressed, and
not crops or mirrored ones.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from usgland.data.images import UnusableError, check_files
from usgland.quality.fingerprints import difference_bits
from usgland.quality.frames import read_frame, without_border

NEAR_BITS = 40  # of 256 that may differ
REMEMBERED = "hashes-1"  # what is kept by file; another number forgets it
BLOCK = 512  # pictures that are compared with all others at a time
MOST_NEAR = 10_000  # pairs; of more there is no need to know


class HashCheck(NamedTuple):
    """What is remembered of a file: the digest of its pixels, and its hash in hex."""

    sha256: str
    bits: str


def hashes_of(paths: Sequence[str], manifest: Path | None) -> NDArray[np.int8]:
    """The dHash of each file, `(files, 256)` of 1 and -1; 0 where it cannot be read.

    What an earlier look at the manifest found is taken for files that are unchanged.
    """
    checks = check_files(paths, REMEMBERED, _hash_of, HashCheck, manifest)
    hashes = np.zeros((len(paths), 256), np.int8)
    for row, check in enumerate(checks):
        if check.bits:
            packed = np.frombuffer(bytes.fromhex(check.bits), np.uint8)
            hashes[row] = 2 * np.unpackbits(packed).astype(np.int8) - 1
    return hashes


def near_pairs(hashes: NDArray[np.int8]) -> list[tuple[int, int]]:
    """Pairs of pictures whose hashes nearly agree, the earlier first."""
    values = hashes.astype(np.float32)
    known = np.flatnonzero(hashes.any(axis=1))
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(known), BLOCK):
        some, rest = known[start : start + BLOCK], known[start:]
        alike = values[some] @ values[rest].T >= 256 - 2 * NEAR_BITS
        alike &= rest > some[:, None]
        near = np.argwhere(alike)
        pairs += [(int(some[row]), int(rest[other])) for row, other in near]
        if len(pairs) >= MOST_NEAR:
            return pairs[:MOST_NEAR]
    return pairs


def _hash_of(path: str) -> HashCheck:
    try:
        frame = read_frame(path)
    except UnusableError:
        return HashCheck("", "")
    bits = difference_bits(without_border(frame.grey)) > 0
    digest = hashlib.sha256(frame.colour.tobytes()).hexdigest()
    return HashCheck(digest, np.packbits(bits).tobytes().hex())
