"""Where in a frame the scan is."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from tests.dicom_files import region
from usgland.ingest.safe_pictures import read_picture
from usgland.ingest.scan_regions import detect_scan_area, regions_of

SHAPE = (48, 64)
DATA = Path(__file__).parents[3] / "shared/data"


def regions(*items):
    dataset = Dataset()
    dataset.SequenceOfUltrasoundRegions = list(items)
    return regions_of(dataset, SHAPE)


def corners(part):
    return part.x0, part.y0, part.x1, part.y1


def test_a_region_ends_with_its_last_pixel_and_has_its_spacing():
    (part,), refused = regions(region(2, 3, 61, 44))
    assert corners(part) == (2, 3, 62, 45)
    assert part.spacing_mm == pytest.approx((0.1, 0.2))
    assert (part.source, part.flags, refused) == ("tag", (), [])


def test_a_last_column_that_is_one_too_far_is_clamped():
    (part,), refused = regions(region(0, 0, 64, 48))
    assert corners(part) == (0, 0, 64, 48)
    assert (part.flags, refused) == (("region_clamped",), [])


@pytest.mark.parametrize(
    "place", [(0, 0, 65, 40), (0, 0, 40, 49), (64, 0, 64, 40), (9, 9, 8, 20)]
)
def test_a_region_outside_of_the_picture_is_refused(place):
    assert regions(region(*place)) == ([], ["region_outside"])


def test_a_corner_that_is_no_number_is_refused():
    item = region(1, 2, 30, 20)
    item.add_new(0x00186018, "FD", float("inf"))  # RegionLocationMinX0
    assert regions(item) == ([], ["region_outside"])


@pytest.mark.parametrize(
    ("space", "kind"),
    [(2, 1), (3, 3), (3, 4), (4, 10), (5, 1), (1, 18), (1, 2), (0, 0)],
)
def test_only_tissue_in_two_dimensions_is_taken(space, kind):
    """M-mode, spectra, waveforms, graphics, elastography, colour flow, unknown."""
    kept, refused = regions(region(0, 0, 9, 9, space, kind), region(20, 0, 40, 20))
    assert [corners(part) for part in kept] == [(20, 0, 41, 21)]
    assert refused == ["region_not_b_mode"]


def test_each_region_of_a_split_screen_is_taken_and_a_copy_is_not():
    left, right = region(0, 0, 30, 40), region(32, 0, 63, 40)
    kept, _ = regions(left, right, left)
    assert [corners(part) for part in kept] == [(0, 0, 31, 41), (32, 0, 64, 41)]


def test_colour_flow_over_a_region_is_told():
    (part,), _ = regions(region(0, 0, 40, 40), region(9, 9, 20, 20, kind=2))
    assert part.flags == ("colour_flow",)


@pytest.mark.parametrize(
    "values",
    [
        {"PhysicalUnitsXDirection": 4},  # seconds
        {"PhysicalDeltaX": 0.0},
        {"PhysicalDeltaX": float("nan")},
        {"PhysicalDeltaX": 20.0},
    ],
)
def test_a_spacing_that_is_none_is_left_out(values):
    (part,), _ = regions(region(0, 0, 40, 40, **values))
    assert part.spacing_mm is None


def test_a_header_without_regions_names_none():
    assert regions_of(Dataset(), SHAPE) == ([], [])


def frame(rows=200, columns=300):
    """A scan among lines of small text, on black."""
    picture = np.zeros((rows, columns), np.uint8)
    rng = np.random.default_rng(0)
    picture[40:170, 60:240] = rng.integers(15, 200, (130, 180))
    for row in (8, 18, 185):
        picture[row : row + 6, 10:90:4] = 255
    return picture


@pytest.mark.parametrize("bar", [0, 90])
def test_the_scan_is_found_among_text_and_bars(bar):
    picture = frame()
    picture[:28, 100:] = bar
    part = detect_scan_area([picture])
    assert np.abs(np.subtract(corners(part), (60, 40, 240, 170))).max() <= 3
    assert (part.source, part.flags) == ("detected", ("region_detected",))


def test_a_cyst_that_parts_the_scan_does_not_hide_half_of_it():
    picture = frame()
    picture[80:150, 60:240] = 0
    part = detect_scan_area([picture])
    assert np.abs(np.subtract(corners(part), (60, 40, 240, 170))).max() <= 3


def test_dark_frames_of_a_cine_do_not_hide_the_scan():
    part = detect_scan_area([np.zeros((200, 300), np.uint8), frame()])
    assert part.source == "detected"


def test_a_picture_that_is_all_scan_or_none_is_taken_whole():
    full = np.random.default_rng(0).integers(60, 90, (60, 80), dtype=np.uint8)
    part = detect_scan_area([full])
    assert (part.source, part.flags) == ("whole", ("region_detected",))
    part = detect_scan_area([np.stack([full * 0] * 3, axis=-1)])
    assert (part.source, part.flags) == ("whole", ("region_not_detected",))
    assert corners(part) == (0, 0, 80, 60)


@pytest.mark.parametrize("name", ["busi", "breast_usg"])
def test_no_lesion_of_real_pictures_is_cut_off(name):
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip("needs the pictures of the public sets")
    masks = sorted((folder / "masks").iterdir())[::12]
    for path in masks:
        (image,) = (folder / "images").glob(f"{path.stem}.*")
        part = detect_scan_area([read_picture(image)])
        rows, columns = np.nonzero(np.asarray(Image.open(path).convert("L")) > 127)
        assert part.x0 <= columns.min() <= columns.max() < part.x1
        assert part.y0 <= rows.min() <= rows.max() < part.y1
