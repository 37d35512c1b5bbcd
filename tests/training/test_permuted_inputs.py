"""Permuted forms: whose value a case gets, and that nothing else changes."""

import keras
import numpy as np
import pytest

from usgland.training.parts import Form, Part
from usgland.training.permuted_inputs import PERMUTATIONS, _donors, permuted_logits
from usgland.training.predict import predict_inputs


def test_a_patient_stays_one_patient():
    ids = np.array(["a", "b", "a", "c", "c", "c"])
    donors = _donors(ids, 0)
    assert donors.shape == (PERMUTATIONS, 6)
    patients = ids[donors]
    for name in "abc":  # all images of a patient get those of one other
        assert all(len(set(row)) == 1 for row in patients[:, ids == name])
    for row in patients:
        assert len({row[0], row[1], row[3]}) == 3
    # Who has three images gets the three of c in their order.
    same = donors[patients[:, 3] == "c"][0]
    assert same[3:].tolist() == [3, 4, 5]


def test_no_dataset_is_tuned_while_it_runs(tuned):
    number = keras.Input((1,), name="number")
    network = keras.Model(number, keras.layers.Rescaling(2)(number))
    values = np.arange(5, dtype="float32")[:, None]
    np.testing.assert_array_equal(predict_inputs(network, values), 2 * values[:, 0])
    assert tuned
    assert not any(tuned)


def test_only_the_column_asked_about_changes():
    features = keras.Input((3,), name="features")
    logit = keras.layers.Dense(1, name="logit", use_bias=False)
    model = keras.Model(features, logit(features))
    logit.set_weights([np.array([[1.0], [10.0], [100.0]])])
    encoding = keras.layers.Identity(name="clinical_encoding")
    wrapped = keras.Model(features, logit(encoding(features)))
    values = np.arange(15, dtype="float32").reshape(5, 3)
    form = Form(values, np.ones((5, 1), "float32"), np.zeros(3), ("x", "x", "y"))
    part = Part(None, np.zeros(5), form)
    ids = np.array(list("abcde"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "usgland.training.permuted_inputs.pooled_to_logit", lambda m: model
        )
        logits = permuted_logits(wrapped, part, ids, seed=0)
    donors = _donors(ids, 0)
    np.testing.assert_allclose(logits["as it is"][0], values @ [1, 10, 100], rtol=1e-6)
    mixed = values[donors]
    mixed[..., 2] = values[:, 2]
    np.testing.assert_allclose(logits["x"], mixed @ [1, 10, 100], rtol=1e-6)
    assert set(logits) == {"as it is", "x", "y"}


def test_images_alone_are_refused():
    part = Part(np.zeros((1, 1, 1, 1), "uint8"), np.zeros(1))
    with pytest.raises(ValueError, match="must have a form"):
        permuted_logits(keras.Model(), part, np.array(["a"]), seed=0)
