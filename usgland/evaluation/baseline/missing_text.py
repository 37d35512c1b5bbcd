"""The tables of missing values and of what imputation makes of Table 1."""

from collections.abc import Mapping

import pandas as pd

from usgland.evaluation.shown.table import Document, Table, rows
from usgland.evaluation.shown.text import format_number, format_p, format_percent

FILLED = (
    "Missing values filled in {count} times by chained equations (scikit-learn's "
    "IterativeImputer, drawn from the posterior, with the groups among its inputs), "
    "estimates pooled by Rubin's rules. Holds where what is missing depends on what is "
    "known alone."
)


def missing_document(
    missing: pd.DataFrame,
    filled: pd.DataFrame | None,
    *,
    imputations: int,
    synthetic: bool,
    names: Mapping[str, str] | None = None,
) -> Document:
    """What `missing_values` gives, and `imputed_table_one` where it was asked for."""
    called = names or {}
    fixed = ("column", "missing", "share", "p_value", "test")
    groups = [name for name in missing.columns if name not in fixed]
    lines = [
        (
            called.get(row["column"], row["column"]),
            *(str(row[group]) for group in groups),
            f"{row['missing']} ({format_percent(row['share'], 1)})",
            "" if row["p_value"] != row["p_value"] else format_p(row["p_value"]),
            row["test"],
        )
        for row in missing.to_dict("records")
    ]
    heads = ("", *groups, "all", "P", "test")
    tables = [
        Table(
            heads,
            (rows(lines),),
            "Missing values",
            align="l" + "r" * len(heads[1:-1]) + "l",
        )
    ]
    if filled is not None:
        tables.append(_filled_table(filled, imputations, called))
    return Document(tuple(tables), synthetic=synthetic)


def _filled_table(
    filled: pd.DataFrame, imputations: int, called: Mapping[str, str]
) -> Table:
    fixed = {"variable", "category", "difference", "low", "high", "p_value"}
    fixed |= {"missing_information"}
    groups = [name for name in filled.columns if name not in fixed]
    lines = [
        (
            " ".join(
                filter(
                    None,
                    (called.get(row["variable"], row["variable"]), row["category"]),
                )
            ),
            *(format_number(row[group]) for group in groups),
            f"{format_number(row['difference'], signed=True)} "
            f"({format_number(row['low'], signed=True)} to "
            f"{format_number(row['high'], signed=True)})",
            "" if row["p_value"] != row["p_value"] else format_p(row["p_value"]),
            format_percent(row["missing_information"], 1),
        )
        for row in filled.to_dict("records")
    ]
    heads = ("", *groups, "difference", "P", "information missing")
    note = FILLED.format(count=imputations)
    return Table(heads, (rows(lines),), "Means and shares, imputed", (note,))
