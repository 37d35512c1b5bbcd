import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from usgland.errors import UserError
from usgland.evaluation.planning.model_size import (
    explained_variance,
    mrmc_power,
    sample_size_development,
    sample_size_mrmc,
    sample_size_validation,
)
from usgland.evaluation.statistics.reader_estimates import mrmc

VAN_DYKE = Path(__file__).parents[2] / "reference" / "van_dyke.json"


def test_development_is_what_pmsampsize_prints():
    # pmsampsize 0.1.0: type b, csrsquared 0.288, parameters 24, prevalence 0.174.
    size = sample_size_development(24, prevalence=0.174, r_squared=0.288)
    assert size.patients == 662
    assert size.malignant == 116
    assert list(size.criteria.values()) == [623, 662, 221]


def test_development_from_an_auc_is_near_what_pmsampsize_tests_for():
    # Its own tests: cstatistic 0.89, which it turns into an R-squared by simulation.
    size = sample_size_development(24, prevalence=0.174, auc=0.89)
    assert list(size.criteria.values()) == pytest.approx([615, 660, 221], rel=0.01)


def test_validation_is_near_what_pmvalsampsize_and_sampsizeval_print():
    # pmvalsampsize's own tests: logits of mean -5, SD 2.5, O/E within 1; its slope is
    # of 1,000 simulated patients.
    size = sample_size_validation(
        prevalence=0.018, auc=0.8, logits=(-5, 2.5), ratio_width=1
    )
    assert size.criteria["auc"] == 4252
    assert size.criteria["observed_over_expected"] == pytest.approx(905, abs=1)
    assert size.criteria["slope"] == pytest.approx(4501, rel=0.015)
    # sampsizeval's README (Pavlou): p 0.1, c 0.75, errors 0.025 and 0.1: 1,536 for the
    # slope. The normal logits of these two have mean -2.565 and SD 1.001.
    size = sample_size_validation(
        prevalence=0.1,
        auc=0.75,
        logits=(-2.5649, 1.0010),
        auc_width=2 * 1.96 * 0.025,
        slope_width=2 * 1.96 * 0.1,
    )
    assert size.criteria["slope"] == pytest.approx(1536, rel=0.015)


# What RJafroc's book prints of Van Dyke's data (section "ROC-DBMH sample size"):
# readers, cases for a power of .8, power with them.
RJAFROC = [
    *((4, 1089, 0.8), (5, 344, 0.801), (6, 251, 0.801), (7, 211, 0.801)),
    *((8, 188, 0.801), (9, 173, 0.801), (10, 163, 0.802), (11, 155, 0.801)),
    *((12, 149, 0.802), (13, 144, 0.801), (14, 140, 0.802), (15, 137, 0.802)),
    (16, 134, 0.802),
]


def test_reader_studies_need_the_cases_of_rjafrocs_table():
    data = json.loads(VAN_DYKE.read_text(encoding="utf-8"))
    pilot = mrmc(data["labels"], data["grades"], method="jackknife").components
    for readers, cases, power in RJAFROC:
        made = sample_size_mrmc(0.043800322, readers, pilot, 114, pilot_readers=5)
        assert made == cases
        assert mrmc_power(0.043800322, readers, cases, pilot, 114) == pytest.approx(
            power, abs=5.1e-4
        )
    assert mrmc_power(0.0438, 6, 111, pilot, 114) == pytest.approx(0.5526116, abs=1e-5)
    with pytest.raises(UserError, match="Ask more readers"):
        sample_size_mrmc(0.02, 3, pilot, 114, pilot_readers=5)


