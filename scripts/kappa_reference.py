"""Writes kappas of statsmodels that our tests are held against.

statsmodels is no dependency of usgland; this runs in an environment of its own:

    python3.11 -m venv oracle
    oracle/bin/pip install statsmodels==0.15.0
    oracle/bin/python scripts/kappa_reference.py tests/reference/kappa.json
"""

import json
import sys
from pathlib import Path

import numpy as np
import statsmodels
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa


def main() -> None:
    random = np.random.default_rng(11)
    cases = []
    for readers, number, noise in ((2, 40, 0.2), (3, 40, 0.3), (5, 114, 0.1)):
        truth = random.integers(0, 2, number)
        calls = np.where(random.random((readers, number)) < noise, 1 - truth, truth)
        pair = np.zeros((2, 2))
        np.add.at(pair, (calls[0], calls[1]), 1)
        cohen = cohens_kappa(pair)
        cases.append(
            {
                "calls": calls.tolist(),
                "cohen": float(cohen.kappa),
                "cohen_error": float(cohen.std_kappa),
                "cohen_bounds": [float(cohen.kappa_low), float(cohen.kappa_upp)],
                "fleiss": float(fleiss_kappa(aggregate_raters(calls.T)[0])),
            }
        )
    reference = {"statsmodels": statsmodels.__version__, "cases": cases}
    Path(sys.argv[1]).write_text(json.dumps(reference) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
