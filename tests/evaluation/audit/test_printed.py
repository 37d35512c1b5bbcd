"""What may stand behind printed decimals."""

import math
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usgland.evaluation.audit.printed import printed_bounds, printed_value


@pytest.mark.parametrize(
    ("text", "rounding", "low", "high"),
    [
        ("0.850", "rounded", 0.8495, 0.8505),
        ("0.850", "truncated", 0.850, 0.851),
        ("0.850", "either", 0.8495, 0.851),
        ("97.2%", "rounded", 0.9715, 0.9725),
        ("97.2 %", "truncated", 0.972, 0.973),
        ("-0.25", "truncated", -0.26, -0.25),
        ("-0.25", "either", -0.26, -0.245),
        ("173", "rounded", 172.5, 173.5),
    ],
)
def test_bounds_are_those_worked_out_by_hand(text, rounding, low, high):
    assert printed_bounds(text, rounding) == pytest.approx((low, high), abs=1e-8)


def test_a_limit_names_all_values_on_its_side():
    assert printed_bounds("<0.05") == (-math.inf, 0.05)
    assert printed_bounds("> 0.99") == (0.99, math.inf)


@given(
    st.decimals(-1, 1, places=6),
    st.integers(0, 4),
    st.sampled_from(
        [
            ("rounded", ROUND_HALF_UP),
            ("rounded", ROUND_HALF_EVEN),
            ("truncated", ROUND_DOWN),
            ("either", ROUND_HALF_EVEN),
            ("either", ROUND_DOWN),
        ]
    ),
)
def test_a_value_that_is_printed_so_is_never_left_out(value, decimals, how):
    rounding, mode = how
    text = str(value.quantize(Decimal(1).scaleb(-decimals), mode))
    low, high = printed_bounds(text, rounding)
    assert low <= float(value) <= high


def test_the_number_itself_is_read_back():
    assert printed_value("97.2%") == pytest.approx(0.972)
    assert printed_value("-0.25") == pytest.approx(-0.25)
    with pytest.raises(ValueError, match="not a limit. Received: '<0.05'"):
        printed_value("<0.05")


@pytest.mark.parametrize(
    "text", ["", "abc", "1e-3", ".5", "0.5.1", "\u0660.\u0665", "<", "0,5"]
)
def test_another_text_is_named(text):
    with pytest.raises(ValueError, match="expected a number as printed.*Received"):
        printed_bounds(text)


def test_another_rounding_is_named():
    with pytest.raises(ValueError, match="Received: '0.5', 'up'"):
        printed_bounds("0.5", "up")
