"""Times the intervals of all measures: 2,000 resamples of 2,000 rows.

python scripts/benchmark_bootstrap.py [--rows 2000] [--resamples 2000]
"""

import argparse
import time

import numpy as np

from usgland.evaluation.statistics.measured_cases import measures


def main() -> None:
    """Prints processor seconds of each kind of bootstrap, the best of three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    patients = rng.integers(0, options.rows // 3, options.rows)
    labels = patients % 2
    probabilities = np.clip(0.25 * labels + rng.uniform(0, 0.75, options.rows), 0, 1)
    for kind in ("jackknife", "percentile", "bca"):
        seconds = []
        for _ in range(3):
            start = time.process_time()
            measures(
                labels,
                probabilities,
                0.5,
                patient_ids=patients.astype(str),
                bootstrap=kind,
                resamples=options.resamples,
            )
            seconds.append(time.process_time() - start)
        print(
            f"{kind}: {min(seconds):.2f} s of processor time for "
            f"{options.resamples} resamples of {options.rows} rows of "
            f"{len(set(patients))} patients, all measures"
        )


if __name__ == "__main__":
    main()
