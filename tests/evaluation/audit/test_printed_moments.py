import re
from itertools import combinations_with_replacement

import numpy as np
import pytest

from usgland.evaluation.audit.printed import Bounds, printed_bounds
from usgland.evaluation.audit.printed_moments import (
    Limits,
    check_moments,
    fitting_totals,
    sd_is_possible,
    sd_limits,
)


def samples(n, low, high):
    return [np.array(x) for x in combinations_with_replacement(range(low, high + 1), n)]


@pytest.mark.parametrize(
    ("n", "low", "high"), [(3, 0, 4), (5, 1, 5), (4, -2, 3), (2, 3, 9)]
)
def test_sd_limits_are_those_of_every_sample(n, low, high):
    by_total = {}
    for sample in samples(n, low, high):
        by_total.setdefault(int(sample.sum()), []).append(sample.std(ddof=1))
    for total, sds in by_total.items():
        reach = sd_limits(total, n, Limits(low, high))
        assert reach == pytest.approx((min(sds), max(sds)), abs=1e-12)


def test_no_sample_is_called_impossible_and_some_others_are():
    n, limits = 5, Limits(1, 5)
    real = {(f"{x.mean():.1f}", f"{x.std(ddof=1):.2f}") for x in samples(n, 1, 5)}
    impossible = 0
    for mean in {pair[0] for pair in real}:
        totals = fitting_totals(printed_bounds(mean, "rounded"), n)
        for cents in range(250):
            sd = f"{cents / 100:.2f}"
            bounds = printed_bounds(sd, "rounded")
            possible = any(sd_is_possible(t, n, bounds, limits) for t in totals)
            if (mean, sd) in real:
                assert possible
            impossible += not possible
    assert impossible > 100


def test_grim_of_brown_and_heathers():
    # Their example: no mean of 28 whole numbers is 5.19.
    assert not fitting_totals(printed_bounds("5.19", "rounded"), 28)
    assert fitting_totals(printed_bounds("5.18", "rounded"), 28)


@pytest.mark.parametrize(
    ("printed", "n", "step", "limits", "expected"),
    [
        (
            ("5.19", "1.00"),
            28,
            1,
            (1, 7),
            "mean 5.19 cannot be that of 28 whole numbers",
        ),
        # Two values of 0 to 10 with mean 5: 0 and 10 have the largest SD, 7.07.
        (("5.0", "7.2"), 2, 1, (0, 10), "it can be 0.00 to 7.07"),
        (("5.0", "7.2"), 2, None, (0, 10), "SD 7.2 is more than 7.0"),
        (("12.0", "1.0"), 9, 1, (0, 10), r"mean 12.0 lies outside \[0, 10\]"),
        (("-1.0", "1.0"), 9, None, (0, None), r"mean -1.0 lies outside \[0, \?\]"),
        (("2.3", "0.5"), 2, 0.5, (None, None), "cannot be that of 2 multiples of 0.5"),
    ],
)
def test_what_cannot_be_is_told(printed, n, step, limits, expected):
    wrong, unusual = check_moments(
        printed, n, step=step, limits=limits, rounding="rounded"
    )
    assert len(wrong) == 1
    assert unusual == []
    assert re.search(expected, wrong[0])


def test_a_wide_sd_beside_a_limit_is_told_as_unusual():
    # 46.62 / 28.38 = 1.643, beyond which are 5.0% of a normal distribution.
    wrong, unusual = check_moments(
        ("46.62", "28.38"), 66, step=1, limits=(0, 110), rounding="either"
    )
    assert wrong == []
    assert len(unusual) == 1
    assert "5% would lie below 0" in unusual[0]
    fine = check_moments(
        ("64.35", "26.65"), 20, step=1, limits=(0, 110), rounding="either"
    )
    assert fine == ([], [])


def test_one_value_has_no_sd():
    assert not sd_is_possible(3, 1, Bounds(0, 1), Limits(None, None))
