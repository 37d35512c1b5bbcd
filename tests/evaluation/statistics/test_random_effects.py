import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import multivariate_normal
from scipy.stats import t as student

from usgland.evaluation.statistics.random_effects import random_effects

BCG = json.loads(
    (Path(__file__).parents[2] / "reference" / "bcg.json").read_text(encoding="utf-8")
)


def log_ratios():
    a, b, c, d = np.array(BCG["counts"], float).T
    variances = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    return np.log(a / (a + b) / (c / (c + d))), variances**0.5


def test_the_bcg_trials_give_what_metafor_prints():
    # metafor's dat.bcg, rma(yi, vi, test="knha"), four digits.
    pooled = random_effects(*log_ratios())
    for name, printed in BCG["metafor"].items():
        assert getattr(pooled, name) == pytest.approx(printed, abs=5e-5), name
    assert pooled.heterogeneity_p < 1e-4
    assert pooled.sites == 13


def test_equal_errors_leave_the_interval_of_student():
    values = np.array([0.4, 1.1, 0.7, 1.9, 1.2])
    pooled = random_effects(values, np.full(5, 0.1))
    half = student.ppf(0.975, 4) * values.std(ddof=1) / 5**0.5
    assert pooled.value == pytest.approx(values.mean(), abs=1e-12)
    assert pooled.high - pooled.value == pytest.approx(half, abs=1e-12)
    assert pooled.tau2 == pytest.approx(values.var(ddof=1) - 0.01, abs=1e-10)
    spread = (pooled.tau2 + values.var(ddof=1) / 5) ** 0.5
    new = pooled.value + student.ppf(0.975, 3) * spread
    assert pooled.prediction_high == pytest.approx(new, abs=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_the_variance_between_sites_maximizes_the_likelihood_of_contrasts(seed):
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.1, 0.6, 6)
    values = rng.normal(0, 0.5, 6) + errors * rng.normal(size=6)
    # Differences from the first site: their likelihood is the restricted one.
    contrast = np.column_stack([-np.ones(5), np.eye(5)])

    def loss(tau2):
        covariance = contrast @ np.diag(errors**2 + tau2) @ contrast.T
        return -multivariate_normal.logpdf(contrast @ values, cov=covariance)

    best = minimize_scalar(
        loss, bounds=(0, 5), method="bounded", options={"xatol": 1e-10}
    )
    assert random_effects(values, errors).tau2 == pytest.approx(best.x, abs=1e-5)


def test_shares_are_pooled_by_their_logits():
    values, errors = np.array([0.8, 0.9, 0.95]), np.array([0.04, 0.03, 0.02])
    logits = random_effects(
        np.log(values / (1 - values)), errors / values / (1 - values)
    )
    pooled = random_effects(values, errors, scale="logit")
    assert pooled[:5] == pytest.approx(expit(np.array(logits[:5])).tolist(), abs=1e-12)
    assert pooled.tau2 == pytest.approx(logits.tau2, abs=1e-12)


def test_sites_that_agree_by_chance_are_no_narrower_than_their_errors():
    # Röver et al. 2015: Hartung and Knapp's error is 0 here, of two sites at 0.9.
    pooled = random_effects([0.9, 0.9], [0.05, 0.05], scale="logit")
    error = 0.05 / 0.09 / 2**0.5
    half = student.ppf(0.975, 1) * error
    ends = expit(np.log(9) + np.array([-half, half]))
    assert (pooled.low, pooled.high) == pytest.approx(tuple(ends), abs=1e-12)
    assert "modified Hartung-Knapp" in pooled.method
    alike = random_effects([1.0, 1.001, 0.999], [0.3] * 3)
    new = student.ppf(0.975, 1) * 0.3 / 3**0.5  # tau2 is 0; one degree of freedom
    assert alike.prediction_high == pytest.approx(1 + new)


def test_too_few_sites_say_so():
    alone = random_effects([0.9], [0.1])
    assert alone.value == 0.9
    assert np.isnan([alone.low, alone.prediction_low]).all()
    assert "one site" in alone.reason
    two = random_effects([0.9, 0.7], [0.1, 0.1])
    assert np.isfinite([two.low, two.high]).all()
    assert np.isnan(two.prediction_low)
    assert "three sites" in two.reason


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1.0], [1.0, 2.0]), {}, r"of one length.*shapes \(1,\) and \(2,\)"),
        (([], []), {}, "of one length, not 0"),
        (([1.2, 0.5], [0.1, 0.1]), {"scale": "logit"}, r"in \(0, 1\).*0.5 to 1.2"),
        (([1.0, np.nan], [0.1, 0.1]), {}, "`estimates` must be in"),
        (([1.0, 2.0], [0.1, 0.0]), {}, "`standard_errors` must be above 0"),
        (([1.0, 2.0], [0.1, 0.1]), {"scale": "probit"}, "Received: 'probit'"),
    ],
)
def test_mistakes_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        random_effects(*arguments, **options)
