"""Regions and the measures on them, by hand."""

import numpy as np

from usgland.explanation.letterbox import letterbox_of
from usgland.explanation.regions import (
    REGIONS,
    band_pixels,
    centre_map,
    energy_shares,
    overlap,
    points_at,
    regions_of,
)

BOX = letterbox_of(56, 112, 112)  # rows 28 to 83 of a square of 112; the band is 4
LESION = np.zeros((112, 112), bool)
LESION[40:61, 30:71] = True


def test_regions_part_the_square():
    regions = regions_of(LESION, BOX)
    assert tuple(regions) == REGIONS
    assert (sum(region.astype(int) for region in regions.values()) == 1).all()
    assert regions["padding"].sum() == 112 * 56
    assert band_pixels(112) == 4
    # On a straight side the band reaches 4 pixels to either side of the outline.
    column = regions["border"][:, 50]
    np.testing.assert_array_equal(
        np.flatnonzero(column), [*range(36, 44), *range(57, 65)]
    )
    assert regions["inside"][44:57, 50].all()


def test_energy_is_shared_by_where_it_lies():
    values = np.zeros((112, 112), "float32")
    values[50, 50], values[40, 50], values[80, 5], values[0, 0] = 4, 3, 2, 1
    shares = energy_shares(values, regions_of(LESION, BOX))
    expected = {"inside": 0.4, "border": 0.3, "outside": 0.2, "padding": 0.1}
    assert {region: round(share, 6) for region, share in shares.items()} == expected


def test_the_strongest_pixel_may_lie_just_beside_the_lesion():
    for row, hit in ((50, 1), (64, 1), (66, 0)):
        values = np.zeros((112, 112))
        values[row, 50] = 1
        assert points_at(values, LESION) == hit
    values = np.ones((112, 112))
    assert 0 < points_at(values, LESION) < 0.2


def test_overlap_is_intersection_over_union():
    values = np.zeros((112, 112))
    values[40:61, 50:91] = 0.6  # 21 of the lesion's 41 columns
    values[50, 60] = 1
    assert round(overlap(values, LESION), 6) == round(21 / 61, 6)


def test_a_map_of_zeros_says_nothing():
    nothing = np.zeros((112, 112))
    assert np.isnan(points_at(nothing, LESION))
    assert np.isnan(overlap(nothing, LESION))
    assert np.isnan(energy_shares(nothing, regions_of(LESION, BOX))["inside"])


def test_the_centre_map_peaks_in_the_middle_and_leaves_the_padding():
    values = centre_map(BOX)
    assert np.unravel_index(values.argmax(), values.shape) in {(55, 55), (55, 56)}
    assert values[regions_of(LESION, BOX)["padding"]].sum() == 0
