import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from tests.drawn_frames import draw_frame
from usgland.quality.duplicates import candidate_pairs, find_duplicates
from usgland.quality.fingerprints import (
    comparable,
    cosine_bits,
    difference_bits,
    fingerprint,
)
from usgland.quality.frames import without_border


def duplicates_of(pictures):
    greys = [comparable(picture) for picture in pictures]
    return find_duplicates([fingerprint(grey) for grey in greys], greys.__getitem__)


def test_the_hashes_are_those_of_imagehash():
    grey = draw_frame(0)
    picture = Image.fromarray(grey)
    theirs = imagehash.dhash(picture, hash_size=16).hash.ravel()
    np.testing.assert_array_equal(difference_bits(grey) > 0, theirs)
    theirs = imagehash.phash(picture, hash_size=8).hash.ravel()
    np.testing.assert_array_equal(cosine_bits(grey) > 0, theirs)


def shifted(grey):
    return cv2.warpAffine(grey, np.float32([[1, 0, 30], [0, 1, -20]]), grey.shape[::-1])


def with_callipers(grey):
    grey = grey.copy()
    for place in ((90, 80), (220, 170)):
        cv2.drawMarker(grey, place, 255, cv2.MARKER_CROSS, 13, 1)
    return grey


CHANGES = {
    "crop": (lambda grey: grey[40:200, 60:290], "part"),
    "shift": (shifted, "part"),
    "pad": (lambda grey: np.pad(grey, ((20, 5), (40, 0))), "near"),
    "mirror": (lambda grey: grey[:, ::-1], "mirrored"),
    "upside down": (lambda grey: grey[::-1], "mirrored"),
    "gamma": (lambda grey: (255 * (grey / 255) ** 0.6).astype(np.uint8), "near"),
    "size": (lambda grey: cv2.resize(grey, None, fx=0.6, fy=0.6), "near"),
    "callipers": (with_callipers, "near"),
    "JPEG": (
        lambda grey: cv2.imdecode(
            cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0
        ),
        "near",
    ),
}


@pytest.fixture(scope="module")
def found():
    """Twelve frames, then a changed copy of one for each change."""
    pictures = [draw_frame(seed) for seed in range(12)]
    copies = [change(pictures[n]) for n, (change, _) in enumerate(CHANGES.values())]
    return duplicates_of([*pictures, *copies])


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found(found, name):
    number = list(CHANGES).index(name)
    pairs = [pair for pair in found if pair.first == number]
    assert [(pair.second, pair.kind) for pair in pairs] == [
        (12 + number, CHANGES[name][1])
    ]
    assert pairs[0].correlation > 0.8


def test_different_frames_are_no_copies(found):
    assert len(found) == len(CHANGES)


def test_a_single_picture_and_plain_ones_have_no_copies():
    assert duplicates_of([draw_frame(0)]) == []
    plain = np.full((50, 60), 7, np.uint8)
    assert duplicates_of([plain, plain + 90, np.zeros((40, 40), np.uint8)]) == []


def test_many_like_pictures_make_no_square_of_candidates():
    rng = np.random.default_rng(0)
    frame = draw_frame(0, 60, 80).astype(float)
    pictures = [frame + rng.normal(0, 3, frame.shape) for _ in range(120)]
    prints = [fingerprint(p.clip(0, 255).astype(np.uint8)) for p in pictures]
    assert len(candidate_pairs(prints)) <= 120 * 40


def test_the_plain_border_of_a_frame_is_left_out():
    grey = draw_frame(1)
    framed = np.pad(grey, ((30, 10), (0, 25)), constant_values=8)
    np.testing.assert_array_equal(without_border(framed), grey)
    nearly_empty = np.zeros((200, 200), np.uint8)
    nearly_empty[90:100, 90:100] = 200
    assert without_border(nearly_empty).size
