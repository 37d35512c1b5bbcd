import json
from pathlib import Path

import numpy as np
import pytest

from usgland.evaluation.statistics.delong import delong_covariance
from usgland.evaluation.statistics.random_effects import random_effects
from usgland.evaluation.statistics.site_measures import several_sites

REFERENCE = Path(__file__).parents[2] / "reference" / "statsmodels.json"


def draw(seed=0, cases=400):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, cases)
    logits = 1.2 * (2 * labels - 1) + rng.normal(size=cases)
    return (
        labels,
        1 / (1 + np.exp(-logits)),
        np.repeat(["B", "A", "C", "D"], cases // 4),
    )


def test_every_site_has_delongs_variance_and_the_pool_is_of_the_sites():
    labels, probabilities, sites = draw()
    several = several_sites(labels, probabilities, sites)
    areas = several.sites[several.sites["measure"] == "roc_auc"]
    assert areas["site"].tolist() == ["B", "A", "C", "D"]
    for row in areas.itertuples():
        own = sites == row.site
        (area,), ((variance,),) = delong_covariance(labels[own], probabilities[own])
        assert (row.value, row.standard_error**2) == pytest.approx((area, variance))
        assert 0 < row.low < row.value < row.high < 1
    pooled = random_effects(areas["value"], areas["standard_error"], scale="logit")
    assert several.pooled.loc["roc_auc", "value"] == pooled.value
    assert several.pooled.loc["roc_auc", "prediction_low"] == pooled.prediction_low


def test_a_site_with_one_malignant_patient_has_no_error_of_its_images():
    labels = np.r_[[0] * 20, [1] * 10]
    rng = np.random.default_rng(1)
    probabilities = 1 / (1 + np.exp(-(labels + rng.normal(size=30))))
    ids = np.r_[np.arange(20), [99] * 10]  # ten images of one malignant patient
    several = several_sites(labels, probabilities, ["A"] * 30, patient_ids=ids)
    area = several.sites.set_index("measure").loc["roc_auc"]
    assert 0 < area["value"] < 1
    assert np.isnan([area["standard_error"], area["low"]]).all()
    assert area["reason"] == "a label has one patient only"
    # All ranked right: Hanley and McNeil's error, of two patients and not 12 images.
    few = np.r_[[0] * 6, [1] * 6]
    of_patients, of_images = (
        several_sites(few, 0.2 + 0.5 * few, ["A"] * 12, patient_ids=ids)
        .sites.set_index("measure")
        .loc["roc_auc", "standard_error"]
        for ids in (np.repeat([0, 1, 2, 3], 3), None)
    )
    assert of_patients > 2 * of_images


def test_a_site_of_one_patient_has_no_errors():
    labels, ids = np.tile([0, 1], 20), np.r_[[0] * 20, np.arange(1, 21)]
    rng = np.random.default_rng(2)
    probabilities = 1 / (1 + np.exp(-rng.normal(size=40)))
    sites = np.repeat(["A", "B"], 20)
    several = several_sites(labels, probabilities, sites, patient_ids=ids)
    rows = several.sites.set_index(["site", "measure"])
    for name in ("slope", "intercept_in_the_large"):
        alone = rows.loc[("A", name)]
        assert np.isnan(alone["standard_error"])
        assert alone["reason"] == "one patient only"
        assert several.pooled.loc[name, "sites"] == 1


def test_calibration_of_a_site_is_that_of_statsmodels():
    for case in json.loads(REFERENCE.read_text(encoding="utf-8"))["calibration"]:
        labels = np.array(case["labels"])
        several = several_sites(
            labels,
            case["probabilities"],
            np.zeros(len(labels)),
            patient_ids=case["patient_ids"],
        )
        rows = several.sites.set_index("measure")
        for name in ("slope", "intercept_in_the_large"):
            assert rows.loc[name, "value"] == pytest.approx(case[name][0], abs=1e-8)
            error = rows.loc[name, "standard_error"]
            assert error == pytest.approx(case[name][1], rel=1e-6)


def test_observed_over_expected_has_the_binomial_error():
    labels, probabilities, _ = draw(3, 40)
    rows = several_sites(labels, probabilities, np.zeros(40)).sites.set_index("measure")
    row, share = rows.loc["observed_over_expected"], labels.mean()
    assert row["value"] == pytest.approx(labels.sum() / probabilities.sum())
    # Debray et al. 2017, appendix: of the logarithm (1 - share) / observed.
    error = ((1 - share) / labels.sum()) ** 0.5 * row["value"]
    assert row["standard_error"] == pytest.approx(error)


def test_a_site_of_one_label_and_a_site_ranked_right_are_kept_apart():
    labels = np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1])
    probabilities = np.r_[[0.2, 0.3, 0.1], [0.9, 0.2, 0.1, 0.8, 0.7]]
    probabilities = np.r_[probabilities, [0.3, 0.5, 0.6, 0.7, 0.2, 0.25]]
    sites = np.repeat(["benign", "right", "mixed"], [3, 5, 6])
    several = several_sites(labels, probabilities, sites)
    areas = several.sites[several.sites["measure"] == "roc_auc"].set_index("site")
    assert areas.loc["benign", "reason"] == "one label only"
    assert areas.loc["right", "value"] == pytest.approx(6.5 / 7)
    assert areas.loc["right", "reason"] == "half a pair added, Hanley-McNeil"
    assert several.pooled.loc["roc_auc", "sites"] == 2
    slopes = several.sites[several.sites["measure"] == "slope"].set_index("site")
    assert slopes.loc["right", "reason"] == "the labels are separated"
    ratios = several.sites[several.sites["measure"] == "observed_over_expected"]
    assert ratios.set_index("site").loc["benign", "reason"] == "no malignant case"
    alone = several_sites(labels[:3], probabilities[:3], sites[:3])
    assert alone.pooled.loc["roc_auc", "reason"] == "no site has the measure"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="`sites` must have one entry a case, 2"):
        several_sites([0, 1], [0.2, 0.6], ["A"])
    with pytest.raises(ValueError, match=r"must be in \(0, 1\), as calibration"):
        several_sites([0, 1], [0.2, 1.0], ["A", "A"])
