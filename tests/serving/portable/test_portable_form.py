"""The form in plain operations equals the model's own encoding, or is refused."""

import numpy as np
import pytest
import tensorflow as tf

from tests.serving.portable_runs import ENCODING, FORMS, KINDS, REFUSED, form
from usgland.models.clinical import ClinicalEncoding
from usgland.serving.portable.portable_form import (
    MISSING,
    UNKNOWN,
    accepted_texts,
    encode_form,
    form_specs,
)


@pytest.fixture(scope="module")
def layer():
    return ClinicalEncoding(ENCODING)


def tensors(values):
    return [tf.constant(column) for column in form(values).values()]


def coded(values):
    """Words as their codes, as the dictionary of an ONNX file gives them."""
    columns = []
    for column, cells, kind in zip(ENCODING, form(values).values(), KINDS, strict=True):
        if kind == "float32":
            columns.append(tf.constant(cells))
            continue
        texts = list(accepted_texts(column))
        codes = {text: number for number, text in enumerate(texts)} | {"": MISSING}
        columns.append(tf.constant([codes.get(text, UNKNOWN) for text in cells]))
    return columns


@pytest.mark.parametrize("make_values", [tensors, coded])
def test_every_form_is_encoded_as_the_layer_of_the_model_does(layer, make_values):
    features, any_given = layer(tensors(FORMS))
    encoded = encode_form(layer, make_values(FORMS))
    np.testing.assert_array_equal(encoded.features, features)
    np.testing.assert_array_equal(encoded.is_given, any_given)
    assert not encoded.refused.numpy().any()
    assert np.asarray(any_given)[:, 0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("make_values", [tensors, coded])
def test_a_value_that_the_layer_does_not_take_is_refused_and_no_other_one(
    layer, make_values
):
    for values in REFUSED:
        with pytest.raises(tf.errors.InvalidArgumentError):
            layer(tensors([values]))
    refused = encode_form(layer, make_values([*REFUSED, *FORMS])).refused.numpy()
    assert refused.tolist() == [True] * len(REFUSED) + [False] * len(FORMS)


def test_words_are_taken_as_the_schema_has_them_and_in_small_letters():
    assert accepted_texts(ENCODING[2]) == {
        "oval": "Oval",
        "Oval": "Oval",
        "irregular": "irregular",
        "jagged": "irregular",
    }


def test_the_inputs_are_named_after_the_columns():
    specs = form_specs(ENCODING, batch=1, coded=False)
    assert [(spec.name, spec.dtype.name, spec.shape.as_list()) for spec in specs] == [
        ("age_years", "float32", [1]),
        ("bmi_kg_m2", "float32", [1]),
        ("shape", "string", [1]),
        ("margin", "string", [1]),
    ]
    specs = form_specs(ENCODING, batch=None, coded=True)
    assert [spec.dtype.name for spec in specs[2:]] == ["int64", "int64"]
