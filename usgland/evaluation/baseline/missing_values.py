"""Missing values of a form: who lacks them, and copies in which they are filled in."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usgland.evaluation.statistics.association import chi_square, fisher
from usgland.table_files import missing_cells, to_numbers

LEAST_EXPECTED = 5.0  # of every cell, for the chi-square test (Cochran, 1954)
ROUNDS = 10  # of the chained equations in each imputation
IMPUTATIONS = 20  # imputations, by default


def missing_values(
    rows: pd.DataFrame, by: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """How many values each column lacks in each group, and whether groups differ.

    Where values are missing more often in one label, what is known of the others may
    mislead, and that a value is missing may give the label away.

    Args:
        rows: One row a patient; NaN, None or "" where a value is missing.
        by: The column that makes the groups, such as the label.
        columns: Those to look at; None for all others.

    Returns:
        One row a column: column, a count of missing values a group, missing (all),
        share, p_value (chi-square, or Fisher's exact test where an expected count is
        below 5; NaN where nothing or everything is missing) and test.

    Raises:
        ValueError: If a column is not in the table, or there are fewer than two groups.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rows = pd.DataFrame({
        ...     "label": ["benign"] * 6 + ["malignant"] * 6,
        ...     "size_mm": [11, 9, 14, "", 12, 10, "", "", 21, "", 18, ""],
        ... })
        >>> ev.missing_values(rows, "label")[["column", "benign", "malignant", "share"]]
            column  benign  malignant     share
        0  size_mm       1          4  0.416667
    """
    columns = checked_columns(rows, by, columns)
    groups = [group for group in sorted(set(map(str, rows[by]))) if group]
    if len(groups) < 2:
        raise ValueError(f"`by` must make two groups or more. Received: {groups}")
    table = []
    for name in columns:
        lacks = _texts(rows[name]) == ""
        of_group = [(rows[by].map(str) == group).to_numpy() for group in groups]
        lacking = np.array([int(lacks[own].sum()) for own in of_group])
        known = np.array([int(own.sum()) for own in of_group]) - lacking
        counts = np.array([lacking, known])
        p_value, test = np.nan, ""
        if counts.sum(axis=1).all():
            expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
            result = (chi_square if expected.min() >= LEAST_EXPECTED else fisher)(
                counts
            )
            p_value, test = result.p_value, result.test
        table.append(
            {
                "column": name,
                **dict(zip(groups, lacking.tolist(), strict=True)),
                "missing": int(lacking.sum()),
                "share": float(lacks.mean()),
                "p_value": p_value,
                "test": test,
            }
        )
    return pd.DataFrame(table)


def impute(
    rows: pd.DataFrame,
    columns: Sequence[str],
    *,
    by: str | None = None,
    imputations: int = IMPUTATIONS,
    seed: int = 0,
) -> list[pd.DataFrame]:
    """Fills missing values in several times, by chained equations.

    Each value is drawn from what a Bayesian ridge regression on all other columns
    says of it, so that the copies differ where little is known. Words are drawn as
    marks of 0 and 1, and the largest is the word.

    Args:
        rows: One row a patient; NaN, None or "" where a value is missing.
        columns: Of numbers or words; those to fill, and to fill from.
        by: A complete column to fill from as well, such as the label: without it,
            what tells the labels apart would be washed out.
        imputations: How many copies, two or more.
        seed: Of the draws.

    Returns:
        Copies of `columns` (and `by`), numbers as numbers, without missing values.

    Raises:
        ValueError: If a column is not in the table or has no value, `by` is not
            complete, or there are fewer than two imputations.

    Reference:
        [van Buuren and Groothuis-Oudshoorn,
        2011](https://doi.org/10.18637/jss.v045.i03), by scikit-learn's
        IterativeImputer.

    Example:
        >>> import pandas as pd
        >>> import usgland.evaluation as ev
        >>> rows = pd.DataFrame({"a": [1, 2, 3, 4, ""], "b": [2.1, 3.9, 6.2, 8, 10]})
        >>> copies = ev.impute(rows, ["a", "b"], imputations=3)
        >>> len(copies), copies[0]["a"].iloc[:4].tolist()
        (3, [1.0, 2.0, 3.0, 4.0])
    """
    # Late: an installation of the statistics alone has no scikit-learn.
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    columns = checked_columns(rows, by, columns)
    if imputations < 2:
        raise ValueError(f"`imputations` must be 2 or more. Received: {imputations}")
    parts, words = [], {}
    for name in (*columns, *([] if by is None else [by])):
        texts = _texts(rows[name])
        known = texts[texts != ""]
        if not len(known) or (name == by and len(known) < len(texts)):
            raise ValueError(
                f"`{name}` must have values{', all of them' if name == by else ''}. "
                f"Received: {len(texts) - len(known)} of {len(texts)} missing"
            )
        numbers = to_numbers(texts.where(texts != "", np.nan))
        if numbers[texts != ""].notna().all():
            parts.append(numbers.to_numpy("float64")[:, None])
            continue
        words[name] = sorted(set(known))
        marks = np.stack([texts == word for word in words[name]], axis=1).astype(float)
        marks[(texts == "").to_numpy()] = np.nan
        # One is what the others leave; of two words one mark is enough.
        parts.append(marks[:, 1:] if len(words[name]) > 1 else marks)
    matrix = np.concatenate(parts, axis=1)
    return [
        _decoded(
            IterativeImputer(
                sample_posterior=True, max_iter=ROUNDS, random_state=seed + number
            ).fit_transform(matrix)
            if np.isnan(matrix).any()
            else matrix,
            [*columns, *([] if by is None else [by])],
            [part.shape[1] for part in parts],
            words,
            rows.index,
        )
        for number in range(imputations)
    ]


def checked_columns(
    rows: pd.DataFrame, by: str | None, columns: Sequence[str] | None
) -> list[str]:
    chosen = [str(x) for x in rows.columns if x != by] if columns is None else columns
    absent = [x for x in (*chosen, *([] if by is None else [by])) if x not in rows]
    if absent:
        raise ValueError(
            f"`by` and `columns` must be columns of the table. Received: {absent[0]!r}"
        )
    return list(chosen)


def _texts(cells: pd.Series) -> pd.Series:
    """Cells as text, "" where a value is missing."""
    texts = cells.astype(object).where(cells.notna(), "").map(str).str.strip()
    return texts.where(~missing_cells(texts), "")


def _decoded(
    matrix: NDArray,
    names: Sequence[str],
    widths: Sequence[int],
    words: dict[str, list[str]],
    index: pd.Index,
) -> pd.DataFrame:
    """Columns of numbers and words from a filled matrix."""
    table, start = {}, 0
    for name, width in zip(names, widths, strict=True):
        part = matrix[:, start : start + width]
        start += width
        if name not in words:
            table[name] = pd.Series(part[:, 0], index=index)
            continue
        marks = part
        if len(words[name]) > 1:
            marks = np.column_stack([1 - part.sum(axis=1), part])
        chosen = [words[name][place] for place in marks.argmax(axis=1)]
        table[name] = pd.Series(chosen, index=index)
    return pd.DataFrame(table)
