"""Tests that swap two readings of the same patient: the null is that neither matters.

A statistic that is a sum over patients changes only its sign in the patients whose
two readings are swapped. Its distribution over all swaps is then found exactly, by
adding one patient after the other, without drawing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from usgland.evaluation.statistics.delong import placements

# Patients times distinct sums that are worked out exactly; about a second.
EXACT_STEPS = 500_000_000
RESAMPLES = 20_000
CHUNK = 4_000_000  # signs held at a time, 32 MB


class SwapTest(NamedTuple):
    """The share of swaps with a sum as far from 0 or farther, and how it was made."""

    p_value: float
    method: str


def swap_test(
    sums: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> SwapTest:
    """Tests whether a sum over patients is 0, by swapping within patients.

    The sums are whole numbers: what each patient adds to the difference, and with the
    opposite sign when its two readings are swapped. Exact unless there are very many
    patients with very many distinct sums; then by `resamples` draws, where the
    observed sum counts as one of them.

    Reference:
        [Phipson and Smyth, 2010](https://doi.org/10.2202/1544-6115.1585), for P of
        drawn permutations, which is never 0.
    """
    sums = np.asarray(sums, "float64")
    if sums.ndim != 1 or not (sums == np.round(sums)).all():
        raise ValueError(
            f"`sums` must be whole numbers, `(patients,)`. Received: {sums[:5]}"
        )
    observed = abs(int(sums.sum()))
    sizes = np.abs(sums[sums != 0]).astype("int64")
    if not len(sizes):
        return SwapTest(1.0, "exact, no patient in whom the two differ")
    unit = int(np.gcd.reduce(sizes))
    sizes, observed = sizes // unit, observed // unit
    if len(sizes) * int(sizes.sum()) <= EXACT_STEPS:
        return SwapTest(_exact(sizes, observed), f"exact, all 2^{len(sizes)} swaps")
    p_value = _drawn(sizes, observed, resamples, seed)
    return SwapTest(p_value, f"{resamples} swaps drawn, seed {seed}")


def auc_swap_test(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    patient_ids: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SwapTest:
    """Tests the difference of two areas by swapping the models within patients.

    Scores are first replaced by their ranks within each model, so that a probability
    can be swapped with a grade from 1 to 5.

    Reference:
        [Bandos et al., 2005](https://doi.org/10.1002/sim.2149), which swaps cases.
    """
    labels = np.asarray(labels)
    a, b = rankdata(scores_a), rankdata(scores_b)
    malignant = labels == 1
    crossed = np.where(malignant, a, b), np.where(malignant, b, a)
    placed = placements(labels, np.stack([a, b, *crossed]))
    # A pair of cases adds (s + t) / 2 of the difference of a and b, and (s - t) / 2
    # of that of the crossed pairs, with s, t = -1 where a case is swapped: linear.
    adds = np.zeros(len(labels))
    of_a, of_b, crossed_a, crossed_b = placed.malignant
    adds[malignant] = of_a - of_b + crossed_a - crossed_b
    of_a, of_b, crossed_a, crossed_b = placed.benign
    adds[~malignant] = of_a - of_b - crossed_a + crossed_b
    _, patient = np.unique(np.asarray(patient_ids), return_inverse=True)
    return swap_test(np.bincount(patient, adds), resamples=resamples, seed=seed)


def _exact(sizes: NDArray[np.int64], observed: int) -> float:
    total = int(sizes.sum())
    chance = np.zeros(total + 1)  # of each sum over the patients who are swapped
    chance[0] = 1.0
    reached = 0
    for size in np.sort(sizes):
        kept = chance[: reached + 1] / 2
        chance[: reached + 1] = kept
        chance[size : reached + size + 1] += kept
        reached += size
    apart = np.abs(total - 2 * np.arange(total + 1))
    return float(min(1.0, chance[apart >= observed].sum()))


def _drawn(sizes: NDArray[np.int64], observed: int, resamples: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    step = max(1, CHUNK // len(sizes))
    extreme = 0
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        swapped = random.integers(0, 2, (rows, len(sizes)))
        extreme += int((np.abs((1 - 2 * swapped) @ sizes) >= observed).sum())
    return (extreme + 1) / (resamples + 1)
