#!/usr/bin/env python
"""Writes tests/reference/association.json: P values of R's fisher.test and chisq.test.

    python scripts/association_reference.py

Needs Rscript; takes seconds.
"""

import json
import subprocess
from pathlib import Path

TARGET = Path(__file__).parents[1] / "tests" / "reference" / "association.json"
TABLES = (
    [[43, 0, 1, 18, 4], [44, 2, 0, 20, 0]],  # density, Table 4 of the paper
    [[14, 2, 0, 4, 1], [11, 0, 1, 8, 0]],
    [[3, 1, 2], [1, 4, 2]],
    [[3, 1, 2], [1, 4, 2], [5, 0, 3]],
    [[0, 21], [15, 5]],
    [[41, 25], [35, 31]],
)
R = """
options(digits = 15)
m <- rbind({rows})
cat(R.version.string, "\\n")
cat(fisher.test(m)$p.value, suppressWarnings(chisq.test(m, correct = FALSE))$p.value)
"""


def main() -> None:
    """Writes the file."""
    values = []
    for table in TABLES:
        rows = ", ".join(f"c({', '.join(map(str, row))})" for row in table)
        done = subprocess.run(
            ["Rscript", "-e", R.format(rows=rows)],
            capture_output=True,
            text=True,
            check=True,
        )
        version, numbers = done.stdout.strip().splitlines()
        fisher, chi_square = map(float, numbers.split())
        values.append({"counts": table, "fisher": fisher, "chi_square": chi_square})
    record = {"made_by": version.strip(), "tables": values}
    TARGET.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
