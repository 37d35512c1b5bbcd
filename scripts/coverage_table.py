"""How often the 95% intervals hold the truth: prints the tables of docs/decisions.md.

python scripts/coverage_table.py [--studies 2000]

Studies are drawn whose truth is known: scores of the two labels are normal, each
patient has one label, and an image shares half of the variance of its score with the
others of its patient. Some two minutes on one core.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from usgland.evaluation.statistics import delong
from usgland.evaluation.statistics.bootstrap import draw_patients
from usgland.evaluation.statistics.intervals import (
    auc_interval,
    clustered_proportion,
    logit_bounds,
)
from usgland.evaluation.statistics.measured_cases import MeasuredCases
from usgland.evaluation.statistics.roc_regions import partial_auc, sensitivity_at
from usgland.evaluation.statistics.scores import score

PATIENTS = (41, 72, 120, 266)
PREVALENCES = (0.1, 0.3, 0.5)
AREAS = (0.75, 0.85, 0.90, 0.95, 0.98)
SPECIFICITY = 0.9  # from which the partial AUC counts
SHARED = 0.5  # of the variance of a score
REST = (
    *("balanced_accuracy", "f1", "f1_macro", "cohen_kappa", "mcc", "jaccard"),
    *("positive_likelihood_ratio", "negative_likelihood_ratio"),
    *("average_precision", "brier"),
)


def draw_studies(
    rng: np.random.Generator,
    patients: int,
    prevalence: float,
    images: int,
    studies: int,
) -> tuple[NDArray, NDArray, NDArray]:
    """Labels and patients of the cases, and noise, `(studies, cases)`.

    Patients have 1 to `images` images; the share of malignant ones is the same in all
    studies.
    """
    sizes = np.random.default_rng(9).integers(1, images + 1, patients)
    malignant = max(2, round(patients * prevalence))
    ids = np.repeat(np.arange(patients), sizes)
    own = rng.normal(size=(studies, patients))[:, ids] * SHARED**0.5
    noise = own + rng.normal(size=own.shape) * (1 - SHARED) ** 0.5
    return (ids < malignant).astype(int), ids, noise


def cover_area(
    patients: int, prevalence: float, images: int, area: float, studies: int
) -> tuple[float, float]:
    """Coverage of the AUC's interval, and of plain DeLong's."""
    rng = np.random.default_rng(1)
    labels, ids, noise = draw_studies(rng, patients, prevalence, images, studies)
    noise += labels * norm.ppf(area) * 2**0.5
    placed = delong.placements(labels, noise)
    areas = delong.areas(placed)
    covariance = delong.covariance_of_areas(placed, labels, patient_ids=ids)
    variances = np.diag(covariance)
    rarer = min(len(np.unique(ids[labels == label])) for label in (0, 1))
    low, high = logit_bounds(areas, variances, rarer - 1, 0.95)
    ends = areas == 1
    if ends.any():
        bounds = auc_interval(labels, labels, patient_ids=ids)
        low[ends], high[ends] = bounds.low, bounds.high
    half = norm.ppf(0.975) * variances**0.5
    plain = (areas - half <= area) & (area <= areas + half)
    return float(((low <= area) & (area <= high)).mean()), float(plain.mean())


def cover_share(patients: int, images: int, share: float, studies: int) -> float:
    """Coverage of a sensitivity of so many malignant patients."""
    rng = np.random.default_rng(2)
    _, ids, noise = draw_studies(rng, patients, 0.5, images, studies)
    inside = 0
    for right in noise < norm.ppf(share):
        bounds = clustered_proportion(right, ids)
        inside += bounds.low <= share <= bounds.high
    return inside / studies


def cover_rest(
    patients: int, prevalence: float, images: int, area: float, studies: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Method -> measure -> coverage where there is an interval, and how often."""
    apart = norm.ppf(area) * 2**0.5

    def probabilities(labels: NDArray, noise: NDArray) -> NDArray:
        return np.asarray(
            expit(apart * (noise + (labels - 0.5) * apart) + logit(share))
        )

    rng = np.random.default_rng(3)
    labels, ids, noise = draw_studies(rng, patients, prevalence, images, studies)
    share = labels.mean()
    truth = np.repeat([1, 0], [round(400_000 * share), round(400_000 * (1 - share))])
    true = score(truth, probabilities(truth, rng.normal(size=len(truth))), share, REST)
    found: dict[str, dict[str, list[bool]]] = {}
    for row in noise:
        draws = draw_patients(ids, resamples=1000, seed=1)
        cases = labels, probabilities(labels, row), share, draws, REST
        for kind in ("jackknife", "bca", "percentile"):
            made = MeasuredCases(*cases, bootstrap=kind).measures()
            for name, measure in made.items():
                inside = found.setdefault(kind, {}).setdefault(name, [])
                if not measure.reason:
                    inside.append(measure.low <= true[name] <= measure.high)
    return {
        kind: {name: (np.mean(x), len(x) / studies) for name, x in part.items()}
        for kind, part in found.items()
    }


