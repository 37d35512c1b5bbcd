"""The encoding of the form: numbers, words, what is missing, and what is refused."""

import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from usgland.models.clinical import (
    ClinicalEncoding,
    IsGiven,
    form_values,
    learn_encoding,
    unseen_words,
)
from usgland.schema import ClinicalColumn, ClinicalSettings

COLUMNS = {
    "age": ClinicalColumn(
        kind="number", role="demographic", unit="years", low=1, high=110
    ),
    "shape": ClinicalColumn(
        kind="category",
        role="image_read",
        words={"round": (), "not round": ("Lobed",), "flat": ()},
    ),
    "halo": ClinicalColumn(kind="yes_no", role="image_read"),
}
ROWS = pd.DataFrame(
    {
        "patient_id": ["a", "a", "b", "c", "d"],
        "age": [40.0, 40.0, 60.0, math.nan, 71.0],
        "shape": ["round", "round", "not round", "round", ""],
        "halo": ["yes", "yes", "no", "", "no"],
    }
)


def settings_of(**changes):
    return ClinicalSettings(columns=COLUMNS, **changes)


def layer_of(**changes):
    return ClinicalEncoding(learn_encoding(ROWS, settings_of(**changes)))


def encode(layer, age, shape, halo):
    values = [tf.constant([age], tf.float32), tf.constant([shape]), tf.constant([halo])]
    features, any_known = layer(values)
    return features.numpy()[0], float(any_known[0, 0])


def test_known_values_agree_with_scikit_learn():
    patients = ROWS.drop_duplicates("patient_id")
    known = patients.dropna().query("shape != ''")
    layer = layer_of()
    values = form_values(known, layer.columns)
    features = layer([tf.constant(column) for column in values.values()])[0].numpy()
    scaler = StandardScaler().fit(patients[["age"]].dropna())
    one_hot = OneHotEncoder(
        categories=[["round", "not round", "flat"], ["yes", "no"]], sparse_output=False
    ).fit_transform(known[["shape", "halo"]])
    age = scaler.transform(known[["age"]])[:, 0]
    np.testing.assert_allclose(features[:, 0], age, atol=1e-6)
    np.testing.assert_array_equal(features[:, 2:5], one_hot[:, :3])
    np.testing.assert_array_equal(features[:, 6:8], one_hot[:, 3:])
    assert not features[:, [1, 5, 8]].any()  # nothing is missing


def test_a_patient_counts_once_however_many_images():
    age, shape, _ = learn_encoding(ROWS, settings_of())
    assert age["mean"] == pytest.approx((40 + 60 + 71) / 3)
    assert shape["shares"] == pytest.approx([2 / 3, 1 / 3, 0])


def test_features_are_named_after_their_columns():
    # Each word is a feature, and so is what is missing.
    expected = ["age"] * 2 + ["shape"] * 4 + ["halo"] * 3
    assert layer_of().feature_columns() == expected


def test_a_missing_value_is_a_state_of_its_own():
    features, any_known = encode(layer_of(), math.nan, "", "")
    np.testing.assert_array_equal(features, [0, 1, 0, 0, 0, 1, 0, 0, 1])
    assert any_known == 0
    np.testing.assert_array_equal(layer_of().missing_features(), features)
    assert encode(layer_of(), math.nan, "", "no")[1] == 1


def test_without_an_indicator_a_missing_value_is_an_average_patient():
    features, _ = encode(layer_of(missing_indicator=False), math.nan, "", "yes")
    np.testing.assert_allclose(features, [0, 2 / 3, 1 / 3, 0, 1, 0], atol=1e-6)


def test_case_spaces_and_synonyms_do_not_matter():
    layer = layer_of()
    for text in ("Not Round", "  not\t round ", "LOBED", "lobed"):
        assert encode(layer, 50, text, "Y")[0][3] == 1
        assert encode(layer, 50, text, "True")[0][6] == 1


def test_a_word_that_no_training_patient_had_counts_as_missing():
    features, any_known = encode(layer_of(), math.nan, "flat", "")
    np.testing.assert_array_equal(features, [0, 1, 0, 0, 0, 1, 0, 0, 1])
    assert any_known == 0
    rows = ROWS.assign(shape=["flat", "flat", "round", "", "not round"])
    columns = learn_encoding(ROWS, settings_of())
    assert unseen_words(rows, columns) == {"shape": {"flat": 2}}


def test_a_number_far_out_is_cut():
    assert encode(layer_of(), 1.0, "", "")[0][0] > -4.01
    narrow = learn_encoding(
        ROWS.assign(age=[50.0, 50.0, 50.1, 50.0, 50.0]), settings_of()
    )
    assert encode(ClinicalEncoding(narrow), 110.0, "", "")[0][0] == 4


@pytest.mark.parametrize("ages", [[50.0] * 5, [math.nan] * 5])
def test_a_number_that_never_varies_does_not_divide_by_zero(ages):
    layer = ClinicalEncoding(learn_encoding(ROWS.assign(age=ages), settings_of()))
    assert np.isfinite(encode(layer, 60.0, "", "")[0]).all()


@pytest.mark.parametrize(
    ("age", "shape", "halo", "expected"),
    [
        (111.0, "", "", "age: expected a number from 1 to 110"),
        (0.0, "", "", "age: expected a number from 1 to 110"),
        (math.inf, "", "", "age: expected a number from 1 to 110"),
        (50.0, "oval", "", "shape: expected one of round, not round, flat"),
        (50.0, "", "maybe", "halo: expected one of yes, no"),
    ],
)
def test_what_the_schema_does_not_know_is_refused_in_a_graph(
    age, shape, halo, expected
):
    layer = layer_of()
    graph = tf.function(lambda *values: layer(list(values))[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        graph(tf.constant([age]), tf.constant([shape]), tf.constant([halo]))


def test_the_encoding_survives_a_save(tmp_path):
    inputs = [
        keras.Input((), dtype="float32", name="age"),
        keras.Input((), dtype="string", name="shape"),
        keras.Input((), dtype="string", name="halo"),
    ]
    layer = layer_of()
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    values = [tf.constant([30.0]), tf.constant(["round"]), tf.constant([""])]
    for ours, theirs in zip(model(values), loaded(values), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.layers[-1].columns == layer.columns


def test_is_given_tells_an_empty_string(tmp_path):
    text = keras.Input((), dtype="string")
    model = keras.Model(text, IsGiven()(text))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(tf.constant(["", "x"])), [[0], [1]])
