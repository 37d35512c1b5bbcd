"""Times `evaluate` of 100,000 predictions and `readers` of 10,000 cases, with memory.

python scripts/benchmark_evaluate.py [--rows 100000] [--cases 10000]

Each runs in a process of its own, as a person would run it; the numbers are its clock
and its largest memory.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

RUN = "from usgland.cli.main import cli; cli()"


def write_predictions(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, rows // 2, rows))
    labels = ids % 2
    logits = 1.5 * labels - 0.75 + rng.normal(size=rows)
    table = {"patient_id": ids, "label": labels, "probability": expit(logits)}
    pd.DataFrame(table).to_csv(path, index=False)


def write_readers(path: Path, cases: int) -> None:
    rng = np.random.default_rng(0)
    image = np.arange(cases)
    parts = []
    for reader in ("A", "B", "C"):
        for condition in ("without", "with"):
            said = image % 2 + rng.normal(size=cases) > 0.5
            parts.append(
                pd.DataFrame(
                    {
                        "reader": reader,
                        "image": image,
                        "patient_id": image // 2 * 2 + image % 2,
                        "label": image % 2,
                        "clinical": condition,
                        "call": said.astype(int),
                    }
                )
            )
    pd.concat(parts).to_csv(path, index=False)


def timed(name: str, *arguments: str) -> None:
    """Runs a command of usgland and prints how long it took and what it held."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{name}: {seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor "
        f"time so far, at most {used.ru_maxrss / 1000:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Prints one line a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--cases", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        readers, predictions = Path(folder, "readers.csv"), Path(folder, "scored.csv")
        write_readers(readers, options.cases)
        timed(f"readers, {options.cases} cases", "readers", str(readers))
        write_predictions(predictions, options.rows)
        output = ["--output", str(Path(folder, "out"))]
        timed(f"evaluate, {options.rows} rows", "evaluate", str(predictions), *output)


if __name__ == "__main__":
    main()
