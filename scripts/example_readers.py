"""Makes up readers' calls on a run's test patients: SYNTHETIC, for a try.

    python scripts/example_readers.py runs/squeeze-1 my_readers.csv
    usgland readers my_readers.csv --predictions runs/squeeze-1

The three readers see the label through noise, and less of it with clinical data. The
file says `synthetic` in every row, and so does every table and measure made of it.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from usgland.steps.readers import read_model_cases

NOISE = {"doctor 1": 2.0, "doctor 2": 1.6, "doctor 3": 1.2}
CUTS = (-0.6, 0.2, 0.8, 1.6)  # between the grades 1 to 5; 4 and 5 are malignant


def main() -> None:
    """Writes the CSV that the second argument names."""
    cases = read_model_cases(Path(sys.argv[1])).by_unit["patient"]
    random = np.random.default_rng(0)
    tables = []
    for reader, noise in NOISE.items():
        seen = cases["label"] + noise * random.normal(size=len(cases))
        for clinical, clearer in (("without", 0.0), ("with", 0.5)):
            pull = clearer * (cases["label"] - seen)
            grade = 1 + np.searchsorted(CUTS, seen + pull)
            table = cases[["patient_id"]].assign(
                reader=reader, clinical=clinical, score=grade, synthetic=1
            )
            table["call"] = np.where(grade >= 4, "malignant", "benign")
            tables.append(table)
    pd.concat(tables).to_csv(sys.argv[2], index=False)


if __name__ == "__main__":
    main()
