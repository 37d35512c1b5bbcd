"""Makes tests/reference/fisher.json: P of R's fisher.test for tables of counts.

    python scripts/fisher_reference.py

Needs R (Debian: apt install r-base-core).
"""

import json
import subprocess
from pathlib import Path

TARGET = Path(__file__).parent.parent / "tests" / "reference" / "fisher.json"
# Rows are groups. The third and fourth are of Table 4 of the paper (density, train
# and test), without the words that nobody has.
TABLES = (
    ((3, 1), (1, 3)),
    ((64, 2), (31, 35)),
    ((43, 0, 1, 18, 4), (44, 2, 0, 20, 0)),
    ((14, 2, 0, 4, 1), (11, 0, 1, 8, 0)),
    ((5, 9, 2), (8, 3, 6), (1, 7, 7)),
)


def main() -> None:
    """Writes the file."""
    answers = []
    for table in TABLES:
        cells = ",".join(str(cell) for row in table for cell in row)
        code = (
            f"cat(sprintf('%.15g', fisher.test(matrix(c({cells}), nrow = {len(table)}, "
            "byrow = TRUE), workspace = 2e7)$p.value))"
        )
        done = subprocess.run(
            ["Rscript", "-e", code], capture_output=True, text=True, check=True
        )
        answers.append({"table": table, "p_value": float(done.stdout)})
    TARGET.write_text(json.dumps(answers) + "\n")
    print(f"Wrote {TARGET}")


if __name__ == "__main__":
    main()
