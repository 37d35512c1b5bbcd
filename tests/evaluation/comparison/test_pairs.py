"""What a notebook gets of several models, against the tests that it is made of."""

import numpy as np
import pandas as pd
import pytest

from usgland.errors import UserError
from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.comparison.pairs import compare_models
from usgland.evaluation.statistics.auc_tests import delong_test, permutation_test
from usgland.evaluation.statistics.families import holm
from usgland.evaluation.statistics.share_tests import mcnemar_test


@pytest.fixture
def models():
    """Two models on the same images of 30 patients, without role, fold or logit."""
    random = np.random.default_rng(0)
    label = np.arange(30) % 2
    rows = pd.DataFrame({"patient_id": np.arange(30), "label": label})
    rows = rows.loc[np.repeat(np.arange(30), 1 + np.arange(30) % 3)]
    rows = rows.reset_index(drop=True).assign(image=lambda t: [f"{n}" for n in t.index])

    def said(noise):
        seen = rows["label"] - 0.5 + noise * random.normal(size=len(rows))
        return rows.assign(probability=1 / (1 + np.exp(-seen)))

    return {"a": said(0.6), "b": said(1.2)}


def test_patients_are_compared_by_the_tests_that_stand_alone(models):
    found = compare_models(models, {"a": 0.5, "b": 0.4}).set_index("measure")
    a, b = (patient_predictions(rows) for rows in models.values())
    labels, scores = a["label"], (a["logit"], b["logit"])
    area = delong_test(labels, *scores)
    assert found.loc["roc_auc", "p_value"] == area.p_value
    assert found.loc["roc_auc", ["value_a", "value_b"]].to_list() == list(area[:2])
    calls = a["probability"] >= 0.5, b["probability"] >= 0.4
    for measure in ("sensitivity", "specificity", "accuracy"):
        share = mcnemar_test(labels, *calls, measure=measure)
        assert found.loc[measure, ["value_a", "value_b"]].to_list() == list(share[:2])
        assert found.loc[measure, "p_value"] == share.p_value
    assert found["holm"].to_list() == holm(found["p_value"]).tolist()


def test_images_without_a_threshold_are_compared_by_their_auc_alone(models):
    found = compare_models(models, unit="image", test="permutation", seed=3)
    a, b = models.values()
    expected = permutation_test(
        a["label"],
        a["probability"],
        b["probability"],
        patient_ids=a["patient_id"],
        seed=3,
    )
    (row,) = found.to_dict("records")
    assert row["p_value"] == expected.p_value and row["measure"] == "roc_auc"


def test_a_margin_is_judged_for_every_measure(models):
    found = compare_models(models, 0.5, margin=0.9, reference="b")
    assert found["non_inferior"].all() and (found["p_margin"] < 0.025).all()
    assert set(found["b"]) == {"b"}


def test_what_cannot_be_compared_is_named(models):
    with pytest.raises(ValueError, match="`unit` must be .* Received: 'lesion' and"):
        compare_models(models, unit="lesion")
    with pytest.raises(ValueError, match="`test` of .* Received: 'patient' and 't'"):
        compare_models(models, test="t")
    with pytest.raises(UserError, match="two models or more to compare. Received: one"):
        compare_models({"a": models["a"]})
    bare = {name: rows.drop(columns="image") for name, rows in models.items()}
    with pytest.raises(ValueError, match="column image. Received: none in 'a'"):
        compare_models(bare, unit="image")
    mixed = models["a"].assign(role=["val", *["test"] * (len(models["a"]) - 1)])
    with pytest.raises(ValueError, match=r"of one role. Received: \['test', 'val'\]"):
        compare_models({**models, "a": mixed})
