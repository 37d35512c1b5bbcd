"""Permutation importance: falls against scikit-learn's AUC, with patients as units."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from usgland.evaluation.performance.importance import (
    AS_IT_IS,
    importance_document,
    importance_table,
)
from usgland.evaluation.shown.terminal import show

OPTIONS = {"resamples": 300, "level": 0.95, "seed": 0}


@pytest.fixture
def cases():
    """40 patients with two images each."""
    return pd.DataFrame(
        {
            "patient_id": np.repeat([f"P{n}" for n in range(40)], 2),
            "label": np.repeat(np.arange(40) % 2, 2),
        }
    )


@pytest.fixture
def logits(cases):
    rng = np.random.default_rng(0)
    signal = cases["label"].to_numpy() + rng.normal(0, 0.5, 80)
    return {
        AS_IT_IS: signal[None],
        "idle": np.stack([signal] * 5),
        "needed": rng.normal(size=(5, 80)),
        "form withheld": -signal[None],
    }


def test_a_fall_is_the_auc_per_patient_minus_its_mean_over_permutations(cases, logits):
    rows = {row["name"]: row for row in importance_table(cases, logits, **OPTIONS)}
    labels = cases.groupby("patient_id")["label"].max()

    def auc(values):
        return roc_auc_score(
            labels, cases.assign(x=values).groupby("patient_id").x.mean()
        )

    expected = auc(logits[AS_IT_IS][0]) - np.mean(
        [auc(one) for one in logits["needed"]]
    )
    assert rows["needed"]["fall"] == pytest.approx(expected)
    assert rows["needed"]["low"] < expected < rows["needed"]["high"]
    assert rows["idle"]["fall"] == 0
    assert rows["form withheld"]["auc"] == pytest.approx(1 - auc(logits[AS_IT_IS][0]))


def test_the_largest_fall_comes_first(cases, logits):
    names = [row["name"] for row in importance_table(cases, logits, **OPTIONS)]
    assert names == ["form withheld", "needed", "idle"]


def test_a_patient_of_two_folds_counts_in_each(cases, logits):
    both = pd.concat([cases.assign(fold=0), cases.assign(fold=1)])
    twice = {name: np.concatenate([v, v], axis=1) for name, v in logits.items()}
    (one,), (two,) = (
        [row for row in importance_table(c, v, **OPTIONS) if row["name"] == "needed"]
        for c, v in ((cases, logits), (both, twice))
    )
    assert one["fall"] == pytest.approx(two["fall"])
    assert two["high"] - two["low"] < one["high"] - one["low"]


def test_the_tables_fit_80_columns_and_mark_phantoms(cases, logits):
    table = importance_table(cases, logits, **OPTIONS)
    text = io.StringIO()
    document = importance_document(table, synthetic=True)
    show(document, Console(file=text, width=80))
    assert "SYNTHETIC" in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 80
    assert document.markdown().startswith("**SYNTHETIC")
    assert "| idle | +0.000 (no interval)" in document.markdown()
    assert "By the first look, at the whole picture" in document.markdown()
    read = pd.read_csv(io.StringIO(document.csv()))
    assert read["name"].to_list() == ["form withheld", "needed", "idle"]
