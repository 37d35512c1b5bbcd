"""The tables of a reader study, against what they are made of and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, recall_score

from usgland.config import EvaluationSettings
from usgland.evaluation.readers.reader_study import reader_study
from usgland.evaluation.readers.readings import read_readers
from usgland.evaluation.readers.study import study_readers
from usgland.evaluation.readers.study_tables import study_document
from usgland.evaluation.statistics.mrmc import SCOPES
from usgland.evaluation.statistics.share_tests import mcnemar_test

LABELS = pd.Series(np.arange(24) % 2, index=[f"P{n:02d}" for n in range(24)])


@pytest.fixture
def readings(tmp_path):
    random = np.random.default_rng(0)
    tables = [
        pd.DataFrame(
            {
                "patient_id": LABELS.index,
                "label": LABELS.to_numpy(),
                "reader": reader,
                "clinical": clinical,
                "call": (LABELS + noise * random.normal(size=24) > 0.5).astype(int),
            }
        )
        for reader in "AB"
        for clinical, noise in (("without", 0.8), ("with", 0.4))
    ]
    pd.concat(tables).to_csv(tmp_path / "readers.csv", index=False)
    return read_readers(tmp_path / "readers.csv")


@pytest.fixture
def model():
    probability = np.clip(0.25 + 0.5 * LABELS + 0.3 * np.sin(np.arange(24)), 0.01, 0.99)
    table = pd.DataFrame({"label": LABELS, "probability": probability})
    return table.rename_axis("patient_id").reset_index()


def test_the_tables_hold_what_the_functions_give(readings, model):
    study = reader_study(readings, model, threshold=0.6, resamples=50)
    rows = study.measures.set_index(["condition", "reader", "measure"])["value"]
    calls = readings.calls["with"][1]
    assert rows["with", "B", "sensitivity"] == recall_score(LABELS, calls)
    said = (model["probability"] >= 0.6).astype(int)
    assert rows["without", "Model", "sensitivity"] == recall_score(LABELS, said)
    tests = study.tests.set_index(["question", "measure", "reader"])
    question = "with clinical data against the model"
    expected = mcnemar_test(LABELS, calls, said)
    assert tests.loc[(question, "accuracy", "B"), "p_value"] == expected.p_value
    kappas = study.agreement.set_index(["condition", "readers"])["kappa"]
    assert kappas["with", "A and B"] == pytest.approx(
        cohen_kappa_score(*readings.calls["with"])
    )
    assert ("without", "all") in kappas.index
    averages = study.averages
    assert set(averages["scope"]) == set(SCOPES)
    assert set(averages["measure"]) == {
        *("balanced_accuracy", "sensitivity", "specificity")
    }
    assert question in set(averages["question"])
    assert "rows: 36 of measures" in repr(study)


def test_readers_alone_have_no_model_in_their_tables(readings):
    study = reader_study(readings, resamples=50)
    assert set(study.measures["reader"]) == {"A", "B"}
    assert set(study.tests["question"]) == {"with against without clinical data"}


def test_columns_without_a_word_are_left_out(readings):
    calls = {"without": readings.calls["without"]}
    alone = readings._replace(conditions=["without"], calls=calls)
    tables = study_document(
        study_readers(alone, None, EvaluationSettings(bootstrap_resamples=20))
    ).markdown()
    assert "| Average reader | Estimate |" in tables
    assert "P, readers fixed |" not in tables
    both = study_document(
        study_readers(readings, None, EvaluationSettings(bootstrap_resamples=20))
    ).markdown()
    assert "| P, readers fixed |" in both


def test_a_model_of_other_cases_or_labels_is_named(readings, model):
    with pytest.raises(ValueError, match="patients that readers read. .* named 'P23'"):
        reader_study(readings, model.iloc[:-1])
    with pytest.raises(ValueError, match="labels that .* Received: another of 'P00'"):
        reader_study(readings, model.assign(label=[1, *model["label"][1:]]))


def test_the_study_has_the_other_coefficients_and_what_help_reclassifies(readings):
    study = study_readers(readings, None, EvaluationSettings(bootstrap_resamples=20))
    (without, aided) = study["graded"]
    assert (without["figure"], aided["condition"]) == ("AC1 of calls", "with")
    calls = readings.calls["with"]
    agreement = (calls[0] == calls[1]).mean()
    share = calls.mean()
    chance = 2 * share * (1 - share)
    assert aided["value"] == pytest.approx((agreement - chance) / (1 - chance))
    first = study["reclassified"][0]
    change = [
        recall_score(LABELS, readings.calls[c][0], pos_label=label)
        for c in ("with", "without")
        for label in (1, 0)
    ]
    assert first["nri"] == pytest.approx(sum(change[:2]) - sum(change[2:]))
    text = study_document(study).markdown()
    assert "Net reclassification, with against without clinical data" in text
    assert "useless marker" in text
