"""What the probes take away, and the sentence that says what is left."""

import numpy as np
import pandas as pd

from usgland.explanation.faithfulness import FIRST_LOOK
from usgland.explanation.letterbox import letterbox_of
from usgland.explanation.shortcut_tables import (
    OUTLINE_NOTE,
    notes,
    shortcuts_document,
    verdict,
)
from usgland.explanation.shortcuts import (
    NAMES,
    box_around,
    ellipse_around,
    find_overlays,
    middle_of,
    silhouette,
    without_overlays,
    without_region,
)
from usgland.models.preprocessing import Preprocessing


def test_a_region_is_filled_with_what_surrounds_it():
    pixels = np.full((56, 56, 1), 90, "uint8")
    pixels[20:30, 20:30] = 10
    region = np.zeros((56, 56), bool)
    region[20:30, 20:30] = True
    assert (without_region(pixels, region) == 90).all()
    assert (pixels[20:30, 20:30] == 10).all()
    assert (without_region(pixels, np.ones((56, 56), bool)) == 128).all()


def test_the_fill_does_not_take_the_black_of_the_padding():
    pixels = np.zeros((56, 56, 1), "uint8")
    pixels[10:46] = 100
    region = np.zeros((56, 56), bool)
    region[10:20, 5:50] = True
    assert (without_region(pixels, region)[10:46] == 100).all()


def test_the_box_and_the_middle_are_where_they_should_be():
    region = np.zeros((50, 50), bool)
    region[10, 20] = region[30, 25] = True
    expected = np.zeros((50, 50), bool)
    expected[10:31, 20:26] = True
    np.testing.assert_array_equal(box_around(region), expected)
    expected = np.zeros((100, 100), bool)
    expected[30:70, 10:90] = True  # The image has the rows 25 to 74.
    np.testing.assert_array_equal(middle_of(letterbox_of(50, 100, 100)), expected)


def test_the_ellipse_is_that_in_the_box_and_knows_no_outline():
    y, x = np.mgrid[:80, :90]
    star = (np.abs(y - 40) < 3) & (np.abs(x - 45) <= 20)
    star |= (np.abs(x - 45) < 3) & (np.abs(y - 40) <= 30)
    ellipse = ellipse_around(star)
    expected = ((y - 40) / 30.5) ** 2 + ((x - 45) / 20.5) ** 2 <= 1
    np.testing.assert_array_equal(ellipse, expected)
    np.testing.assert_array_equal(box_around(ellipse), box_around(star))
    np.testing.assert_array_equal(ellipse_around(expected), expected)
    assert not ellipse_around(np.zeros((5, 5), bool)).any()


def test_a_silhouette_has_two_greys_whatever_the_image():
    region = np.zeros((20, 20), bool)
    region[5:9, 3:7] = True
    shown = silhouette(region)
    assert (shown.shape, shown.dtype) == ((20, 20, 1), np.uint8)
    assert set(shown[..., 0][region]) == {64} and set(shown[..., 0][~region]) == {128}


def scan_with_text():
    rng = np.random.default_rng(0)
    grey = np.clip(60 + 20 * rng.normal(size=(120, 160)), 0, 140).astype("uint8")
    image = np.repeat(grey[..., None], 3, axis=2)
    image[20:50, 30:33] = 255  # a stroke of a letter
    image[80:90, 100:120] = (0, 0, 200)  # a red mark
    image[60:75, 20:50] = 220  # a bright patch of tissue, wider than a stroke
    return image


def test_text_and_colours_are_found_and_wide_bright_tissue_is_not():
    overlays = find_overlays(scan_with_text())
    assert overlays[20:50, 30:33].all()
    assert overlays[80:90, 100:120].all()
    assert not overlays[63:72, 25:45].any()
    assert overlays.mean() < 0.05


def test_overlays_are_painted_over_before_preprocessing():
    image = scan_with_text()
    grey = image.max(axis=2)
    preprocessing = Preprocessing(160, None)
    painted = without_overlays(grey, image, preprocessing)[20:140, :, 0]
    assert painted[20:50, 30:33].max() < 140
    elsewhere = ~find_overlays(image)
    np.testing.assert_array_equal(painted[elsewhere], grey[elsewhere])


def probes(low, high):
    value = (low + high) / 2
    rows = [("as_is", 0.9, 0.85, 0.95), ("no_box", value, low, high)]
    names = ["probe", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names).assign(n=50, interval="bootstrap")


def test_the_verdict_says_whether_the_model_knows_more_than_chance():
    assert verdict(probes(0.6, 0.8)) == (
        "Without the lesion the model still reaches AUC 0.70 (0.60 to 0.80), against "
        "0.90 with the whole image: a part of what it goes by lies elsewhere."
    )
    assert verdict(probes(0.4, 0.6)) == (
        "Without the lesion the model has AUC 0.50 (0.40 to 0.60), against 0.90 with "
        "the whole image: not shown to be better than chance."
    )
    assert "is not defined" in verdict(probes(np.nan, np.nan))
    frame = probes(0.6, 0.8).replace("no_box", "frame_only")
    assert verdict(frame).startswith(
        "From the frame of the image alone the model still"
    )


def test_a_note_says_which_look_the_probes_are_of():
    assert FIRST_LOOK in notes(probes(0.6, 0.8), 224, with_form=False)


def test_a_note_says_that_the_outline_may_know_the_label():
    table = probes(0.6, 0.8)
    assert OUTLINE_NOTE not in notes(table, 224, with_form=False)
    table = table.replace("no_box", "no_lesion")
    assert OUTLINE_NOTE in notes(table, 224, with_form=False)


def test_the_first_line_is_the_verdict_also_of_phantoms():
    table = probes(0.6, 0.8)
    document = shortcuts_document(table, ["A note."], synthetic=True)
    lines = document.markdown().splitlines()
    assert lines[0] == verdict(table)
    assert "SYNTHETIC" in lines[2]
    assert lines[-1] == "- A note."
    assert any(NAMES["no_box"] in line and "0.700" in line for line in lines)
