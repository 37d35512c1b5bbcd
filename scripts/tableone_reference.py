"""Makes tests/reference/tableone.json: what the package tableone says of made-up rows.

python -m venv tableone && tableone/bin/pip install tableone
tableone/bin/python scripts/tableone_reference.py
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pandas as pd
from tableone import TableOne

TARGET = Path(__file__).parent.parent / "tests" / "reference" / "tableone.json"


def draw() -> pd.DataFrame:
    """120 patients with a number, a skewed number and two categories."""
    rng = np.random.default_rng(3)
    label = np.where(np.arange(120) % 3 == 0, "malignant", "benign")
    malignant = label == "malignant"
    return pd.DataFrame(
        {
            "label": label,
            "age": (50 + 12 * rng.normal(size=120) + 6 * malignant).round(0),
            "size": np.exp(rng.normal(size=120) + 0.5 * malignant).round(2),
            "sex": rng.choice(["f", "m"], 120, p=[0.6, 0.4]),
            "shape": np.where(
                malignant,
                rng.choice(["oval", "round", "other"], 120, p=[0.3, 0.3, 0.4]),
                rng.choice(["oval", "round", "other"], 120, p=[0.5, 0.3, 0.2]),
            ),
        }
    )


def main() -> None:
    """Writes rows, P values and standardized mean differences."""
    rows = draw()
    table = TableOne(
        rows,
        columns=["age", "size", "sex", "shape"],
        categorical=["sex", "shape"],
        nonnormal=["size"],
        groupby="label",
        pval=True,
        smd=True,
        pval_digits=10,
    ).tableone
    answers = {}
    for name, part in table.groupby(level=0):
        column = str(name).split(",")[0]
        values = part.droplevel(0, axis=1) if table.columns.nlevels > 1 else part
        p_value = [v for v in values["P-Value"] if str(v) not in ("", "nan")]
        smd_name = next(c for c in values.columns if str(c).startswith("SMD"))
        smd = [v for v in values[smd_name] if str(v) not in ("", "nan")]
        if p_value:
            answers[column] = {"p_value": float(p_value[0]), "smd": float(smd[0])}
    record = {
        "version": importlib.metadata.version("tableone"),
        "rows": rows.astype(str).to_dict("list"),
        "found": answers,
    }
    TARGET.write_text(json.dumps(record) + "\n")
    print(f"Wrote {TARGET}: {answers}")


if __name__ == "__main__":
    main()
