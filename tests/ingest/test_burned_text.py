import cv2
import numpy as np
import pytest

from usgland.errors import UserError
from usgland.ingest import burned_text
from usgland.ingest.burned_text import Box, mask_text, text_boxes


def speckle(height, width):
    rng = np.random.default_rng(0)
    grey = rng.rayleigh(40, (height, width)).clip(0, 255).astype(np.uint8)
    return cv2.GaussianBlur(grey, (5, 5), 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_words_are_boxed_and_filled_and_speckle_is_not(monkeypatch, channels):
    monkeypatch.setattr(burned_text, "SHORT_SIDE", 0)  # Small is quick.
    clean = speckle(256, 288)
    clean = clean if channels == 1 else np.stack([clean] * 3, axis=-1)
    assert text_boxes(clean) == []
    picture = clean.copy()
    cv2.putText(picture, "DOE JOHN", (40, 100), 0, 0.8, (255,) * 3, 2, cv2.LINE_AA)
    (box,) = text_boxes(picture)
    assert abs(box.x0 - 40) < 12
    assert box.y0 < 84
    assert box.y1 > 100
    drawn = (picture != clean).reshape(256, 288, -1).any(axis=2)
    masked = mask_text(picture, [box])
    filled = (masked == 0).reshape(256, 288, -1).all(axis=2)
    assert (filled & drawn).sum() > 0.95 * drawn.sum()
    assert picture.max() == 255, "the original stays"


def test_boxes_have_a_margin_and_the_pictures_scale():
    probability = np.zeros((100, 200), np.float32)
    probability[40:50, 60:100] = 0.9
    probability[80:90, 60:100] = 0.4  # too uncertain as a whole
    (box,) = burned_text._boxes(probability, 200, 400)
    # By hand: 11 x 41 pixels after the dilation, 1.6 * 451 / 104 = 6.9 around them, and
    # the picture is twice the map: 2 * (60 - 6.9) = 106, 2 * (101 + 6.9) = 215.9, ...
    assert box[:4] == (106, 66, 216, 116)
    assert 0.7 < box.probability < 0.9


def test_what_is_tall_is_an_echo(monkeypatch):
    boxes = [Box(0, 0, 300, 41, 0.9), Box(0, 50, 300, 80, 0.9)]
    monkeypatch.setattr(burned_text, "_session", lambda threads: None)
    monkeypatch.setattr(burned_text, "_text_map", lambda picture, session: None)
    monkeypatch.setattr(burned_text, "_boxes", lambda *_: boxes)
    assert text_boxes(np.zeros((600, 600), np.uint8)) == boxes[1:]


def test_a_package_without_the_network_is_told(monkeypatch):
    monkeypatch.setattr(burned_text, "MODEL", "models/none.onnx")
    with pytest.raises(UserError, match=r"--text .*none.onnx.* needs rapidocr"):
        burned_text._session(17)
