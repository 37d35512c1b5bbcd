"""What training drops of the form and the image, and what prediction withholds."""

import numpy as np
import pytest
import tensorflow as tf

from usgland.config import ModelSettings
from usgland.training.parts import Form, Part, make_form_batches

CASES, COLUMNS = 2000, ("age", "age", "shape")


def part_of(given=1.0, pixels=True):
    features = np.tile(np.array([[1.0, 0.0, 1.0]], "float32"), (CASES, 1))
    form = Form(
        features,
        np.full((CASES, 1), given, "float32"),
        np.array([0.0, 1.0, 0.5], "float32"),
        COLUMNS,
    )
    images = np.zeros((CASES, 1, 1, 1), "uint8") if pixels else None
    return Part(images, np.zeros(CASES, int), form)


def take(part, **settings):
    batches = make_form_batches(part, ModelSettings(inputs="both", **settings))
    return [one.numpy() for one in batches(tf.range(CASES), tf.constant([3, 4]))]


def test_sides_are_dropped_as_often_as_asked_and_never_both():
    _, image_given, form_given = take(part_of(), modality_dropout=0.3)
    assert image_given.mean() == pytest.approx(0.7, abs=0.04)
    assert form_given.mean() == pytest.approx(0.7, abs=0.04)
    assert (image_given + form_given).min() == 1
    assert set(np.unique(image_given)) == set(np.unique(form_given)) == {0, 1}


def test_a_case_without_a_form_keeps_its_image():
    _, image_given, form_given = take(part_of(given=0.0), modality_dropout=0.4)
    assert form_given.max() == 0 and image_given.min() == 1


def test_values_are_dropped_column_by_column():
    features, *_ = take(part_of(), value_dropout=0.2)
    age_missing, shape_missing = features[:, 1] == 1, features[:, 2] == 0.5
    assert age_missing.mean() == pytest.approx(0.2, abs=0.03)
    assert shape_missing.mean() == pytest.approx(0.2, abs=0.03)
    assert (age_missing & shape_missing).mean() == pytest.approx(0.04, abs=0.02)
    np.testing.assert_array_equal(features[age_missing, 0], 0)


def test_nothing_is_dropped_where_nothing_is_asked():
    features, image_given, form_given = take(
        part_of(), value_dropout=0, modality_dropout=0
    )
    np.testing.assert_array_equal(features, part_of().form.features)
    assert image_given.min() == form_given.min() == 1


def test_the_same_seed_drops_the_same():
    for one, other in zip(take(part_of()), take(part_of()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_form_alone_has_no_sides_to_drop():
    (features,) = take(part_of(pixels=False))
    assert features.shape == (CASES, 3)


@pytest.mark.parametrize(("without", "expected"), [("image", (0, 1)), ("form", (1, 0))])
def test_a_side_is_withheld_on_demand(without, expected):
    _, _, image_given, form_given = part_of().inputs(without)
    assert (image_given.max(), form_given.max()) == expected
    _, _, image_given, form_given = part_of().inputs()
    assert image_given.min() == form_given.min() == 1


def test_images_alone_have_no_form_batches():
    part = Part(np.zeros((2, 1, 1, 1), "uint8"), np.zeros(2, int))
    assert make_form_batches(part, ModelSettings()) is None
    assert part.inputs() is part.pixels