def test_explained_variance_is_that_of_a_simulated_model():
    rng = np.random.default_rng(0)
    labels = (rng.uniform(size=200_000) < 0.3).astype(int)
    x = rng.normal(size=200_000) + 1.4656 * labels  # an AUC of .85
    model = LogisticRegression(C=np.inf).fit(x[:, None], labels)
    chance = model.predict_proba(x[:, None])[:, 1]
    gain = log_loss(labels, np.full(len(labels), labels.mean()))
    gain -= log_loss(labels, chance)
    assert roc_auc_score(labels, chance) == pytest.approx(0.85, abs=0.003)
    expected = 1 - np.exp(-2 * gain)
    assert explained_variance(0.85, 0.3) == pytest.approx(expected, abs=0.005)


def test_validation_is_near_that_of_simulated_studies():
    # Snell et al. 2021 (10.1016/j.jclinepi.2021.02.011) simulate 2,430 patients, 531
    # of them with thrombosis, for a slope within .2: logits of mean -1.75, SD 1.47.
    size = sample_size_validation(prevalence=0.22, auc=0.82, logits=(-1.75, 1.47))
    assert size.patients == pytest.approx(2430, rel=0.015)
    assert size.patients == size.criteria["slope"]


def test_the_slope_has_the_width_that_was_asked_for():
    size = sample_size_validation(prevalence=0.3, auc=0.8, slope_width=0.6)
    rng, slopes = np.random.default_rng(1), []
    apart = 2**0.5 * 0.841621  # the normal quantile of .8
    for _ in range(150):
        labels = (rng.uniform(size=size.criteria["slope"]) < 0.3).astype(int)
        x = apart * (rng.normal(size=len(labels)) + (labels - 0.5) * apart)
        logits = (x + np.log(0.3 / 0.7))[:, None]
        slopes.append(LogisticRegression(C=np.inf).fit(logits, labels).coef_[0, 0])
        assert 0 < expit(logits).mean() < 1
    assert 2 * 1.96 * np.std(slopes) == pytest.approx(0.6, rel=0.15)


def test_the_ratio_needs_what_its_binomial_error_says():
    size = sample_size_validation(prevalence=0.4, auc=0.8, ratio_width=0.3)
    n = size.criteria["observed_over_expected"]
    error = ((1 - 0.4) / (0.4 * n)) ** 0.5
    assert np.exp(1.96 * error) - np.exp(-1.96 * error) == pytest.approx(0.3, abs=1e-3)


def test_power_of_a_reader_study_is_that_of_rjafroc():
    # RJafroc's tests, after Hillis 2011 and 2018: Van Dyke, 10 readers, 165 cases.
    data = json.loads(VAN_DYKE.read_text(encoding="utf-8"))
    pilot = mrmc(data["labels"], data["grades"], method="jackknife").components
    power = mrmc_power(-0.043800322, 10, 165, pilot, 114)
    assert power == pytest.approx(0.80541995, abs=1e-7)
    cases = sample_size_mrmc(0.043800322, 10, pilot, 114, pilot_readers=5)
    assert mrmc_power(0.043800322, 10, cases, pilot, 114) >= 0.8
    assert mrmc_power(0.043800322, 10, cases - 1, pilot, 114) < 0.8
    with pytest.raises(UserError, match="Ask more readers"):
        sample_size_mrmc(0.005, 3, pilot, 114, pilot_readers=5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample_size_development(0, prevalence=0.3, auc=0.8), "1 or more"),
        (lambda: sample_size_development(5, prevalence=0.3), "either `auc` or"),
        (
            lambda: sample_size_validation(prevalence=0.3, auc=0.8, logits=(0, 0)),
            "an SD above 0",
        ),
        (lambda: sample_size_validation(prevalence=0.3, auc=0.4), "`auc` must be in"),
        (
            lambda: sample_size_mrmc(0.1, 1, None, 9, pilot_readers=3),
            "must be 2 or more. Received: 1, 3 and 9",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_more_variance_than_there_is_cannot_be_explained():
    # 1 - (0.1 ** 0.1 * 0.9 ** 0.9) ** 2 = 0.478.
    with pytest.raises(UserError, match="r_squared: expected less than 0.478"):
        sample_size_development(5, prevalence=0.1, r_squared=0.6)
