import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from usgland.errors import UserError
from usgland.evaluation.planning.sample_size import (
    auc_standard_error,
    benign_for,
    patients_for,
    proportion_width,
    sample_size_auc,
    sample_size_proportion,
)

PATH = Path(__file__).parents[2] / "reference" / "sample_size.json"
REFERENCE = json.loads(PATH.read_text())
NAMES = {"clopper_pearson": "exact", "wilson": "wilson"}


@pytest.mark.parametrize("method", list(NAMES))
@pytest.mark.parametrize("case", REFERENCE["intervals"])
def test_widths_are_those_of_r(case, method):
    share = case["x"] / case["n"]
    width = proportion_width(share, case["n"], level=0.95, method=method)
    assert width == pytest.approx(case[NAMES[method]], rel=1e-6)


@pytest.mark.parametrize("method", list(NAMES))
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 1.0])
def test_one_case_fewer_is_too_few(share, method):
    cases = sample_size_proportion(share, 0.12, level=0.95, method=method)
    # One by one, from the first case on.
    widths = (
        proportion_width(share, n, level=0.95, method=method)
        for n in range(1, cases + 1)
    )
    enough = [width <= 0.12 for width in widths]
    assert enough.index(True) == cases - 1


def test_wald_of_buderer_is_near():
    # Buderer, 1996: 0.9 plus or minus 0.05 needs 138.3 cases by Wald's formula;
    # Wilson's interval is a little wider there, Clopper-Pearson's more so.
    wald = norm.ppf(0.975) ** 2 * 0.9 * 0.1 / 0.05**2
    wilson = sample_size_proportion(0.9, 0.1, level=0.95, method="wilson")
    exact = sample_size_proportion(0.9, 0.1, level=0.95, method="clopper_pearson")
    assert wald < wilson < exact < 1.2 * wald


def test_the_standard_error_of_hanley_and_mcneil():
    # Their paper: an area of 0.893 with 51 abnormal and 58 normal has 0.032.
    assert auc_standard_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.0006)


def test_the_standard_error_by_hand():
    # Q1 = 0.8/1.2 = 2/3, Q2 = 1.28/1.8 = 32/45; 10 and 20 cases.
    variance = 0.16 + 9 * (2 / 3 - 0.64) + 19 * (32 / 45 - 0.64)
    assert auc_standard_error(0.8, 10, 20) == pytest.approx((variance / 200) ** 0.5)


def test_the_interval_of_an_auc_just_fits():
    malignant, benign, patients = sample_size_auc(0.85, 0.1, prevalence=0.25)
    assert (benign, patients) == (3 * malignant, 4 * malignant)
    width = 2 * norm.ppf(0.975) * auc_standard_error(0.85, malignant, benign)
    fewer = 2 * norm.ppf(0.975) * auc_standard_error(0.85, malignant - 1, benign - 3)
    assert width <= 0.1 < fewer


def test_patients_are_those_among_whom_the_cases_are_expected():
    assert patients_for(30, 0, 0.3) == 100
    assert patients_for(30, 80, 0.3) == 115  # 80 / 0.7 = 114.3
    assert benign_for(30, 0.3) == 70
    assert benign_for(10, 0.4) == 15


@settings(max_examples=50, deadline=None)
@given(
    share=st.integers(0, 1000).map(lambda part: part / 1000),
    width=st.floats(0.05, 0.9),
    method=st.sampled_from(list(NAMES)),
)
@example(share=5e-324, width=0.5, method="clopper_pearson")
def test_narrower_intervals_need_more_and_a_share_as_much_as_its_rest(
    share, width, method
):
    def cases(share, width):
        return sample_size_proportion(share, width, level=0.95, method=method)

    assert cases(share, width) >= cases(share, min(width * 1.2, 0.99))
    assert abs(cases(share, width) - cases(1 - share, width)) <= 1
    assert np.isfinite(proportion_width(share, 7, level=0.9, method=method))


def test_what_is_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"`share` must be in \[0, 1\]. Received: 1.5"):
        sample_size_proportion(1.5, 0.1, level=0.95, method="wilson")
    with pytest.raises(ValueError, match=r"`width` must be in \(0, 1\). Received: 0"):
        sample_size_proportion(0.5, 0, level=0.95, method="wilson")
    with pytest.raises(ValueError, match="'clopper_pearson'.. Received: 'wald'"):
        sample_size_proportion(0.5, 0.1, level=0.95, method="wald")
    with pytest.raises(ValueError, match=r"`auc` must be in \[0.5, 1\]. Received: 0.4"):
        sample_size_auc(0.4, 0.1)
    with pytest.raises(ValueError, match=r"`auc` must be in \(0, 1\). Received: 1"):
        sample_size_auc(1.0, 0.1)
    with pytest.raises(UserError, match="10,000,000 cases are enough for. Received: "):
        sample_size_proportion(0.5, 1e-5, level=0.95, method="wilson")
