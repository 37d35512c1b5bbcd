"""Pictures of a table that show one acquisition: copies, crops, mirrored ones.

Hashes alone do not tell: a crop has another hash, and two frames of one lesion have
hashes that are near. So a wide set of pairs by fingerprints, and each pair is laid on
each other by points that both show.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from usgland.data.waiting import watched
from usgland.machine import usable_cores
from usgland.quality.fingerprints import MIRRORED, WAYS, Fingerprint, mirrored
from usgland.quality.shared_points import (
    TABLES,
    WHOLE,
    WORD_BITS,
    Points,
    find_points,
    lay_on,
)

DIFFERENT_BITS = 90  # of the 256 of dHash
COSINE_DIFFERENT = 15  # of the 64 of pHash
THUMBNAIL_ALIKE = 0.88  # correlation
WORDS_ALIKE = 0.02  # cosine of rare words that are shared, of unlike ones .012
NEAREST = 10  # pictures by their words, of each
COMMON = 0.03  # share of pictures whose word tells nothing, as one of a scanner's scale
FEW = 20  # pictures; a word of no more is kept
BLOCK = 256  # pictures whose products with all others are held at a time
MOST_CANDIDATES = 40  # of one picture; the nearest are kept
KEPT_PICTURES = 1024  # with their points, of about 150 kB each


class Pair(NamedTuple):
    """Two pictures of one acquisition.

    Attributes:
        first: Number of the one that comes earlier in the table.
        second: Number of the other.
        kind: `"exact"` (pixel for pixel), `"near"`, `"part"` (a crop or a shift) or
            `"mirrored"`.
        correlation: Of grey levels where both have pixels.
    """

    first: int
    second: int
    kind: str
    correlation: float


def find_duplicates(
    prints: Sequence[Fingerprint], load: Callable[[int], NDArray[np.uint8]]
) -> list[Pair]:
    """Finds the pairs of pictures that show one acquisition.

    Args:
        prints: One a picture, no two of which are the same pixel for pixel.
        load: Gives what `comparable` gave of a picture, by its number.

    Returns:
        Pairs in order; of three copies there are three.
    """

    @functools.lru_cache(KEPT_PICTURES)
    def points(number: int, way: str) -> Points:
        return find_points(mirrored(load(number), way))

    def judge(candidate: tuple[int, int, str]) -> Pair | None:
        first, second, way = candidate
        laid = lay_on(points(first, ""), points(second, way))
        if not laid.is_one_acquisition():
            return None
        kind = "mirrored" if way else "near" if laid.overlap >= WHOLE else "part"
        return Pair(first, second, kind, laid.correlation)

    candidates = candidate_pairs(prints)
    best: dict[tuple[int, int], Pair] = {}
    with ThreadPoolExecutor(usable_cores()) as pool:
        judged = _in_blocks(pool, judge, candidates)
        for pair in watched(judged, len(candidates), "Comparing pictures"):
            if pair is None:
                continue
            known = best.get(pair[:2])
            if known is None or pair.correlation > known.correlation:
                best[pair[:2]] = pair
    return [best[key] for key in sorted(best)]


def _in_blocks(
    pool: ThreadPoolExecutor, judge: Callable, candidates: Sequence
) -> Iterator[Pair | None]:
    """The answers in order; no more than a block waits, so that Ctrl-C ends it soon."""
    for start in range(0, len(candidates), BLOCK):
        yield from pool.map(judge, candidates[start : start + BLOCK])


def candidate_pairs(prints: Sequence[Fingerprint]) -> list[tuple[int, int, str]]:
    """Pairs of pictures that may be one; most of them are not.

    Returns:
        The earlier number, the later, and "x" if the second is to be mirrored; sorted.
    """
    if len(prints) < 2:
        return []
    alike: dict[tuple[int, int, str], float] = {}
    for pairs in (_alike_by_hash(prints), _alike_by_words(prints)):
        for one, two, way, strength in pairs:
            key = (min(one, two), max(one, two), way)
            alike[key] = max(alike.get(key, -1.0), strength)
    counts = np.zeros(len(prints), int)
    chosen = []
    for one, two, way in sorted(alike, key=lambda key: (-alike[key], key)):
        if min(counts[one], counts[two]) < MOST_CANDIDATES:
            counts[[one, two]] += 1
            chosen.append((one, two, way))
    return sorted(chosen)


def _alike_by_hash(
    prints: Sequence[Fingerprint],
) -> Iterator[tuple[int, int, str, float]]:
    """Pairs whose hashes or thumbnails are near, with the correlation of the last."""
    difference = np.stack([each.difference for each in prints])
    cosine = np.stack([each.cosine for each in prints])
    thumbnails = np.stack([each.thumbnail for each in prints])
    flat = thumbnails.reshape(len(prints), -1)
    for number, way in enumerate(WAYS):
        turned = mirrored(thumbnails, way).reshape(len(prints), -1).T
        bits = difference[:, number].astype(np.float32).T
        waves = cosine[:, number].astype(np.float32).T
        for start in range(0, len(prints), BLOCK):
            rows = slice(start, start + BLOCK)
            correlation = flat[rows] @ turned
            near = correlation >= THUMBNAIL_ALIKE
            near |= difference[rows, 0] @ bits >= 256 - 2 * DIFFERENT_BITS
            near |= cosine[rows, 0] @ waves >= 64 - 2 * COSINE_DIFFERENT
            near &= np.arange(len(prints)) > start + np.arange(len(near))[:, None]
            # A half turn is none for ORB, so that two of the four ways are enough.
            mirror = "x" if way in MIRRORED else ""
            for row, other in np.argwhere(near):
                yield start + int(row), int(other), mirror, correlation[row, other]


def _alike_by_words(
    prints: Sequence[Fingerprint],
) -> Iterator[tuple[int, int, str, float]]:
    """Pairs that share more rare words than others, with their cosine: also crops."""
    plain = _counted([each.words for each in prints])
    turned = _counted([each.mirrored_words for each in prints])
    pictures = np.asarray(plain.sum(axis=0)).ravel()
    rare = (pictures > 0) & (pictures <= max(FEW, COMMON * len(prints)))
    weights = np.where(rare, np.log1p(len(prints) / np.maximum(pictures, 1)), 0)
    weighted = plain.multiply(weights[None].astype(np.float32)).tocsr()
    lengths = np.sqrt(np.asarray(weighted.multiply(plain).sum(axis=1)).ravel())
    lengths = np.maximum(lengths, 1e-6)
    for way, others in (("", plain), ("x", turned)):
        transposed = others.T.tocsr()
        for start in range(0, len(prints), BLOCK):
            rows = slice(start, start + BLOCK)
            cosine = (weighted[rows] @ transposed).toarray()
            cosine /= lengths[rows, None] * lengths[None]
            here = np.arange(len(cosine))
            cosine[here, start + here] = -1
            count = min(NEAREST, len(prints) - 1)
            nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
            for row, other in zip(here.repeat(count), nearest.ravel(), strict=True):
                if cosine[row, other] >= WORDS_ALIKE:
                    yield start + int(row), int(other), way, cosine[row, other]


def _counted(words: Sequence[NDArray[np.int32]]) -> csr_matrix:
    """`(pictures, words)`: 1 where a picture has a word."""
    ends = np.cumsum([0, *map(len, words)])
    shape = (len(words), TABLES << WORD_BITS)
    said = np.concatenate(words)
    return csr_matrix((np.ones(len(said), np.float32), said, ends), shape=shape)
