import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from usgland.evaluation.performance.site_tables import measure_sites, sites_document


@pytest.fixture
def predictions():
    """Three sites of 30 patients with two images each."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(90), 2)
    label = patient % 2
    logits = rng.normal(1.5 * label - 0.7 + patient // 30 * 0.3, 1.2)
    site = np.array(["A", "B", "C"])[patient // 30]
    rows = pd.DataFrame({"patient_id": patient.astype(str), "label": label})
    rows = rows.assign(image=np.arange(180), role="test", fold=site, site=site)
    return rows.assign(logit=logits, probability=expit(logits))


def test_each_site_has_its_own_auc_per_image_and_per_patient(predictions):
    measured = measure_sites(predictions, 0.95)
    for site, own in predictions.groupby("site"):
        expected = roc_auc_score(own["label"], own["logit"])
        sites = measured["image"].sites
        [row] = sites[
            (sites["site"] == site) & (sites["measure"] == "roc_auc")
        ].to_dict("records")
        assert row["value"] == pytest.approx(expected) and row["n"] == 60
    assert set(measured["patient"].sites["n"]) == {30}


def test_the_document_shows_the_sites_their_mean_and_a_new_one(predictions):
    measured = measure_sites(predictions, 0.95)
    document = sites_document(measured, "site", 0.95, synthetic=True)
    text = document.markdown()
    assert "| A | 60 (30) |" in text and "| Mean |" in text
    low, high = measured["image"].pooled.loc[
        "roc_auc", ["prediction_low", "prediction_high"]
    ]
    assert f"| New |  | {low:.3f} to {high:.3f} |" in text
    assert len(document.records) == 2 * (3 * 4 + 4)


def test_a_certain_logit_has_a_probability_still(predictions):
    predictions.loc[0, "logit"] = 60.0
    assert measure_sites(predictions, 0.95)["image"].sites["value"].notna().all()


def test_two_sites_have_no_interval_for_a_third(predictions):
    two = predictions[predictions["site"] != "C"]
    document = sites_document(measure_sites(two, 0.95), "site", 0.95, synthetic=False)
    assert "New |  | undefined" in document.markdown()
    assert "needs three sites" in document.markdown()
