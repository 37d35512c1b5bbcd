import functools

import cv2
import numpy as np
import pytest

from usgland.data.phantom_draws import make_bits
from usgland.data.phantom_image import (
    DEVICES,
    draw_image,
    draw_patient,
    speckle_power,
)
from usgland.data.phantom_tissue import Tissue

PLAIN = {
    "bmi_kg_m2": 23.0,
    "location": "shallow",
    "shape": "round",
    "capsule": "absent",
    "regularity": "regular",
    "margin": "clear",
    "density": "low",
    "cystic_degeneration": "absent",
    "calcification": "absent",
}


def draw(patient=1, **changes):
    """An image and its mask; the same patient has the same random numbers."""
    shared = draw_patient({**PLAIN, **changes}, make_bits(0, patient))
    image, mask = draw_image(*shared, make_bits(0, patient, 1))
    return image.astype("float64"), mask


draw_once = functools.cache(draw)


def mean_over_patients(measure, **changes):
    patients = range(1, 5)
    return np.mean([measure(*draw_once(patient, **changes)) for patient in patients])


def outline(mask):
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(outlines, key=cv2.contourArea)


def solidity(image, mask):
    edge = outline(mask)
    return cv2.contourArea(edge) / cv2.contourArea(cv2.convexHull(edge))


def distance_from_an_ellipse(image, mask):
    edge = outline(mask)
    fitted = cv2.ellipse(np.zeros_like(mask), cv2.fitEllipse(edge), 255, -1)
    return ((fitted > 0) != (mask > 0)).sum() / (mask > 0).sum()


def signed_distance(mask):
    outside = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
    return outside - cv2.distanceTransform(mask, cv2.DIST_L2, 5)


def step_at_the_margin(image, mask):
    distance = signed_distance(mask)
    near_outside = image[(distance > 2) & (distance < 6)].mean()
    return near_outside - image[(distance < -2) & (distance > -6)].mean()


def line_at_the_margin(image, mask):
    distance = signed_distance(mask)
    line = image[(distance > -3) & (distance < 2)].mean()
    return line - image[(distance > 5) & (distance < 12)].mean()


def centre_row(image, mask):
    return np.nonzero(mask)[0].mean() / len(mask)


def grey_inside(image, mask):
    return image[signed_distance(mask) < -6].mean()


def brightest_inside(image, mask):
    return np.quantile(image[signed_distance(mask) < -6], 0.995)


def below_against_beside(image, mask):
    """Grey level behind the lesion less that of the same depth to its sides."""
    rows, columns = np.nonzero(mask)
    band = image[rows.max() + 8 : rows.max() + 30]
    middle = np.zeros(image.shape[1], bool)
    half = (columns.max() - columns.min()) // 4
    centre = (columns.max() + columns.min()) // 2
    middle[centre - half : centre + half] = True
    beside = np.zeros_like(middle)
    beside[columns.min() - 40 : columns.max() + 40] = True
    beside[columns.min() - 6 : columns.max() + 6] = False
    return band[:, middle].mean() - band[:, beside].mean()


@pytest.mark.parametrize(
    ("measure", "lower", "higher", "by"),
    [
        (centre_row, {"location": "shallow"}, {"location": "deep"}, 0.05),
        (distance_from_an_ellipse, {}, {"shape": "not round"}, 0.02),
        (solidity, {"regularity": "irregular"}, {}, 0.04),
        (step_at_the_margin, {"margin": "unclear"}, {}, 15),
        (line_at_the_margin, {}, {"capsule": "present"}, 10),
        (grey_inside, {"density": "cystic"}, {"density": "low"}, 10),
        (grey_inside, {"density": "low"}, {"density": "middle"}, 15),
        (grey_inside, {"density": "middle"}, {"density": "high"}, 20),
        (grey_inside, {"cystic_degeneration": "present"}, {}, 3),
        (brightest_inside, {}, {"calcification": "present"}, 25),
        (below_against_beside, {"calcification": "present"}, {}, 5),
        (below_against_beside, {}, {"density": "cystic"}, 10),
    ],
)
def test_the_image_follows_the_clinical_value(measure, lower, higher, by):
    low = mean_over_patients(measure, **lower)
    assert mean_over_patients(measure, **higher) > low + by


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "malignant", "histology": "adenocarcinoma"},
        {"gender": "female", "age_years": 80, "smoking": "yes", "drinking": "yes"},
        {"distribution": "bilateral"},
    ],
)
def test_what_no_one_sees_in_an_image_does_not_change_it(changes):
    (image, mask), (other, other_mask) = draw(), draw(**changes)
    assert np.array_equal(image, other) and np.array_equal(mask, other_mask)


def test_two_images_of_a_patient_show_one_lesion_in_other_slices():
    shared = draw_patient(PLAIN, make_bits(0, 1))
    (first, mask), (second, other_mask) = (
        draw_image(*shared, make_bits(0, 1, view)) for view in (1, 2)
    )
    assert first.shape != second.shape
    area, other_area = (mask > 0).sum(), (other_mask > 0).sum()
    assert 0.6 < area / other_area < 1.6 and area != other_area


def test_speckle_of_even_tissue_is_fully_developed():
    # Mean over standard deviation of the envelope: 1.91, Burckhardt, 1978,
    # https://doi.org/10.1109/T-SU.1978.30978
    even = np.ones((300, 400))
    tissue = Tissue(even, 0.0 * even, 0.0 * even)
    device = DEVICES[0]._replace(looks=1)
    power = speckle_power(tissue, device, device.pixels_per_mm, make_bits(0, 1, 1))
    envelope = np.sqrt(power)
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.06)
    assert power.mean() == pytest.approx(1, abs=0.05)


def test_averaging_three_looks_smooths_the_speckle():
    even = np.ones((300, 400))
    tissue = Tissue(even, 0.0 * even, 0.0 * even)
    device = DEVICES[0]._replace(looks=3)
    power = speckle_power(tissue, device, device.pixels_per_mm, make_bits(0, 1, 1))
    # The power of one look is exponential: mean / deviation 1, of n looks sqrt(n).
    assert power.mean() / power.std() == pytest.approx(np.sqrt(3), abs=0.1)
