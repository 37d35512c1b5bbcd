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