def cover_region(
    patients: int, prevalence: float, images: int, area: float, studies: int
) -> tuple[float, float]:
    """Coverage from a specificity of .9 on: partial AUC, and sensitivity there."""
    apart = norm.ppf(area) * 2**0.5
    false = np.linspace(0, 1 - SPECIFICITY, 100_001)
    under = np.trapezoid(norm.cdf(apart + norm.ppf(false)), false)
    least = (1 - SPECIFICITY) ** 2 / 2
    true = (1 + (under - least) / (1 - SPECIFICITY - least)) / 2
    rng = np.random.default_rng(4)
    labels, ids, noise = draw_studies(rng, patients, prevalence, images, studies)
    truths = {
        partial_auc: true,
        sensitivity_at: norm.cdf(apart + norm.ppf(1 - SPECIFICITY)),
    }
    inside = dict.fromkeys(truths, 0)
    drawn = {sensitivity_at: {"resamples": 1000}, partial_auc: {}}
    for scores in noise + labels * apart:
        for measure, known in truths.items():
            made = measure(
                labels,
                scores,
                specificity=SPECIFICITY,
                patient_ids=ids,
                **drawn[measure],
            )
            inside[measure] += made.low <= known <= made.high
    return inside[partial_auc] / studies, inside[sensitivity_at] / studies


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def table(heads: list[str], rows: Iterator[list[str]] | list[list[str]]) -> None:
    print(f"| {' | '.join(heads)} |")
    print(f"|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
    print()


def main() -> None:
    """Prints four tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    print(f"AUC, {studies} studies a cell; in brackets plain DeLong\n")

    def cells(of: Callable[[float], tuple[float, float]]) -> list[str]:
        pairs = map(of, AREAS)
        return [f"{percent(ours)} ({percent(plain)})" for ours, plain in pairs]

    table(
        ["patients", "malignant", "images each", *(f"AUC {a:.2f}" for a in AREAS)],
        (
            [
                *(str(n), str(max(2, round(n * share)))),
                "1" if images == 1 else "1 to 5",
                *cells(lambda a: cover_area(n, share, images, a, studies)),  # noqa: B023
            ]
            for images in (1, 5)
            for n in PATIENTS
            for share in PREVALENCES
        ),
    )
    print(f"Sensitivity, {studies} studies a cell, patients with 1 to 5 images\n")
    shares = (0.80, 0.90, 0.95, 0.98)
    table(
        ["malignant patients", *(f"{share:.2f}" for share in shares)],
        (
            [str(n), *(percent(cover_share(n, 5, share, studies)) for share in shares)]
            for n in (4, 12, 20, 36, 60, 133)
        ),
    )
    print(
        f"Specificities of .9 or more, {studies} studies a cell: partial AUC, "
        "sensitivity at .9\n"
    )
    table(
        ["patients", "malignant", "images each", "AUC 0.90", "AUC 0.95"],
        [
            [str(n), str(round(n * share)), "1" if images == 1 else "1 to 5"]
            + [
                ", ".join(map(percent, cover_region(n, share, images, a, studies)))
                for a in (0.9, 0.95)
            ]
            for n, share, images in (
                *((41, 0.5, 1), (41, 0.3, 5), (41, 0.5, 5)),
                *((72, 0.5, 1), (120, 0.1, 1), (120, 0.5, 1)),
            )
        ],
    )
    few = studies // 5
    print(f"All others, {few} studies: jackknife, BCa, percentiles\n")
    designs = ((41, 0.5, 5, 0.90), (41, 0.3, 5, 0.95), (72, 0.2, 1, 0.90))
    made = [cover_rest(*design, few) for design in designs]
    table(
        ["measure", *(f"{n} patients, AUC {a:.2f}" for n, _, _, a in designs)],
        [
            [name]
            + [", ".join(percent(part[name][0]) for part in of.values()) for of in made]
            for name in REST
        ],
    )


if __name__ == "__main__":
    main()
