"""How a result shows itself in a notebook: short numbers, and nothing empty."""

from collections.abc import Sequence
from textwrap import indent
from typing import Any

import numpy as np
import pandas as pd

WIDTH = 80  # of a line; a longer result has a line for each field


def readable(result: Any, *, without: Sequence[str] = ()) -> str:
    """The `repr` of a named tuple of results.

    Numbers have four digits here, their fields all of them. Fields that hold None or
    no text are left out, and those of `without`.
    """
    fields = zip(result._fields, result, strict=True)
    shown = [
        f"{name}={_short(value)}"
        for name, value in fields
        if name not in without
        and value is not None
        and not (isinstance(value, str) and not value)
    ]
    name, line = type(result).__name__, ", ".join(shown)
    if len(name) + len(line) + 2 <= WIDTH and "\n" not in line:
        return f"{name}({line})"
    lines = "\n".join(indent(f"{field},", "    ") for field in shown)
    return f"{name}(\n{lines}\n)"


def _short(value: Any) -> str:
    if isinstance(value, float):  # NumPy's among them
        return f"{value:.4g}"
    if isinstance(value, np.ndarray):
        with np.printoptions(precision=4, suppress=True, threshold=6, edgeitems=2):
            return str(value)
    if isinstance(value, pd.DataFrame):
        return f"\n{value.round(3).to_string()}"
    return repr(value)
