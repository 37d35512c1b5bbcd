from typing import Any, NamedTuple

import numpy as np

from usgland.evaluation.statistics.readable import readable


class Result(NamedTuple):
    value: Any
    reason: str = ""
    other: Any = None

    def __repr__(self) -> str:
        return readable(self)


def test_a_short_result_is_one_line_of_short_numbers_without_what_is_empty():
    assert repr(Result(2 / 3)) == "Result(value=0.6667)"
    assert repr(Result(np.float64("nan"), "no case")) == (
        "Result(value=nan, reason='no case')"
    )
    assert repr(Result(12, other=1e-7)) == "Result(value=12, other=1e-07)"
    assert repr(Result(np.arange(2) / 3)) == "Result(value=[0.     0.3333])"


def test_a_long_result_has_a_line_for_each_field_and_those_of_the_results_in_it():
    inner = Result("x" * 40, "y" * 40)
    assert repr(Result(1.0, other=inner)) == "\n".join(
        [
            "Result(",
            "    value=1,",
            "    other=Result(",
            f"        value={'x' * 40!r},",
            f"        reason={'y' * 40!r},",
            "    ),",
            ")",
        ]
    )
