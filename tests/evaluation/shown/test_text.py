"""One spelling of a number."""

import pytest

from usgland.evaluation.shown.text import (
    format_interval,
    format_number,
    format_p,
    format_percent,
)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_what_is_undefined_is_said(missing):
    assert format_number(missing) == format_p(missing) == "undefined"
    assert format_interval(missing, 0.1, 0.2) == "undefined"
    assert format_interval(0.5, missing, 0.2) == "0.500 (no interval)"


def test_numbers_have_three_digits_and_large_ones_one():
    assert format_number(0.97214) == "0.972"
    assert format_number(26.04) == "26.0"
    assert format_number(-0.0001) == "0.000"  # not -0.000
    assert format_number(0.0, signed=True) == "+0.000"
    assert format_interval(26, 3.7664, 179.508) == "26.0 (3.766 to 179.5)"
    assert format_interval(0.5, 0.444, 0.555, digits=2) == "0.50 (0.44 to 0.56)"
    shown = format_interval(-0.02, -0.05, 0.01, signed=True)
    assert shown == "-0.020 (-0.050 to +0.010)"


def test_p_values_and_percents_have_one_spelling():
    assert [format_p(p) for p in (0.0341, 0.00099, 1)] == ["0.034", "<0.001", "1.000"]
    assert (format_percent(0.95), format_percent(0.925)) == ("95%", "92.5%")
    assert format_percent(0.5, 1) == "50.0%"
