"""What each side adds, against scikit-learn and a brute-force DeLong."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from usgland.evaluation.comparison.additions import (
    BOTH,
    additions,
    additions_document,
)
from usgland.evaluation.shown.terminal import show


def table_of(logits, labels, synthetic="0"):
    return pd.DataFrame(
        {
            "image": [f"{n}.png" for n in range(len(labels))],
            "patient_id": [f"P{n:03d}" for n in range(len(labels))],
            "role": "test",
            "fold": "",
            "label": labels,
            "logit": logits,
            "probability": expit(logits),
            "synthetic": synthetic,
        }
    )


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    image = labels * 0.8 + rng.normal(size=60)
    form = labels * 1.2 + rng.normal(size=60)
    return {
        BOTH: table_of(image + form, labels),
        "image alone": table_of(image, labels),
        "form alone": table_of(form, labels).sample(frac=1, random_state=1),
    }


def structural_components(labels, scores):
    """The definition, pair by pair: one component a malignant and a benign case."""
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    wins = (pairs > 0) + 0.5 * (pairs == 0)
    return wins.mean(axis=1), wins.mean(axis=0)


def test_areas_and_differences_agree_with_their_definitions(tables):
    found = additions(tables, level=0.95)
    models = {model["name"]: model for model in found["models"]}
    both, image = tables[BOTH], tables["image alone"]
    labels = both["label"].to_numpy()
    parts = [
        structural_components(labels, t["logit"].to_numpy()) for t in (both, image)
    ]
    error = np.sqrt(
        sum(np.var(a - b, ddof=1) / len(a) for a, b in zip(*parts, strict=True))
    )
    difference = roc_auc_score(labels, both["logit"]) - roc_auc_score(
        labels, image["logit"]
    )
    model = models["image alone"]
    assert model["auc"] == pytest.approx(roc_auc_score(labels, image["logit"]))
    assert model["difference"] == pytest.approx(difference)
    width = model["difference_high"] - model["difference_low"]
    assert width == pytest.approx(2 * 1.959964 * error, rel=1e-5)
    assert np.isnan(models[BOTH]["difference"])


def test_the_order_of_the_rows_does_not_matter(tables):
    mixed = {name: t.sample(frac=1, random_state=3) for name, t in tables.items()}
    one, other = (additions(t, level=0.9)["models"] for t in (tables, mixed))
    for a, b in zip(one, other, strict=True):
        assert a["auc"] == b["auc"]


def test_other_patients_are_refused(tables):
    tables["form alone"] = tables["form alone"].iloc[:-1]
    with pytest.raises(ValueError, match="of the same patients. Received: form alone"):
        additions(tables, level=0.95)


def test_equal_models_have_no_interval_of_their_difference(tables):
    tables["image alone"] = tables[BOTH]
    model = additions(tables, level=0.95)["models"][1]
    assert (model["difference"], model["p_value"]) == (0, 1)
    assert np.isnan(model["difference_low"])


def test_the_tables_show_it_in_80_columns_and_mark_phantoms(tables):
    tables[BOTH] = tables[BOTH].assign(synthetic="1")
    found = additions(tables, level=0.95)
    text = io.StringIO()
    document = additions_document(found)
    show(document, Console(file=text, width=80))
    assert "SYNTHETIC" in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 80
    assert "60 patients, 30 benign, 30 malignant" in text.getvalue()
    assert document.markdown().startswith("**SYNTHETIC")
    aucs = {one["name"]: one["auc"] for one in found["models"]}
    better = max(("image alone", "form alone"), key=aucs.get)
    difference = aucs[BOTH] - aucs[better]
    expected = f"- Over the better side, the {better}, both add {difference:+.3f}"
    assert expected in document.markdown()
    read = pd.read_csv(io.StringIO(document.csv()))
    assert read["name"].to_list() == list(tables)
    assert read["difference"].isna().to_list() == [True, False, False]
