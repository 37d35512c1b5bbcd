"""Prints what was compared with which oracle, and to what difference, as Markdown.

python scripts/oracles.py

Oracles that are no dependency of usgland (R, statsmodels, irrCAC, pingouin) were asked
once; what they said stands in tests/reference, written by the scripts `*_reference`, or
as it is printed in their documentation. The others, scikit-learn and SciPy, are asked
here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, bootstrap, mannwhitneyu, norm
from scipy.stats import t as student
from sklearn import metrics as sklearn_metrics

from usgland.evaluation.planning.model_size import (
    mrmc_power,
    sample_size_development,
    sample_size_mrmc,
    sample_size_validation,
)
from usgland.evaluation.statistics import association, mrmc, scores
from usgland.evaluation.statistics.agreement import cohen_kappa, fleiss_kappa
from usgland.evaluation.statistics.auc_tests import delong_test
from usgland.evaluation.statistics.bootstrap import (
    bca_interval,
    bootstrap_measures,
    draw_patients,
)
from usgland.evaluation.statistics.delong import delong_covariance
from usgland.evaluation.statistics.families import holm
from usgland.evaluation.statistics.graded_agreement import (
    gwet_agreement,
    intraclass_correlation,
    weighted_kappa,
)
from usgland.evaluation.statistics.intervals import (
    auc_interval,
    proportion_interval,
    ratio_interval,
)
from usgland.evaluation.statistics.logistic_model import fit_logistic
from usgland.evaluation.statistics.paired_tests import predictive_value_test
from usgland.evaluation.statistics.random_effects import random_effects
from usgland.evaluation.statistics.reader_estimates import estimate_measure
from usgland.evaluation.statistics.reader_estimates import mrmc as reader_study
from usgland.evaluation.statistics.roc_regions import partial_auc
from usgland.evaluation.statistics.share_intervals import newcombe_unpaired
from usgland.evaluation.statistics.share_tests import mcnemar_test
from usgland.evaluation.statistics.site_measures import several_sites

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"
# Our values and theirs, of one shape.
Pairs = Iterator[tuple[Any, Any]]


def reference(name: str) -> Any:
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


def measures() -> Pairs:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    said = np.clip(0.3 * labels + rng.uniform(0, 0.8, 200), 0, 1).round(2)
    calls = (said >= 0.5).astype(int)
    theirs = {
        "sensitivity": sklearn_metrics.recall_score(labels, calls),
        "specificity": sklearn_metrics.recall_score(labels, calls, pos_label=0),
        "ppv": sklearn_metrics.precision_score(labels, calls),
        "accuracy": sklearn_metrics.accuracy_score(labels, calls),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, calls),
        "f1": sklearn_metrics.f1_score(labels, calls),
        "f1_macro": sklearn_metrics.f1_score(labels, calls, average="macro"),
        "mcc": sklearn_metrics.matthews_corrcoef(labels, calls),
        "cohen_kappa": sklearn_metrics.cohen_kappa_score(labels, calls),
        "jaccard": sklearn_metrics.jaccard_score(labels, calls),
        "roc_auc": sklearn_metrics.roc_auc_score(labels, said),
        "average_precision": sklearn_metrics.average_precision_score(labels, said),
        "brier": sklearn_metrics.brier_score_loss(labels, said),
    }
    ours = scores.score(labels, said, 0.5, tuple(theirs))
    yield from ((ours[name], value) for name, value in theirs.items())


def proportions() -> Pairs:
    for one in reference("statsmodels")["proportions"]:
        for method in ("wilson", "clopper_pearson"):
            counts = one["successes"], one["cases"]
            ours = proportion_interval(*counts, level=one["level"], method=method)
            yield ours[:2], one[method]


def exact_proportions() -> Pairs:
    for k, n in ((0, 9), (17, 20), (35, 36), (60, 60)):
        theirs = binomtest(k, n).proportion_ci(method="exact")
        yield (
            proportion_interval(k, n, method="clopper_pearson")[:2],
            (theirs.low, theirs.high),
        )


def ratios() -> Pairs:
    for one in reference("statsmodels")["ratios"]:
        counts = np.array([[one["tn"], one["fp"]], [one["fn"], one["tp"]]])
        for name in ("positive", "negative"):
            ours = ratio_interval(f"{name}_likelihood_ratio", counts)
            yield ours[:2], one[name]


def delong() -> Pairs:
    for one in reference("proc").values():
        cases, proc = one["cases"], one["proc"]
        both = np.stack([cases["a"], cases["b"]])
        areas, covariance = delong_covariance(cases["label"], both)
        yield areas, (proc["auc_a"], proc["auc_b"])
        yield covariance[0], (proc["variance_a"], proc["covariance"])
        test = delong_test(cases["label"], cases["a"], cases["b"])
        yield (
            (test.p_value, test.low, test.high),
            (proc["p_value"], proc["low"], proc["high"]),
        )


def logit_delong() -> Pairs:
    for one in reference("proc").values():
        cases, proc = one["cases"], one["proc"]
        area, malignant = proc["auc_a"], sum(cases["label"])
        rarer = min(malignant, len(cases["label"]) - malignant)
        error = proc["variance_a"] ** 0.5 / (area * (1 - area))
        half = student.ppf(0.975, rarer - 1) * error
        odds = area / (1 - area) * np.exp([-half, half])
        yield auc_interval(cases["label"], cases["a"])[:2], odds / (1 + odds)


def bca() -> Pairs:
    rng = np.random.default_rng(3)
    labels = np.arange(40) % 2
    said = np.clip(0.4 * labels + rng.uniform(0, 0.6, 40), 0, 1)

    def brier(index: np.ndarray, axis: int = -1) -> np.ndarray:
        sets = np.atleast_2d(index.astype(int))
        found = [scores.score(labels[i], said[i], 0.5, ("brier",)) for i in sets]
        return np.array([x["brier"] for x in found]).reshape(index.shape[:-1])

    theirs = bootstrap(
        (np.arange(40),),
        brier,
        method="BCa",
        n_resamples=300,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    draws = draw_patients(np.arange(40))
    left_out = bootstrap_measures(
        labels, said, 0.5, draws, ("brier",), sets=draws.all_but_one()
    )
    value = scores.score(labels, said, 0.5, ("brier",))["brier"]
    values = theirs.bootstrap_distribution
    ours = bca_interval(values, value, left_out["brier"], level=0.95, seed=0)
    yield ours[:2], tuple(theirs.confidence_interval)


def mcnemar() -> Pairs:
    for one in reference("statsmodels")["mcnemar"]:
        counts = (one["both"], one["only_a"], one["only_b"], one["neither"])
        a, b = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
        yield mcnemar_test(np.ones(len(a), int), a, b).p_value, one["p_value"]


def newcombe() -> Pairs:
    for one in reference("statsmodels")["newcombe_unpaired"]:
        right = (
            np.arange(one[f"n_{name}"]) < one[f"right_{name}"] for name in ("a", "b")
        )
        yield newcombe_unpaired(*right, 0.95), (one["low"], one["high"])


def families() -> Pairs:
    yield from (
        (holm(one["p_values"]), one["holm"]) for one in reference("statsmodels")["holm"]
    )


def kappas() -> Pairs:
    for one in reference("kappa")["cases"]:
        cohen = cohen_kappa(one["calls"][0], one["calls"][1])
        yield (cohen.kappa, cohen.standard_error), (one["cohen"], one["cohen_error"])
        yield fleiss_kappa(one["calls"]).kappa, one["fleiss"]


def van_dyke() -> Pairs:
    data = reference("van_dyke")
    grades, printed = np.array(data["grades"]), data["mrmcaov"]
    values, covariance = estimate_measure(
        "roc_auc", data["labels"], grades.reshape(10, -1), method="jackknife"
    )
    values = values.reshape(2, -1)
    _, (random, _, _) = mrmc.compare_modalities(values, covariance, level=0.95)
    ours = (random.value, random.standard_error, random.low, random.high)
    difference = printed["difference"]
    yield (
        (*ours, random.p_value),
        (*difference[:2], *difference[3:], printed["p_value"]),
    )


def tables() -> Pairs:
    for one in reference("association")["tables"]:
        counts = np.array(one["counts"])
        ours = (
            association.fisher(counts).p_value,
            association.chi_square(counts).p_value,
        )
        yield ours, (one["fisher"], one["chi_square"])


def mann_whitney() -> Pairs:
    from usgland.evaluation.baseline.characteristics import _mann_whitney

    rng = np.random.default_rng(0)
    for a, b in ((12, 9), (45, 30), (60, 20)):
        first, second = rng.normal(size=a), rng.normal(0.5, 1, size=b)
        method = "exact" if max(a, b) < 50 else "asymptotic"
        theirs = mannwhitneyu(first, second, method=method).pvalue
        yield _mann_whitney(first, second).p_value, theirs


def weighted_kappas() -> Pairs:
    a, b = np.array(reference("agreement")[0]["grades"][:2])
    for weights in ("linear", "quadratic"):
        theirs = sklearn_metrics.cohen_kappa_score(a, b, weights=weights)
        yield weighted_kappa(a, b, weights=weights).value, theirs


def gwet() -> Pairs:
    for one in reference("agreement"):
        for weights, theirs in one["gwet"].items():
            ours = gwet_agreement(np.array(one["grades"], float), weights=weights)
            yield (ours.value, ours.standard_error, ours.low, ours.high), theirs


def intraclass() -> Pairs:
    one = reference("agreement")[0]
    for form, theirs in one["icc"].items():
        yield intraclass_correlation(one["grades"], form=form).value, theirs[0]


def regions() -> Pairs:
    one = reference("proc")
    for cases in (part["cases"] for part in one.values()):
        for specificity in (0.5, 0.8, 0.9):
            ours = partial_auc(cases["label"], cases["a"], specificity=specificity)
            theirs = sklearn_metrics.roc_auc_score(
                cases["label"], cases["a"], max_fpr=1 - specificity
            )
            yield ours.value, theirs


def predictive() -> Pairs:
    for one in reference("statsmodels")["predictive"]:
        for measure in ("ppv", "npv"):
            ours = predictive_value_test(
                one["labels"],
                one["calls_a"],
                one["calls_b"],
                measure=measure,
                patient_ids=one["patient_ids"],
            )
            error = (ours.high - ours.low) / 2 / norm.ppf(0.975)
            yield (ours.difference, error), one[measure]


def calibration() -> Pairs:
    for one in reference("statsmodels")["calibration"]:
        sites = several_sites(
            one["labels"],
            one["probabilities"],
            np.zeros(len(one["labels"])),
            patient_ids=one["patient_ids"],
        ).sites.set_index("measure")
        for name in ("slope", "intercept_in_the_large"):
            yield sites.loc[name, ["value", "standard_error"]].tolist(), one[name]


def bcg() -> Pairs:
    data = reference("bcg")
    a, b, c, d = np.array(data["counts"], float).T
    ratios = np.log(a / (a + b) / (c / (c + d)))
    errors = (1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)) ** 0.5
    pooled = random_effects(ratios, errors)
    yield (
        [getattr(pooled, name) for name in data["metafor"]],
        list(data["metafor"].values()),
    )


def development() -> Pairs:
    size = sample_size_development(24, prevalence=0.174, r_squared=0.288)
    yield (*size.criteria.values(), size.malignant), (623, 662, 221, 116)


def reader_power() -> Pairs:
    data = reference("van_dyke")
    pilot = reader_study(data["labels"], data["grades"], method="jackknife")
    yield mrmc_power(-0.043800322, 10, 165, pilot.components, 114), 0.80541995
    yield mrmc_power(0.043800322, 6, 111, pilot.components, 114), 0.5526116


def reader_cases() -> Pairs:
    """Cases for 4 to 16 readers: the table of RJafroc's book, Van Dyke's data."""
    data = reference("van_dyke")
    pilot = reader_study(data["labels"], data["grades"], method="jackknife").components
    printed = (1089, 344, 251, 211, 188, 173, 163, 155, 149, 144, 140, 137, 134)
    yield (
        [
            sample_size_mrmc(0.043800322, readers, pilot, 114, pilot_readers=5)
            for readers in range(4, 17)
        ],
        printed,
    )


def learning() -> Pairs:
    """Odds of right calls, as `readers` has them."""
    data = reference("statsmodels")["readings"]
    columns = np.eye(3)[data["reader"]], data["label"], np.divide(data["order"], 10)
    design = np.column_stack([*columns, np.log2(data["seconds"]), data["clinical"]])
    model = fit_logistic(design, data["right"], patient_ids=data["patient_id"])
    for place, name in zip((-3, -2, -1), ("order", "seconds", "help"), strict=True):
        made = model.coefficients[place], model.covariance[place, place] ** 0.5
        yield made, data[f"right calls, {name}"]


def validation() -> Pairs:
    size = sample_size_validation(
        prevalence=0.018, auc=0.8, logits=(-5, 2.5), ratio_width=1
    ).criteria
    yield (size["auc"], size["observed_over_expected"]), (4252, 905)


# What, the oracle, the pairs, and the difference that a test allows.
COMPARISONS = (
    ("measures of calls and of probabilities", "scikit-learn", measures, 1e-12),
    ("Wilson, Clopper-Pearson", "statsmodels 0.15", proportions, 1e-9),
    ("Clopper-Pearson", "SciPy", exact_proportions, 1e-12),
    ("likelihood ratios (Simel)", "statsmodels 0.15", ratios, 1e-6),
    ("AUC, DeLong's covariance, paired test", "R, pROC 1.18", delong, 1e-9),
    ("AUC, logit scale with t", "by hand from pROC's variance", logit_delong, 1e-9),
    ("BCa, of the same resamples", "SciPy", bca, 1e-9),
    ("McNemar, exact", "statsmodels 0.15", mcnemar, 1e-9),
    ("difference of two shares (Newcombe)", "statsmodels 0.15", newcombe, 1e-9),
    ("Holm", "statsmodels 0.15", families, 1e-12),
    ("Cohen's kappa and its error, Fleiss' kappa", "statsmodels 0.15", kappas, 1e-9),
    ("Obuchowski-Rockette, Van Dyke data", "R, MRMCaov, as printed", van_dyke, 1e-7),
    ("Fisher, chi-square", "R 4.2", tables, 1e-5),
    ("Mann-Whitney", "SciPy", mann_whitney, 1e-12),
    ("weighted kappa", "scikit-learn", weighted_kappas, 1e-12),
    ("Gwet's AC1 and AC2, errors and bounds", "irrCAC 0.4.4", gwet, 1e-7),
    ("ICC(2,1), ICC(3,1)", "pingouin 0.6.1", intraclass, 1e-9),
    ("partial AUC", "scikit-learn", regions, 1e-12),
    ("differences of predictive values", "statsmodels 0.15", predictive, 1e-6),
    ("calibration of a site, clustered", "statsmodels 0.15", calibration, 1e-6),
    ("random effects, BCG trials", "R, metafor, as printed", bcg, 5e-5),
    ("patients to develop a model", "R, pmsampsize, as printed", development, 0.0),
    ("patients to validate a model: AUC, O/E", "R, pmvalsampsize", validation, 1.0),
    ("power of a reader study", "R, RJafroc, as printed", reader_power, 1e-7),
    ("cases of 4 to 16 readers", "R, RJafroc, as printed", reader_cases, 0.0),
    ("right calls by order, time, help", "statsmodels 0.15", learning, 1e-9),
)


def differences() -> Iterator[tuple[str, str, int, float, float]]:
    """What, the oracle, how many values, the largest difference and that allowed."""
    for what, oracle, pairs, allowed in COMPARISONS:
        apart = [np.abs(np.subtract(ours, theirs)).ravel() for ours, theirs in pairs()]
        every = np.concatenate(apart)
        yield what, oracle, len(every), float(every.max()), allowed


def main() -> None:
    """Prints the table."""
    print("| what | oracle | values | largest difference |")
    print("|---|---|---|---|")
    for what, oracle, number, largest, _ in differences():
        shown = "0" if largest == 0 else f"{largest:.0e}"
        print(f"| {what} | {oracle} | {number} | {shown} |")


if __name__ == "__main__":
    main()
