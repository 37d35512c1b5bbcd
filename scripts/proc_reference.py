"""Makes tests/reference/proc.json: what R's pROC says of areas under ROC curves.

    python scripts/proc_reference.py

Needs R and pROC (Debian: apt install r-base-core r-cran-proc). The cases are drawn
here, so that the file holds all that a test needs.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parent.parent / "tests" / "reference" / "proc.json"
R_CODE = """
library(pROC)
arguments <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(arguments[1])
roc_a <- roc(cases$label, cases$a, levels = c(0, 1), direction = "<")
roc_b <- roc(cases$label, cases$b, levels = c(0, 1), direction = "<")
paired <- roc.test(roc_a, roc_b, method = "delong", paired = TRUE)
unpaired <- roc.test(roc_a, roc_b, method = "delong", paired = FALSE)
print_number <- function(name, x) cat(name, sprintf("%.15g", as.numeric(x)), "\\n")
print_number("auc_a", auc(roc_a))
print_number("auc_b", auc(roc_b))
print_number("variance_a", var(roc_a, method = "delong"))
print_number("variance_b", var(roc_b, method = "delong"))
print_number("covariance", cov(roc_a, roc_b, method = "delong"))
interval <- ci.auc(roc_a, method = "delong")
print_number("low_a", interval[1])
print_number("high_a", interval[3])
print_number("z", paired$statistic)
print_number("p_value", paired$p.value)
print_number("low", paired$conf.int[1])
print_number("high", paired$conf.int[2])
print_number("unpaired_d", unpaired$statistic)
print_number("unpaired_freedom", unpaired$parameter)
print_number("unpaired_p_value", unpaired$p.value)
cat("version", as.character(packageVersion("pROC")), "\\n")
"""


def draw(name: str) -> dict[str, list[float]]:
    """The cases of one set, by its name."""
    rng = np.random.default_rng(list(name.encode()))
    cases = {"small": 14, "tied": 60, "large": 300}.get(name, 80)
    labels = (rng.uniform(size=cases) < 0.4).astype(int)
    labels[:2] = 0, 1
    shared = rng.normal(size=cases)
    a = labels * 1.2 + shared + rng.normal(size=cases)
    b = labels * 0.9 + shared + rng.normal(size=cases)
    if name == "better":
        a = labels * 3 + rng.normal(size=cases)
    if name == "tied":  # readers' grades
        a, b = (np.digitize(x, [-1, 0, 1, 2]).astype(float) for x in (a, b))
    return {"label": labels.tolist(), "a": a.tolist(), "b": b.tolist()}


def ask_proc(cases: dict[str, list[float]]) -> dict[str, float | str]:
    """What pROC prints of one set."""
    with tempfile.TemporaryDirectory() as folder:
        table, code = Path(folder, "cases.csv"), Path(folder, "code.R")
        code.write_text(R_CODE)
        rows = zip(*cases.values(), strict=True)
        lines = [",".join(cases), *(",".join(map(repr, row)) for row in rows)]
        table.write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            ["Rscript", str(code), str(table)],
            capture_output=True,
            text=True,
            check=True,
        )
    printed = dict(line.split() for line in done.stdout.splitlines() if line.strip())
    version = printed.pop("version")
    return {"version": version, **{k: float(v) for k, v in printed.items()}}


def main() -> None:
    """Writes the file."""
    sets = {}
    for name in ("small", "tied", "large", "better", "correlated", "other"):
        cases = draw(name)
        sets[name] = {"cases": cases, "proc": ask_proc(cases)}
    TARGET.write_text(json.dumps(sets) + "\n")
    print(f"Wrote {TARGET}")


if __name__ == "__main__":
    main()
