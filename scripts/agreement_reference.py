r"""Writes what irrCAC and pingouin say of readers' grades.

usgland runs and is tested without them, so this runs once, in an environment of its
own:

    python3.11 -m venv agreement
    agreement/bin/pip install irrCAC==0.4.4 pingouin==0.6.1
    agreement/bin/python scripts/agreement_reference.py tests/reference/agreement.json
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
from irrCAC.raw import CAC


def main(path: Path) -> None:
    """Writes the file."""
    rng, cases = np.random.default_rng(2008), []
    for missing in (0.0, 0.25):
        truth = rng.integers(1, 6, 40)
        grades = np.clip(truth + rng.integers(-1, 2, (4, 40)), 1, 5).astype(float)
        grades[rng.uniform(size=grades.shape) < missing] = np.nan
        table = pd.DataFrame(grades.T, columns=list("ABCD"))
        gwet = {}
        for weights in ("identity", "linear", "quadratic"):
            values = CAC(table, weights=weights, digits=10).gwet()["est"]
            gwet[weights] = [
                float(values["coefficient_value"]),
                float(values["se"]),
                *map(float, values["confidence_interval"]),
            ]
        case = {"grades": table.T.where(table.T.notna(), None).values.tolist()}
        case["gwet"] = gwet
        if not missing:
            long = table.reset_index().melt("index")
            icc = pingouin.intraclass_corr(long, "index", "variable", "value")
            icc = icc.set_index("Type")
            case["icc"] = {
                name: [float(icc.loc[own, "ICC"]), *map(float, icc.loc[own, "CI95"])]
                for name, own in FORMS.items()
            }
        cases.append(case)
    path.write_text(json.dumps(cases) + "\n", encoding="utf-8")


FORMS = {"agreement": "ICC(A,1)", "consistency": "ICC(C,1)"}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
