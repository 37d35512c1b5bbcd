import cv2
import numpy as np
import pytest

from tests.drawn_frames import draw_frame
from usgland.quality.drawn_marks import (
    are_callipers,
    calliper_marks,
    coloured_share,
    is_split,
    words_among,
)


def coloured(grey):
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", [cv2.MARKER_CROSS, cv2.MARKER_TILTED_CROSS])
@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 255, 0), (0, 255, 0)])
def test_callipers_are_seen_where_they_were_drawn(kind, colour):
    frame = coloured(draw_frame(3) // 2)
    places = [(110, 90), (210, 150)]
    for place in places:
        cv2.drawMarker(frame, place, colour, kind, 11, 1)
    marks = calliper_marks(frame)
    assert are_callipers(marks)
    scale = 384 / 320
    seen = sorted((round(x / scale), round(y / scale)) for x, y, _ in marks[:2])
    assert np.abs(np.subtract(seen, places)).max() <= 2


def test_a_plain_frame_and_a_single_cross_have_no_callipers():
    assert not any(
        are_callipers(calliper_marks(coloured(draw_frame(n)))) for n in range(8)
    )
    frame = coloured(draw_frame(3) // 2)
    cv2.drawMarker(frame, (110, 90), (255, 255, 255), cv2.MARKER_CROSS, 11, 1)
    assert not are_callipers(calliper_marks(frame))


def test_words_are_no_cut_logos_and_no_numbers_of_callipers():
    shape, marks = (300, 384, 3), [(200, 150, 120), (260, 150, 110)]
    word = (50, 250, 120, 270, 0.9)
    logo, digit = (0, 0, 30, 20, 0.9), (205, 135, 220, 150, 0.9)
    assert words_among([word, logo, digit], shape, marks) == 1
    # The same digit without a cross beside it, a name at the top, and what is unsure.
    name, unsure = (0, 0, 200, 20, 0.9), (50, 250, 120, 270, 0.6)
    assert words_among([digit], shape, []) == 1
    assert words_among([name], shape, marks) == 1
    assert words_among([unsure], shape, marks) == 0


def test_colour_is_told_from_a_tint():
    frame = coloured(draw_frame(0))
    assert coloured_share(frame) == 0
    tinted = np.clip(frame * np.array([1.0, 0.95, 0.8]), 0, 255).astype(np.uint8)
    assert coloured_share(tinted) < 0.002
    frame[60:90, 100:140] = (220, 30, 20)
    assert coloured_share(frame) == pytest.approx(30 * 40 / (240 * 320))


def test_two_pictures_side_by_side_are_split():
    strip = np.zeros((240, 12), np.uint8)
    both = np.hstack([draw_frame(0), strip, draw_frame(1)])
    assert is_split(both)
    assert not is_split(draw_frame(0))
    shadow = np.hstack([draw_frame(0), np.zeros((240, 300), np.uint8)])
    assert not is_split(shadow)
