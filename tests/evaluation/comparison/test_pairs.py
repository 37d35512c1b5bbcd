"""What a notebook gets of several models, against the tests that it is made of."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import norm

from usgland.cli.main import cli
from usgland.errors import UserError
from usgland.evaluation.cases.predictions import patient_predictions
from usgland.evaluation.comparison.pairs import compare_models
from usgland.evaluation.statistics.auc_tests import delong_test, permutation_test
from usgland.evaluation.statistics.families import holm
from usgland.evaluation.statistics.paired_tests import (
    average_precision_test,
    net_benefit_test,
    predictive_value_test,
)
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


def test_further_measures_are_those_of_their_tests_and_in_the_family(models):
    also = ("ppv", "npv", "average_precision", "net_benefit")
    found = compare_models(models, 0.5, also=also, acting_from=0.2)
    a, b = (patient_predictions(rows) for rows in models.values())
    calls = a["probability"] >= 0.5, b["probability"] >= 0.5
    rows = found.set_index("measure")
    for measure in ("ppv", "npv"):
        expected = predictive_value_test(a["label"], *calls, measure=measure)
        assert rows.loc[measure, "p_value"] == expected.p_value
    pair = a["probability"], b["probability"]
    worth = net_benefit_test(a["label"], *pair, 0.2)
    assert rows.loc["net_benefit", "p_value"] == worth.p_value
    precise = average_precision_test(a["label"], *pair)
    assert rows.loc["average_precision", "p_value"] == precise.p_value
    assert found["holm"].to_list() == holm(found["p_value"]).tolist()


def test_equivalence_is_two_one_sided_tests(models):
    found = compare_models(models, 0.5, margin=0.4).set_index("measure")
    a, b = (patient_predictions(rows) for rows in models.values())
    area = delong_test(a["label"], a["logit"], b["logit"])
    z = (0.4 - abs(area.difference)) / area.standard_error
    assert found.loc["roc_auc", "p_equivalence"] == pytest.approx(norm.sf(z))
    within = (found["low"] > -0.4) & (found["high"] < 0.4)
    assert found["equivalent"].to_list() == within.to_list()
    # P is below .025 where, and only where, the 95% interval is within the margin.
    assert ((found["p_equivalence"] < 0.025) == within).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"also": ("f1",)}, "`also` must be of"),
        ({"also": ("ppv",), "paired": False}, "`also` needs paired cases"),
        ({"also": ("net_benefit",)}, "`acting_from` must be given"),
    ],
)
def test_further_measures_that_cannot_be_compared_are_named(models, options, message):
    with pytest.raises(ValueError, match=message):
        compare_models(models, 0.5, **options)


def test_a_predictive_value_needs_a_threshold(models):
    with pytest.raises(
        UserError, match="a threshold of both models to compare the ppv"
    ):
        compare_models(models, also=("ppv",))


def test_the_command_compares_further_measures(models, tmp_path):
    for name, rows in models.items():
        rows.assign(role="test").to_csv(tmp_path / f"{name}.csv", index=False)
    files = [str(tmp_path / f"{name}.csv") for name in models]
    options = ["--also", "ppv", "--acting-from", "0.2", "--threshold", "0.5"]
    call = ["compare", *files, *options, "--margin", "0.3"]
    done = CliRunner(env={"COLUMNS": "100"}).invoke(cli, call)
    assert done.exit_code == 0, done.output
    for words in ("PPV", "Net benefit", "Equivalence within 0.3 in ROC AUC"):
        assert words in done.output
    refused = CliRunner().invoke(cli, [*call, "--unpaired"])
    assert refused.exit_code == 2
    assert "Expected no --also or --acting-from with --unpaired" in refused.stderr
